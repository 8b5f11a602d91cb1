// Runs the programs of the host that a mount needs.
import { spawn, type ChildProcess } from 'node:child_process';
import { errnoOf, HomewardError } from '../../core/errors.ts';

export interface Ran {
  status: number | null;
  out: string;
  err: string;
}

/** Where they come from, for who has to install them. */
const packages: Readonly<Record<string, string>> = {
  nbdfuse: 'nbdfuse (Debian) or libnbd (EL)',
  fusermount3: 'fuse3',
  mount: 'mount (Debian) or util-linux (EL)',
  umount: 'mount (Debian) or util-linux (EL)',
};

/** To its end, whatever its status. Throws 'tool-missing'. */
export function runProgram(program: string, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = startProgram(program, args);
    let out = '';
    let err = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (err = (err + text).slice(-2000)));
    child.once('error', (error) => reject(startFailed(program, error)));
    child.once('close', (status) => resolve({ status, out, err: err.trim() }));
  });
}

/** Not of our process group: a Ctrl-C is ours to handle, in the order that unmounting needs. */
export function startProgram(program: string, args: readonly string[]): ChildProcess {
  return spawn(program, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C.UTF-8' },
  });
}

export function startFailed(program: string, error: Error): HomewardError {
  if (errnoOf(error) !== 'ENOENT')
    return new HomewardError('tool-failed', `${program}: ${error.message}`, { cause: error });
  return new HomewardError('tool-missing', `${program} is not installed`, {
    cause: error,
    hint: `Install the package ${packages[program] ?? 'util-linux'}.`,
  });
}
