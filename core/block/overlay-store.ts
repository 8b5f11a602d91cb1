// A writable disk over one that is never written: what changes goes to a second store, block by block.
import { systemError } from '../system-error.ts';
import { KiB, roundUp } from '../units.ts';
import { appendExtent } from './append-extent.ts';
import { BlockMap } from './block-map.ts';
import type { BlockExtent, BlockStore } from './block-store.ts';
import { checkRange } from './check-range.ts';
import type { OverlayMap } from './overlay-map.ts';

export const overlayBlockBytes = 4 * KiB;

export interface OverlayOptions {
  /** Read only. Closed with the overlay. */
  base: BlockStore;
  /**
   * As large as the base, sparse, at the same offsets; what it holds to begin with does not matter. Closed as
   * well.
   */
  changes: BlockStore;
  /** What may be stored in `changes`; a write beyond it is ENOSPC and changes nothing. */
  maxBytes?: number;
  /** Instead of `maxBytes`: room that several overlays share. */
  room?: OverlayRoom;
}

/** Room for the changes of several overlays together. */
export class OverlayRoom {
  readonly #mostBlocks: number;
  #blocks = 0;

  constructor(maxBytes: number) {
    this.#mostBlocks = Math.floor(maxBytes / overlayBlockBytes);
  }

  take(blocks: number): void {
    if (this.#blocks + blocks > this.#mostBlocks) throw systemError('ENOSPC', 'write');
    this.#blocks += blocks;
  }

  /** What was there before anybody asked counts, whether it fits or not. */
  count(blocks: number): void {
    this.#blocks += blocks;
  }

  giveBack(blocks: number): void {
    this.#blocks -= blocks;
  }
}

/** An overlay that ends with its process. */
export function overlayStore(options: OverlayOptions): BlockStore {
  return new OverlayStore(options, null);
}

/**
 * An overlay that is there again when it is opened again over the same stores: with all that was flushed, and
 * any part of what was not. `marks` are closed with it.
 */
export async function openOverlay(options: OverlayOptions, marks: OverlayMap): Promise<BlockStore> {
  const overlay = new OverlayStore(options, marks);
  await overlay.settle();
  return overlay;
}

interface Part {
  store: BlockStore;
  start: number;
  end: number;
}

/**
 * A block is read from `changes` if and only if it is marked as changed, which it is after all of its bytes
 * are there. Changes go one after another: two writes into one block would else each copy it up and lose the
 * other's bytes.
 */
class OverlayStore implements BlockStore {
  readonly size: number;
  private readonly base: BlockStore;
  private readonly changes: BlockStore;
  private readonly room: OverlayRoom;
  private readonly marks: OverlayMap | null;
  private readonly changed: BlockMap;
  /** The changed blocks that take space; the others were punched. */
  private readonly stored = new BlockMap();
  private lastChange: Promise<void> = Promise.resolve();
  private lastFlush: Promise<void> = Promise.resolve();
  /** The flush that has not begun. */
  private nextFlush: Promise<void> | null = null;
  /** What a flush failed with: what was written before may be lost, so nothing is taken or kept any more. */
  private failure: Error | null = null;

  constructor({ base, changes, maxBytes = Infinity, room }: OverlayOptions, marks: OverlayMap | null) {
    if (changes.size < base.size) throw new RangeError('the store for changes is smaller than the base');
    this.base = base;
    this.changes = changes;
    this.size = base.size;
    this.room = room ?? new OverlayRoom(maxBytes);
    this.marks = marks;
    this.changed = marks?.changed ?? new BlockMap();
  }

  /** After a restart: what was written and is not marked was never flushed, and goes. */
  async settle(): Promise<void> {
    let at = 0;
    for (const { length, hole } of await this.changes.extents(0, this.size)) {
      const { first, next } = blocksOf(at, at + length);
      at += length;
      if (hole) continue;
      for (const run of this.changed.runs(first, next)) {
        const start = run.start * overlayBlockBytes;
        const end = Math.min(run.end * overlayBlockBytes, this.size);
        if (run.marked) this.stored.mark(run.start, run.end);
        else await this.changes.zero(start, end - start, { punch: true });
      }
    }
    this.room.count(this.stored.count);
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    checkRange(this.size, offset, target.length);
    for (const { store, start, end } of this.parts(offset, target.length)) {
      await store.read(target.subarray(start - offset, end - offset), start);
    }
  }

  async write(source: Uint8Array, offset: number): Promise<void> {
    checkRange(this.size, offset, source.length);
    await this.inTurn(() =>
      this.change(offset, offset + source.length, () => this.changes.write(source, offset)),
    );
  }

