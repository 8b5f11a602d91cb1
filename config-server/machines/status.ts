// What the whole chain says of a machine, put together: the freshest of target, process server and source.
import type { MachineStatus } from '../../core/registration/machine-status.ts';
import type { Assignment } from '../../core/identity/assignment.ts';
import { limits } from '../../core/limits.ts';
import type { SourceReport, SpoolReport } from '../../core/registration/messages.ts';
import type { KnownMachine } from './machine-list.ts';

/** A report and how old it is. */
export interface Aged<T> {
  report: T;
  ageMs: number;
}

/** Each null as long as it has not been heard. */
export interface MachineFacts {
  machine: KnownMachine;
  /** Null when it never was protected. */
  assignment: Assignment | null;
  target: Aged<MachineStatus> | null;
  source: Aged<SourceReport> | null;
  spool: Aged<SpoolReport> | null;
  /** Milliseconds since the master target was heard. */
  targetSilentMs: number | null;
  masterTargetName: string | null;
}

export function mergeStatus(facts: MachineFacts): MachineStatus {
  const { machine, target } = facts;
  // It was handed over: what its old source does, and whether that is heard, says nothing of it any more.
  if (target?.report.path === 'ingest') return { ...agedStatus(target), name: machine.name };
  const base = target?.report ?? blankStatus(machine);
  const source = sourceOf(facts);
  const isProtected = facts.assignment !== null && !facts.assignment.ended;
  const headLsn = Math.max(base.headLsn, facts.source?.report.head.lsn ?? 0);
  return {
    ...base,
    name: machine.name,
    ...stateOf(facts),
    rpoSeconds:
      isProtected && base.rpoSeconds !== null ? base.rpoSeconds + (target?.ageMs ?? 0) / 1000 : null,
    headLsn: target === null ? 0 : headLsn,
    backlog: backlogOf(facts),
    path: 'chain',
    ...(source === undefined ? {} : { source }),
  };
}

/** What only a master target knows: direct ingest, the past of a machine. Its RPO ages with the report. */
export function agedStatus({ report, ageMs }: Aged<MachineStatus>): MachineStatus {
  const { rpoSeconds } = report;
  const aged = rpoSeconds === null ? null : rpoSeconds + ageMs / 1000;
  if (ageMs <= limits.hostSilentMs) return { ...report, rpoSeconds: aged };
  return { ...report, rpoSeconds: aged, state: 'disconnected', detail: 'its master target is silent' };
}

function blankStatus({ id, name, disks }: KnownMachine): MachineStatus {
  return {
    id,
    name,
    disks: disks.map((disk) => ({ name: disk.name, size: disk.size, replica: '' })),
    state: 'waiting',
    detail: null,
    listen: null,
    rpoSeconds: null,
    headLsn: 0,
    durableLsn: 0,
    appliedLsn: 0,
    oldestLsn: null,
    redoBytes: 0,
    undoBytes: 0,
    backlog: { source: 0, processServer: 0, target: 0 },
  };
}

const isFresh = <T>(aged: Aged<T> | null): aged is Aged<T> =>
  aged !== null && aged.ageMs <= limits.hostSilentMs;

/** The source's own word while it is heard, else what came down the stream. */
function sourceOf({ source, target }: MachineFacts): MachineStatus['source'] {
  const relayed = target?.report.source;
  if (source === null) return relayed;
  const fresh = source.ageMs <= limits.hostSilentMs;
  if (!fresh && relayed !== undefined && (target?.ageMs ?? 0) < source.ageMs) return relayed;
  const { head, connected } = source.report;
  const { state, sync, dirtyBytes, scan } = head;
  return { state, sync, dirtyBytes, connected: connected && fresh, ...(scan === undefined ? {} : { scan }) };
}

/** Of the source and of the process server whichever report is younger: theirs, or the one by the stream. */
function backlogOf({ source, spool, target }: MachineFacts): MachineStatus['backlog'] {
  const relayed = target?.report.backlog ?? { source: 0, processServer: 0, target: 0 };
  const targetAgeMs = target?.ageMs ?? Infinity;
  const younger = (aged: Aged<unknown> | null): boolean => aged !== null && aged.ageMs <= targetAgeMs;
  const ownWord = source !== null && (isFresh(source) || younger(source));
  return {
    source: ownWord ? source.report.head.backlogBytes : relayed.source,
    processServer:
      spool !== null && (isFresh(spool) || younger(spool))
        ? spool.report.backlogBytes
        : relayed.processServer,
    target: relayed.target,
  };
}

type StateAndDetail = Pick<MachineStatus, 'state' | 'detail'>;

/** The gravest first: no protection, broken target, silence, then what the sync does. */
function stateOf(facts: MachineFacts): StateAndDetail {
  const { machine, assignment, target, targetSilentMs, masterTargetName } = facts;
  if (assignment === null)
    return { state: 'idle', detail: `not protected: homeward protect ${machine.name}` };
  if (assignment.ended) return { state: 'idle', detail: 'not protected any more' };
  if (targetSilentMs === null || targetSilentMs > limits.hostSilentMs) {
    const which = masterTargetName ?? assignment.masterTarget;
    return { state: 'disconnected', detail: `the master target ${which} is silent` };
  }
  const grave = target?.report.state;
  if (target !== null && (grave === 'failed' || grave === 'no-space' || grave === 'damaged')) {
    return { state: grave, detail: target.report.detail };
  }
  if (facts.source?.report.head.state === 'unprotected' && facts.source.ageMs <= limits.hostSilentMs) {
    return { state: 'waiting', detail: 'the source has not heard yet that it is protected' };
  }
  const away = silenceOf(facts);
  if (away !== null) return { state: 'disconnected', detail: away };
  if (target === null) return { state: 'waiting', detail: 'the master target has not begun with it yet' };
  const { state, detail } = syncState(facts, target.report);
  return { state, detail: detail ?? fullSpool(facts) };
}

function fullSpool({ spool }: MachineFacts): string | null {
  if (!isFresh(spool) || spool.report.room !== 'full') return null;
  return 'the spool at the process server is full: the source keeps its backlog';
}

/** Why nothing comes from the source, or null. */
function silenceOf({ source, spool }: MachineFacts): string | null {
  if (source === null) return 'its mobility service has not been heard';
  if (!isFresh(source)) return 'its mobility service is silent';
  const { connected, problem } = source.report;
  if (!connected) return problem?.message ?? 'its mobility service does not reach the process server';
  if (isFresh(spool) && !spool.report.targetConnected)
    return 'the master target does not reach the process server';
  return null;
}

/** The target's word, but where only the source knows what is under way. */
function syncState({ source }: MachineFacts, { state, detail }: MachineStatus): StateAndDetail {
  if (state !== 'ok' && state !== 'idle' && state !== 'waiting') return { state, detail };
  const head = source?.report.head;
  switch (head?.state) {
    case 'initial-sync':
    case 'resync':
    case 'scan':
    case 'paused':
      return { state: head.state, detail };
    case 'waiting-for-sync': {
      const ahead = head.sync?.ahead ?? null;
      const place = ahead === null ? '' : `: ${ahead} before it`;
      return { state: 'initial-sync', detail: `waits for its turn to sync${place}` };
    }
    case 'overflow':
      return { state: 'gap', detail: 'the source could not keep all its writes; a resync follows' };
    default:
      return { state, detail };
  }
}
