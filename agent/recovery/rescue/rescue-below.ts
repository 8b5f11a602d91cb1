// What redo that is kept at or below a moment says of places whose replica cannot be read: the newest write.
import { ContentKind } from '../../../core/extents/extent-columns.ts';
import { ExtentList } from '../../../core/extents/extent-list.ts';
import { ExtentTable } from '../../../core/extents/extent-table.ts';
import { mergeAll, mergeTables } from '../../../core/extents/merge.ts';
import type { Files } from '../../../core/files/files.ts';
import type { Segment } from '../../../core/segment-log/segment.ts';
import { buildRedoTable, unknownTable } from '../../journal/reindex.ts';

/** Machine addresses [start, end), in order and apart from each other. */
export type Addresses = readonly [number, number][];

export interface KeptRedo {
  files: Files;
  /** UUID, 16 bytes. */
  machine: Uint8Array;
  /** Those with records, oldest first. */
  segments: readonly Segment[];
  /** Redo at or below is gone; what is missing above it is lost. */
  floor: number;
}

/**
 * The content of `wanted` as redo in (floor, lsn] last wrote it; what that did not write is not in the table.
 * Lost records may have been about anything: all that is older is unknown. Reads all of it.
 */
export function redoBelow(
  { files, machine, segments, floor }: KeptRedo,
  lsn: number,
  wanted: Addresses,
): ExtentTable {
  const tables: ExtentTable[] = [];
  let after = floor;
  for (const segment of segments.filter(({ firstLsn }) => firstLsn <= lsn)) {
    const upTo = Math.min(segment.lastLsn, lsn);
    if (upTo <= after) continue;
    lay(tables, within(buildRedoTable(files, machine, segment, after, upTo), wanted));
    after = upTo;
  }
  const next = segments.find(({ firstLsn }) => firstLsn > lsn);
  // LSNs that were skipped never were: no record is missing there.
  const isWhole = after >= Math.min(lsn, next?.precededBy ?? lsn);
  return isWhole ? mergeAll(tables) : within(unknownTable(0), wanted);
}

/** Tables come oldest first; none is merged more often than there are sizes. */
function lay(tables: ExtentTable[], newer: ExtentTable): void {
  let top = newer;
  for (let below = tables.at(-1); below !== undefined && below.count <= top.count; below = tables.at(-1)) {
    top = mergeTables(below, top);
    tables.pop();
  }
  tables.push(top);
}

/** A table that says of all `wanted` that it is zeros. */
export function zerosOf(wanted: Addresses): ExtentTable {
  const list = new ExtentList();
  for (const [start, end] of wanted) list.push(start, end, 0, 0, 0, ContentKind.zero);
  return ExtentTable.copyOf(list.columns, list.count);
}

function within(table: ExtentTable, wanted: Addresses): ExtentTable {
  const { starts, ends, segments, positions, lsnDeltas, kinds } = table.columns;
  const list = new ExtentList();
  for (const [low, high] of wanted)
    for (let at = table.find(low); at < table.count && starts[at]! < high; at++)
      list.push(
        Math.max(starts[at]!, low),
        Math.min(ends[at]!, high),
        segments[at]!,
        positions[at]!,
        lsnDeltas[at]!,
        kinds[at] as ContentKind,
      );
  return ExtentTable.copyOf(list.columns, list.count);
}
