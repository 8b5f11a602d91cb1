// Records that no redo segment has, since their file is gone, and what could be put in their place: pure.
import { basename } from 'node:path';
import { decodeRecordHeader, type MachineMark } from '../../core/record/record.ts';
import { parseSegmentFileName, type Segment } from '../../core/segment-log/segment.ts';

/** Records [from, to] between two segments, or behind the last. */
export interface RedoHole {
  from: number;
  to: number;
  before: Segment | null;
  next: Segment | null;
}

/** `segments` hold records; what lies at or below `floor` is not needed, and `end` was durable. */
export function findHoles(segments: readonly Segment[], floor: number, end: number): RedoHole[] {
  const holes: RedoHole[] = [];
  let last = floor;
  let before: Segment | null = null;
  for (const next of segments) {
    if (next.precededBy > last) holes.push({ from: last + 1, to: next.precededBy, before, next });
    last = Math.max(last, next.lastLsn);
    before = next;
  }
  if (end > last) holes.push({ from: last + 1, to: end, before, next: null });
  return holes;
}

/** What the catalogue calls it: the segment before it may have lost its end. */
export const nameOfHole = ({ before, next }: RedoHole): string => before?.path ?? next?.path ?? '';

/** Whether one of these paths is that of a segment beside the hole, or of a file that has lain in it. */
export function isOneOf(paths: ReadonlySet<string>, hole: RedoHole): boolean {
  if (paths.has(nameOfHole(hole)) || (hole.next !== null && paths.has(hole.next.path))) return true;
  return [...paths].some((path) => {
    const first = parseSegmentFileName(basename(path));
    return first !== null && first >= hole.from && first <= hole.to;
  });
}

/** Records one after another, from `from` on. */
export interface RecordRow {
  from: number;
  to: number;
  records: Buffer[];
}

/** Where one is lacking another row begins. */
export function rowsOf(found: ReadonlyMap<number, Buffer>): RecordRow[] {
  const rows: RecordRow[] = [];
  for (const [lsn, bytes] of [...found].sort(([one], [other]) => one - other)) {
    const row = rows.at(-1);
    if (row?.to === lsn - 1) {
      row.records.push(bytes);
      row.to = lsn;
    } else rows.push({ from: lsn, to: lsn, records: [bytes] });
  }
  return rows;
}

/**
 * Generations never go back: a record of a lower one than a record before it is what a fence stands against.
 * `least` and `most` are those of the records around.
 */
export function isInOrder({ records }: RecordRow, mark: MachineMark, least: number, most: number): boolean {
  let last = least;
  for (const record of records) {
    const { generation } = decodeRecordHeader(record, 0, mark) ?? { generation: -1 };
    if (generation < last || generation > most) return false;
    last = generation;
  }
  return true;
}
