// The calls that show and set how a machine's history is kept, and lock points of it.
import { isDeepStrictEqual } from 'node:util';
import { formatTime } from '../../core/clock.ts';
import { HomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { microseconds } from '../../core/units.ts';
import type { LockReport, LockRequest, RetentionChange, RetentionReport } from '../control/service.ts';
import type { MachineFile, PointLock } from '../replica/machine-file.ts';
import { lockPoint, parseUntil, unlockPoint } from './locks.ts';
import { changedRetention, retentionReport, type RetentionDefaults } from './machine-policy.ts';

/** A machine, as these calls need it. */
export interface RetainedMachine {
  readonly name: string;
  readonly file: Readonly<MachineFile>;
  /** Durable when it returns; nothing has changed when it throws. */
  changeFile(change: Partial<MachineFile>): void;
  /** The LSN that WHEN means, a point that can be shown now. */
  resolve(when: string): Promise<{ lsn: number; time: number | null }>;
  /** Throws 'outside-window' when the point has gone since. */
  hold(lsn: number): { release(): void };
}

export interface RetentionParts {
  defaults: RetentionDefaults;
  log: Log;
  /** Microseconds. */
  now: number;
}

/** Shows it, or with a change sets it first. */
export function retention(
  machine: RetainedMachine,
  change: RetentionChange | null,
  { defaults, log }: RetentionParts,
): RetentionReport {
  const next = change === null ? machine.file.retention : changedRetention(machine.file, change, defaults);
  const changed = change !== null && !isDeepStrictEqual(next, machine.file.retention ?? {});
  if (changed && next !== undefined) {
    machine.changeFile({ retention: next });
    log.info('retention-changed', { machine: machine.name, ...next });
  }
  return retentionReport(machine.file, defaults, changed);
}

/** Locks the point that WHEN means. The date is reckoned from the clock of this host. */
export async function lockMachinePoint(
  machine: RetainedMachine,
  { at, until, name }: Omit<LockRequest, 'machine'>,
  { log, now }: RetentionParts,
): Promise<LockReport> {
  const end = parseUntil(until, now);
  const { lsn, time } = await machine.resolve(at);
  // From here on nothing waits: what is there now cannot go before the lock is written.
  machine.hold(lsn).release();
  const before = machine.file.locks ?? [];
  const locks = lockPoint(before, { lsn, time, until: end, name }, now);
  if (locks !== before) {
    machine.changeFile({ locks: [...locks] });
    log.info('point-locked', { machine: machine.name, lsn, until: spell(end) });
  }
  const lock = locks.find((each) => each.lsn === lsn);
  if (lock === undefined) throw new HomewardError('bug', 'a lock that was made is not there');
  return { machine: machine.name, ...lockReport(lock), changed: locks !== before };
}

/** Takes back a lock whose date has passed, also of a point that is not there any more. */
export async function unlockMachinePoint(
  machine: RetainedMachine,
  at: string,
  { log, now }: RetentionParts,
): Promise<LockReport> {
  const lsn = /^lsn:(\d+)$/.exec(at)?.[1] ?? String((await machine.resolve(at)).lsn);
  const before = machine.file.locks ?? [];
  const there = before.find((lock) => lock.lsn === Number(lsn));
  const locks = unlockPoint(before, Number(lsn), now);
  if (there === undefined) throw new HomewardError('bug', 'a lock that was taken back was not there');
  machine.changeFile({ locks: [...locks] });
  log.info('point-unlocked', { machine: machine.name, lsn: there.lsn });
  return { machine: machine.name, ...lockReport(there), changed: true };
}

export const lockReport = ({ lsn, until, since, time, name }: PointLock): Omit<LockReport, 'machine'> => ({
  lsn,
  time: time ?? null,
  until,
  since: since ?? null,
  name: name ?? null,
});

const spell = (time: number): string => formatTime(microseconds(Math.floor(time)));
