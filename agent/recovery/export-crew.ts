// The threads of a recovery: each reads the same view through content of its own, and all take from one list.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { endThread } from '../../core/end-thread.ts';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { HeldContent } from '../replica/view-content.ts';
import type { ExportReply, ExportTask } from './export-worker.ts';
import { SharedTurns, stretchesOf } from './formats/stretch.ts';

const workerFile = new URL('./export-worker.ts', import.meta.url);

/**
 * How many threads a recovery of disks of these sizes uses: so many contents are to be held for it. None has
 * more to do than the stretches of one disk.
 */
export function recoveryThreads(sizes: readonly number[]): number {
  const stretches = Math.max(1, ...sizes.map(stretchesOf));
  return Math.max(1, Math.min(availableParallelism(), limits.recoveryThreads, stretches));
}

export type CrewTask = Omit<ExportTask, 'todo' | 'turns'> & {
  todo: readonly number[];
  /** The first cluster or sector that the file has not given away. */
  free: { cluster?: number; sector?: number };
};

/** What the threads say of stretches; nothing else reaches the caller. */
export type CrewReply = Exclude<ExportReply, { idle: true } | { found: unknown } | { failed: unknown }>;

interface Running {
  heard(reply: CrewReply): void;
  resolve(): void;
  /** Known before the threads have ended, which is waited for: what they were lent is theirs until then. */
  failure: Error | null;
  reject(error: Error): void;
  busy: number;
}

/** One task at a time. After a failure or an abort the threads are gone. */
export class ExportCrew {
  readonly #workers: Worker[];
  readonly #exits: Promise<void>[];
  readonly #damaged: HeldContent['damaged'];
  #running: Running | null = null;

  constructor(contents: readonly HeldContent[]) {
    this.#workers = contents.map(
      ({ content, transfer }) => new Worker(workerFile, { workerData: content, transferList: transfer }),
    );
    this.#damaged = contents[0]?.damaged;
    this.#exits = this.#workers.map((worker) => this.#watch(worker));
  }

  /**
   * Rejects with the first failure, or with the signal's reason, when no thread touches the output any
   * more.
   */
  async run(task: CrewTask, heard: (reply: CrewReply) => void, signal: AbortSignal): Promise<void> {
    const { todo, free, ...rest } = task;
    const list = new Uint32Array(new SharedArrayBuffer(todo.length * 4));
    list.set(todo);
    const given: ExportTask = { ...rest, todo: list, turns: SharedTurns.begin(free).buffer };
    const abort = (): void => this.#fail(asError(signal.reason));
    try {
      await new Promise<void>((resolve, reject) => {
        this.#running = { heard, resolve, reject, failure: null, busy: this.#workers.length };
        signal.addEventListener('abort', abort, { once: true });
        if (signal.aborted) abort();
        else for (const worker of this.#workers) worker.postMessage(given);
      });
    } finally {
      signal.removeEventListener('abort', abort);
      this.#running = null;
    }
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) void endThread(worker);
    await Promise.all(this.#exits);
  }

  #watch(worker: Worker): Promise<void> {
    worker.on('message', (reply: ExportReply) => this.#hear(reply));
    worker.on('error', (error) => this.#fail(asError(error)));
    return new Promise((resolve) => {
      worker.once('exit', () => {
        resolve();
        this.#fail(new HomewardError('bug', 'a thread of the recovery ended without a word'));
      });
    });
  }

  #hear(reply: ExportReply): void {
    if ('found' in reply) {
      this.#damaged?.(reply.found);
      return;
    }
    const running = this.#running;
    if (running === null || running.failure !== null) return;
    if ('failed' in reply) {
      const { code, message, hint } = reply.failed;
      this.#fail(new HomewardError(code, message, { hint }));
    } else if (!('idle' in reply)) running.heard(reply);
    else if (--running.busy === 0) running.resolve();
  }

  #fail(error: Error): void {
    const running = this.#running;
    if (running === null || running.failure !== null) return;
    running.failure = error;
    this.close().then(() => running.reject(error), running.reject);
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
