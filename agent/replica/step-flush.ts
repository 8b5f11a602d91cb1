// Flushes a file behind what is written, in pieces that leave room for commits.

/**
 * One flush is under way at a time while writing goes on; so at most twice `pieceBytes` are unflushed. A
 * failure shows at the next call.
 */
export class TrailingFlush {
  readonly #flush: () => Promise<unknown>;
  readonly #pieceBytes: number;
  #unflushed = 0;
  #running: Promise<unknown> | null = null;
  #failure: { error: unknown } | null = null;

  constructor(flush: () => Promise<unknown>, pieceBytes: number) {
    this.#flush = flush;
    this.#pieceBytes = pieceBytes;
  }

  /** So many more bytes were written: whether `next` is to be called. */
  isDue(bytes: number): boolean {
    this.#unflushed += bytes;
    return this.#unflushed >= this.#pieceBytes;
  }

  /** All that was written is flushed when it resolves. */
  async finish(): Promise<void> {
    await this.next();
    await this.drain();
  }

  /** The flush under way, if there is one, is through when it resolves. */
  async drain(): Promise<void> {
    await this.#running;
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Nothing is under way any more when it resolves, whatever came of it. */
  async settle(): Promise<void> {
    await this.#running;
  }

  /** Begins a flush, behind the one that is under way. */
  async next(): Promise<void> {
    await this.drain();
    this.#unflushed = 0;
    this.#running = this.#flush().catch((error: unknown) => {
      this.#failure = { error };
    });
  }
}
