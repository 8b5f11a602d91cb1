// What the master target does for whoever asks over the control socket: requests and answers, as data.
import type { AssignedSeed } from '../../core/identity/assignment.ts';
import type {
  HandOverPlan,
  HandOverReport,
  HandOverRequest,
} from '../../core/registration/hand-over-words.ts';
import type { MachineStatus, RetentionForecast } from '../../core/registration/machine-status.ts';

export type * from '../../core/registration/hand-over-words.ts';
export type {
  MachineState,
  MachineStatus,
  RetentionForecast,
} from '../../core/registration/machine-status.ts';

/** Every answer is plain JSON: LSNs and bytes as numbers, times RFC 3339 in UTC. */
export interface DiskRequest {
  name: string;
  sizeBytes: number;
  /** A /dev/disk/by-id name; without it the replica is a sparse file. */
  device?: string | undefined;
}

export interface OpenIngestRequest {
  machine: string;
  disks: DiskRequest[];
  /** `unix:PATH` or `tcp:HOST:PORT`. */
  listen: string;
  seeding: boolean;
}

export interface IngestReport {
  machine: string;
  id: string;
  listen: string;
  exports: string[];
  seeding: boolean;
  /** False when the same call had been made before. */
  changed: boolean;
}

export interface SeededReport {
  machine: string;
  lsn: number;
  time: string;
}

export interface TagReport {
  machine: string;
  lsn: number;
  time: string;
  name: string;
  consistency: 'crash' | 'application' | 'user';
}

export interface StatusReport {
  version: string;
  /** The forecast comes with the first minute. */
  retention: { path: string; freeBytes: number; forecast?: RetentionForecast };
  machines: MachineStatus[];
  /** The configuration server that this master target reports to, if any. */
  configServer?: {
    address: string;
    /** Of this host; null until it has enrolled. */
    hostId: string | null;
    contactSeconds: number | null;
    /** Why it is not enrolled, in words, or null. */
    problem: string | null;
  };
  /** Findings of the host's checks that may stay; left out where there are none. Times are RFC 3339. */
  accepted?: { id: string; because: string; since: string; by: string }[];
}

export interface Moment {
  lsn: number;
  time: string | null;
}

/** A point below the dense window, and why it stays: `locked`, `tag`, `hourly`, `daily` …. */
export interface KeptReport extends Moment {
  tag?: string | null;
  reasons?: string[];
  /** When the last reason ends, as things are. */
  until?: string;
}

/** One minute in which something was written. */
export interface RateReport {
  /** Its begin. */
  time: string;
  bytes: number;
  records: number;
  /** Flushes that writers asked for. */
  flushes: number;
  /** Of what steps have written over: bytes, about. */
  signal?: { rewritten: number; zeroed: number; encrypted: number };
}

export interface RetentionReport {
  machine: string;
  /** The dense window: every write in it is a point. */
  windowMs: number;
  /** Rules for older history: `hourly=7d,daily=4w`, or `none`. */
  keep: string;
  /** Of all its history; 0 is no bound. */
  maxBytes: number;
  /** What stays when the volume is full and others have more. */
  floorMs: number;
  from: Record<'window' | 'keep' | 'maxBytes' | 'floor', 'machine' | 'protection' | 'default'>;
  changed: boolean;
}

/** What is left out stays, null takes it back to the default. */
export interface RetentionChange {
  windowMs?: number | null | undefined;
  keep?: string | null | undefined;
  maxBytes?: number | null | undefined;
  floorMs?: number | null | undefined;
}

export interface LockRequest {
  machine: string;
  /** WHEN as typed. */
  at: string;
  /** A time, or how long from now. */
  until: string;
  name: string | null;
}

export interface LockReport {
  machine: string;
  lsn: number;
  /** Of the point. */
  time: string | null;
  until: string;
  /** When it was locked first. */
  since: string | null;
  name: string | null;
  /** Of the answer to a call: false when the same call had been made before. */
  changed?: boolean;
}

/** Whether content is being encrypted on a large scale. Times are RFC 3339. */
export interface SignalReport {
  /**
   * Unknown: since the start nothing was written over that could be compared. Ended: one was found, and the
   * point before it is kept.
   */
  state: 'unknown' | 'normal' | 'suspected' | 'ended';
  /** The last clean moment: just before the newest one. */
  lastClean: Moment | null;
  since: string | null;
  ended: string | null;
  /** Of what was rewritten, the part that turned random, from 0 to 1. */
  share: number | null;
}

