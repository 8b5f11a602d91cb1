// Which blocks of a disk are marked: a bitmap whose untouched parts take no memory.

/** Blocks that one page of bits stands for. */
const pageBlocks = 32 * 1024;

/** A page of marks as a file keeps it: bit n % 8 of byte n / 8 is block n of those that it stands for. */
export interface BlockMapPage {
  index: number;
  bits: Uint8Array;
}

export const blockMapPageBytes = pageBlocks / 8;

export interface BlockRun {
  start: number;
  end: number;
  marked: boolean;
}

export class BlockMap {
  /** How many blocks are marked. */
  count = 0;
  private readonly pages = new Map<number, Uint8Array>();
  /** Pages that have changed since they were last taken by `takeChanged`. */
  private readonly changed = new Set<number>();

  has(block: number): boolean {
    const page = this.pages.get(Math.floor(block / pageBlocks));
    const bit = block % pageBlocks;
    return page !== undefined && ((page[bit >> 3]! >> (bit & 7)) & 1) === 1;
  }

  /** Marks [start, end). */
  mark(start: number, end: number): void {
    for (let block = start; block < end; block += 1) if (!this.has(block)) this.flip(block);
  }

  /** Takes the mark from [start, end). */
  clear(start: number, end: number): void {
    for (let block = start; block < end; block = this.skipEmpty(block + 1)) {
      if (this.has(block)) this.flip(block);
    }
  }

  /** How many blocks of [start, end) are marked. */
  countIn(start: number, end: number): number {
    let count = 0;
    for (const run of this.runs(start, end)) if (run.marked) count += run.end - run.start;
    return count;
  }

  /** Tiles [start, end) with the longest runs of marked and unmarked blocks. */
  *runs(start: number, end: number): Generator<BlockRun> {
    for (let at = start; at < end;) {
      const marked = this.has(at);
      let next = at + 1;
      if (!marked) next = this.skipEmpty(next);
      while (next < end && this.has(next) === marked) next = marked ? next + 1 : this.skipEmpty(next + 1);
      yield { start: at, end: Math.min(next, end), marked };
      at = next;
    }
  }

  /** Copies of the pages that have changed since the last call. */
  takeChanged(): BlockMapPage[] {
    const pages = [...this.changed].map((index) => ({ index, bits: this.pages.get(index)!.slice() }));
    this.changed.clear();
    return pages;
  }

  /** Puts in a page that `takeChanged` once gave, where nothing is marked yet; it is not changed by that. */
  load({ index, bits }: BlockMapPage): void {
    if (this.pages.has(index)) throw new RangeError(`page ${index} has marks`);
    const page = bits.slice(0, blockMapPageBytes);
    this.pages.set(index, page);
    for (const byte of page) for (let left = byte; left !== 0; left &= left - 1) this.count += 1;
  }

  private flip(block: number): void {
    const index = Math.floor(block / pageBlocks);
    let page = this.pages.get(index);
    if (!page) this.pages.set(index, (page = new Uint8Array(blockMapPageBytes)));
    const bit = block % pageBlocks;
    page[bit >> 3]! ^= 1 << (bit & 7);
    this.changed.add(index);
    this.count += this.has(block) ? 1 : -1;
  }

  /**
   * The first block at or after `block` that lies on a page with marks, or `block` of the next page after
   * gaps.
   */
  private skipEmpty(block: number): number {
    const index = Math.floor(block / pageBlocks);
    return block % pageBlocks === 0 || this.pages.has(index) ? block : (index + 1) * pageBlocks;
  }
}
