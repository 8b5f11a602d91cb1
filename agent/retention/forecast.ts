// When the history that fits on the retention volume falls under what is wanted: pure.
import { formatTime } from '../../core/clock.ts';
import { microseconds } from '../../core/units.ts';

const minute = 60e6;

export interface ForecastMachine {
  id: string;
  windowMs: number;
  /** Of the last hour. */
  bytesPerMinute: number;
  /** Bytes that it wrote since a time in microseconds, from its rates or its segments. */
  bytesSince(time: number): number;
  /** Bytes on the volume for each byte written: 1 for redo, and what undo adds. */
  footprint: number;
}

export interface ForecastFacts {
  machines: readonly ForecastMachine[];
  /** What history may take: what it has now and what is free, without reserve and locked points. */
  capacityBytes: number;
  /** Microseconds. */
  now: number;
}

export interface Forecast {
  /** The longest window of all machines. */
  hours: number;
  /** Microseconds; now or earlier: it is so already. Null: not at the present rate. */
  fallsUnderAt: number | null;
  /** The machine that takes most of it, where it falls. */
  machine: string | null;
  /** Hours of history that fit for all machines at the present rates; null when nothing is written. */
  sustainedHours: number | null;
}

/**
 * At a later moment the dense windows hold what is left of today's writes in them, and new writes at the rate
 * of the last hour. The answer is the first minute in which that is more than fits.
 */
export function forecastSpace({ machines, capacityBytes, now }: ForecastFacts): Forecast {
  const longest = Math.max(0, ...machines.map(({ windowMs }) => windowMs));
  const minutes = Math.ceil(longest / 60_000);
  const need = (later: number): number =>
    machines.reduce((sum, machine) => sum + bytesInWindow(machine, now, later), 0);
  const rate = machines.reduce((sum, { bytesPerMinute, footprint }) => sum + bytesPerMinute * footprint, 0);
  const falls = firstMinute(minutes, (later) => need(later) > capacityBytes);
  const largest = machines.toSorted((one, other) => shareOf(other) - shareOf(one))[0];
  return {
    hours: longest / 3600_000,
    fallsUnderAt: falls === null ? null : now + falls * minute,
    machine: falls === null ? null : (largest?.id ?? null),
    sustainedHours: rate === 0 ? null : Math.max(0, capacityBytes) / rate / 60,
  };
}

/** `history falls under 24 h at 2026-01-31T03:20:00Z`, or null when it does not. */
export function spellForecast({ hours, fallsUnderAt }: Forecast, now: number): string | null {
  if (fallsUnderAt === null) return null;
  const what = `${Math.round(hours * 10) / 10} h`;
  if (fallsUnderAt <= now) return `history is under ${what} already`;
  return `history falls under ${what} at ${formatTime(microseconds(fallsUnderAt)).replace(/\.\d+Z$/, 'Z')}`;
}

const shareOf = ({ bytesPerMinute, footprint, windowMs }: ForecastMachine): number =>
  bytesPerMinute * footprint * windowMs;

/** Bytes in its window when `later` minutes have passed. */
function bytesInWindow(machine: ForecastMachine, now: number, later: number): number {
  const windowMinutes = machine.windowMs / 60_000;
  const left = Math.max(0, windowMinutes - later);
  const old = left === 0 ? 0 : machine.bytesSince(now - left * minute);
  return (old + machine.bytesPerMinute * Math.min(later, windowMinutes)) * machine.footprint;
}

/**
 * Looked at in sixty places before it is narrowed down: what is needed may rise and fall again. Behind the
 * longest window it stays as it is.
 */
function firstMinute(minutes: number, isOver: (later: number) => boolean): number | null {
  const stride = Math.max(1, Math.ceil(minutes / 60));
  for (let later = 0; later < minutes + stride; later += stride) {
    if (!isOver(later)) continue;
    let [before, found] = [Math.max(0, later - stride), later];
    while (found - before > 1) {
      const middle = Math.floor((before + found) / 2);
      if (isOver(middle)) found = middle;
      else before = middle;
    }
    return later === 0 ? 0 : found;
  }
  return null;
}
