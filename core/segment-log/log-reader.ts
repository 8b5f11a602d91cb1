// Reads a segment log in LSN order as runs of record bytes, without the frames: how records leave a log
// again.
import { assert, HomewardError } from '../errors.ts';
import type { MachineMark } from '../record/record.ts';
import { SegmentReader, type ReadDamage, type ReadRun } from './segment-reader.ts';
import type { SegmentLog } from './segment-log.ts';
import type { Segment } from './segment.ts';

export interface LogReaderOptions {
  log: SegmentLog;
  machine: MachineMark;
  /** The first LSN wanted; when it was skipped, what follows. */
  from: number;
  /** Usually `log.durableLsn`: nothing above is read. */
  upTo(): number;
}

export type { ReadDamage, ReadRun } from './segment-reader.ts';

/** Where an LSN is: in a segment, nowhere since it was skipped or lost up to `to`, or not there yet. */
type Place =
  | { kind: 'segment'; segment: Segment }
  | { kind: 'skipped'; to: number }
  | { kind: 'lost'; to: number };

/**
 * Holds the segment that it reads, so that it is not pruned under it; one that it has read to its end, it
 * lets go. Invariant: everything below `nextLsn` has been given out, or was skipped.
 */
export class LogReader {
  readonly #options: LogReaderOptions;
  #nextLsn: number;
  #current: SegmentReader | null = null;
  #isReading = false;
  #isClosed = false;

  constructor(options: LogReaderOptions) {
    this.#options = options;
    this.#nextLsn = options.from;
  }

  /** The LSN that comes next. */
  get nextLsn(): number {
    return this.#nextLsn;
  }

  /**
   * The next records, up to `mostBytes` of them or one larger; null when all up to `upTo()` were read. With
   * `check` payloads are checked too, and what does not fit is 'damage'; without it only frames and headers
   * are looked at. Throws 'pruned' when `from` lies below what the log has.
   */
  async read(mostBytes: number, check: boolean): Promise<ReadRun | ReadDamage | null> {
    assert(!this.#isReading && !this.#isClosed, 'a log reader reads once at a time, until it is closed');
    this.#isReading = true;
    try {
      const found = await this.#read(mostBytes, check);
      if (found !== null) this.#nextLsn = (found.kind === 'run' ? found.lastLsn : found.to) + 1;
      return found;
    } finally {
      this.#isReading = false;
      if (this.#isClosed || this.#isThrough()) this.#letGo();
    }
  }

  /** Lets the segment go, after the read that is under way. */
  close(): void {
    this.#isClosed = true;
    if (!this.#isReading) this.#letGo();
  }

  async #read(mostBytes: number, check: boolean): Promise<ReadRun | ReadDamage | null> {
    for (;;) {
      const upTo = this.#upTo();
      if (this.#nextLsn > upTo) return null;
      const place = this.#find(upTo);
      if (place.kind === 'segment') {
        const last = Math.min(upTo, place.segment.lastLsn);
        return this.#readerOf(place.segment).read(this.#nextLsn, last, { mostBytes, check });
      }
      if (place.kind === 'lost') return { kind: 'damage', from: this.#nextLsn, to: place.to, header: null };
      this.#nextLsn = place.to + 1;
    }
  }

  /**
   * While records move after a failed sync, and until that worked, only durable ones are where they belong.
   */
  #upTo(): number {
    const { log, upTo } = this.#options;
    return log.suspended || log.failure !== null ? Math.min(upTo(), log.durableLsn) : upTo();
  }

  #find(upTo: number): Place {
    const { segments } = this.#options.log;
    const lsn = this.#nextLsn;
    const at = segments.findLastIndex((segment) => segment.firstLsn <= lsn);
    const segment = segments[at];
    if (segment !== undefined && lsn <= segment.lastLsn) return { kind: 'segment', segment };
    const next = segments[at + 1];
    if (next !== undefined && lsn > next.precededBy) return { kind: 'skipped', to: next.firstLsn - 1 };
    if (segment === undefined)
      throw new HomewardError(
        'pruned',
        `record ${lsn} is not in ${this.#options.log.options.directory} any more`,
      );
    return { kind: 'lost', to: Math.min(upTo, next?.precededBy ?? upTo) };
  }

  #readerOf(segment: Segment): SegmentReader {
    if (this.#current?.segment === segment) return this.#current;
    this.#letGo();
    segment.users += 1;
    this.#current = new SegmentReader(this.#options.log.options, this.#options.machine, segment);
    return this.#current;
  }

  #isThrough(): boolean {
    return this.#current !== null && this.#nextLsn > this.#current.segment.lastLsn;
  }

  #letGo(): void {
    if (this.#current !== null) this.#current.segment.users -= 1;
    this.#current = null;
  }
}
