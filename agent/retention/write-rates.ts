// How much a machine wrote in each of the last minutes: bounded counters, fed on the write path.
import { limits } from '../../core/limits.ts';

const minute = 60e6;

export interface MinuteRate {
  /** Begin of the minute, microseconds. */
  time: number;
  bytes: number;
  records: number;
  /** Flushes that writers asked for. */
  flushes: number;
}

/** One ring of minutes. What is older than its reach, by the newest time seen, is forgotten. */
export class WriteRates {
  readonly #minutes: number;
  readonly #numbers: Float64Array;
  readonly #bytes: Float64Array;
  readonly #records: Float64Array;
  readonly #flushes: Float64Array;
  #oldest = Infinity;

  constructor(minutes: number = limits.rateMinutes) {
    this.#minutes = minutes;
    this.#numbers = new Float64Array(minutes).fill(-1);
    this.#bytes = new Float64Array(minutes);
    this.#records = new Float64Array(minutes);
    this.#flushes = new Float64Array(minutes);
  }

  /** `time` in microseconds: when it arrived here. */
  note(time: number, bytes: number, records = 1): void {
    const slot = this.#slot(time);
    if (slot === null) return;
    this.#bytes[slot]! += bytes;
    this.#records[slot]! += records;
  }

  noteFlush(time: number, flushes = 1): void {
    const slot = this.#slot(time);
    if (slot !== null) this.#flushes[slot]! += flushes;
  }

  /** Minutes in which anything happened, oldest first. */
  list(): MinuteRate[] {
    const newest = this.#numbers.reduce((most, number) => Math.max(most, number), -1);
    const first = Math.max(0, newest - this.#minutes + 1) * minute;
    return [...this.#numbers.keys()]
      .map((slot) => ({
        time: this.#numbers[slot]! * minute,
        bytes: this.#bytes[slot]!,
        records: this.#records[slot]!,
        flushes: this.#flushes[slot]!,
      }))
      .filter(({ time }) => time >= first)
      .sort((one, other) => one.time - other.time);
  }

  /** Mean of the last `minutes` before `now`, or of the time since the first write, if that is shorter. */
  bytesPerMinute(now: number, minutes = 60): number {
    const span = Math.min(minutes, this.knownMinutes(now));
    return span === 0 ? 0 : this.bytesSince(now - minutes * minute) / Math.max(span, 1);
  }

  /** Bytes of the minutes that end after `time`. */
  bytesSince(time: number): number {
    const first = Math.floor(time / minute);
    return this.#numbers.reduce((sum, number, slot) => (number >= first ? sum + this.#bytes[slot]! : sum), 0);
  }

  /** For how many minutes rates are known at `now`. */
  knownMinutes(now: number): number {
    return Math.max(0, Math.min(this.#minutes, (now - this.#oldest) / minute));
  }

  /** Null for a time that is older than what the ring remembers. */
  #slot(time: number): number | null {
    const number = Math.floor(time / minute);
    if (number < 0) return null;
    const slot = number % this.#minutes;
    const there = this.#numbers[slot]!;
    if (there > number) return null;
    if (there < number) {
      this.#numbers[slot] = number;
      this.#bytes[slot] = this.#records[slot] = this.#flushes[slot] = 0;
    }
    this.#oldest = Math.min(this.#oldest, time);
    return slot;
  }
}
