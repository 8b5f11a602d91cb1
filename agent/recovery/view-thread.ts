// The thread of one open view, seen from the daemon: it listens, breaks, ends.
import { Worker } from 'node:worker_threads';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { NbdAddress } from '../../core/nbd/server.ts';
import type { HeldContent } from '../replica/view-content.ts';
import type { ViewJob, ViewOrder, ViewReply } from './view-worker.ts';

const workerFile = new URL('./view-worker.ts', import.meta.url);

export class ViewThread {
  readonly #worker: Worker;
  readonly #release: () => void;
  /** When the thread is gone; what it held is released by then. */
  readonly ended: Promise<void>;

  private constructor(worker: Worker, held: HeldContent, log: Log, id: string) {
    this.#worker = worker;
    let isHeld = true;
    this.#release = () => {
      if (isHeld) held.release();
      isHeld = false;
    };
    this.ended = new Promise((resolve) => {
      worker.once('exit', () => {
        this.#release();
        resolve();
      });
    });
    worker.on('message', (reply: ViewReply) => {
      if ('damaged' in reply) held.damaged?.(reply.damaged);
    });
    worker.on('error', (error) => log.error('view-failed', { id, error: toHomewardError(error) }));
  }

  /** What is held is released when the thread ends, also when it cannot listen. */
  static async start(
    job: Omit<ViewJob, 'content'>,
    held: HeldContent,
    { log, id }: { log: Log; id: string },
  ): Promise<{ thread: ViewThread; address: NbdAddress }> {
    const worker = new Worker(workerFile, {
      workerData: { ...job, content: held.content } satisfies ViewJob,
      transferList: [...held.transfer],
    });
    const thread = new ViewThread(worker, held, log, id);
    try {
      return { thread, address: await listening(worker) };
    } catch (error) {
      await thread.ended;
      throw error;
    }
  }

  /** From then on it answers nothing but errors, and its content is released. */
  async break(reason: string): Promise<void> {
    const broken = new Promise<void>((resolve) => {
      this.#worker.on('message', (reply: ViewReply) => {
        if ('broken' in reply) resolve();
      });
    });
    this.#order({ break: reason });
    await Promise.race([broken, this.ended]);
    this.#release();
  }

  /** Requests in flight end first. */
  async end(): Promise<void> {
    this.#order('close');
    await this.ended;
  }

  #order(order: ViewOrder): void {
    this.#worker.postMessage(order);
  }
}

function listening(worker: Worker): Promise<NbdAddress> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => reject(new HomewardError('bug', 'the thread of a view ended without a word')));
    worker.once('message', (reply: ViewReply) => {
      if ('listening' in reply) resolve(reply.listening);
      else if ('failed' in reply)
        reject(new HomewardError(reply.failed.code, reply.failed.message, { hint: reply.failed.hint }));
    });
  });
}
