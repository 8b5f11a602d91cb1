// Up to which moment of the source's clock a master target has everything: from the heads that a stream
// carries.
import type { Head } from '../../../core/chain/messages.ts';

/** Heads whose records are not durable yet; between the oldest and the newest some may be left out. */
const pendingMost = 64;

/** While a gap is open the time stands still: the newest point is the one before the gap. */
export class ReachedTime {
  #time: number | null = null;
  #pending: { lsn: number; time: number }[] = [];

  /** Microseconds; null before the first head whose records are durable. */
  get time(): number | null {
    return this.#time;
  }

  head({ lsn, time }: Pick<Head, 'lsn' | 'time'>, durable: number, gapFrom: number | null): void {
    if (this.#pending.length >= pendingMost) this.#pending.pop();
    this.#pending.push({ lsn, time });
    this.advance(durable, gapFrom);
  }

  /** Everything up to `durable` is; `gapFrom` is the first LSN of the open gap, or null. */
  advance(durable: number, gapFrom: number | null): void {
    const point = Math.min(durable, (gapFrom ?? Infinity) - 1);
    const count = this.#pending.findIndex(({ lsn }) => lsn > point);
    const reached = this.#pending.splice(0, count < 0 ? this.#pending.length : count);
    const newest = reached.at(-1);
    if (newest !== undefined) this.#time = Math.max(this.#time ?? 0, newest.time);
  }
}
