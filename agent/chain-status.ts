// What the state of a machine is that comes over the chain: from its pull, its source's word and its journal.
import type { Head, SyncProgress } from '../core/chain/messages.ts';
import type { Assignment } from '../core/identity/assignment.ts';
import { limits } from '../core/limits.ts';
import { formatSize } from '../core/units.ts';
import type { MachineStatus } from './control/service.ts';
import type { PullReport } from './ingest/pull/pulled-machine.ts';
import type { Gap } from './journal/catalogue.ts';

export interface ChainFacts {
  pull: PullReport | null;
  assignment: Pick<Assignment, 'ended'> | null;
  /** There is a point. */
  hasPoints: boolean;
  openGap: Pick<Gap, 'reason'> | null;
}

type StateAndDetail = Pick<MachineStatus, 'state' | 'detail'>;

/** When nothing is wrong with the journal itself. */
export function chainState({ pull, assignment, hasPoints, openGap }: ChainFacts): StateAndDetail {
  if (pull === null) return { state: 'idle', detail: idleDetail(assignment) };
  if (pull.preparing !== null) {
    const trouble = pull.problem === null ? '' : `: ${pull.problem.message}`;
    return { state: 'waiting', detail: `${pull.preparing}${trouble}` };
  }
  if (isSilent(pull)) return silence(pull);
  const { head } = pull;
  if (head === null) return { state: 'waiting', detail: 'the source has not been heard yet' };
  const sync = head.sync === null ? null : syncDetail(head.sync);
  if (head.state === 'paused') return { state: 'paused', detail: 'replication is paused at the source' };
  if (!hasPoints && head.scan?.problem)
    return { state: 'failed', detail: `no point yet: ${head.scan.problem}` };
  if (!hasPoints)
    return { state: 'initial-sync', detail: sync ?? 'the first copy has not ended: no point yet' };
  const scanProblem = head.scan?.problem ?? null;
  if (scanProblem !== null && head.state !== 'scan') return { state: 'failed', detail: scanProblem };
  if (sync !== null) return { state: head.state === 'scan' ? 'scan' : 'resync', detail: sync };
  const trouble = sourceTrouble(head);
  if (trouble !== null) return { state: 'gap', detail: trouble };
  if (openGap !== null) return { state: 'gap', detail: `no point since the gap began: ${openGap.reason}` };
  return { state: 'ok', detail: null };
}

/** Heard of late. */
export function isHeard(pull: PullReport | null): boolean {
  return pull !== null && pull.headAgeMs !== null && pull.headAgeMs < limits.headSilentMs;
}

function isSilent(pull: PullReport): boolean {
  return (pull.headAgeMs ?? pull.ageMs) >= limits.headSilentMs;
}

function silence({ connected, headAgeMs, problem }: PullReport): StateAndDetail {
  const since = headAgeMs === null ? 'yet' : `for ${Math.round(headAgeMs / 1000)} s`;
  const where = connected
    ? `the process server has not heard the source ${since}`
    : `no word of the process server ${since}`;
  const why = problem === null ? '' : `: ${problem.message} (${problem.code})`;
  return { state: 'disconnected', detail: `${where}${why}` };
}

function idleDetail(assignment: ChainFacts['assignment']): string {
  if (assignment?.ended === true) return 'protection has ended; its points can be recovered';
  return 'nothing is pulled for it: no assignment to this master target is known';
}

function sourceTrouble({ state }: Head): string | null {
  if (state === 'overflow') return 'the source has lost track of writes and will sync';
  if (state === 'unprotected') return 'the source says that it is not protected';
  return state === 'waiting-for-sync' ? 'the source waits for its turn to sync' : null;
}

/** `37 % (3.7 GiB of 10 GiB), copying, about 120 s left`. */
export function syncDetail(sync: SyncProgress): string {
  const { phase, doneBytes, totalBytes, differentBytes, secondsLeft, ahead, reason } = sync;
  if (phase === 'waiting' && ahead !== null) return `${reason}: waiting, ${ahead} before it`;
  const percent = totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100);
  const parts = [
    `${reason}: ${percent} % (${formatSize(doneBytes)} of ${formatSize(totalBytes)})`,
    phase,
    ...(differentBytes === null ? [] : [`${formatSize(differentBytes)} differ`]),
    ...(secondsLeft === null ? [] : [`about ${Math.round(secondsLeft)} s left`]),
  ];
  return parts.join(', ');
}

export interface RpoFacts {
  /** Microseconds of our clock. */
  now: number;
  reachedTime: number | null;
  /** The stamp of the newest record that is a point; 0 when it is not known. */
  newestPointTime: number;
}

/** The age of the newest point: what the heads say, which also count while nothing is written. */
export function chainRpoSeconds({ now, reachedTime, newestPointTime }: RpoFacts): number | null {
  const newest = Math.max(reachedTime ?? 0, newestPointTime);
  // A machine without a record has no point whose age could be told.
  return newest === 0 ? null : Math.max(0, (now - newest) / 1e6);
}
