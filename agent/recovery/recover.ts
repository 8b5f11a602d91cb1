// Carries out a recovery: raw files and devices by a thread of ours, qcow2 and vmdk by qemu-img reading a
// view.
import fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { openFileStore } from '../../core/block/file-store.ts';
import { assert, HomewardError } from '../../core/errors.ts';
import type { OnProgress, RecoverPlan, ViewReport } from '../control/service.ts';
import type { ViewContent } from '../replica/view-content.ts';
import type { ExportJob, ExportReply } from './export-worker.ts';
import { convert } from './qemu-img.ts';
import { noSpace, noSpaceOnDevice, targetError } from './target-error.ts';
import { publish, TargetFile } from './target-file.ts';
import { targetsInUse } from './targets-in-use.ts';

export interface RecoverExecution {
  plan: RecoverPlan;
  content: ViewContent;
  progress: OnProgress;
  signal: AbortSignal;
  /** Serves the same content on a socket, for tools that read NBD. */
  serve(path: string): Promise<{ view: ViewReport; close(): Promise<void> }>;
}

const workerFile = new URL('./export-worker.ts', import.meta.url);

/**
 * Gives back the bytes written. Throws 'conflict', before anything is written, when another recovery writes
 * to one of the targets. When it fails or is aborted, no file that it began is left.
 */
export async function executeRecovery(execution: RecoverExecution): Promise<number> {
  const release = targetsInUse.claim(execution.plan.disks.map(({ to }) => to));
  try {
    return isOntoDevices(execution.plan) ? await copyToDevices(execution) : await writeFiles(execution);
  } finally {
    release();
  }
}

async function writeFiles(execution: RecoverExecution): Promise<number> {
  const files: TargetFile[] = [];
  try {
    for (const { to } of execution.plan.disks) files.push(new TargetFile(to));
    const raw = execution.plan.disks[0]?.format === 'raw';
    const written = raw ? await copyToFiles(execution, files) : await convertDisks(execution, files);
    publish(files);
    return written;
  } catch (error) {
    const failure = asTargetError(error, execution.plan);
    const left = files.map((file) => file.tryDiscard()).filter((why) => why !== null);
    if (left.length === 0) throw failure;
    throw new HomewardError(failure.code, [failure.message, ...left].join('; '), { cause: failure });
  } finally {
    for (const file of files) file.close();
  }
}

async function copyToFiles(execution: RecoverExecution, files: readonly TargetFile[]): Promise<number> {
  const outputs = execution.plan.disks.map(({ name, size }, at) => {
    const { fd } = fileAt(files, at);
    fs.ftruncateSync(fd, size);
    return { disk: diskIndex(execution, name), fd, blank: true };
  });
  return copyDisks(execution, outputs);
}

/** A device is claimed (O_EXCL) while we write it. */
async function copyToDevices(execution: RecoverExecution): Promise<number> {
  const outputs: ExportJob['outputs'] = [];
  try {
    for (const { name, to } of execution.plan.disks)
      outputs.push({ disk: diskIndex(execution, name), fd: openDevice(to), blank: false });
    return await copyDisks(execution, outputs);
  } catch (error) {
    if (isFull(error)) throw noSpaceOnDevice(execution.plan.disks.map(({ to }) => to).join(', '), error);
    throw error;
  } finally {
    for (const { fd } of outputs) fs.closeSync(fd);
  }
}

function openDevice(path: string): number {
  try {
    return openFileStore(path).fd;
  } catch (error) {
    throw targetError(error, path);
  }
}

function copyDisks(
  { plan, content, progress, signal }: RecoverExecution,
  outputs: ExportJob['outputs'],
): Promise<number> {
  return runWorker({ content, outputs }, totalBytes(plan), progress, signal);
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

async function convertDisks(
  { plan, progress, signal, serve }: RecoverExecution,
  files: readonly TargetFile[],
): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'homeward-recover-')).catch((error: unknown) => {
    throw new HomewardError(
      'tool-failed',
      `nothing can be made in ${tmpdir()}, where qemu-img is to meet the view`,
      {
        cause: error,
        hint: 'Make room there and let it be written to, or recover to raw:DIR, which needs nothing there.',
      },
    );
  });
  const socket = join(directory, 'view.sock');
  const total = totalBytes(plan);
  let before = 0;
  let written = 0;
  try {
    const served = await serve(socket);
    try {
      for (const [at, { name, size, format }] of plan.disks.entries()) {
        assert(format === 'qcow2' || format === 'vmdk', `${format} is for qemu-img`);
        const { partial, fd } = fileAt(files, at);
        const from = before;
        await convert({
          format,
          source: `nbd+unix:///${encodeURIComponent(name)}?socket=${encodeURIComponent(socket)}`,
          to: partial,
          signal,
          progress: (part) => progress({ done: Math.round(from + part * size), total, what: name }),
        });
        await sync(fd);
        written += fs.fstatSync(fd).size;
        before += size;
      }
    } finally {
      await served.close();
    }
    return written;
  } catch (error) {
    throw signal.aborted ? interrupted() : error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** In the thread pool: the rest of what qemu-img wrote may be gigabytes. */
function sync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fsync(fd, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

const isOntoDevices = (plan: RecoverPlan): boolean => plan.disks[0]?.format === 'block';

/** The copying thread says what happened, not where. */
function asTargetError(error: unknown, plan: RecoverPlan): HomewardError {
  const directory = dirname(plan.disks[0]?.to ?? '');
  return isFull(error) ? noSpace(directory, error) : targetError(error, directory);
}

const isFull = (error: unknown): boolean => error instanceof HomewardError && error.code === 'no-space';

function diskIndex({ content }: RecoverExecution, name: string): number {
  const index = content.disks.findIndex((disk) => disk.name === name);
  assert(index >= 0, `the view has ${name}`);
  return index;
}

function fileAt(files: readonly TargetFile[], at: number): TargetFile {
  const file = files[at];
  assert(file !== undefined, 'every disk has its file');
  return file;
}

function totalBytes(plan: RecoverPlan): number {
  assert(plan.disks.length > 0, 'a plan has disks');
  return plan.disks.reduce((sum, disk) => sum + disk.size, 0);
}

const interrupted = (): HomewardError =>
  new HomewardError('interrupted', 'the recovery was interrupted; what it had written was removed');
