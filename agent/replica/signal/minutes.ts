// What became of content in each of the last minutes, by the stamps of the write stream.
import { limits } from '../../../core/limits.ts';
import type { SignalPiece } from './step-counts.ts';

const minuteUs = 60e6;

/** Bytes, about: some blocks stand for all. */
export interface SignalMinute {
  /** Begin of the minute, microseconds. */
  time: number;
  rewritten: number;
  zeroed: number;
  encrypted: number;
}

export class SignalMinutes {
  readonly #minutes = new Map<number, SignalMinute>();

  note(time: number, { rewritten, zeroed, encrypted }: SignalPiece): void {
    const number = Math.floor(time / minuteUs);
    const minute = this.#minutes.get(number) ?? {
      time: number * minuteUs,
      ...{ rewritten: 0, zeroed: 0, encrypted: 0 },
    };
    this.#minutes.set(number, minute);
    minute.rewritten += rewritten * limits.signalStretchBytes;
    minute.zeroed += zeroed * limits.signalStretchBytes;
    minute.encrypted += encrypted * limits.signalStretchBytes;
    for (const oldest of this.#minutes.keys()) {
      if (this.#minutes.size <= limits.rateMinutes) break;
      this.#minutes.delete(oldest);
    }
  }

  /** Oldest first. */
  list(): SignalMinute[] {
    return [...this.#minutes.values()].sort((one, other) => one.time - other.time);
  }
}
