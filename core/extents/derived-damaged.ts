// The signal that a table file is not what it was: not an error for users, but a reason to make it anew.
import type { ExtentPages } from './extent-pages.ts';

/**
 * Thrown in the middle of look-ups and merges. Whoever chose to read from derived files catches it, makes the
 * table again from the segments it was made of (or does without the file), and starts over.
 */
export class DerivedDamaged extends Error {
  /** The table that the page is of. */
  readonly table: ExtentPages;
  readonly page: number;

  constructor(table: ExtentPages, page: number, options: { cause?: unknown } = {}) {
    super(`page ${page} of an extent table cannot be used`, options);
    this.name = 'DerivedDamaged';
    this.table = table;
    this.page = page;
  }
}
