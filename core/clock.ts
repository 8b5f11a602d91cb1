// The clock seam: wall time in microseconds that never goes back, and timers, real or simulated.
import { microseconds, type Microseconds } from './units.ts';

export interface Clock {
  /** Wall clock at start plus the monotonic clock; re-anchored when both differ by more than a second. */
  now(): Microseconds;
  /** Milliseconds that only go forward, for waits and rates. */
  monotonicMs(): number;
}

const stepUs = 1_000_000;

/** The host's clock. `onStep` hears of a wall clock that was set while we ran, in microseconds moved. */
export function hostClock(onStep: (movedUs: number) => void = () => undefined): Clock {
  const wall = (): number => Date.now() * 1000;
  let anchor = wall() - performance.now() * 1000;
  return {
    now() {
      const reckoned = anchor + performance.now() * 1000;
      const moved = wall() - reckoned;
      if (Math.abs(moved) <= stepUs) return microseconds(Math.round(reckoned));
      anchor += moved;
      onStep(Math.round(moved));
      return microseconds(Math.round(reckoned + moved));
    },
    monotonicMs: () => performance.now(),
  };
}

/** RFC 3339 in UTC with microseconds: `2026-01-31T14:05:00.123456Z`. */
export function formatTime(time: Microseconds): string {
  const micros = String(time % 1_000_000).padStart(6, '0');
  return new Date(Math.floor(time / 1000)).toISOString().slice(0, 20) + micros + 'Z';
}
