// Who gets in at once, who waits for an operator, who is refused: the rules alone.
import { HomewardError } from '../../core/errors.ts';
import type { HostRole } from '../../core/identity/host-identity.ts';
import { isNewerVersion } from '../../core/identity/version-order.ts';
import { limits } from '../../core/limits.ts';
import type { WaitReason } from '../hosts/pending-list.ts';

export interface EnrolmentFacts {
  role: HostRole;
  trusted: boolean;
  /** What is known under its host id. */
  known: 'no' | 'removed' | 'same-key' | 'other-key';
  /** An operator has said yes to this very key. */
  approved: boolean;
}

export type EnrolmentDecision = { kind: 'enrol' } | { kind: 'wait'; reason: WaitReason };

/**
 * The same key again is the same host, whose certificate did not arrive. A host id is no secret: that it is
 * trusted counts only until a host has it.
 */
export function decideEnrolment({ role, trusted, known, approved }: EnrolmentFacts): EnrolmentDecision {
  if (approved || known === 'same-key') return { kind: 'enrol' };
  if (known === 'other-key') return { kind: 'wait', reason: 'host-id-taken' };
  if (known === 'removed') return { kind: 'wait', reason: 'removed-before' };
  return role === 'mobility' || trusted ? { kind: 'enrol' } : { kind: 'wait', reason: 'new-host' };
}

/** Throws 'clock-apart' with both times; they are microseconds. */
export function checkClocks(theirs: number, ours: number): void {
  const apartMs = Math.abs(theirs - ours) / 1000;
  if (apartMs <= limits.clockSkewMs) return;
  const minutes = Math.round(apartMs / 60_000);
  const spelled = [theirs, ours].map((time) => new Date(Math.min(time / 1000, maxDateMs)).toISOString());
  throw new HomewardError(
    'clock-apart',
    `the clock of the host says ${spelled[0]}, that of the configuration server ${spelled[1]}: ` +
      `${minutes} minutes apart`,
  );
}

/** The last moment that a Date can be. */
const maxDateMs = 8.64e15;

/** Throws 'version-newer' when the host's version is above the server's. */
export function checkVersion(theirs: string, ours: string): void {
  if (!isNewerVersion(theirs, ours)) return;
  throw new HomewardError(
    'version-newer',
    `the host has version ${theirs}, the configuration server ${ours}`,
  );
}
