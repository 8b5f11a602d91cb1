// The pages of table files that a thread keeps in memory, all tables together, within a bound.
import { limits } from '../limits.ts';
import { extentBytes } from './extent-columns.ts';
import type { ExtentTable } from './extent-table.ts';

/** One page in memory. Whoever holds it sets `used` at each look. */
export interface CachedPage {
  readonly table: ExtentTable;
  used: boolean;
}

interface Slot {
  page: CachedPage;
  /** Where the owner looks for the page. */
  holder: Map<number, CachedPage>;
  index: number;
}

/**
 * A clock: its hand passes over pages that were used since it last came by and takes the first that was not.
 * So a look costs no more than setting a flag, and pages that are read once, one after another, push out each
 * other and not those that are read again and again. Pages that were taken out stay good for who has them.
 */
export class PageCache {
  readonly #slots: Slot[] = [];
  readonly #most: number;
  #hand = 0;

  /** Room for so many pages. */
  constructor(most: number) {
    this.#most = most;
  }

  get count(): number {
    return this.#slots.length;
  }

  /** Keeps a page that `holder` does not have, under `index` in `holder`, until its room is needed. */
  add(holder: Map<number, CachedPage>, index: number, table: ExtentTable): void {
    const slot = { page: { table, used: false }, holder, index };
    holder.set(index, slot.page);
    if (this.#slots.length < this.#most) {
      this.#slots.push(slot);
      return;
    }
    for (;;) {
      const old = this.#slots[this.#hand]!;
      if (!old.page.used) {
        old.holder.delete(old.index);
        break;
      }
      old.page.used = false;
      this.#hand = (this.#hand + 1) % this.#slots.length;
    }
    this.#slots[this.#hand] = slot;
    this.#hand = (this.#hand + 1) % this.#slots.length;
  }
}

/** The cache of this thread. */
export const pageCache = new PageCache(
  Math.floor(limits.tablePagesBytes / (limits.tablePageExtents * extentBytes)),
);
