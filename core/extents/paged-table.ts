// A table file as look-ups read it: a page at a time, through the cache of the thread.
import { crc32 } from 'node:zlib';
import { limits } from '../limits.ts';
import { wholeMachine } from './address.ts';
import { DerivedDamaged } from './derived-damaged.ts';
import { ContentKind, ExtentColumns, extentBytes } from './extent-columns.ts';
import type { ExtentPages } from './extent-pages.ts';
import { ExtentTable } from './extent-table.ts';
import { pageCache, type CachedPage, type PageCache } from './page-cache.ts';
import {
  isUnreadable,
  nullWhenUnreadable,
  tableIndexBytes,
  tryReadBytes,
  tryReadTableLayout,
  type TableFiles,
  type TableLayout,
  type TableMeta,
} from './table-file.ts';

/** What the index says of the pages. */
interface PageIndex {
  starts: Float64Array;
  ends: Float64Array;
  crcs: Uint32Array;
}

const pageBytes = limits.tablePageExtents * extentBytes;

/** The file is lent: it has to stay open while the table is used; its name may go. */
export class PagedTable implements ExtentPages {
  readonly meta: TableMeta;
  readonly count: number;
  readonly pageCount: number;
  readonly #files: TableFiles;
  readonly #fd: number;
  readonly #layout: TableLayout;
  readonly #index: PageIndex;
  readonly #ordinals: readonly number[];
  readonly #cache: PageCache;
  readonly #pages = new Map<number, CachedPage>();

  private constructor(
    files: TableFiles,
    fd: number,
    layout: TableLayout,
    index: PageIndex,
    { ordinals, cache }: { ordinals: readonly number[]; cache: PageCache },
  ) {
    this.#files = files;
    this.#fd = fd;
    this.#layout = layout;
    this.#index = index;
    this.#ordinals = ordinals;
    this.#cache = cache;
    this.meta = layout.meta;
    this.count = layout.extents;
    this.pageCount = layout.pages;
  }

  /**
   * Opens a table, or says null when the file is damaged, cut, of another version, of another number of
   * sources or no table at all. Extents of the n-th of `meta.sources` get the segment `ordinals[n]`; which
   * ones those are may follow from the meta. Whether they are the right sources is for the caller to see.
   */
  static tryOpen(
    files: TableFiles,
    fd: number,
    ordinals: readonly number[] | ((meta: TableMeta) => readonly number[]),
    cache = pageCache,
  ): PagedTable | null {
    const layout = tryReadTableLayout(files, fd);
    const index = layout && tryReadIndex(files, fd, layout);
    if (!layout || !index) return null;
    const given = typeof ordinals === 'function' ? ordinals(layout.meta) : ordinals;
    if (given.length !== layout.meta.sources.length) return null;
    return new PagedTable(files, fd, layout, index, { ordinals: given, cache });
  }

  findPage(address: number, from: number): number {
    const { ends } = this.#index;
    let low = from;
    let high = this.pageCount;
    // Look-ups go on where they were: mostly it is that page.
    if (low < high && ends[low]! > address) return low;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  page(index: number): ExtentTable {
    const cached = this.#pages.get(index);
    if (cached !== undefined) {
      cached.used = true;
      return cached.table;
    }
    const table = ExtentTable.over(this.#readPage(index, ExtentColumns.private(this.#extentsOf(index))));
    this.#cache.add(this.#pages, index, table);
    return table;
  }

  /** All of it in memory that threads can share; throws `DerivedDamaged` as `page` does. */
  load(): ExtentTable {
    const all = ExtentColumns.shared(this.count);
    for (let index = 0; index < this.pageCount; index++) {
      const columns = this.#readPage(index, ExtentColumns.private(this.#extentsOf(index)));
      all.copy(columns, 0, columns.capacity, index * limits.tablePageExtents);
    }
    return ExtentTable.over(all);
  }

  #extentsOf(page: number): number {
    return Math.min(limits.tablePageExtents, this.count - page * limits.tablePageExtents);
  }

  #readPage(index: number, columns: ExtentColumns): ExtentColumns {
    const bytes = Buffer.from(columns.buffer);
    let read: number;
    try {
      read = this.#files.readSync(this.#fd, bytes, this.#layout.pagesAt + index * pageBytes);
    } catch (error) {
      throw isUnreadable(error) ? new DerivedDamaged(this, index, { cause: error }) : error;
    }
    const isWhole = read === bytes.length && crc32(bytes) === this.#index.crcs[index];
    if (!isWhole || !this.#isPage(index, columns)) throw new DerivedDamaged(this, index);
    const { segments } = columns;
    for (let at = 0; at < columns.capacity; at++) segments[at] = this.#ordinals[segments[at]!]!;
    return columns;
  }

  /** Whether what a page promises holds of these columns. */
  #isPage(index: number, { starts, ends, segments, kinds, capacity }: ExtentColumns): boolean {
    let low = this.#index.starts[index]!;
    if (starts[0] !== low || ends[capacity - 1] !== this.#index.ends[index]) return false;
    for (let at = 0; at < capacity; at++) {
      const end = ends[at]!;
      if (!(starts[at]! >= low && end > starts[at]!)) return false;
      if (kinds[at]! < ContentKind.data || kinds[at]! > ContentKind.unknown) return false;
      if (segments[at]! >= this.#ordinals.length) return false;
      low = end;
    }
    return true;
  }
}

function tryReadIndex(files: TableFiles, fd: number, layout: TableLayout): PageIndex | null {
  const { pages, indexAt, indexCrc } = layout;
  const bytes = nullWhenUnreadable(() => tryReadBytes(files, fd, indexAt, pages * tableIndexBytes));
  if (bytes === null || crc32(bytes) !== indexCrc) return null;
  const starts = new Float64Array(bytes.buffer, 0, pages);
  const ends = new Float64Array(bytes.buffer, pages * 8, pages);
  const crcs = new Uint32Array(bytes.buffer, pages * 16, pages);
  let low: number = wholeMachine.start;
  for (let page = 0; page < pages; page++) {
    if (!(starts[page]! >= low && ends[page]! > starts[page]!)) return null;
    low = ends[page]!;
  }
  return low <= wholeMachine.end ? { starts, ends, crcs } : null;
}
