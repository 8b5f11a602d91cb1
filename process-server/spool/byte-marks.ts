// How many bytes of records lie behind an LSN: marks about a megabyte apart, and what lies between reckoned.
import { MiB } from '../../core/units.ts';

interface Mark {
  lsn: number;
  /** Bytes of all records up to it. */
  total: number;
}

/** LSNs only rise. */
export class ByteMarks {
  readonly #apartBytes: number;
  #marks: Mark[] = [{ lsn: 0, total: 0 }];
  #last: Mark = { lsn: 0, total: 0 };

  constructor(apartBytes: number = MiB) {
    this.#apartBytes = apartBytes;
  }

  add(lsn: number, bytes: number): void {
    const total = this.#last.total + bytes;
    this.#last = { lsn, total };
    if (total - (this.#marks.at(-1)?.total ?? 0) >= this.#apartBytes) this.#marks.push(this.#last);
  }

  /** Bytes of the records above `lsn`. */
  above(lsn: number): number {
    const { total } = this.#last;
    if (lsn >= this.#last.lsn) return 0;
    const at = this.#marks.findLastIndex((mark) => mark.lsn <= lsn);
    const before = this.#marks[at];
    if (before === undefined) return total - (this.#marks[0]?.total ?? 0);
    const after = this.#marks[at + 1] ?? this.#last;
    const part = (lsn - before.lsn) / (after.lsn - before.lsn);
    return Math.round(total - before.total - part * (after.total - before.total));
  }

  /** Marks at or below `lsn` are not asked for any more, but for the last of them. */
  forget(lsn: number): void {
    const at = this.#marks.findLastIndex((mark) => mark.lsn <= lsn);
    if (at > 0) this.#marks.splice(0, at);
  }
}
