// What a verification answers: what it covered, and each finding as people need it.
import { formatTime } from '../../core/clock.ts';
import { microseconds } from '../../core/units.ts';
import type { VerifyReport } from '../control/service.ts';
import type { Finding } from './verify-finding.ts';
import { affectedPoints, type HistoryFacts } from './verify-words.ts';

export type Covered = Required<VerifyReport['covered']>;
export type Damage = Required<VerifyReport['damaged'][number]>;

export interface MachineVerification extends VerifyReport {
  covered: Covered;
  damaged: Damage[];
}

export interface DamageNames {
  machine: string;
  disks: readonly { name: string }[];
  /** The command that has the source send again what the newest moment lacks by this, or null. */
  offer?(place: Omit<Damage, 'offer'>): string | null;
}

export function describeFinding(finding: Finding, names: DamageNames, facts: HistoryFacts): Damage {
  const { disk, start, end, from, to, fromTime, toTime, file, what } = finding;
  const name = disk === null ? null : (names.disks[disk]?.name ?? String(disk));
  const damage = {
    ...{ machine: names.machine, in: finding.in, disk: name, start, end, fromLsn: from, toLsn: to },
    fromTime: spell(fromTime),
    toTime: spell(toTime),
    file,
    what,
    recoverable: affectedPoints(finding, facts),
  };
  return { ...damage, offer: names.offer?.(damage) ?? null };
}

const spell = (time: number | null): string | null =>
  time === null || time === 0 ? null : formatTime(microseconds(time));
