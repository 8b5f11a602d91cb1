// One disk of a view as a file of this host, through nbdfuse, for as long as it is asked for.
import { once } from 'node:events';
import fs from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { startFailed, startProgram } from './program.ts';
import { takeDown } from './take-down.ts';

export interface Image {
  /** Of the disk. */
  bytes: number;
  /** Takes it away; what is still open answers errors. */
  end(): Promise<void>;
}

/** `file` is made, and gone in the end. Throws 'tool-missing' and 'tool-failed'. */
export async function serveImage(file: string, uri: string, readOnly: boolean): Promise<Image> {
  if (!fs.existsSync('/dev/fuse'))
    throw new HomewardError('tool-missing', 'this host has no FUSE: /dev/fuse is not there', {
      hint: 'Load the module with `modprobe fuse`; in a container, give it /dev/fuse.',
    });
  fs.writeFileSync(file, '');
  const child = startProgram('nbdfuse', [...(readOnly ? ['-r'] : []), file, uri]);
  let complaint = '';
  child.stderr
    ?.setEncoding('utf8')
    .on('data', (text: string) => (complaint = (complaint + text).slice(-2000)));
  let failure: Error | null = null;
  const ended = once(child, 'close').then(
    () => (failure ??= new Error(`nbdfuse ended: ${complaint.trim()}`)),
    (error: Error) => (failure = startFailed('nbdfuse', error)),
  );
  const end = async (): Promise<void> => {
    if (child.pid !== undefined) await takeDown({ kind: 'image', at: file });
    const late = setTimeout(() => child.kill('SIGKILL'), limits.mountEndMs);
    await ended;
    clearTimeout(late);
    fs.rmSync(file, { force: true });
  };
  const deadline = performance.now() + limits.mountEndMs;
  while (fs.statSync(file).size === 0) {
    if (failure === null && performance.now() < deadline) {
      await pause(pollMs);
      continue;
    }
    await end();
    throw failed(failure ?? new Error('nbdfuse shows nothing'));
  }
  return { bytes: fs.statSync(file).size, end };
}

const pollMs = 10;

const failed = (error: Error): HomewardError =>
  error instanceof HomewardError
    ? error
    : new HomewardError('tool-failed', error.message.replaceAll(/\s*\n\s*/g, '; '), { cause: error });
