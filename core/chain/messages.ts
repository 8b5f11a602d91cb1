// What is said on a stream of the chain beside records: docs/chain.md, section 3, as data.
import type { SignedAssignment } from '../identity/assignment.ts';

interface HelloBase {
  version: string;
  assignment: SignedAssignment;
  /** Whether zstd is understood. */
  compress: boolean;
  /** The highest generation seen. */
  generation: number;
}

export interface SourceHello extends HelloBase {
  role: 'source';
  /** The newest LSN; 0 before the first. */
  head: number;
  /** The first LSN that can still be sent; `head` + 1 when there is none. */
  heldFrom: number;
  /** The highest *target* that it was ever told: what was written up to there has left its dirty map. */
  target?: number;
}

export interface TargetHello extends HelloBase {
  role: 'target';
  durable: number;
  applied: number;
}

/** A master target asks for records [from, to] once more; its stream is not touched. */
export interface AgainHello extends HelloBase {
  role: 'again';
  from: number;
  to: number;
}

export type Hello = SourceHello | TargetHello | AgainHello;

export interface Welcome {
  compress: boolean;
  generation: number;
  spooled: number;
  target: number;
  applied: number;
  /** The first LSN that the spool has; `spooled` + 1 when it is empty. */
  oldest: number;
}

/** To a source: spooled, target, applied. From a master target: durable, durable, applied. */
export interface Ack {
  spooled: number;
  target: number;
  applied: number;
}

export type SourceState =
  | 'ok'
  | 'initial-sync'
  | 'resync'
  | 'waiting-for-sync'
  | 'scan'
  | 'paused'
  | 'overflow'
  | 'unprotected';

/** A sync under way. */
export interface SyncProgress {
  reason: string;
  /** `comparing` asks for hashes; `copying` sends. */
  phase: 'waiting' | 'comparing' | 'copying' | 'ending';
  doneBytes: number;
  totalBytes: number;
  /** What will be sent, once it is known. */
  differentBytes: number | null;
  secondsLeft: number | null;
  /** Syncs that go before this one while it waits. */
  ahead: number | null;
}

/** Of a machine with disks that are scanned. */
export interface ScanReport {
  /** When the newest scan that is whole at the master target began to read, microseconds. */
  lastTime: number | null;
  /** Why the last scan did not take a disk, or null. */
  problem?: string | null;
  /** All its disks are scanned: points lie at the ends of scans alone. */
  only?: boolean;
}

/** Everything up to `lsn` is as of `time`, microseconds of the source's clock. */
export interface Head {
  lsn: number;
  time: number;
  state: SourceState;
  /** Bytes that the source has numbered and the process server has not acknowledged. */
  backlogBytes: number;
  /** Bytes of the regions in the dirty map. */
  dirtyBytes: number;
  sync: SyncProgress | null;
  /** Set by the process server: bytes that it has and the master target has not made durable. */
  processServerBytes?: number;
  /** Set where disks are scanned: their content changes only at the ends of scans. */
  scan?: ScanReport | null;
}

export type Relay =
  | { kind: 'hashes-wanted'; sync: number; disk: number; start: number; end: number }
  | { kind: 'hashes'; sync: number; disk: number; start: number; end: number; hashes: string }
  | { kind: 'hashes-failed'; sync: number; disk: number; start: number; end: number; message: string };

export type RoomState = 'ok' | 'slow' | 'full';

export type Note =
  | { kind: 'room'; state: RoomState }
  | { kind: 'resync'; reason: string; full: boolean }
  | { kind: 'lost'; from: number; to: number; reason: string }
  | { kind: 'sync-wanted' }
  | { kind: 'sync-done' }
  | { kind: 'sync-place'; ahead: number }
  | { kind: 'again-end'; from: number; to: number };

/** Bytes that one hash of `hashes` covers, and bytes of one hash. */
export const hashedChunkBytes = 64 * 1024;
export const hashBytes = 16;
