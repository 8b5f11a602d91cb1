// How much received data each source may have in memory before it is durable: an equal share.

export class MemoryShares {
  readonly #limitBytes: number;
  readonly #members = new Set<object>();

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  join(member: object): void {
    this.#members.add(member);
  }

  leave(member: object): void {
    this.#members.delete(member);
  }

  /** Whoever has this much stops reading. One frame more may be under way. */
  get shareBytes(): number {
    return this.#limitBytes / Math.max(1, this.#members.size);
  }
}
