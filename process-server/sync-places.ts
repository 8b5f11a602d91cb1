// Who may sync: so many sources at a time, the others in the order in which they asked.

/** Somebody who asks for a place. */
export interface Syncing {
  /** Called whenever this number changes: so many go before; 0: begin. */
  ahead(count: number): void;
}

export class SyncPlaces {
  readonly #most: number;
  readonly #syncing = new Set<Syncing>();
  #waiting: { who: Syncing; told: number }[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Asking again changes nothing, but is answered again. */
  want(who: Syncing): void {
    const known = this.#waiting.find((entry) => entry.who === who);
    if (this.#syncing.has(who)) who.ahead(0);
    else if (known !== undefined) known.told = -1;
    else this.#waiting.push({ who, told: -1 });
    this.#move();
  }

  /** Its sync has ended, or it has gone. */
  leave(who: Syncing): void {
    const isKnown = this.#syncing.delete(who) || this.#waiting.some((entry) => entry.who === who);
    this.#waiting = this.#waiting.filter((entry) => entry.who !== who);
    if (isKnown) this.#move();
  }

  #move(): void {
    while (this.#syncing.size < this.#most) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#syncing.add(next.who);
      next.who.ahead(0);
    }
    for (const [index, entry] of this.#waiting.entries()) {
      if (entry.told === index + 1) continue;
      entry.told = index + 1;
      entry.who.ahead(index + 1);
    }
  }
}
