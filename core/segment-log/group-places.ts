// A sparse index of one segment: where some of its groups begin, so that reading can start near any LSN.

/** Groups that begin closer together than this have one entry. */
const spacingBytes = 64 * 1024;

export class GroupPlaces {
  readonly #lsns: number[] = [];
  readonly #positions: number[] = [];

  /** Places that were listed before. */
  static of(places: readonly (readonly [firstLsn: number, position: number])[]): GroupPlaces {
    const made = new GroupPlaces();
    for (const [firstLsn, position] of places) made.add(firstLsn, position);
    return made;
  }

  /** In file order. */
  list(): [firstLsn: number, position: number][] {
    return this.#lsns.map((lsn, at) => [lsn, this.#positions[at]!]);
  }

  get count(): number {
    return this.#lsns.length;
  }
  position(at: number): number {
    return this.#positions[at] ?? 0;
  }

  /** Told of groups in file order. */
  add(firstLsn: number, position: number): void {
    const last = this.#positions.at(-1);
    if (last !== undefined && position < last + spacingBytes) return;
    this.#lsns.push(firstLsn);
    this.#positions.push(position);
  }

  /**
   * Where the last known group begins whose first LSN is at or below `lsn`; the beginning when none is
   * known.
   */
  before(lsn: number): number {
    let low = 0;
    let high = this.#lsns.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#lsns[middle]! <= lsn) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : this.#positions[low - 1]!;
  }
}
