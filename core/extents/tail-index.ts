// The mutable part of the index: the extents of the segment that is being written.
import { buildTable } from './build.ts';
import type { ContentKind } from './extent-columns.ts';
import { ExtentList } from './extent-list.ts';
import type { ExtentTable } from './extent-table.ts';
import { mergeAll, mergeTables } from './merge.ts';

/** Extents that are appended before they are sorted: a read looks at each of them, a write at none. */
const listExtents = 256;
/** A larger table is not merged again before the segment is sealed, so that no insert waits for long. */
const tableExtentsMost = 65_536;

/**
 * A short list, and below it tables that double in size like the digits of a binary counter: a full list
 * becomes a table of weight 1, two tables of the same weight become one of twice that.
 */
export class TailIndex {
  /** Never written over once full, so that pieces of a look-up may refer to it. */
  #list = new ExtentList(listExtents);
  #tables: { table: ExtentTable; weight: number }[] = [];
  #newestFirst: ExtentTable[] | null = null;

  /** The extents that are in no table yet. */
  get list(): ExtentList {
    return this.#list;
  }

  /** Newest first; a new array whenever the list has been made into a table. */
  get tables(): readonly ExtentTable[] {
    this.#newestFirst ??= this.#tables.map(({ table }) => table).reverse();
    return this.#newestFirst;
  }

  /** Bytes of the tables and, when there is something in it, of the list. */
  get bytes(): number {
    const list = this.#list.count > 0 ? this.#list.columns.buffer.byteLength : 0;
    return this.#tables.reduce((sum, { table }) => sum + table.bytes, list);
  }

  /** Takes the extent of the next record. */
  insert(
    start: number,
    end: number,
    segment: number,
    position: number,
    lsnDelta: number,
    kind: ContentKind,
  ): void {
    this.#list.push(start, end, segment, position, lsnDelta, kind);
    if (this.#list.count === listExtents) this.sortList();
  }

  /** Makes the list into a table. */
  sortList(): void {
    if (this.#list.count === 0) return;
    let newest = { table: buildTable(this.#list), weight: 1 };
    this.#list = new ExtentList(listExtents);
    for (;;) {
      const older = this.#tables.at(-1);
      if (!older || older.weight !== newest.weight) break;
      if (older.table.count + newest.table.count > tableExtentsMost) break;
      this.#tables.pop();
      newest = { table: mergeTables(older.table, newest.table), weight: newest.weight * 2 };
    }
    this.#tables.push(newest);
    this.#newestFirst = null;
  }

  /** Everything as one table; the tail is empty afterwards. */
  seal(): ExtentTable {
    this.sortList();
    const sealed = mergeAll(this.#tables.map(({ table }) => table));
    this.discard();
    return sealed;
  }

  /** Forgets everything. */
  discard(): void {
    this.#list = new ExtentList(listExtents);
    this.#tables = [];
    this.#newestFirst = null;
  }
}
