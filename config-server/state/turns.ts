// Changes of the state one after another, so that what one looked at still holds when it writes.

export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `change` when those before it have ended, however they ended. */
  run<T>(change: () => Promise<T>): Promise<T> {
    const next = this.#last.then(change);
    this.#last = next.catch(() => undefined);
    return next;
  }
}
