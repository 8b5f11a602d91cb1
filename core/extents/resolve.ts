// Finds which extents hold the newest content of an address interval, over tables laid one upon the other.
import type { ExtentList } from './extent-list.ts';
import type { ExtentTable } from './extent-table.ts';
import { Pieces } from './pieces.ts';

/**
 * Fills `pieces` with what [start, end) consists of. `tables` come newest first. Extents of segments before
 * `firstLiveSegment` are gone and come out as holes. No memory is taken unless `pieces` has to grow.
 */
export function resolve(
  tables: readonly ExtentTable[],
  start: number,
  end: number,
  pieces: Pieces,
  firstLiveSegment = 0,
): Pieces {
  return resolveOver(null, tables, start, end, pieces, firstLiveSegment);
}

/** The same with a list of still newer extents on top, the last of them the newest. */
export function resolveOver(
  list: ExtentList | null,
  tables: readonly ExtentTable[],
  start: number,
  end: number,
  pieces: Pieces,
  firstLiveSegment: number,
): Pieces {
  pieces.clear();
  if (!(start < end)) return pieces;
  search.tables = tables;
  search.pieces = pieces;
  search.firstLiveSegment = firstLiveSegment;
  if (search.hints.length < tables.length) search.hints = new Int32Array(tables.length * 2);
  search.hints.fill(-1, 0, tables.length);
  if (list === null) searchTables(0, start, end);
  else searchList(list, list.count - 1, start, end);
  search.tables = none;
  return pieces;
}

const none: readonly ExtentTable[] = [];

/**
 * The look-up under way: nothing in it waits, so one serves the thread. A hint is where the last search of
 * that table ended; gaps come in address order, so the next one need not look before it.
 */
const search = {
  tables: none,
  pieces: new Pieces(),
  firstLiveSegment: 0,
  hints: new Int32Array(64),
};

function searchList(list: ExtentList, newest: number, start: number, end: number): void {
  const { starts, ends } = list.columns;
  for (let index = newest; index >= 0; index--) {
    const from = starts[index]!;
    const to = ends[index]!;
    if (from >= end || to <= start) continue;
    if (from > start) searchList(list, index - 1, start, from);
    search.pieces.push(Math.max(from, start), Math.min(to, end), list.columns, index);
    if (to >= end) return;
    start = to;
  }
  searchTables(0, start, end);
}

function searchTables(level: number, start: number, end: number): void {
  const { tables, pieces, firstLiveSegment, hints } = search;
  for (; level < tables.length; level++) {
    const table = tables[level];
    if (table === undefined) break;
    const { starts, ends, segments } = table.columns;
    const hint = hints[level]!;
    let index = hint < 0 ? table.find(start) : table.findAfter(hint, start);
    while (index < table.count && starts[index]! < end) {
      const from = Math.max(starts[index]!, start);
      const to = Math.min(ends[index]!, end);
      if (from > start) searchTables(level + 1, start, from);
      // What is older than an extent that is gone is gone too: nothing below needs to be searched.
      pieces.push(from, to, segments[index]! < firstLiveSegment ? null : table.columns, index);
      start = to;
      if (start === end) break;
      index++;
    }
    hints[level] = index;
    if (start === end) return;
  }
  pieces.push(start, end, null, 0);
}
