// Lays newer extents over older ones: linear, and in slices where the thread has other work.
import { ExtentColumns } from './extent-columns.ts';
import { ExtentTable } from './extent-table.ts';

/** A run of sorted, disjoint extents: [from, to) of some columns. */
export interface Run {
  columns: ExtentColumns;
  from: number;
  to: number;
}

/**
 * One merge under way. Pieces of older extents that newer ones hide are left out, the rest is narrowed;
 * pieces of the same record that touch become one again. At most `older + 2 * newer` extents come out,
 * because a newer one can cut an older one in two.
 */
export class Merge {
  readonly #older: ExtentColumns;
  readonly #newer: ExtentColumns;
  readonly #out: ExtentColumns;
  readonly #firstLiveSegment: number;
  readonly #oldTo: number;
  readonly #newTo: number;
  #old: number;
  #new: number;
  /** What lies below this of older extents is hidden or has been written out. */
  #low = -1;
  #at: number;
  /** Where the extent written last ends. */
  #lastEnd = -1;

  /** Writes to `out` from `outFrom`; extents of segments before `firstLiveSegment` are left out. */
  constructor(older: Run, newer: Run, out: ExtentColumns, outFrom: number, firstLiveSegment = 0) {
    this.#older = older.columns;
    this.#old = older.from;
    this.#oldTo = older.to;
    this.#newer = newer.columns;
    this.#new = newer.from;
    this.#newTo = newer.to;
    this.#out = out;
    this.#at = outFrom;
    this.#firstLiveSegment = firstLiveSegment;
  }

  /** Where in `out` the result ends so far. */
  get end(): number {
    return this.#at;
  }

  /** Writes at most `steps` extents; true when the merge is complete. */
  run(steps = Infinity): boolean {
    const older = this.#older;
    const newer = this.#newer;
    const { starts: oldStarts, ends: oldEnds } = older;
    const { starts: newStarts, ends: newEnds } = newer;
    const oldTo = this.#oldTo;
    const newTo = this.#newTo;
    let old = this.#old;
    let fresh = this.#new;
    let low = this.#low;
    for (; steps > 0 && (old < oldTo || fresh < newTo); steps--) {
      const oldStart = old < oldTo ? Math.max(oldStarts[old]!, low) : Infinity;
      const newStart = fresh < newTo ? newStarts[fresh]! : Infinity;
      if (oldStart < newStart) {
        const end = Math.min(oldEnds[old]!, newStart);
        this.#put(older, old, oldStart, end);
        if (end === newStart) low = end;
        else old++;
      } else {
        low = newEnds[fresh]!;
        this.#put(newer, fresh, newStart, low);
        fresh++;
      }
      while (old < oldTo && oldEnds[old]! <= low) old++;
    }
    this.#old = old;
    this.#new = fresh;
    this.#low = low;
    return old === oldTo && fresh === newTo;
  }

  #put(from: ExtentColumns, index: number, start: number, end: number): void {
    const segment = from.segments[index]!;
    if (segment < this.#firstLiveSegment) return;
    const out = this.#out;
    const at = this.#at;
    const position = from.positions[index]!;
    const kind = from.kinds[index]!;
    if (start === this.#lastEnd) {
      const last = at - 1;
      if (out.positions[last]! === position && out.segments[last]! === segment && out.kinds[last]! === kind) {
        out.ends[last] = end;
        this.#lastEnd = end;
        return;
      }
    }
    out.starts[at] = start;
    out.ends[at] = end;
    out.segments[at] = segment;
    out.positions[at] = position;
    out.lsnDeltas[at] = from.lsnDeltas[index]!;
    out.kinds[at] = kind;
    this.#at = at + 1;
    this.#lastEnd = end;
  }
}

/** A merge of two tables that can be run in slices; `finish` is its result once `run` has returned true. */
export function beginMerge(
  older: ExtentTable,
  newer: ExtentTable,
  firstLiveSegment = 0,
): { run(steps?: number): boolean; finish(): ExtentTable } {
  // Pages of this that are never written cost no memory.
  const out = ExtentColumns.private(older.count + 2 * newer.count);
  const merge = new Merge(runOf(older), runOf(newer), out, 0, firstLiveSegment);
  return {
    run: (steps) => merge.run(steps),
    finish: () => ExtentTable.copyOf(out, merge.end),
  };
}

/** What both tables say together, the newer one winning. */
export function mergeTables(older: ExtentTable, newer: ExtentTable, firstLiveSegment = 0): ExtentTable {
  const merge = beginMerge(older, newer, firstLiveSegment);
  merge.run();
  return merge.finish();
}

/** Merges tables given oldest first, each time the two neighbours that cost least. */
export function mergeAll(oldestFirst: readonly ExtentTable[]): ExtentTable {
  const tables = [...oldestFirst];
  const cost = (at: number): number => (tables[at]?.count ?? 0) + (tables[at + 1]?.count ?? 0);
  while (tables.length > 1) {
    let least = 0;
    for (let at = 1; at + 1 < tables.length; at++) if (cost(at) < cost(least)) least = at;
    const [older = ExtentTable.empty, newer = ExtentTable.empty] = tables.slice(least, least + 2);
    tables.splice(least, 2, mergeTables(older, newer));
  }
  return tables[0] ?? ExtentTable.empty;
}

function runOf(table: ExtentTable): Run {
  return { columns: table.columns, from: 0, to: table.count };
}
