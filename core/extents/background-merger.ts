// Merges large extent tables beside the work of this thread; one serves all machines of a process.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { endThread } from '../end-thread.ts';
import type { Log } from '../log.ts';
import { ExtentTable, type SharedExtents } from './extent-table.ts';
import { beginMerge } from './merge.ts';

export interface MergeRequest {
  id: number;
  older: SharedExtents;
  newer: SharedExtents;
  firstLiveSegment: number;
}

export interface MergeReply {
  id: number;
  merged: SharedExtents;
}

interface Job {
  older: ExtentTable;
  newer: ExtentTable;
  firstLiveSegment: number;
  done: (merged: ExtentTable) => void;
}

/** Extents merged before this thread looks after its other work; well under a millisecond. */
const sliceExtents = 16_384;
const workerFile = new URL('./merge-worker.ts', import.meta.url);

/**
 * The worker is started with the first job and does not keep the process alive. If it fails, its jobs and all
 * later ones are done in slices on this thread: slower, the same answers.
 */
export class BackgroundMerger {
  readonly #log: Log;
  readonly #workerFile: URL;
  readonly #jobs = new Map<number, Job>();
  #nextId = 1;
  #worker: Worker | null = null;
  #state: 'working' | 'slicing' | 'closed' = 'working';
  #slicing = false;
  #idle: PromiseWithResolvers<void> | null = null;

  /** `workerFile` is for tests of what happens when the worker fails. */
  constructor(log: Log, options: { workerFile?: URL } = {}) {
    this.#log = log;
    this.#workerFile = options.workerFile ?? workerFile;
  }

  /** Calls `done` later with what both tables say together; never when closed before. */
  merge(older: ExtentTable, newer: ExtentTable, firstLiveSegment: number, done: Job['done']): void {
    if (this.#state === 'closed') return;
    const id = this.#nextId++;
    const job = { older, newer, firstLiveSegment, done };
    this.#jobs.set(id, job);
    if (this.#state === 'slicing') {
      void this.#slice();
      return;
    }
    this.#worker ??= this.#start();
    const request: MergeRequest = {
      id,
      older: older.transferable(),
      newer: newer.transferable(),
      firstLiveSegment,
    };
    this.#worker.postMessage(request);
  }

  /** Resolves when no job is under way; keeps the process alive until then. */
  async idle(): Promise<void> {
    if (this.#jobs.size === 0) return;
    this.#worker?.ref();
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
  }

  /** Ends the worker; what it was at is forgotten. */
  async close(): Promise<void> {
    this.#state = 'closed';
    this.#jobs.clear();
    this.#settleIdle();
    if (this.#worker !== null) await endThread(this.#worker);
  }

  #start(): Worker {
    // Flags of this process (a debugger's port, a test runner's hooks) are not the worker's.
    const worker = new Worker(this.#workerFile, { execArgv: [] });
    worker.unref();
    worker.on('message', ({ id, merged }: MergeReply) => this.#complete(id, ExtentTable.from(merged)));
    worker.on('error', (cause) => this.#fallBack(new Error('the worker failed', { cause })));
    worker.on('messageerror', (cause) => this.#fallBack(new Error('answer not readable', { cause })));
    worker.on('exit', () => this.#fallBack(new Error('the worker ended')));
    return worker;
  }

  #complete(id: number, merged: ExtentTable): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    this.#jobs.delete(id);
    job.done(merged);
    if (this.#jobs.size === 0) this.#settleIdle();
  }

  #settleIdle(): void {
    this.#worker?.unref();
    this.#idle?.resolve();
    this.#idle = null;
  }

  #fallBack(error: Error): void {
    if (this.#state !== 'working') return;
    this.#state = 'slicing';
    this.#log.warn('extent-merge-worker-failed', { error, jobs: this.#jobs.size });
    if (this.#worker !== null) void endThread(this.#worker);
    this.#worker = null;
    void this.#slice();
  }

  /** Works through the jobs on this thread, oldest first. */
  async #slice(): Promise<void> {
    if (this.#slicing) return;
    this.#slicing = true;
    // Jobs that come meanwhile are visited too.
    for (const [id, { older, newer, firstLiveSegment }] of this.#jobs) {
      const merge = beginMerge(older, newer, firstLiveSegment);
      do await nextTurn();
      while (this.#jobs.has(id) && !merge.run(sliceExtents));
      if (this.#jobs.has(id)) this.#complete(id, merge.finish());
    }
    this.#slicing = false;
  }
}
