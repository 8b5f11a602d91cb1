// Extents in columns of typed arrays over one buffer: 29 bytes each, and no object per extent.
import { assert } from '../errors.ts';

/** What the newest record says about an extent; hole is what no record says anything about. */
export const ContentKind = { data: 1, zero: 2, unknown: 3 } as const;
export type ContentKind = (typeof ContentKind)[keyof typeof ContentKind];

/** Bytes of one extent in all columns. */
export const extentBytes = 29;

/** One extent as an object, for places where speed does not matter. */
export interface Extent {
  /** Machine addresses, half-open. */
  start: number;
  end: number;
  /** Ordinal of the segment that holds the record. */
  segment: number;
  /** Byte position of the record's header in that segment's file. */
  position: number;
  /** The record's LSN less the segment's first LSN. */
  lsnDelta: number;
  kind: ContentKind;
}

/**
 * Room for `capacity` extents. An extent may be a piece of what its record covers, left over by later
 * records; the record's own start is in its header on disk. The widest column comes first, so that all are
 * aligned.
 */
export class ExtentColumns {
  readonly buffer: ArrayBufferLike;
  readonly capacity: number;
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly segments: Uint32Array;
  readonly positions: Uint32Array;
  readonly lsnDeltas: Uint32Array;
  readonly kinds: Uint8Array;

  constructor(buffer: ArrayBufferLike, capacity: number) {
    assert(buffer.byteLength === capacity * extentBytes, 'extent columns fill their buffer');
    this.buffer = buffer;
    this.capacity = capacity;
    this.starts = new Float64Array(buffer, 0, capacity);
    this.ends = new Float64Array(buffer, capacity * 8, capacity);
    this.segments = new Uint32Array(buffer, capacity * 16, capacity);
    this.positions = new Uint32Array(buffer, capacity * 20, capacity);
    this.lsnDeltas = new Uint32Array(buffer, capacity * 24, capacity);
    this.kinds = new Uint8Array(buffer, capacity * 28, capacity);
  }

  /** Columns that stay on this thread. */
  static private(capacity: number): ExtentColumns {
    return new ExtentColumns(new ArrayBuffer(capacity * extentBytes), capacity);
  }

  /** Columns that another thread can be given without a copy. */
  static shared(capacity: number): ExtentColumns {
    return new ExtentColumns(new SharedArrayBuffer(capacity * extentBytes), capacity);
  }

  /** Copies `count` extents of `source`, beginning at `from`, to `to` here. */
  copy(source: ExtentColumns, from: number, count: number, to: number): void {
    const until = from + count;
    this.starts.set(source.starts.subarray(from, until), to);
    this.ends.set(source.ends.subarray(from, until), to);
    this.segments.set(source.segments.subarray(from, until), to);
    this.positions.set(source.positions.subarray(from, until), to);
    this.lsnDeltas.set(source.lsnDeltas.subarray(from, until), to);
    this.kinds.set(source.kinds.subarray(from, until), to);
  }

  /** The same for one extent, without the cost of a call for each column. */
  copyOne(source: ExtentColumns, from: number, to: number): void {
    this.starts[to] = source.starts[from]!;
    this.ends[to] = source.ends[from]!;
    this.segments[to] = source.segments[from]!;
    this.positions[to] = source.positions[from]!;
    this.lsnDeltas[to] = source.lsnDeltas[from]!;
    this.kinds[to] = source.kinds[from]!;
  }

  extent(index: number): Extent {
    return {
      start: this.starts[index]!,
      end: this.ends[index]!,
      segment: this.segments[index]!,
      position: this.positions[index]!,
      lsnDelta: this.lsnDeltas[index]!,
      kind: this.kinds[index]! as ContentKind,
    };
  }
}
