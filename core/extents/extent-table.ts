// An immutable table of extents, sorted and disjoint, that threads can share.
import { ExtentColumns, type Extent } from './extent-columns.ts';

/** What `postMessage` carries: the buffer is shared, not copied. */
export interface SharedExtents {
  buffer: SharedArrayBuffer;
  count: number;
}

/**
 * Holds: starts ascend, and each extent ends at or before the next one starts. Nothing writes to it again. It
 * is `ExtentPages` with itself as the only page.
 */
export class ExtentTable {
  readonly columns: ExtentColumns;
  readonly count: number;
  readonly pageCount: number;

  private constructor(columns: ExtentColumns) {
    this.columns = columns;
    this.count = columns.capacity;
    this.pageCount = columns.capacity > 0 ? 1 : 0;
  }

  static readonly empty = new ExtentTable(ExtentColumns.shared(0));

  /** A table of the first `count` of `columns`, which are sorted and disjoint already; they are copied. */
  static copyOf(columns: ExtentColumns, count: number): ExtentTable {
    if (count === 0) return ExtentTable.empty;
    const own = ExtentColumns.shared(count);
    own.copy(columns, 0, count, 0);
    return new ExtentTable(own);
  }

  /** A table of all of `columns`, which are sorted and disjoint already and belong to the table from now. */
  static over(columns: ExtentColumns): ExtentTable {
    return new ExtentTable(columns);
  }

  /** The other side of `transferable`. */
  static from(shared: SharedExtents): ExtentTable {
    return new ExtentTable(new ExtentColumns(shared.buffer, shared.count));
  }

  /** Not for a table over private columns, which other threads cannot see. */
  transferable(): SharedExtents {
    return { buffer: this.columns.buffer as SharedArrayBuffer, count: this.count };
  }

  get bytes(): number {
    return this.columns.buffer.byteLength;
  }

  findPage(address: number, from: number): number {
    return from < this.pageCount && this.columns.ends[this.count - 1]! > address ? 0 : this.pageCount;
  }

  page(_index: number): ExtentTable {
    return this;
  }

  /** Index of the first extent that ends after `address`; `count` when none does. */
  find(address: number): number {
    return this.#findBetween(0, this.count, address);
  }

  /** The same when the answer is known not to lie before `low`, and likely to lie near it. */
  findAfter(low: number, address: number): number {
    const { ends } = this.columns;
    let step = 1;
    let high = low;
    while (high < this.count && ends[high]! <= address) {
      low = high + 1;
      high += step;
      step *= 2;
    }
    return this.#findBetween(low, Math.min(high, this.count), address);
  }

  #findBetween(low: number, high: number, address: number): number {
    const { ends } = this.columns;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** All extents as objects, in order. */
  *extents(): Generator<Extent> {
    for (let index = 0; index < this.count; index++) yield this.columns.extent(index);
  }
}