export interface PointsReport {
  machine: string;
  /** Null while there is no point yet. */
  window: { from: Moment; to: Moment } | null;
  gaps: { from: number; to: number | null; reason: string; fromTime: string; toTime: string | null }[];
  tags: TagReport[];
  kept: KeptReport[];
  locks?: Omit<LockReport, 'machine'>[];
  /** Points just before mass encryptions, each a WHEN as `tag:NAME`. */
  marks?: { lsn: number; time: string; name: string; kind: 'signal' }[];
  signal?: SignalReport;
  /** Per minute, oldest first; only when it was asked for. */
  rate?: RateReport[];
  /** Of a machine with disks that are scanned; `only`: all of them. */
  scan?: { only: boolean; lastTime: string | null };
}

export interface ViewRequest {
  machine: string;
  /** WHEN as typed. */
  at: string;
  listen: string;
  writable: boolean;
  leaseMs: number | null;
  /** The most that is kept of what is written to it. */
  scratchBytes?: number | undefined;
  /** With our own certificates, where none are configured. */
  tls?: boolean | undefined;
  /** It does not come back after a restart. */
  temporary?: boolean | undefined;
}

export interface ViewReport {
  id: string;
  machine: string;
  lsn: number;
  time: string | null;
  listen: string;
  exports: string[];
  writable: boolean;
  expiresAt: string | null;
}

/** The answer to opening one: the time that was asked for in UTC, or null for an LSN, a tag, the latest. */
export interface OpenedView extends ViewReport {
  asked: string | null;
  /** Lines for a shell that reach it over TLS. */
  use?: string[];
}

export type RecoverTarget =
  | { kind: 'raw' | 'qcow2' | 'vmdk'; directory: string }
  | { kind: 'block'; devices: { disk: string; device: string }[] }
  | { kind: 'in-place' };

export interface RecoverRequest {
  machine: string;
  at: string;
  target: RecoverTarget;
  /** WWIDs of devices that may be overwritten in spite of what is on them. */
  overwrite: string[];
  /** What an interrupted run has written is given up. */
  fresh?: boolean | undefined;
  /** What was written is read back and compared. */
  verify?: boolean | undefined;
  /** Content that is damaged or unknown is written as zeros. */
  allowDamaged?: boolean | undefined;
  /** Of a plan: the bytes of data are counted, which takes a while on large disks. */
  count?: boolean | undefined;
}

export interface RecoverPlan {
  machine: string;
  lsn: number;
  time: string | null;
  /** The time that was asked for in UTC, or null for an LSN, a tag, the latest. */
  asked: string | null;
  disks: {
    name: string;
    size: number;
    to: string;
    format: string;
    found: string | null;
    /** Room on the volume of a file; of a device, its size. */
    freeBytes?: number;
    /** What is not holes. */
    dataBytes?: number;
    /** The part, from 0 to 1, that an interrupted run has done. */
    resumes?: number;
    /** Of a device. */
    wwid?: string;
  }[];
  /** Disks that no device was named for, if there are any. */
  left?: string[];
}

/** Bytes [start, end) of a disk. */
export interface DiskRange {
  disk: string;
  start: number;
  end: number;
}

export interface RecoverReport extends RecoverPlan {
  bytesWritten: number;
  seconds: number;
  /** What was damaged or unknown, and was written as zeros. */
  damaged?: DiskRange[];
  /** What reads back different: nothing got its name then. Null when it was not read back. */
  differing?: DiskRange[] | null;
}

export interface UnpinReport {
  machine: string;
  /** False when nothing was held. */
  changed: boolean;
}

export interface VerifyRequest {
  machine: string;
  part: { n: number; of: number } | null;
  forMs: number | null;
}

