// Locks on points: nothing a locked point needs goes before its date, which can only be moved further away.
import { formatTime } from '../../core/clock.ts';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { microseconds, parseDuration } from '../../core/units.ts';
import { parseTime } from '../../core/when-time.ts';
import type { PointLock } from '../replica/machine-file.ts';
import type { HeldPoint } from './kept-points.ts';

export interface LockChange {
  lsn: number;
  /** Of the point, microseconds; null when it is not known. */
  time: number | null;
  /** Microseconds. */
  until: number;
  name: string | null;
}

/** The locks that hold at `now`, as kept points want them; all times in microseconds. */
export function activeLocks(locks: readonly PointLock[], now: number): HeldPoint[] {
  return locks.map(({ lsn, until }) => ({ lsn, until: untilTime(until) })).filter(({ until }) => until > now);
}

/**
 * The locks with one more, or with a later date for one that is there; the same array when nothing changes.
 * Throws 'locked' for an earlier date, 'usage' for one that cannot be.
 */
export function lockPoint(
  locks: readonly PointLock[],
  change: LockChange,
  now: number,
): readonly PointLock[] {
  const { lsn, time, until, name } = change;
  checkUntil(until, now);
  const there = locks.find((lock) => lock.lsn === lsn);
  if (there !== undefined && untilTime(there.until) > until) {
    throw new HomewardError('locked', `lsn:${lsn} is locked until ${there.until}: no earlier date is taken`);
  }
  if (there !== undefined && untilTime(there.until) === until && (name === null || name === there.name))
    return locks;
  const others = locks.filter((lock) => lock !== there && untilTime(lock.until) > now);
  if (others.length >= limits.locksPerMachine) {
    throw new HomewardError('conflict', `${limits.locksPerMachine} points are locked, and that is the most`, {
      hint: 'Wait until one of them ends; `homeward points M` shows when.',
    });
  }
  const kept = name ?? there?.name;
  const lock: PointLock = {
    lsn,
    until: spell(until),
    since: there?.since ?? spell(now),
    ...(time === null ? {} : { time: spell(time) }),
    ...(kept === undefined ? {} : { name: kept }),
  };
  return [...others, lock].sort((one, other) => one.lsn - other.lsn);
}

/** The locks without the one at `lsn`: 'locked' before its date, 'no-such-lock' where there is none. */
export function unlockPoint(locks: readonly PointLock[], lsn: number, now: number): readonly PointLock[] {
  const there = locks.find((lock) => lock.lsn === lsn);
  if (there === undefined) throw new HomewardError('no-such-lock', `lsn:${lsn} is not locked`);
  if (untilTime(there.until) > now)
    throw new HomewardError('locked', `lsn:${lsn} is locked until ${there.until}`);
  return locks.filter((lock) => lock !== there);
}

/** Throws 'locked' when a point above `lsn` is, for whoever wants to give up everything newer. */
export function refuseGivingUp(machine: string, locks: readonly PointLock[], lsn: number, now: number): void {
  const [held] = activeLocks(locks, now).filter((lock) => lock.lsn > lsn);
  if (held === undefined) return;
  const what = `lsn:${held.lsn} of ${machine} is locked until ${spell(held.until)}`;
  throw new HomewardError('locked', `${what}, and would be given up`);
}

/** Reads TIME or DURATION of --until, in microseconds. Throws 'usage' for what is neither. */
export function parseUntil(text: string, now: number): number {
  const typed = parseTime(text);
  if (typed !== null) return typed.time;
  try {
    return now + parseDuration(text) * 1000;
  } catch (cause) {
    throw new HomewardError('usage', `"${text}" is neither a time nor a duration`, {
      cause,
      hint: 'Give --until a time such as 2027-01-31T00:00:00Z, or how long, for example 90d.',
    });
  }
}

function checkUntil(until: number, now: number): void {
  const hint = 'Give --until a later time, or a duration such as 90d.';
  if (until <= now) throw new HomewardError('usage', `${spell(until)} has passed`, { hint });
  if (until - now <= limits.lockMostMs * 1000) return;
  throw new HomewardError('usage', `${spell(until)} is too far away: nobody could take the lock back`, {
    hint: 'A point is locked for 10 years at the most; lock it again later.',
  });
}

/** Whole milliseconds are exact in RFC 3339 as `Date` reads it; the rest of it is microseconds. */
function untilTime(until: string): number {
  return parseTime(until)?.time ?? Infinity;
}

const spell = (time: number): string => formatTime(microseconds(Math.floor(time)));
