// Asks for what the master target had before a batch, as often as it takes; without an answer all is sent.
import { setTimeout as delay } from 'node:timers/promises';
import { hashBytes } from '../../core/chain/messages.ts';
import { errorTable, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { chunkCount } from '../sync/chunk-hashes.ts';
import type { AskHashes } from '../sync/sync-compare.ts';

export class RemoteHashes {
  readonly #ask: AskHashes;
  readonly #sync: number;
  readonly #log: Log;
  #failed = false;

  /** `sync` is the LSN of the batch's begin. */
  constructor(ask: AskHashes, sync: number, log: Log) {
    this.#ask = ask;
    this.#sync = sync;
    this.#log = log;
  }

  /** Of one disk: null when they cannot be had. */
  of(disk: number, signal: AbortSignal): (start: number, end: number) => Promise<Buffer | null> {
    return async (start, end) => {
      while (!this.#failed) {
        try {
          const hashes = await this.#ask(this.#sync, disk, start, end, signal);
          if (hashes.length === chunkCount(end - start) * hashBytes) return hashes;
          this.#failed = true;
        } catch (error) {
          signal.throwIfAborted();
          const known = toHomewardError(error);
          this.#failed = !errorTable[known.code].retry;
          if (this.#failed) this.#log.warn('sync-hashes-failed', { disk, error: known });
          else await delay(limits.syncRetryMs, undefined, { signal });
        }
      }
      return null;
    };
  }
}
