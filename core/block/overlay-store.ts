// A writable disk over one that is never written: what changes goes to a second store, block by block.
import { systemError } from '../system-error.ts';
import { KiB, roundUp } from '../units.ts';
import { appendExtent } from './append-extent.ts';
import { BlockMap } from './block-map.ts';
import type { BlockExtent, BlockStore } from './block-store.ts';
import { checkRange } from './check-range.ts';

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
}

export function overlayStore(options: OverlayOptions): BlockStore {
  return new OverlayStore(options);
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
  private readonly maxBlocks: number;
  private readonly changed = new BlockMap();
  /** The changed blocks that take space; the others were punched. */
  private readonly stored = new BlockMap();
  private lastChange: Promise<void> = Promise.resolve();

  constructor({ base, changes, maxBytes = Infinity }: OverlayOptions) {
    if (changes.size < base.size) throw new RangeError('the store for changes is smaller than the base');
    this.base = base;
    this.changes = changes;
    this.size = base.size;
    this.maxBlocks = Math.floor(maxBytes / overlayBlockBytes);
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

  async flush(): Promise<void> {
    await this.changes.flush();
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
    await this.changes.close();
    await this.base.close();
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

  /** Crash order does not matter here: an overlay ends with its process. Copy up, then write, then mark. */
  private async change(start: number, end: number, write: () => Promise<void>): Promise<void> {
    if (start === end) return;
    const { first, next } = blocksOf(start, end);
    const wanted = next - first - this.stored.countIn(first, next);
    if (this.stored.count + wanted > this.maxBlocks) throw systemError('ENOSPC', 'write');
    const [startsInside, endsInside] = [start % overlayBlockBytes !== 0, end % overlayBlockBytes !== 0];
    if (startsInside) await this.copyUp(first);
    if (endsInside && end !== this.size && !(startsInside && next - 1 === first)) await this.copyUp(next - 1);
    await write();
    this.changed.mark(first, next);
    this.stored.mark(first, next);
  }

  private async punch(start: number, end: number): Promise<void> {
    if (start === end) return;
    const { first, next } = blocksOf(start, end);
    await this.changes.zero(start, end - start, { punch: true });
    this.changed.mark(first, next);
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
