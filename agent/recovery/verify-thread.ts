// A thread for the pieces of one verification, as calls that can be awaited.
import { Worker } from 'node:worker_threads';
import { endThread } from '../../core/end-thread.ts';
import { HomewardError } from '../../core/errors.ts';
import type { PieceResult } from './verify-finding.ts';
import type { PieceJob } from './verify-work.ts';
import type { VerifyJob, VerifyReply } from './verify-worker.ts';

const workerFile = new URL('./verify-worker.ts', import.meta.url);

export class VerifyThread {
  readonly #worker = new Worker(workerFile);
  readonly #signal: AbortSignal;
  #settle: ((reply: VerifyReply | Error) => void) | null = null;
  #hasEnded: Promise<unknown>;

  /** When `signal` aborts, what is under way and every later call ends with 'interrupted'. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
    this.#hasEnded = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.on('message', (reply: VerifyReply) => this.#settle?.(reply));
    this.#worker.once('error', (error) => {
      this.#settle?.(error instanceof Error ? error : new HomewardError('bug', String(error)));
    });
    this.#worker.once('exit', () =>
      this.#settle?.(new HomewardError('bug', 'the checking thread has ended')),
    );
  }

  /** One at a time. Files in `job` are lent until this settles. */
  async check(job: PieceJob, mostMs: number): Promise<PieceResult> {
    if (this.#signal.aborted) throw interrupted();
    const stop = (): void => this.#settle?.(interrupted());
    this.#signal.addEventListener('abort', stop, { once: true });
    try {
      const reply = await new Promise<VerifyReply | Error>((resolve) => {
        this.#settle = resolve;
        this.#worker.postMessage({ job, mostMs } satisfies VerifyJob);
      });
      if (reply instanceof Error) {
        // Whoever lent a file closes it next.
        await endThread(this.#worker);
        throw reply;
      }
      if ('failed' in reply) throw new HomewardError(reply.failed.code, reply.failed.message);
      return reply.result;
    } finally {
      this.#settle = null;
      this.#signal.removeEventListener('abort', stop);
    }
  }

  async close(): Promise<void> {
    this.#worker.postMessage('end' satisfies VerifyJob);
    await this.#hasEnded;
  }
}

export const interrupted = (): HomewardError =>
  new HomewardError('interrupted', 'the verification was interrupted', {
    hint: 'Run it again; --for and --part bound it.',
  });
