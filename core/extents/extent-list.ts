// Extents in the order in which their records were written: overlapping, unsorted, only ever appended to.
import { ExtentColumns, type ContentKind } from './extent-columns.ts';

export class ExtentList {
  columns: ExtentColumns;
  count = 0;

  /** Grows by doubling when more than `capacity` extents come. */
  constructor(capacity = 256) {
    this.columns = ExtentColumns.private(capacity);
  }

  push(
    start: number,
    end: number,
    segment: number,
    position: number,
    lsnDelta: number,
    kind: ContentKind,
  ): void {
    if (!(start < end)) throw new RangeError(`[${start}, ${end}) is not an extent`);
    if (this.count === this.columns.capacity) this.#grow();
    const { columns, count } = this;
    columns.starts[count] = start;
    columns.ends[count] = end;
    columns.segments[count] = segment;
    columns.positions[count] = position;
    columns.lsnDeltas[count] = lsnDelta;
    columns.kinds[count] = kind;
    this.count = count + 1;
  }

  #grow(): void {
    const wider = ExtentColumns.private(this.columns.capacity * 2);
    wider.copy(this.columns, 0, this.count, 0);
    this.columns = wider;
  }
}
