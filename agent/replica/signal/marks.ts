// The moments just before mass encryptions, as `machine.json` has them, and for how long they are kept.
import { formatTime } from '../../../core/clock.ts';
import { limits } from '../../../core/limits.ts';
import { microseconds } from '../../../core/units.ts';
import { formatUtc, parseTime } from '../../../core/when-time.ts';
import type { SignalMark } from '../machine-file.ts';

export interface MarkFacts {
  /** The last clean moment, and its stamp in microseconds. */
  lsn: number;
  time: number;
  /** Of the first record of the event. */
  sinceTime: number;
  share: number;
}

export function makeMark({ lsn, time, sinceTime, share }: MarkFacts): SignalMark {
  const whole = Math.floor(time / 1e6) * 1e6;
  return {
    lsn,
    time: spellTime(time),
    name: `before-encryption-${formatUtc(whole)}`,
    kind: 'signal',
    since: spellTime(sinceTime),
    share: Math.round(share * 100) / 100,
  };
}

/** With the new one; without those of points that are gone, and no more than are kept. */
export function withMark(
  marks: readonly SignalMark[],
  mark: SignalMark,
  oldestLsn: number | null,
): SignalMark[] {
  const others = marks.filter(({ lsn }) => lsn !== mark.lsn && lsn >= (oldestLsn ?? 0));
  return [...others, mark].sort((one, other) => one.lsn - other.lsn).slice(-limits.signalMarks);
}

/**
 * Marks as points that nothing takes before their time: as long as tags are kept, and at least the window.
 * Times are microseconds.
 */
export function heldMarks(
  marks: readonly SignalMark[] | undefined,
  { windowMs, keep }: { windowMs: number; keep: { tags?: number } },
  now: number,
): { lsn: number; until: number }[] {
  const keptUs = Math.max(windowMs, keep.tags ?? 0) * 1000;
  return (marks ?? [])
    .map(({ lsn, time }) => ({ lsn, until: markTime(time) + keptUs }))
    .filter(({ until }) => until > now);
}

/** One that cannot be read is kept. */
export const markTime = (time: string): number => parseTime(time)?.time ?? Infinity;

export const spellTime = (time: number): string => formatTime(microseconds(Math.max(0, Math.floor(time))));
