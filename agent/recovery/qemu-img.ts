// Runs qemu-img, which writes the formats that are not ours.
import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { isNearlyFull, noSpace } from './target-error.ts';

export interface Conversion {
  format: 'qcow2' | 'vmdk';
  /** An NBD URI. */
  source: string;
  /** A file that exists already; it keeps its inode. */
  to: string;
  signal: AbortSignal;
  /** From 0 to 1. */
  progress(part: number): void;
}

/** Resolves when the file is written, not yet synced. Rejects as `runQemuImg` does. */
export function convert({ format, source, to, signal, progress }: Conversion): Promise<void> {
  const options = format === 'vmdk' ? ['-o', 'subformat=streamOptimized'] : [];
  const args = ['convert', '-p', '-f', 'raw', '-O', format, ...options, source, to];
  return runQemuImg({ args, directory: dirname(to), signal, progress });
}

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
    hint:
      'Mend what qemu-img names, or recover to raw:DIR, which needs no qemu-img; ' +
      'what was begun has been removed.',
  });
}
