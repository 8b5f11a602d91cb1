// Counts attempts of each address, so that nobody can try many passphrases.
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';

interface Window {
  startedMs: number;
  attempts: number;
}

export class Attempts {
  readonly #nowMs: () => number;
  readonly #most: number;
  readonly #windows = new Map<string, Window>();

  constructor(nowMs: () => number, most: number) {
    this.#nowMs = nowMs;
    this.#most = most;
  }

  /** Throws 'too-many-attempts' when this address has made as many as it may in this minute. */
  check(address: string): void {
    const known = this.#windows.get(address);
    if (known === undefined || this.#isOver(known) || known.attempts < this.#most) return;
    const message = `${address} has tried to enrol ${this.#most} times within a minute`;
    throw new HomewardError('too-many-attempts', message);
  }

  count(address: string): void {
    const known = this.#windows.get(address);
    if (known !== undefined && !this.#isOver(known)) {
      known.attempts += 1;
      return;
    }
    this.#windows.delete(address);
    this.#makeRoom();
    this.#windows.set(address, { startedMs: this.#nowMs(), attempts: 1 });
  }

  #isOver({ startedMs }: Window): boolean {
    return this.#nowMs() - startedMs >= limits.enrolmentAttemptsMs;
  }

  /** The oldest windows come first: a map keeps its order. */
  #makeRoom(): void {
    for (const [address, window] of this.#windows) {
      if (!this.#isOver(window) && this.#windows.size < limits.enrolmentAddresses) return;
      this.#windows.delete(address);
    }
  }
}
