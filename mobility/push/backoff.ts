// How long to wait before the next attempt: longer each time, never the same for two hosts.
import { limits } from '../../core/limits.ts';

export class Backoff {
  readonly #random: () => number;
  #attempts = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** It worked: the next wait is the shortest again. */
  reset(): void {
    this.#attempts = 0;
  }

  /** Milliseconds; between half of what doubles each time and all of it. */
  next(): number {
    const most = Math.min(limits.pushRetryLeastMs * 2 ** this.#attempts, limits.pushRetryMostMs);
    if (most < limits.pushRetryMostMs) this.#attempts += 1;
    return Math.max(limits.pushRetryLeastMs, most * (0.5 + this.#random() / 2));
  }
}
