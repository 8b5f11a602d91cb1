// Merges tables page by page, so that tables larger than memory become one: files into a file.
import type { ExtentColumns } from './extent-columns.ts';
import type { ExtentPages } from './extent-pages.ts';
import { ExtentTable } from './extent-table.ts';
import { PageCache } from './page-cache.ts';
import { PagedTable } from './paged-table.ts';
import { createTableFile, type TableMaking } from './table-file-writer.ts';
import type { TableFiles, TableMeta, TableSource } from './table-file.ts';

/** Called with a piece and the extent it is of. */
export type EmitExtent = (start: number, end: number, columns: ExtentColumns, index: number) => void;

/**
 * What some tables say together: of each address the first table that has it. Pieces come out in order, and
 * pieces of the same record that touch are one. Holds a page of each table. `DerivedDamaged` goes through.
 */
export class PagesMerge {
  readonly #cursors: Cursor[];
  readonly #emit: EmitExtent;
  #low = 0;
  /** The piece that the next one may join. */
  #start = 0;
  #end = -1;
  #columns: ExtentColumns | null = null;
  #index = 0;

  /** `tables` in order of priority: oldest step first for undo, newest segment first for redo. */
  constructor(tables: readonly ExtentPages[], emit: EmitExtent) {
    this.#cursors = tables.map((table) => new Cursor(table));
    this.#emit = emit;
  }

  /** Takes at most `steps` pieces; true when all have been emitted. */
  run(steps = Infinity): boolean {
    for (; steps > 0; steps--) {
      const winner = this.#first();
      if (winner === null) {
        this.#flush();
        return true;
      }
      const start = Math.max(winner.start, this.#low);
      const end = this.#endOf(winner);
      this.#put(start, end, winner.columns, winner.index);
      this.#low = end;
      for (const cursor of this.#cursors) cursor.skipTo(end);
    }
    return false;
  }

  /** The table that has the next address that any has. */
  #first(): Cursor | null {
    let first: Cursor | null = null;
    let least = Infinity;
    for (const cursor of this.#cursors) {
      const start = Math.max(cursor.start, this.#low);
      if (start >= least) continue;
      least = start;
      first = cursor;
    }
    return first;
  }

  /** Where the extent of the winner ends, or is hidden by a table that comes before it. */
  #endOf(winner: Cursor): number {
    let { end } = winner;
    for (const cursor of this.#cursors) {
      if (cursor === winner) return end;
      end = Math.min(end, cursor.start);
    }
    return end;
  }

  #put(start: number, end: number, columns: ExtentColumns, index: number): void {
    if (
      start === this.#end &&
      this.#columns !== null &&
      isSameRecord(this.#columns, this.#index, columns, index)
    ) {
      this.#end = end;
      return;
    }
    this.#flush();
    this.#start = start;
    this.#end = end;
    this.#columns = columns;
    this.#index = index;
  }

  #flush(): void {
    if (this.#columns !== null) this.#emit(this.#start, this.#end, this.#columns, this.#index);
    this.#columns = null;
  }
}

/** The same in one go. */
export function mergePages(tables: readonly ExtentPages[], emit: EmitExtent): void {
  new PagesMerge(tables, emit).run();
}

/**
 * Makes the table file `path` of the table files that `fds` are of, the first that has an address winning.
 * Its sources are those of the inputs, one input after another; `extra` is the rest of its meta. Returns the
 * meta, or null, with nothing made, when an input is not there; what turns out to be damaged later is
 * `DerivedDamaged`, with nothing made either. Nothing is synced.
 */
export function mergeTableFiles(
  files: TableMaking & TableFiles,
  fds: readonly number[],
  path: string,
  extra: Readonly<Record<string, unknown>> = {},
): TableMeta | null {
  const tables: PagedTable[] = [];
  const sources: TableSource[] = [];
  // What is read once needs no more room than a page of each.
  const cache = new PageCache(fds.length);
  for (const fd of fds) {
    const before = sources.length;
    const table = PagedTable.tryOpen(files, fd, (meta) => meta.sources.map((_, at) => before + at), cache);
    if (table === null) return null;
    tables.push(table);
    for (const source of table.meta.sources) sources.push(source);
  }
  const meta = { ...extra, sources };
  createTableFile(files, path, meta, (writer) => {
    mergePages(tables, (start, end, columns, index) => {
      writer.pushPiece(start, end, columns.segments[index]!, columns, index);
    });
  });
  return meta;
}

/** Where the merge stands in one table; at the end of it `start` and `end` are Infinity. */
class Cursor {
  readonly #table: ExtentPages;
  #pageAt = -1;
  #page = ExtentTable.empty;
  index = 0;
  start = 0;
  end = 0;

  constructor(table: ExtentPages) {
    this.#table = table;
    this.#take();
  }

  get columns(): ExtentColumns {
    return this.#page.columns;
  }

  /** Goes to the first extent that ends after `address`. */
  skipTo(address: number): void {
    while (this.end <= address) {
      this.index++;
      this.#take();
    }
  }

  #take(): void {
    if (this.index >= this.#page.count) {
      this.#pageAt++;
      this.index = 0;
      if (this.#pageAt >= this.#table.pageCount) {
        this.#page = ExtentTable.empty;
        this.start = Infinity;
        this.end = Infinity;
        return;
      }
      this.#page = this.#table.page(this.#pageAt);
    }
    this.start = this.columns.starts[this.index]!;
    this.end = this.columns.ends[this.index]!;
  }
}

function isSameRecord(one: ExtentColumns, oneAt: number, other: ExtentColumns, otherAt: number): boolean {
  return (
    one.positions[oneAt] === other.positions[otherAt] &&
    one.segments[oneAt] === other.segments[otherAt] &&
    one.kinds[oneAt] === other.kinds[otherAt]
  );
}
