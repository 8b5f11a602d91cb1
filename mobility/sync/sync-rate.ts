// How fast a sync gets on, and how long the rest will take.

const windowMs = 10_000;
const sampleMs = 500;

/** The rate of the last ten seconds. */
export class SyncRate {
  #samples: { ms: number; bytes: number }[] = [];

  /** `bytes`: done so far. */
  note(ms: number, bytes: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && ms - last.ms < sampleMs) return;
    this.#samples.push({ ms, bytes });
    while ((this.#samples[1]?.ms ?? Infinity) <= ms - windowMs) this.#samples.shift();
  }

  /** Null until something can be said. */
  secondsLeft(ms: number, bytes: number, total: number): number | null {
    const first = this.#samples[0];
    if (first === undefined || bytes <= first.bytes || ms - first.ms < sampleMs) return null;
    return Math.ceil(((total - bytes) * (ms - first.ms)) / (bytes - first.bytes) / 1000);
  }
}
