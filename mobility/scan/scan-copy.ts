// Sends what a scan has found to differ, and keeps the hash of exactly what was sent.
import { hashBytes, hashedChunkBytes } from '../../core/chain/messages.ts';
import type { BlockMap } from '../../core/block/block-map.ts';
import { chunkCount, hashChunks, zeroHashes } from '../sync/chunk-hashes.ts';
import { SyncCopy, type SyncCopyOptions } from '../sync/sync-copy.ts';
import type { Rest, ScanDisk, Todo } from './scan-disk.ts';
import { hashAt, pageChunks, pageCount, pageDiskBytes } from './hash-pages.ts';

export interface ScanCopyOptions extends Omit<SyncCopyOptions, 'captured'> {
  disk: ScanDisk;
  todo: Todo;
  beginLsn: number;
  rest: Rest;
  /** Hashes of [start, end) at the master target before the batch, or null when it is not asked. */
  remote: ((start: number, end: number) => Promise<Buffer | null>) | null;
}

/** One for each disk and batch. */
export class ScanCopy {
  readonly #options: ScanCopyOptions;
  readonly #copy: SyncCopy;
  /** Of the page that is worked on: what the hash file has to say once the batch is durable. */
  #hashes: Buffer = Buffer.alloc(0);
  #pageStart = 0;

  constructor(options: ScanCopyOptions) {
    this.#options = options;
    const { recorder, pace, signal, onBytes, beginLsn } = options;
    this.#copy = new SyncCopy({ captured: this.#source(), recorder, pace, signal, onBytes }, beginLsn);
  }

  get sent(): { dataBytes: number; zeroBytes: number } {
    const { dataBytes, zeroBytes } = this.#copy;
    return { dataBytes, zeroBytes };
  }

  async run(): Promise<void> {
    const { disk, todo } = this.#options;
    for (let page = 0; page < pageCount(disk.size); page += 1) {
      const first = page * pageChunks;
      const end = Math.min(first + pageChunks, chunkCount(disk.size));
      if (todo.wanted.countIn(first, end) === 0) continue;
      this.#pageStart = page * pageDiskBytes;
      this.#hashes = await disk.hashes.page(page);
      await this.#copyPage(first, end);
      disk.hashes.stage(page, this.#hashes);
    }
  }

  async #copyPage(first: number, end: number): Promise<void> {
    const { disk, todo, remote } = this.#options;
    const stop = Math.min(end * hashedChunkBytes, disk.size);
    const asked = remote !== null && todo.unknown.countIn(first, end) > 0;
    const theirs = asked ? await remote(this.#pageStart, stop) : null;
    if (theirs === null) return this.#sendRuns(todo.wanted, first, end);
    const { rest, signal } = this.#options;
    for (const run of [...todo.wanted.runs(first, end)]) {
      if (!run.marked) continue;
      const from = run.start * hashedChunkBytes;
      const own = await disk.hash(from, Math.min(run.end * hashedChunkBytes, disk.size), rest, signal);
      this.#leaveEqual(run.start, own, theirs);
    }
    await this.#sendRuns(todo.wanted, first, end);
  }

  /** What the master target has already need not be sent. */
  #leaveEqual(first: number, own: Buffer, theirs: Buffer): void {
    const { wanted } = this.#options.todo;
    for (let at = 0; at * hashBytes < own.length; at += 1) {
      const chunk = first + at;
      const mine = hashAt(own, at);
      if (!mine.equals(hashAt(theirs, chunk % pageChunks))) continue;
      mine.copy(this.#hashes, (chunk % pageChunks) * hashBytes);
      wanted.clear(chunk, chunk + 1);
    }
  }

  async #sendRuns(wanted: BlockMap, first: number, end: number): Promise<void> {
    const { disk } = this.#options;
    for (const run of [...wanted.runs(first, end)]) {
      if (!run.marked) continue;
      const start = run.start * hashedChunkBytes;
      const stop = Math.min(run.end * hashedChunkBytes, disk.size);
      await this.#copy.copy({ disk: disk.index, start, end: stop }, () => undefined);
    }
  }

  /**
   * The disk as the copying of a sync reads it. What somebody writes meanwhile is sent as it was read,
   * and hashed so.
   */
  #source(): SyncCopyOptions['captured'] {
    const { disk } = this.#options;
    return {
      extents: (_disk, offset, length) => disk.store.extents(offset, length),
      readStable: async (_disk, offset, target, use) => {
        await disk.store.read(target, offset);
        this.#keep(offset, await hashChunks(target));
        use(target);
      },
      zeroStable: async (_disk, offset, length, use) => {
        const hashes = await zeroHashes(length);
        const extents = await disk.store.extents(offset, length);
        if (!extents.every(({ zero }) => zero)) return false;
        this.#keep(offset, hashes);
        use();
        return true;
      },
    };
  }

  #keep(offset: number, hashes: Buffer): void {
    hashes.copy(this.#hashes, ((offset - this.#pageStart) / hashedChunkBytes) * hashBytes);
  }
}
