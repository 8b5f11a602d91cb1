// A disk in memory; only the pages that were written take space.
import { KiB } from '../units.ts';
import { appendExtent, dataExtent, holeExtent } from './append-extent.ts';
import type { BlockExtent, BlockStore } from './block-store.ts';
import { checkRange } from './check-range.ts';

const pageBytes = 64 * KiB;

/** A disk of `size` bytes that reads as zeros. */
export function memoryStore(size: number): BlockStore {
  return new MemoryStore(size);
}

/** The part of one page that lies in a range. */
interface Piece {
  page: number;
  start: number;
  end: number;
  position: number;
}

class MemoryStore implements BlockStore {
  readonly size: number;
  private readonly pages = new Map<number, Buffer>();

  constructor(size: number) {
    this.size = size;
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    for (const { page, start, end, position } of this.pieces(offset, target.length)) {
      const bytes = this.pages.get(page);
      if (bytes) target.set(bytes.subarray(start, end), position);
      else target.fill(0, position, position + end - start);
    }
  }

  async write(source: Uint8Array, offset: number): Promise<void> {
    for (const { page, start, end, position } of this.pieces(offset, source.length)) {
      let bytes = this.pages.get(page);
      if (!bytes) this.pages.set(page, (bytes = Buffer.alloc(pageBytes)));
      bytes.set(source.subarray(position, position + end - start), start);
    }
  }

  /** Frees whole pages with or without `punch`: memory has no allocation worth keeping. */
  async zero(offset: number, length: number): Promise<void> {
    for (const { page, start, end } of this.pieces(offset, length)) {
      if (end - start === pageBytes) this.pages.delete(page);
      else this.pages.get(page)?.fill(0, start, end);
    }
  }

  async flush(): Promise<void> {
    /* Memory has no later. */
  }

  async extents(offset: number, length: number): Promise<BlockExtent[]> {
    const extents: BlockExtent[] = [];
    for (const { page, start, end } of this.pieces(offset, length)) {
      appendExtent(extents, this.pages.has(page) ? dataExtent(end - start) : holeExtent(end - start));
    }
    return extents;
  }

  async close(): Promise<void> {
    this.pages.clear();
  }

  private *pieces(offset: number, length: number): Generator<Piece> {
    checkRange(this.size, offset, length);
    for (let at = offset; at < offset + length;) {
      const page = Math.floor(at / pageBytes);
      const start = at - page * pageBytes;
      const end = Math.min(pageBytes, start + offset + length - at);
      yield { page, start, end, position: at - offset };
      at += end - start;
    }
  }
}
