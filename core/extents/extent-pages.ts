// What a look-up reads: sorted, disjoint extents, in memory or in a file, a page at a time.
import type { ExtentTable } from './extent-table.ts';

/**
 * Holds: pages are in address order, none is empty, and the extents of all of them together are sorted and
 * disjoint. A table in memory is its own only page.
 */
export interface ExtentPages {
  /** Extents in all pages. */
  readonly count: number;
  readonly pageCount: number;
  /**
   * Index of the page that holds the first extent that ends after `address`, `pageCount` when none does; the
   * answer is known not to lie before page `from`.
   */
  findPage(address: number, from: number): number;
  /**
   * Stays as it is however long it is kept. Throws `DerivedDamaged` for a page of a file that cannot be read
   * or does not fit its checksum: the table has to be made anew, and nothing of it is believed before.
   */
  page(index: number): ExtentTable;
}

/** What a view is resolved over: per extent, the first of these that has it, else the replica. */
export interface Layers {
  /** Newest first. */
  redo: readonly ExtentPages[];
  /**
   * The boundary that redo is read from. A redo extent at or below it (of a segment before `segment`, or of
   * that with an `lsnDelta` up to this) is not seen, nor anything that it hides in redo: undo comes next.
   */
  floor: { segment: number; lsnDelta: number };
  /** Oldest step first. */
  undo: readonly ExtentPages[];
}
