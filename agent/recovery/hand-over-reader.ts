// Reads the state that a machine goes on from in a thread of its own: ingest of others must not wait for it.
import { Worker } from 'node:worker_threads';
import { endThread } from '../../core/end-thread.ts';
import { HomewardError } from '../../core/errors.ts';
import type { HeldContent } from '../replica/view-content.ts';
import type { StateAsked, StateReply } from './hand-over-worker.ts';

const workerFile = new URL('./hand-over-worker.ts', import.meta.url);

export interface StateContent {
  content: Buffer;
  /** Bytes [start, end) of the disk, which are zeros in `content`. */
  damaged: [number, number][];
}

interface Waiting {
  resolve(reply: StateReply): void;
  reject(error: Error): void;
}

/** One question at a time. What it reads of is released when it is closed. */
export class StateReader {
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  #waiting: Waiting | null = null;
  #isOver = false;

  constructor(held: HeldContent) {
    this.#worker = new Worker(workerFile, { workerData: held.content, transferList: [...held.transfer] });
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        held.release();
        this.#isOver = true;
        this.#take((waiting) => waiting.reject(over()));
        resolve();
      });
    });
    this.#worker.on('message', (reply: StateReply) => this.#take((waiting) => waiting.resolve(reply)));
    this.#worker.on('error', (error: Error) => this.#take((waiting) => waiting.reject(error)));
  }

  /** What [offset, offset + length) of a disk consists of. */
  async extents(disk: number, offset: number, length: number): Promise<{ length: number; zero: boolean }[]> {
    const reply = await this.#ask({ kind: 'extents', disk, offset, length });
    return 'extents' in reply ? reply.extents : [];
  }

  /** Bytes [start, end) of it that lie in history and not in the replica, in order. */
  async outside(disk: number, offset: number, length: number): Promise<[number, number][]> {
    const reply = await this.#ask({ kind: 'outside', disk, offset, length });
    return 'outside' in reply ? reply.outside : [];
  }

  async content(disk: number, offset: number, length: number): Promise<StateContent> {
    const reply = await this.#ask({ kind: 'content', disk, offset, length });
    if (!('content' in reply)) throw new HomewardError('bug', 'content was asked for');
    return { content: Buffer.from(reply.content.buffer), damaged: reply.damaged };
  }

  async close(): Promise<void> {
    await endThread(this.#worker);
    await this.#ended;
  }

  async #ask(asked: StateAsked): Promise<StateReply> {
    if (this.#isOver) throw over();
    const reply = await new Promise<StateReply>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker.postMessage(asked);
    });
    if (!('failed' in reply)) return reply;
    const { code, message, hint } = reply.failed;
    throw new HomewardError(code, message, { hint });
  }

  #take(tell: (waiting: Waiting) => void): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting !== null) tell(waiting);
  }
}

const over = (): HomewardError =>
  new HomewardError('interrupted', 'the thread that reads the state has ended');