export interface VerifyReport {
  machine: string;
  ok: boolean;
  /** The one command that has the source send what the newest moment lacks; null: none, or no source. */
  offer?: string | null;
  /** In words, what that does, or what is to be done without a source; null where nothing is. */
  resync?: string | null;
  /**
   * Redo that was damaged or gone, and is sound now: had from the process server again or, where `putBack`
   * says so, from the file itself, which was still open.
   */
  healed?: { file: string; fromLsn: number; toLsn: number; putBack?: true }[];
  /** Content that is lost and an error at the newest moment, until it is written or synced again. */
  unknown?: DiskRange[];
  covered: {
    bytes: number;
    records: number;
    /** Of redo. */
    fromLsn: number;
    toLsn: number;
    /** All that was asked for was looked at in this run. */
    complete: boolean;
    redo?: { files: number; bytes: number };
    undo?: { files: number; bytes: number };
    /** `uncheckedBytes`: there are no checksums of them, or steps came too fast. */
    replica?: { bytes: number; uncheckedBytes: number };
    /** `cut`: why not all of it counted when the daemon started, or null. */
    ledger?: { lines: number; cut: string | null };
    /**
     * `resumed`: it went on where a run that was bounded in time had stopped; `remaining…`: what comes
     * next.
     */
    sweep?: { resumed: boolean; remainingPieces: number; remainingBytes: number };
  };
  damaged: {
    disk: string | null;
    start: number | null;
    end: number | null;
    /** Of records; of undo, the boundaries of its step; of a replica, where the cursor stands. */
    fromLsn: number;
    toLsn: number;
    file: string;
    what: string;
    machine?: string;
    in?: 'redo' | 'undo' | 'replica' | 'ledger' | 'cursor' | 'machine';
    /** RFC 3339, null where they are not known. */
    fromTime?: string | null;
    toTime?: string | null;
    /** Which points can be recovered all the same, in words. */
    recoverable?: string;
    /** The command that has the source send just that again; null: none is needed, or there is no source. */
    offer?: string | null;
  }[];
}

/** What a source can be asked to send again: found damaged by the last verification, or unknown since. */
export interface DamageReport {
  machine: string;
  extents: DiskRange[];
}

/** One line of progress of long work; `total` is bytes. */
export interface Progress {
  done: number;
  total: number;
  what: string;
}
export type OnProgress = (progress: Progress) => void;

/** An old copy of a disk of `size` bytes. */
export interface SeedToCheck extends AssignedSeed {
  size: number;
}

/** Its size, what of it is stored, and the seconds until what differs from the disk is known, at a guess. */
export interface SeedCheck {
  disk: string;
  bytes: number;
  storedBytes: number;
  seconds: number;
}

/** The daemon, as the control socket sees it. Failures are HomewardErrors. M is a name or an id. */
export interface MasterTargetService {
  openIngest(request: OpenIngestRequest): Promise<IngestReport>;
  seeded(machine: string): Promise<SeededReport>;
  checkSeeds(seeds: SeedToCheck[]): Promise<SeedCheck[]>;
  closeIngest(machine: string): Promise<{ machine: string; changed: boolean }>;
  tag(machine: string, name: string): Promise<TagReport>;
  status(): Promise<StatusReport>;
  points(machine: string, options?: { rates: boolean }): Promise<PointsReport>;
  /** Shows how the history of a machine is kept; with a change, sets it first. */
  retention(machine: string, change: RetentionChange | null): Promise<RetentionReport>;
  lockPoint(request: LockRequest): Promise<LockReport>;
  unlockPoint(machine: string, at: string): Promise<LockReport>;
  openView(request: ViewRequest): Promise<OpenedView>;
  listViews(): Promise<ViewReport[]>;
  /** A temporary view ends `leaseMs` from now, if that is not put off again. */
  renewView(id: string, leaseMs: number): Promise<ViewReport>;
  closeViews(which: { id: string } | { machine: string; at: string | null }): Promise<ViewReport[]>;
  planRecovery(request: RecoverRequest): Promise<RecoverPlan>;
  recover(request: RecoverRequest, progress: OnProgress, signal: AbortSignal): Promise<RecoverReport>;
  unpin(machine: string): Promise<UnpinReport>;
  planHandOver(request: HandOverRequest): Promise<HandOverPlan>;
  handOver(request: HandOverRequest, progress: OnProgress, signal: AbortSignal): Promise<HandOverReport>;
  verify(request: VerifyRequest, progress: OnProgress, signal: AbortSignal): Promise<VerifyReport>;
  damage(machine: string): Promise<DamageReport>;
}
