// When a machine records and when it syncs, as a pure function of what happens to it.
import type { RoomState, SourceState } from '../core/chain/messages.ts';

/** A sync that is wanted. `full`: every region has to go into the dirty map first. */
export interface SyncNeed {
  reason: string;
  full: boolean;
  checksums: boolean;
  /** Only the scanned disks: nothing is missing, it waits for others and makes nobody wait. */
  scan?: boolean;
}

export interface ProtectionState {
  /** Assigned, and not ended. */
  active: boolean;
  /** There is a stream to the process server, which has answered. */
  connected: boolean;
  room: RoomState;
  /** Changes are numbered and kept. */
  recording: boolean;
  overflow: boolean;
  need: SyncNeed | null;
  /** The sync under way, which includes its wait for a place. */
  running: SyncNeed | null;
  /** Its sync-begin is numbered: what gets dirty from now on without a record is not on its list. */
  begun: boolean;
  /** A sync has begun and none has ended since: there are no points. */
  gap: boolean;
  /** It has been told to end. */
  aborting: boolean;
  /** A sync failed: the next one is begun after a while. */
  resting: boolean;
}

export type ProtectionEvent =
  /** The machine is assigned: as before, anew, or to another master target. */
  | { kind: 'assigned'; need: SyncNeed | null }
  | { kind: 'ended' }
  | { kind: 'connected' }
  | { kind: 'disconnected' }
  | { kind: 'room'; state: RoomState }
  /** Nothing is recorded any more, by the outbox's own decision. */
  | { kind: 'stopped'; overflow: boolean; need: SyncNeed }
  /** Somebody asks for a sync; what is recorded goes on. */
  | { kind: 'wanted'; need: SyncNeed }
  /** Its sync-begin is numbered. */
  | { kind: 'sync-begun' }
  /** Every region is in the dirty map: that need not be done again. */
  | { kind: 'filled' }
  | { kind: 'sync-done' }
  /** Failed, aborted, or not recorded: what it has not copied is still dirty. */
  | { kind: 'sync-failed' }
  | { kind: 'rested' };

export type ProtectionAction =
  | { do: 'allow-recording' }
  | { do: 'stop-recording' }
  | { do: 'sync'; need: SyncNeed }
  | { do: 'abort-sync' }
  | { do: 'rest' };

export interface Decision {
  state: ProtectionState;
  actions: ProtectionAction[];
}

export function initialProtection(recording: boolean): ProtectionState {
  return {
    active: false,
    connected: false,
    room: 'ok',
    recording,
    overflow: false,
    need: null,
    running: null,
    begun: false,
    gap: false,
    aborting: false,
    resting: false,
  };
}

/** What follows from an event: the next state, and what to do, in this order. */
export function decide(state: ProtectionState, event: ProtectionEvent): Decision {
  const actions: ProtectionAction[] = [];
  const next = settle(apply(state, event, actions), actions);
  return { state: next, actions };
}

function apply(state: ProtectionState, event: ProtectionEvent, actions: ProtectionAction[]): ProtectionState {
  switch (event.kind) {
    case 'assigned':
      if (!state.active) actions.push({ do: 'allow-recording' });
      return want({ ...state, active: true }, event.need);
    case 'ended':
      actions.push({ do: 'stop-recording' });
      return { ...state, active: false, recording: false, overflow: false };
    case 'connected':
      return { ...state, connected: true, room: 'ok' };
    case 'disconnected':
      return { ...state, connected: false };
    case 'room':
      return { ...state, room: event.state };
    case 'stopped':
      return want({ ...state, recording: false, overflow: event.overflow }, event.need);
    case 'wanted':
      return want(state, event.need);
    case 'sync-begun':
      return { ...state, recording: true, overflow: false, begun: true, gap: true };
    case 'filled':
      return { ...state, running: state.running && { ...state.running, full: false } };
    case 'sync-done':
      return { ...state, running: null, aborting: false, gap: false };
    case 'sync-failed': {
      const { running, aborting, gap } = state;
      // A scan that has sent nothing is not missed: the next one comes when it is due.
      const isMissed = running?.scan !== true || gap;
      const resting = isMissed && !aborting;
      if (resting) actions.push({ do: 'rest' });
      return {
        ...state,
        need: isMissed ? merged(running, state.need) : state.need,
        running: null,
        aborting: false,
        resting,
      };
    }
    case 'rested':
      return { ...state, resting: false };
  }
}

/** What follows whatever happened: a sync that is of no use any more ends, one that can begin begins. */
function settle(state: ProtectionState, actions: ProtectionAction[]): ProtectionState {
  const { active, connected, room, need, running, begun, aborting, resting } = state;
  if (running !== null) {
    if (aborting || (active && (need === null || need.scan === true))) return state;
    const takesMap = running.scan !== true && !begun;
    // It will take the map as it is when it begins.
    if (active && need !== null && takesMap && (running.full || !need.full)) return { ...state, need: null };
    actions.push({ do: 'abort-sync' });
    return { ...state, aborting: true };
  }
  if (!active || need === null || !connected || room === 'full' || resting) return state;
  actions.push({ do: 'sync', need });
  return { ...state, need: null, running: need, begun: false };
}

const want = (state: ProtectionState, need: SyncNeed | null): ProtectionState =>
  need === null ? state : { ...state, need: merged(state.need, need) };

/** One sync for both: as much as either wants; as long as there was no initial sync, it is that. */
function merged(first: SyncNeed | null, second: SyncNeed | null): SyncNeed | null {
  if (first === null || second === null) return second ?? first;
  // Any other sync has the scan in it.
  if (first.scan !== second.scan) return first.scan === true ? second : first;
  const full = first.full || second.full;
  return isInitial(first) ? { ...first, full } : { ...second, full };
}

/** What a head says. */
export function sourceState(state: ProtectionState): SourceState {
  const { active, overflow, need, running, recording, gap } = state;
  if (!active) return 'unprotected';
  if (overflow && !recording) return 'overflow';
  if (running?.reason === scanReason) return 'scan';
  if (need?.scan === true && running === null && !gap) return 'ok';
  if (running !== null && recording) return isInitial(running) ? 'initial-sync' : 'resync';
  return need !== null || running !== null ? 'waiting-for-sync' : 'ok';
}

export const scanReason = 'scan';
export const initialReasons = { sync: 'initial sync', seed: 'seed' } as const;

const isInitial = ({ reason }: SyncNeed): boolean =>
  reason === initialReasons.sync || reason === initialReasons.seed;
