// Which sync a machine needs for an assignment, and why: a pure function of what is known at that moment.
import type { Assignment } from '../core/identity/assignment.ts';
import type { SourceState } from './outbox/source-file.ts';
import { initialReasons, scanReason, type SyncNeed } from './protection-state.ts';

/** What is known when an assignment comes, beside the source file. */
export interface SyncSituation {
  /** The sequence of records goes on: nothing is missing in it. */
  recording: boolean;
  /** The dirty map has content that no record carries. */
  needsSync: boolean;
  /** Disks that are new or larger than at the last start. */
  grown: readonly string[];
  /** The service was started with this, rather than told while it ran. */
  atStart: boolean;
}

/** Null when records simply go on. */
export function syncNeedFor(
  assignment: Pick<Assignment, 'masterTarget' | 'seeds'>,
  source: Pick<SourceState, 'target' | 'synced'>,
  situation: SyncSituation,
): SyncNeed | null {
  const seeded = assignment.seeds.length > 0;
  const first = { reason: seeded ? initialReasons.seed : initialReasons.sync, checksums: seeded };
  if (source.target === null) return { ...first, full: true };
  if (source.target !== assignment.masterTarget)
    return { reason: 'another master target', checksums: true, full: true };
  // The map still names what the initial sync has not copied.
  if (!source.synced) return situation.recording ? null : { ...first, full: false };
  const resync = (reason: string): SyncNeed => ({ reason, checksums: true, full: false });
  if (situation.grown.length > 0) return resync('disk resized');
  if (situation.recording) return situation.needsSync ? resync('dirty map lost') : null;
  return resync(situation.atStart ? 'unclean stop' : 'protected again');
}

/** Where every disk is scanned, whatever is missing is what the next scan finds. */
export function asScan(need: SyncNeed): SyncNeed {
  const isFirst = need.reason === initialReasons.sync || need.reason === initialReasons.seed;
  return isFirst || need.full ? need : { ...need, reason: scanReason };
}

/** Needs that arise while the service runs. */
export const syncNeeds = {
  overflow: (): SyncNeed => ({ reason: 'outbox overflow', full: false, checksums: true }),
  numbers: (): SyncNeed => ({ reason: 'numbering failed', full: false, checksums: true }),
  lost: (): SyncNeed => ({ reason: 'process server lost records', full: false, checksums: true }),
  moved: (): SyncNeed => ({ reason: 'another process server', full: false, checksums: true }),
  /** The dirty map is as old as the source file. */
  outdated: (): SyncNeed => ({ reason: 'source put back from a copy', full: true, checksums: true }),
  asked: (reason: string, full: boolean): SyncNeed => ({ reason, full, checksums: true }),
  scan: (): SyncNeed => ({ reason: scanReason, full: false, checksums: false, scan: true }),
} as const;
