// Which moment of a rescued machine WHEN means.
import { formatTime } from '../../../core/clock.ts';
import { HomewardError } from '../../../core/errors.ts';
import { microseconds } from '../../../core/units.ts';
import { parseWhen, resolveWhen, settleWhen } from '../when.ts';
import type { RescuedMachine } from './rescued-machine.ts';

export interface RescueMoment {
  lsn: number;
  /** RFC 3339, or null. */
  time: string | null;
  /** The time that was asked for, or null for an LSN, a tag, the latest. */
  asked: string | null;
}

/** Microseconds since 1970. */
const hostTime = (): number => Date.now() * 1000;

/** Throws what a running master target would: 'in-gap', 'outside-window', 'no-points' …. */
export function rescueMoment(machine: RescuedMachine, when: string): RescueMoment {
  const now = hostTime();
  const { at, asked } = settleWhen(when, now);
  const lsn = resolveWhen(parseWhen(at), machine.moments(now));
  const time = machine.timeOf(lsn);
  return { lsn, time: time === null ? null : formatTime(microseconds(time)), asked };
}

/** The newest point; null when there is none. */
export function latestLsn(machine: RescuedMachine): number | null {
  try {
    return rescueMoment(machine, 'latest').lsn;
  } catch (error) {
    if (error instanceof HomewardError) return null;
    throw error;
  }
}
