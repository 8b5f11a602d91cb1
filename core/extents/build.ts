// Makes a table of extents that come in the order of their LSNs, overlapping as they like: the last one wins.
import { ExtentColumns } from './extent-columns.ts';
import type { ExtentList } from './extent-list.ts';
import { ExtentTable } from './extent-table.ts';
import { Merge } from './merge.ts';

/** Extents whose order fits in the low byte of a sort key. */
const chunkExtents = 256;
const sortKeys = new Float64Array(chunkExtents);
/**
 * A start that is a multiple of this leaves room for the order: start / 512 * 256 + order stays below 2 **
 * 53.
 */
const alignedBytes = 512;

/**
 * Splits the list into ascending runs (one, for sequential writes), then merges neighbouring runs pass by
 * pass: O(n log n), O(n) when sequential.
 */
export function buildTable(list: ExtentList): ExtentTable {
  if (list.count === 0) return ExtentTable.empty;
  // n intervals have 2n ends and so at most 2n - 1 pieces between them.
  let source = ExtentColumns.private(2 * list.count);
  const bounds = writeRuns(list, source);
  let runs = bounds.length - 1;
  let target = runs > 1 ? ExtentColumns.private(2 * list.count) : source;
  while (runs > 1) {
    runs = mergeNeighbours(source, target, bounds, runs);
    [source, target] = [target, source];
  }
  return ExtentTable.copyOf(source, bounds[1] ?? 0);
}

/** Copies the list, chunks sorted where they can be; returns where each ascending run begins, and the end. */
function writeRuns(list: ExtentList, target: ExtentColumns): number[] {
  const { starts, ends } = target;
  const bounds = [0];
  let at = 0;
  for (let from = 0; from < list.count; from += chunkExtents) {
    const to = Math.min(from + chunkExtents, list.count);
    let end = trySortChunk(list.columns, from, to, target, at);
    if (end === null) {
      target.copy(list.columns, from, to - from, at);
      end = at + to - from;
    }
    for (; at < end; at++) if (at > 0 && starts[at]! < ends[at - 1]!) bounds.push(at);
  }
  bounds.push(at);
  return bounds;
}

/**
 * Sorts [from, to) into `target` from `at` and returns where that ends. Null when there is more to do than
 * sort: extents that overlap without being the same, or unaligned ones. This halves the cost of an insert.
 */
function trySortChunk(
  source: ExtentColumns,
  from: number,
  to: number,
  target: ExtentColumns,
  at: number,
): number | null {
  const keys = sortKeys.subarray(0, to - from);
  for (let order = 0; order < keys.length; order++) {
    const start = source.starts[from + order]!;
    if ((start & (alignedBytes - 1)) !== 0) return null;
    keys[order] = start / 2 + order;
  }
  keys.sort();
  let low = -1;
  for (let rank = 0; rank < keys.length; rank++) {
    const index = from + (keys[rank]! & (chunkExtents - 1));
    const start = source.starts[index]!;
    const end = source.ends[index]!;
    if (start < low) {
      if (start !== target.starts[at - 1] || end !== low) return null;
      at--;
    }
    target.copyOne(source, index, at++);
    low = end;
  }
  return at;
}

/**
 * One pass: merges runs 0 and 1, 2 and 3 … into `target`, moves `bounds` along, returns how many runs remain.
 */
function mergeNeighbours(
  source: ExtentColumns,
  target: ExtentColumns,
  bounds: number[],
  runs: number,
): number {
  let at = 0;
  let merged = 0;
  for (let run = 0; run < runs; run += 2, merged++) {
    const [from = at, middle = from, next = middle] = bounds.slice(run, run + 3);
    const to = run + 1 < runs ? next : middle;
    bounds[merged] = at;
    const older = { columns: source, from, to: middle };
    const merge = new Merge(older, { columns: source, from: middle, to }, target, at);
    merge.run();
    at = merge.end;
  }
  bounds[merged] = at;
  return merged;
}