  async zero(offset: number, length: number, { punch = false } = {}): Promise<void> {
    checkRange(this.size, offset, length);
    const end = offset + length;
    const clear = (from: number, to: number): Promise<void> =>
      this.change(from, to, () => this.changes.zero(from, to - from, { punch }));
    await this.inTurn(async () => {
      if (!punch) return await clear(offset, end);
      const start = Math.min(roundUp(offset, overlayBlockBytes), end);
      // The last block of the disk may be a short one; up to its end it is whole.
      const stop = end === this.size ? end : Math.max(end - (end % overlayBlockBytes), start);
      await clear(offset, start);
      await this.punch(start, stop);
      await clear(stop, end);
    });
  }

  /** Those who call while one is under way share the one after it. */
  flush(): Promise<void> {
    if (this.nextFlush === null) {
      this.nextFlush = this.lastFlush.then(() => {
        this.nextFlush = null;
        return this.flushNow();
      });
      this.lastFlush = this.nextFlush.catch(() => undefined);
    }
    return this.nextFlush;
  }

  async extents(offset: number, length: number): Promise<BlockExtent[]> {
    checkRange(this.size, offset, length);
    const extents: BlockExtent[] = [];
    for (const { store, start, end } of this.parts(offset, length)) {
      for (const extent of await store.extents(start, end - start)) appendExtent(extents, extent);
    }
    return extents;
  }

  async close(): Promise<void> {
    await this.lastChange;
    await this.lastFlush;
    await this.marks?.close();
    await this.changes.close();
    await this.base.close();
  }

  /**
   * Crash order: 1 changes, durable · 2 marks of those blocks, durable. A block that is marked while 1 goes
   * on is for the next flush. A crash before 2 leaves marks of blocks whose content is there.
   */
  private async flushNow(): Promise<void> {
    if (this.failure !== null) throw this.failure;
    const pages = this.marks === null ? [] : this.changed.takeChanged();
    try {
      await this.changes.flush();
      await this.marks?.save(pages);
    } catch (error) {
      if (this.marks !== null) this.failure = systemError('EIO', 'fdatasync', '(an earlier one failed)');
      throw error;
    }
  }

  /** The stores that hold [offset, offset + length), piece by piece. */
  private *parts(offset: number, length: number): Generator<Part> {
    const { first, next } = blocksOf(offset, offset + length);
    for (const run of this.changed.runs(first, next)) {
      yield {
        store: run.marked ? this.changes : this.base,
        start: Math.max(run.start * overlayBlockBytes, offset),
        end: Math.min(run.end * overlayBlockBytes, offset + length),
      };
    }
  }

  /** Copy up, then write, then mark: a block is marked when it is whole. */
  private async change(start: number, end: number, write: () => Promise<void>): Promise<void> {
    if (start === end) return;
    if (this.failure !== null) throw this.failure;
    const { first, next } = blocksOf(start, end);
    const wanted = next - first - this.stored.countIn(first, next);
    this.room.take(wanted);
    try {
      await this.copyUpEnds(start, end);
      await write();
    } catch (error) {
      this.room.giveBack(wanted);
      throw error;
    }
    this.changed.mark(first, next);
    this.stored.mark(first, next);
  }

  private async copyUpEnds(start: number, end: number): Promise<void> {
    const { first, next } = blocksOf(start, end);
    const [startsInside, endsInside] = [start % overlayBlockBytes !== 0, end % overlayBlockBytes !== 0];
    if (startsInside) await this.copyUp(first);
    if (endsInside && end !== this.size && !(startsInside && next - 1 === first)) await this.copyUp(next - 1);
  }

  private async punch(start: number, end: number): Promise<void> {
    if (start === end) return;
    if (this.failure !== null) throw this.failure;
    const { first, next } = blocksOf(start, end);
    await this.changes.zero(start, end - start, { punch: true });
    this.changed.mark(first, next);
    this.room.giveBack(this.stored.countIn(first, next));
    this.stored.clear(first, next);
  }

  private async copyUp(block: number): Promise<void> {
    if (this.changed.has(block)) return;
    const start = block * overlayBlockBytes;
    const bytes = Buffer.alloc(Math.min(overlayBlockBytes, this.size - start));
    await this.base.read(bytes, start);
    await this.changes.write(bytes, start);
  }

  private inTurn(change: () => Promise<void>): Promise<void> {
    const result = this.lastChange.then(change);
    // Whoever waits in line is not concerned by this one's failure.
    this.lastChange = result.catch(() => undefined);
    return result;
  }
}

/** The blocks that [start, end) touches, as [first, next). */
function blocksOf(start: number, end: number): { first: number; next: number } {
  return { first: Math.floor(start / overlayBlockBytes), next: Math.ceil(end / overlayBlockBytes) };
}
