// What `homeward points` says of kept points, locks and write rates.
import { formatTime } from '../../core/clock.ts';
import { microseconds } from '../../core/units.ts';
import type { KeptReport, PointsReport, RateReport } from '../control/service.ts';
import type { PointLock, SignalMark } from '../replica/machine-file.ts';
import type { Boundary } from '../replica/points.ts';
import type { SignalMinute } from '../replica/signal/minutes.ts';
import { keptPoints, type KeepPolicy, type KeptPoint } from './kept-points.ts';
import { lockReport } from './retention-service.ts';
import type { WriteRates } from './write-rates.ts';

export function keptReports(kept: readonly KeptPoint[]): KeptReport[] {
  return kept.map(({ lsn, time, tag, reasons, until }) => ({
    lsn,
    time: spell(time),
    tag,
    reasons: [...reasons],
    until: spell(until),
  }));
}

/** All points below the dense window, also those that the next look takes away. */
export function keptReportsOf(points: readonly Boundary[], policy: KeepPolicy): KeptReport[] {
  const kept = new Map(keptReports(keptPoints(points, policy)).map((report) => [report.lsn, report]));
  return points.map(
    ({ lsn, time, tag }) => kept.get(lsn) ?? { lsn, time: spell(time), tag: tag?.name ?? null, reasons: [] },
  );
}

export function lockReports(locks: readonly PointLock[] = []): NonNullable<PointsReport['locks']> {
  return locks.map(lockReport);
}

/** By minute; what steps did to content belongs to the minute in which it was written. */
export function rateReports(rates: WriteRates, signal: readonly SignalMinute[] = []): RateReport[] {
  const rows = new Map<number, Omit<RateReport, 'time'>>();
  for (const { time, ...counts } of rates.list()) rows.set(time, counts);
  for (const { time, ...counts } of signal) {
    const row = rows.get(time) ?? { bytes: 0, records: 0, flushes: 0 };
    rows.set(time, { ...row, signal: counts });
  }
  const inOrder = [...rows].sort(([one], [other]) => one - other);
  return inOrder.map(([time, row]) => ({ time: spell(time), ...row }));
}

export function markReports(marks: readonly SignalMark[] = []): NonNullable<PointsReport['marks']> {
  return marks.map(({ lsn, time, name, kind }) => ({ lsn, time, name, kind }));
}

const spell = (time: number): string => formatTime(microseconds(Math.floor(time)));
