// Answers what a source asks about the state before its sync: hashes, made in a thread that reads held
// content.
import { Worker } from 'node:worker_threads';
import type { Relay } from '../../../core/chain/messages.ts';
import { endThread } from '../../../core/end-thread.ts';
import { HomewardError, toHomewardError } from '../../../core/errors.ts';
import { limits } from '../../../core/limits.ts';
import type { Log } from '../../../core/log.ts';
import type { HeldContent } from '../../replica/view-content.ts';
import type { HashAsked, HashReply } from './hash-worker.ts';
import type { PulledMachine } from './pulled-machine.ts';

type Wanted = Extract<Relay, { kind: 'hashes-wanted' }>;

export interface HashServiceOptions {
  machine: PulledMachine;
  log: Log;
  answer(relay: Relay): void;
}

/** The content of one moment, and the thread that reads it. */
interface Open {
  sync: number;
  held: HeldContent;
  worker: Worker;
  /** Asked and not answered yet. */
  waiting: number;
  ended: Promise<unknown>;
}

const workerFile = new URL('./hash-worker.ts', import.meta.url);

/** At most one moment is held: that of the sync that goes on. */
export class HashService {
  readonly #options: HashServiceOptions;
  #open: Open | null = null;
  #closing: Promise<unknown> = Promise.resolve();

  constructor(options: HashServiceOptions) {
    this.#options = options;
  }

  take(relay: Relay): void {
    if (relay.kind !== 'hashes-wanted') return;
    try {
      this.#ask(relay);
    } catch (error) {
      this.#refuse(relay, toHomewardError(error));
    }
  }

  /** Lets go of what no sync needs any more. */
  settle(): void {
    const sync = this.#options.machine.journal.catalogue.sync;
    if (this.#open !== null && this.#open.sync !== sync?.lsn) this.#end(this.#open);
  }

  async close(): Promise<void> {
    if (this.#open !== null) this.#end(this.#open);
    await this.#closing;
  }

  #ask(wanted: Wanted): void {
    const { sync, disk, start, end } = wanted;
    if (start >= end || end - start > limits.hashesAskedBytes)
      throw new HomewardError('usage', `hashes of bytes ${start} to ${end} were asked for`);
    const open = this.#openAt(sync);
    const size = open.held.content.disks[disk]?.size ?? 0;
    if (end > size) throw new HomewardError('no-such-disk', `disk ${disk} ended at ${size}, not at ${end}`);
    if (open.waiting >= limits.hashesWaiting)
      throw new HomewardError('conflict', `${open.waiting} questions for hashes are waiting`);
    open.waiting += 1;
    open.worker.postMessage({ disk, start, end } satisfies HashAsked);
  }

  #openAt(sync: number): Open {
    if (this.#open?.sync === sync) return this.#open;
    const { machine, log } = this.#options;
    const current = machine.journal.catalogue.sync;
    if (current?.lsn !== sync)
      throw new HomewardError('pruned', `record ${sync} does not begin the sync that goes on here`);
    if (this.#open !== null) this.#end(this.#open);
    const held = machine.holdBefore(sync);
    const worker = new Worker(workerFile, {
      workerData: held.content,
      transferList: [...held.transfer],
    });
    const open: Open = { sync, held, worker, waiting: 0, ended: Promise.resolve() };
    open.ended = new Promise<void>((resolve) => {
      worker.once('exit', () => {
        held.release();
        if (this.#open === open) this.#open = null;
        resolve();
      });
    });
    worker.on('error', (error) =>
      log.error('hashes-failed', { machine: machine.name, error: toHomewardError(error) }),
    );
    worker.on('message', (reply: HashReply) => this.#answer(open, reply));
    worker.unref();
    this.#open = open;
    log.info('hashes-begin', { machine: machine.name, sync });
    return open;
  }

  #answer(open: Open, { asked, hashes, failed }: HashReply): void {
    open.waiting -= 1;
    const place = { sync: open.sync, ...asked };
    if (failed === null) this.#options.answer({ kind: 'hashes', ...place, hashes });
    else this.#options.answer({ kind: 'hashes-failed', ...place, message: failed });
  }

  #refuse({ sync, disk, start, end }: Wanted, { message }: HomewardError): void {
    this.#options.answer({ kind: 'hashes-failed', sync, disk, start, end, message });
  }

  #end(open: Open): void {
    this.#open = null;
    void endThread(open.worker);
    this.#closing = Promise.all([this.#closing, open.ended]);
  }
}
