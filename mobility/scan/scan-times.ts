// Which moment the points of a scanned machine show: for each batch, when its reading began.

/** A batch at a time. Times are microseconds. */
export class ScanTimes {
  /** Ends of batches, oldest first. */
  #ends: { lsn: number; time: number }[] = [];
  #last: number | null;

  /** What is known of each disk from before: the oldest counts, and any that is not known. */
  constructor(known: readonly (number | null)[]) {
    this.#last = known.includes(null) ? null : Math.min(...known.map(Number));
    if (this.#last !== null) this.#ends.push({ lsn: 0, time: this.#last });
  }

  /** Of the newest batch that is durable at the master target. */
  get last(): number | null {
    return this.#last;
  }

  asOf(lsn: number): number | null {
    return this.#ends.findLast((end) => end.lsn <= lsn)?.time ?? null;
  }

  ended(lsn: number, time: number): void {
    // Those below the one before last are of no use: heads go up.
    this.#ends = [...this.#ends.slice(-1), { lsn, time }];
  }

  /** The newest one is durable. */
  durable(): void {
    this.#last = this.#ends.at(-1)?.time ?? this.#last;
  }
}
