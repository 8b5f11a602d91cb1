// What the master target does for whoever asks over the control socket: requests and answers, as data.
import type { AssignedSeed } from '../../core/identity/assignment.ts';
import type { MachineStatus } from '../../core/registration/machine-status.ts';

export type { MachineState, MachineStatus } from '../../core/registration/machine-status.ts';

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
  retention: { path: string; freeBytes: number };
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
}

export interface Moment {
  lsn: number;
  time: string | null;
}

export interface PointsReport {
  machine: string;
  /** Null while there is no point yet. */
  window: { from: Moment; to: Moment } | null;
  gaps: { from: number; to: number | null; reason: string; fromTime: string; toTime: string | null }[];
  tags: TagReport[];
  kept: Moment[];
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
}

export type RecoverTarget =
  | { kind: 'raw' | 'qcow2' | 'vmdk'; directory: string }
  | { kind: 'block'; devices: { disk: string; device: string }[] };

export interface RecoverRequest {
  machine: string;
  at: string;
  target: RecoverTarget;
  /** WWIDs of devices that may be overwritten in spite of what is on them. */
  overwrite: string[];
}

export interface RecoverPlan {
  machine: string;
  lsn: number;
  time: string | null;
  /** The time that was asked for in UTC, or null for an LSN, a tag, the latest. */
  asked: string | null;
  disks: { name: string; size: number; to: string; format: string; found: string | null }[];
}

export interface RecoverReport extends RecoverPlan {
  bytesWritten: number;
  seconds: number;
}

export interface VerifyRequest {
  machine: string;
  part: { n: number; of: number } | null;
  forMs: number | null;
}

export interface VerifyReport {
  machine: string;
  ok: boolean;
  covered: { bytes: number; records: number; fromLsn: number; toLsn: number; complete: boolean };
  damaged: {
    disk: string | null;
    start: number | null;
    end: number | null;
    fromLsn: number;
    toLsn: number;
    file: string;
    what: string;
  }[];
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
  points(machine: string): Promise<PointsReport>;
  openView(request: ViewRequest): Promise<OpenedView>;
  listViews(): Promise<ViewReport[]>;
  closeViews(which: { id: string } | { machine: string; at: string | null }): Promise<ViewReport[]>;
  planRecovery(request: RecoverRequest): Promise<RecoverPlan>;
  recover(request: RecoverRequest, progress: OnProgress, signal: AbortSignal): Promise<RecoverReport>;
  verify(request: VerifyRequest, progress: OnProgress, signal: AbortSignal): Promise<VerifyReport>;
}
