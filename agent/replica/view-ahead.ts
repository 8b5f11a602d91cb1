// What the pieces of a look-up say of reads to come: one read in their place costs less than one for each.
import { ContentKind, type ExtentColumns } from '../../core/extents/extent-columns.ts';
import type { Pieces } from '../../core/extents/pieces.ts';
import { limits } from '../../core/limits.ts';
import { recordHeaderBytes } from '../../core/record/record.ts';
import { KiB, MiB } from '../../core/units.ts';
import { firstUndoOrdinal } from './view-content.ts';

/** Read in one go, and so much is kept of a large record. */
const mostBytes = MiB;
/** Between records that lie behind each other: a group's header, and what fills up the group before. */
const gapBytes = 8 * KiB;

/** Where the record of an extent begins in its segment: positions in undo have more bits. */
export function positionOf({ segments, positions, lsnDeltas }: ExtentColumns, index: number): number {
  const position = positions[index]!;
  return segments[index]! >= firstUndoOrdinal ? position + lsnDeltas[index]! * 2 ** 32 : position;
}

/** Pieces [at, next) lie in one stretch [from, to) of their segment, but for those that lie in no record. */
export interface RecordsAhead {
  next: number;
  from: number;
  to: number;
}

/**
 * The small records behind each other that pieces from `at` on, which is data, ask for, as after writes in
 * address order. Fills in `ahead`; with `to` = `from` when there are not several.
 */
export function findRecordsAhead(pieces: Pieces, at: number, ahead: RecordsAhead): void {
  const { starts, ends, columns, indexes, count } = pieces;
  const own = columns[at]!;
  const segment = own.segments[indexes[at]!]!;
  const from = positionOf(own, indexes[at]!);
  let last = from;
  let to = from;
  let records = 0;
  let next = at;
  for (; next < count; next++) {
    const extent = columns[next] ?? null;
    if (extent === null) continue;
    const index = indexes[next]!;
    const bytes = ends[next]! - starts[next]!;
    if (extent.kinds[index] !== ContentKind.data || extent.segments[index] !== segment) break;
    if (bytes > limits.checkBlockBytes) break;
    const position = positionOf(extent, index);
    const isBehind = records === 0 || (position > last && position <= to + gapBytes);
    const end = position + recordHeaderBytes + bytes;
    if (!isBehind || end - from > mostBytes) break;
    last = position;
    to = end;
    records++;
  }
  ahead.next = Math.max(next, at + 1);
  ahead.from = from;
  ahead.to = records > 1 ? to : from;
}

/**
 * Where what pieces from `at` on want of the record that the first of them lies in ends, as far as it is
 * worth to be read at once. `end` is the machine address at which the record ends.
 */
export function wantedUntil(pieces: Pieces, at: number, end: number): number {
  const { starts, ends, columns, indexes, count } = pieces;
  const own = columns[at]!;
  const segment = own.segments[indexes[at]!];
  const position = positionOf(own, indexes[at]!);
  const start = starts[at]!;
  let until = ends[at]!;
  let wanted = until - start;
  const most = Math.min(end, start + mostBytes);
  for (let next = at + 1; next < count && starts[next]! < most; next++) {
    const extent = columns[next] ?? null;
    const index = indexes[next]!;
    if (extent === null || extent.segments[index] !== segment) continue;
    if (positionOf(extent, index) !== position) continue;
    const to = Math.min(ends[next]!, most);
    wanted += to - starts[next]!;
    // Not when most of it belongs to others.
    if (wanted * 2 >= to - start) until = to;
  }
  return until;
}
