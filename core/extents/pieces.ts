// The answer to a look-up: pieces in address order, in arrays that are used again for the next look-up.
import { addressOffset } from './address.ts';
import type { ExtentColumns } from './extent-columns.ts';

/**
 * Called with a piece and the extent it belongs to: `columns.segments[index]` and so on; `columns` is null
 * where no table has anything.
 */
export type EmitPiece = (start: number, end: number, columns: ExtentColumns | null, index: number) => void;

/**
 * Pieces touch and cover exactly what was asked for. What they refer to never changes, so they may be kept.
 */
export class Pieces {
  count = 0;
  starts = new Float64Array(16);
  ends = new Float64Array(16);
  /** The columns that hold the extent, null for a hole; places from `count` on are of earlier look-ups. */
  readonly columns: (ExtentColumns | null)[] = [];
  indexes = new Uint32Array(16);

  clear(): void {
    this.count = 0;
  }

  push(start: number, end: number, columns: ExtentColumns | null, index: number): void {
    if (columns === null && this.count > 0 && this.columns[this.count - 1] === null) {
      this.ends[this.count - 1] = end;
      return;
    }
    if (this.count === this.starts.length) this.#grow();
    this.starts[this.count] = start;
    this.ends[this.count] = end;
    this.columns[this.count] = columns;
    this.indexes[this.count] = index;
    this.count++;
  }

  forEach(emit: EmitPiece): void {
    for (let at = 0; at < this.count; at++) {
      emit(this.starts[at]!, this.ends[at]!, this.columns[at] ?? null, this.indexes[at]!);
    }
  }

  /** Bytes [start, end) of the disk that are not holes, in order; neighbours are one. */
  touched(): [number, number][] {
    const touched: [number, number][] = [];
    this.forEach((start, end, extent) => {
      if (extent === null) return;
      const from = addressOffset(start);
      const last = touched.at(-1);
      if (last?.[1] === from) last[1] += end - start;
      else touched.push([from, from + end - start]);
    });
    return touched;
  }

  #grow(): void {
    const { starts, ends, indexes } = this;
    this.starts = new Float64Array(this.count * 2);
    this.ends = new Float64Array(this.count * 2);
    this.indexes = new Uint32Array(this.count * 2);
    this.starts.set(starts);
    this.ends.set(ends);
    this.indexes.set(indexes);
  }
}
