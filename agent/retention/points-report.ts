// What `homeward points` says of kept points, locks and write rates.
import { formatTime } from '../../core/clock.ts';
import { microseconds } from '../../core/units.ts';
import type { KeptReport, PointsReport, RateReport } from '../control/service.ts';
import type { PointLock } from '../replica/machine-file.ts';
import type { Boundary } from '../replica/points.ts';
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

export function rateReports(rates: WriteRates): RateReport[] {
  return rates.list().map(({ time, ...counts }) => ({ time: spell(time), ...counts }));
}

const spell = (time: number): string => formatTime(microseconds(Math.floor(time)));
