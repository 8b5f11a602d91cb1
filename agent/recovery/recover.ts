// Carries out a recovery: raw files and devices by a thread of ours, qcow2 and vmdk by qemu-img reading a
// view.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { syncDirectorySync } from '../../core/atomic-file.ts';
import { openFileStore } from '../../core/block/file-store.ts';
import { ensureDirectorySync } from '../../core/directory.ts';
import { assert, errnoOf, HomewardError } from '../../core/errors.ts';
import type { OnProgress, RecoverPlan, ViewReport } from '../control/service.ts';
import type { ViewContent } from '../replica/view-content.ts';
import type { ExportJob, ExportReply } from './export-worker.ts';

export interface RecoverExecution {
  plan: RecoverPlan;
  content: ViewContent;
  progress: OnProgress;
  signal: AbortSignal;
  /** Serves the same content on a socket, for tools that read NBD. */
  serve(path: string): Promise<{ view: ViewReport; close(): Promise<void> }>;
}

const workerFile = new URL('./export-worker.ts', import.meta.url);

/** Gives back the bytes written. When it fails or is aborted, no file that it began is left. */
export async function executeRecovery(execution: RecoverExecution): Promise<number> {
  const { plan } = execution;
  const files = plan.disks.filter(({ format }) => format !== 'block').map(({ to }) => to);
  if (files[0] !== undefined) makeTarget(dirname(files[0]));
  try {
    const converted = plan.disks[0]?.format === 'qcow2' || plan.disks[0]?.format === 'vmdk';
    const written = converted ? await convertDisks(execution) : await copyDisks(execution);
    for (const file of files) publish(file);
    return written;
  } catch (error) {
    for (const file of files) fs.rmSync(partial(file), { force: true });
    throw error;
  }
}

function makeTarget(directory: string): void {
  try {
    ensureDirectorySync(directory, 0o777);
  } catch (error) {
    if (errnoOf(error) !== 'ENOTDIR') throw error;
    throw new HomewardError('bad-target', `${directory} is not a directory`, { cause: error });
  }
}

const partial = (file: string): string => `${file}.partial`;

/** The name is taken only now: what exists was never overwritten, and what has the name is whole. */
function publish(file: string): void {
  try {
    fs.linkSync(partial(file), file);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST')
      throw new HomewardError('exists', `${file} has come into being meanwhile`, { cause: error });
    throw error;
  }
  fs.unlinkSync(partial(file));
  syncDirectorySync(join(file, '..'));
}

async function copyDisks({ plan, content, progress, signal }: RecoverExecution): Promise<number> {
  const outputs: ExportJob['outputs'] = [];
  try {
    for (const planned of plan.disks) {
      const disk = content.disks.findIndex(({ name }) => name === planned.name);
      outputs.push({ disk, ...openOutput(planned) });
    }
    return await runWorker({ content, outputs }, totalBytes(plan), progress, signal);
  } finally {
    for (const { fd } of outputs) fs.closeSync(fd);
  }
}

/** A device is claimed (O_EXCL) while we write it; a file is new. */
function openOutput({ to, size, format }: RecoverPlan['disks'][number]): { fd: number; blank: boolean } {
  if (format === 'block') return { fd: openFileStore(to).fd, blank: false };
  fs.rmSync(partial(to), { force: true });
  return { fd: openFileStore(partial(to), { create: size }).fd, blank: true };
}

function runWorker(
  job: ExportJob,
  total: number,
  progress: OnProgress,
  signal: AbortSignal,
): Promise<number> {
  const worker = new Worker(workerFile, { workerData: job });
  return new Promise((resolve, reject) => {
    let outcome: (() => void) | null = null;
    const abort = (): void => {
      outcome = () => reject(interrupted());
      void worker.terminate();
    };
    signal.addEventListener('abort', abort, { once: true });
    worker.on('message', (reply: ExportReply) => {
      if ('progress' in reply) progress({ done: reply.progress.done, total, what: reply.progress.disk });
      else if ('result' in reply) outcome ??= () => resolve(reply.result.bytesWritten);
      else outcome ??= () => reject(new HomewardError(reply.failed.code, reply.failed.message));
    });
    worker.once('error', (error) => {
      outcome ??= () => reject(error);
    });
    // Only when the thread has ended are the files that it was lent nobody's.
    worker.once('exit', () => {
      signal.removeEventListener('abort', abort);
      if (outcome === null) reject(new HomewardError('bug', 'the copying thread ended without a word'));
      else outcome();
    });
    if (signal.aborted) abort();
  });
}

async function convertDisks({ plan, progress, signal, serve }: RecoverExecution): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'homeward-recover-'));
  const total = totalBytes(plan);
  const served = await serve(join(directory, 'view.sock'));
  let before = 0;
  let written = 0;
  try {
    for (const disk of plan.disks) {
      const from = before;
      fs.rmSync(partial(disk.to), { force: true });
      await convert(disk, join(directory, 'view.sock'), signal, (part) => {
        progress({ done: Math.round(from + part * disk.size), total, what: disk.name });
      });
      syncFile(partial(disk.to));
      written += fs.statSync(partial(disk.to)).size;
      before += disk.size;
    }
    return written;
  } finally {
    await served.close();
    await rm(directory, { recursive: true, force: true });
  }
}

function convert(
  disk: RecoverPlan['disks'][number],
  socket: string,
  signal: AbortSignal,
  progress: (part: number) => void,
): Promise<void> {
  const options = disk.format === 'vmdk' ? ['-o', 'subformat=streamOptimized'] : [];
  const source = `nbd+unix:///${encodeURIComponent(disk.name)}?socket=${encodeURIComponent(socket)}`;
  const args = ['convert', '-p', '-f', 'raw', '-O', disk.format, ...options, source, partial(disk.to)];
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
      failure =
        errnoOf(error) === 'ENOENT'
          ? new HomewardError('tool-missing', 'qemu-img is not installed', {
              cause: error,
              hint: 'Install the package qemu-utils (Debian) or qemu-img (EL).',
            })
          : error;
      if (child.pid === undefined) reject(failure);
    });
    child.once('close', (status) => {
      if (signal.aborted) reject(interrupted());
      else if (status === 0) resolve();
      else
        reject(
          failure ?? new HomewardError('tool-failed', `qemu-img ended with ${status}: ${complaint.trim()}`),
        );
    });
  });
}

function syncFile(path: string): void {
  const fd = fs.openSync(path, 'r');
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

function totalBytes(plan: RecoverPlan): number {
  assert(plan.disks.length > 0, 'a plan has disks');
  return plan.disks.reduce((sum, disk) => sum + disk.size, 0);
}

const interrupted = (): HomewardError =>
  new HomewardError('interrupted', 'the recovery was interrupted; what it had written was removed');
