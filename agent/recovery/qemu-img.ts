// Runs qemu-img, which reads the formats that a seed may have.
import { spawn } from 'node:child_process';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { isNearlyFull, noSpace } from './target-error.ts';

export interface QemuImgRun {
  args: readonly string[];
  /** Of the file that is written. */
  directory: string;
  signal: AbortSignal;
  /** From 0 to 1, when it is asked for with `-p`. */
  progress(part: number): void;
}

/** Rejects with 'tool-missing', 'tool-failed' or 'no-space'; when aborted, after the process is gone. */
export function runQemuImg({ args, directory, signal, progress }: QemuImgRun): Promise<void> {
  const child = spawn('qemu-img', args, {
    signal,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => {
    complaint = (complaint + text.toString()).slice(-2000);
  });
  child.stdout.on('data', (text: Buffer) => {
    const percent = /(\d+(?:\.\d+)?)\/100%/.exec(text.toString())?.[1];
    if (percent !== undefined) progress(Number(percent) / 100);
  });
  return new Promise((resolve, reject) => {
    let failure: Error | null = null;
    child.once('error', (error) => {
      failure = errnoOf(error) === 'ENOENT' ? missingQemuImg(error) : error;
      if (child.pid === undefined) reject(failure);
    });
    child.once('close', (status, killedBy) => {
      if (status === 0 && !signal.aborted) resolve();
      else reject(failure ?? failed(status ?? killedBy, complaint.trim(), directory));
    });
  });
}

export function missingQemuImg(cause: unknown): HomewardError {
  return new HomewardError('tool-missing', 'qemu-img is not installed', {
    cause,
    hint: 'Install the package qemu-utils (Debian) or qemu-img (EL).',
  });
}

/** Writing vmdk, qemu-img says "Invalid argument" where the volume is full. */
function failed(status: number | string | null, complaint: string, directory: string): HomewardError {
  const full =
    /No space left on device|Disk quota exceeded/.test(complaint) ||
    (complaint.includes('Invalid argument') && isNearlyFull(directory));
  const message = `qemu-img ended with ${status}: ${complaint}`;
  if (full) return noSpace(directory, new Error(message));
  return new HomewardError('tool-failed', message, {
    hint: 'Mend what qemu-img names, or give the seed as a raw image, which needs no qemu-img.',
  });
}
