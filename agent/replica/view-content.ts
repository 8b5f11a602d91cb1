// The content of a machine as of a moment, as data that can be posted to another thread, and what keeps it
// true there while the replica moves on.
import type { MessagePort } from 'node:worker_threads';
import type { MachineMark } from '../../core/record/record.ts';
import type { LayerSource } from './undo/undo-step.ts';

/** Undo segments are numbered from here on, redo segments below. */
export const firstUndoOrdinal = 2 ** 31;

/**
 * A segment that extents point into. Of an undo segment (A, B], `firstLsn` is A, which is the LSN of all its
 * records, `lastLsn` is B and `precededBy` does not count.
 */
export interface ViewSegment {
  ordinal: number;
  /** Lent, and open until the content is released. */
  fd: number;
  path: string;
  firstLsn: number;
  /** The LSN before `firstLsn`, which is lower than that by more than one where LSNs were skipped. */
  precededBy: number;
  lastLsn: number;
  /** Where its content ends. */
  end: number;
}

/**
 * What replicas are as of: where no step is open both are the cursor, else they are the ends of the step.
 * What that writes is hidden by redo or undo of every plan.
 */
export interface ReplicaSpan {
  low: number;
  high: number;
}

/** Where the content of a view lies, true from the moment of `counter` on; see `LiveFeed`. */
export interface ViewPlan {
  counter: number;
  /** What checksums of the replicas have to be of to count; missing when nobody knows. */
  replicas?: ReplicaSpan;
  /** Newest first. */
  redo: LayerSource[];
  /** The boundary that redo is read from: see `Layers.floor`. */
  floor: { segment: number; lsnDelta: number };
  /** Oldest step first, the open one included. */
  undo: LayerSource[];
  segments: ViewSegment[];
  /** Machine addresses [start, end) whose content in the replicas is unknown, in order. */
  unknown: readonly [number, number][];
}

export interface ViewDisk {
  name: string;
  size: number;
  /** The replica, lent. */
  fd: number;
  /** A file of our own, where holes can be seen. */
  sparse: boolean;
  /** The file of the replica's checksums, if there is one. */
  sums: string | null;
}

/**
 * What keeps a view true while steps open and end. `counter` is one Int32 for the machine, odd while a step
 * is open. Who opens a step first posts the new plan of each open view on its port, then raises the counter,
 * and only then writes the replica; at the end of the step it posts `ended`, then raises the counter again.
 * So a view that has read from the replica and then finds the counter of its plan has read what its plan says
 * lies there. Nobody listens on the port: plans are taken from it in the midst of a read.
 */
export interface LiveFeed {
  counter: SharedArrayBuffer;
  port: MessagePort;
}

/**
 * What is posted on the port: a new plan, or the counter up to which the plan before it holds, and where the
 * cursor is now that the step has ended.
 */
export type PlanMessage = { plan: ViewPlan } | { ended: number; cursor?: number };

/** Everything that a view needs; files are lent by the thread that opened them. */
export interface ViewContent {
  mark: MachineMark;
  /** The UUID of the machine, 16 bytes. */
  machine: Uint8Array;
  lsn: number;
  disks: ViewDisk[];
  plan: ViewPlan;
  /** Null when nothing will change. */
  live: LiveFeed | null;
}

/** Records [fromLsn, toLsn] of a file that do not fit their checksums: bytes [start, end) of a disk. */
export interface DamagedRead {
  file: string;
  fd: number;
  fromLsn: number;
  toLsn: number;
  disk: number;
  start: number;
  end: number;
}

/** A view's content, with everything it needs held until `release`. */
export interface HeldContent {
  content: ViewContent;
  /** Goes into the `transferList` of what carries the content to its thread; posted once only. */
  transfer: MessagePort[];
  release(): void;
  /** To be told what its reader finds damaged. */
  damaged?(found: DamagedRead): void;
}
