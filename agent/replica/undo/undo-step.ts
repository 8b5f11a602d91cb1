// One step of the cursor as its undo segment tells of it, and what it takes to make or change one.
import type { SharedExtents } from '../../../core/extents/extent-table.ts';
import type { TagNote } from '../../../core/record/notes.ts';
import type { SignalPiece } from '../signal/step-counts.ts';

/** The first record of an undo segment: what outlives the redo of the step. Times are microseconds. */
export interface UndoNote {
  from: number;
  to: number;
  /** Stamps of the records at `from` and `to`. */
  fromTime: number;
  toTime: number;
  /** Stamp of the first record after `from`, where it is known: until then the state is that at `from`. */
  firstTime?: number;
  /** The tag at `to`, if it is one, and that at `from`, where it is known. */
  tag: TagNote | null;
  fromTag?: UndoNote['tag'];
  /** The same of `from` as `point` of `to`. */
  fromPoint?: boolean;
  /** `to` is a recovery point: it lies in no gap. */
  point: boolean;
}

/** A step (from, to] whose undo segment is there: state(from) where it differs from state(to). */
export interface UndoStep extends UndoNote {
  path: string;
  /** 32 hex digits: the identity in its frames. */
  identity: string;
  /** Size of the file, content and all. */
  bytes: number;
  /** BLAKE2b-256 of the whole file in hex. */
  hash: string;
}

/** An undo segment that was written and synced under a temporary name. */
export interface UndoMade {
  path: string;
  identity: string;
  bytes: number;
  hash: string;
  /** Records of content in it. */
  records: number;
}

/** A redo segment that a step reads; its file is lent. */
export interface LentRedo {
  ordinal: number;
  fd: number;
  path: string;
  firstLsn: number;
  precededBy: number;
  lastLsn: number;
  /** Where its content ends. */
  end: number;
}

/** A replica; its file is lent. */
export interface LentDisk {
  fd: number;
  size: number;
  /** A file of our own, where holes can be seen and made. */
  sparse: boolean;
  /** Where its checksums are, which steps make when they are not there; without it there are none. */
  sums?: string | null;
  /** It was all zeros at LSN 0. */
  blank?: boolean;
}

/**
 * Content that is damaged: bytes [start, end) of a disk as the record `lsn` had them. `disk` is null for lost
 * records, which may have been about anything.
 */
export interface DamagedPlace {
  lsn: number;
  disk: number | null;
  start: number;
  end: number;
  /** The segment that it was to be read from; null when it is the replica itself. */
  file: string | null;
}

/** Run (from, to] of redo, and the replicas that it goes to. */
export interface StepJob {
  /** UUID, 16 bytes. */
  machine: Uint8Array;
  generation: number;
  from: number;
  to: number;
  redo: LentRedo[];
  disks: LentDisk[];
  /** Machine addresses [start, end) of the replica whose content at `from` is unknown, in order. */
  unknown: [number, number][];
}

export interface SaveUndoJob extends StepJob {
  /** Made new; an older file of that name is removed. */
  undoPath: string;
  /** Where the derived table of the undo segment goes; no failure counts. */
  tablePath: string;
  note: UndoNote;
}

export interface WriteReplicaJob extends StepJob {
  /** Bytes of content that were asked to be written at a time before a flush: see limits.applyFlushBytes. */
  flushBytes: number;
}
export interface ReplicaWritten {
  bytes: number;
  /** Unknown addresses at `to`. */
  unknown: [number, number][];
  /** What could not be written since its source is damaged; it is in `unknown`. Some, if there are many. */
  damaged: DamagedPlace[];
  /** What became of the blocks that were looked at; left out where the old content was not seen. */
  signal?: SignalPiece[];
}

export interface UndoSaved extends UndoMade {
  /**
   * Redo of the step that is lost, and of the replica what was found damaged and is `unknown` in the undo
   * now. Some, if there are many.
   */
  damaged: DamagedPlace[];
}

/** An undo segment that is read; its file is lent. */
export interface LentUndo {
  fd: number;
  path: string;
  from: number;
  to: number;
  bytes: number;
}

export interface RollBackJob {
  machine: Uint8Array;
  undo: LentUndo;
  disks: LentDisk[];
  unknown: [number, number][];
}

/** A step whose redo is there. */
export interface OnsetJob {
  machine: Uint8Array;
  undo: LentUndo;
  redo: LentRedo[];
  /** Later records are left out. */
  upTo: number;
  /** What was written into free space counts as well. */
  fresh: boolean;
}

/** A record that made random content of other content; `time` in microseconds. */
export interface RandomRecord {
  lsn: number;
  time: number;
}

/** (undo.from, undo.to] becomes (from, at] and (at, to]. */
export interface SplitJob {
  machine: Uint8Array;
  generation: number;
  undo: LentUndo;
  redo: LentRedo[];
  at: number;
  outputs: { undoPath: string; tablePath: string; note: UndoNote }[];
}

/** Steps that join become one; the earlier content wins. Oldest first. */
export interface MergeJob {
  machine: Uint8Array;
  generation: number;
  undo: LentUndo[];
  output: { undoPath: string; tablePath: string; note: UndoNote };
}

/**
 * The heavy part of what happens to undo and replicas, in a thread of its own or, in tests, where it is
 * called. Each may be repeated after a crash at any point of it; none renames anything.
 */
export interface StepWork {
  saveUndo(job: SaveUndoJob): Promise<UndoSaved>;
  writeReplica(job: WriteReplicaJob): Promise<ReplicaWritten>;
  rollBack(job: RollBackJob): Promise<ReplicaWritten>;
  split(job: SplitJob): Promise<[UndoMade, UndoMade]>;
  merge(job: MergeJob): Promise<UndoMade>;
  /** The records of a step that made random content of other content. */
  findOnset(job: OnsetJob): Promise<RandomRecord[]>;
}

/** A table of extents as another thread takes it. */
export type LayerSource =
  | { kind: 'memory'; table: SharedExtents }
  /** `ordinals[n]` is the ordinal of the n-th source that the file names. */
  | { kind: 'file'; path: string; fd: number; ordinals: number[] }
  /** No table is there: the reader makes it, of the records of this redo segment in (afterLsn, lsn]. */
  | { kind: 'redo-scan'; ordinal: number; afterLsn: number; lsn: number }
  /** The same of an undo segment. */
  | { kind: 'undo-scan'; ordinal: number };
