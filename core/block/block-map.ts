// Which blocks of a disk are marked: a bitmap whose untouched parts take no memory.

/** Blocks that one page of bits stands for. */
const pageBlocks = 32 * 1024;

export interface BlockRun {
  start: number;
  end: number;
  marked: boolean;
}

export class BlockMap {
  /** How many blocks are marked. */
  count = 0;
  private readonly pages = new Map<number, Uint8Array>();

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

  private flip(block: number): void {
    const index = Math.floor(block / pageBlocks);
    let page = this.pages.get(index);
    if (!page) this.pages.set(index, (page = new Uint8Array(pageBlocks / 8)));
    const bit = block % pageBlocks;
    page[bit >> 3]! ^= 1 << (bit & 7);
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
