// Finds what differs between the captured disks and what the master target had when the sync began.
import { setTimeout as delay } from 'node:timers/promises';
import { BlockMap } from '../../core/block/block-map.ts';
import { hashBytes, hashedChunkBytes } from '../../core/chain/messages.ts';
import { errorTable, HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { CapturedDisks } from '../capture/captured-disks.ts';
import { chunkCount, hashChunks, zeroHashes } from './chunk-hashes.ts';
import type { Stretch } from './stretches.ts';

/**
 * Hashes of [start, end) of a disk as it was just before the record at `sync`: 16 bytes for each 64 KiB.
 * Rejects with an error whose code may be retried (`errorTable`), or with another when they cannot be had at
 * all.
 */
export type AskHashes = (
  sync: number,
  disk: number,
  start: number,
  end: number,
  signal: AbortSignal,
) => Promise<Buffer>;

export interface SyncCompareOptions {
  captured: CapturedDisks;
  hashes: AskHashes;
  /** LSN of the `sync-begin`. */
  sync: number;
  /** Resolves when the sync may go on. */
  room: () => Promise<void>;
  signal: AbortSignal;
  log: Log;
  onBytes: (bytes: number, differentBytes: number) => void;
}

/**
 * Why reads beside the writes are enough: every byte was compared as it was at some moment, and from the
 * sync's begin on each change of it is a record (or makes its region `unsynced`). A byte that was equal then
 * stays so.
 */
export class SyncCompare {
  readonly #options: SyncCompareOptions;
  /** By disk, in chunks. */
  readonly #different = new Map<number, BlockMap>();
  readonly #buffer = Buffer.allocUnsafeSlow(limits.syncPieceBytes);
  #saidFailed = false;

  constructor(options: SyncCompareOptions) {
    this.#options = options;
  }

  async compare({ disk, start, end }: Stretch): Promise<void> {
    for (let at = start; at < end; at += limits.syncCompareBytes) {
      const stop = Math.min(end, at + limits.syncCompareBytes);
      await this.#options.room();
      const asked = new AbortController();
      const signal = AbortSignal.any([asked.signal, this.#options.signal]);
      // Both at once; when one fails the other ends.
      const remote = this.#ask(disk, at, stop, signal);
      remote.catch(() => undefined);
      try {
        const local = await this.#hashOwn(disk, at, stop);
        this.#note(disk, at, stop, local, await remote);
      } finally {
        asked.abort();
      }
    }
  }

  /** The pieces of a stretch that have to be copied. */
  *differencesIn({ disk, start, end }: Stretch): Generator<Stretch> {
    const chunks = this.#different.get(disk);
    if (chunks === undefined) return;
    for (const run of chunks.runs(start / hashedChunkBytes, Math.ceil(end / hashedChunkBytes))) {
      if (!run.marked) continue;
      const stop = Math.min(run.end * hashedChunkBytes, end);
      yield { disk, start: run.start * hashedChunkBytes, end: stop };
    }
  }

  #note(disk: number, start: number, end: number, local: Buffer, remote: Buffer | null): void {
    let chunks = this.#different.get(disk);
    if (chunks === undefined) this.#different.set(disk, (chunks = new BlockMap()));
    let different = 0;
    for (let chunk = 0; chunk < chunkCount(end - start); chunk += 1) {
      const at = chunk * hashBytes;
      const equal = remote !== null && local.compare(remote, at, at + hashBytes, at, at + hashBytes) === 0;
      if (equal) continue;
      const first = start / hashedChunkBytes + chunk;
      chunks.mark(first, first + 1);
      different += Math.min(hashedChunkBytes, end - start - chunk * hashedChunkBytes);
    }
    this.#options.onBytes(end - start, different);
  }

  async #hashOwn(disk: number, start: number, end: number): Promise<Buffer> {
    const { captured, signal } = this.#options;
    const hashes: Buffer[] = [];
    for (let at = start; at < end; at += this.#buffer.length) {
      signal.throwIfAborted();
      const length = Math.min(this.#buffer.length, end - at);
      const extents = await captured.extents(disk, at, length);
      if (extents.every(({ zero }) => zero)) {
        hashes.push(await zeroHashes(length));
        continue;
      }
      const piece = this.#buffer.subarray(0, length);
      await captured.read(disk, at, piece);
      hashes.push(await hashChunks(piece));
    }
    return Buffer.concat(hashes);
  }

  /** Null when there are none: then all of it counts as different. */
  async #ask(disk: number, start: number, end: number, signal: AbortSignal): Promise<Buffer | null> {
    for (;;) {
      try {
        const hashes = await this.#options.hashes(this.#options.sync, disk, start, end, signal);
        if (hashes.length === chunkCount(end - start) * hashBytes) return hashes;
        throw new HomewardError(
          'damaged',
          `${hashes.length} bytes of hashes for ${end - start} bytes of disk`,
        );
      } catch (error) {
        signal.throwIfAborted();
        const problem = toHomewardError(error);
        if (!errorTable[problem.code].retry) return this.#without(disk, problem);
        await delay(limits.syncRetryMs, undefined, { signal });
      }
    }
  }

  #without(disk: number, error: HomewardError): null {
    if (!this.#saidFailed) this.#options.log.warn('sync-hashes-failed', { disk, error });
    this.#saidFailed = true;
    return null;
  }
}
