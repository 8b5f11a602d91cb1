// What a segment log is given, and whom it tells.
import type { Clock } from '../clock.ts';
import type { Files } from '../files/files.ts';
import type { Log } from '../log.ts';
import type { RecoveryVisitor } from './recover.ts';
import type { Segment } from './segment.ts';

export interface SegmentLogOptions {
  files: Files;
  clock: Clock;
  log: Log;
  /** Absolute path of an existing directory that is this log's alone. */
  directory: string;
  /** UUID, 16 bytes. */
  machine: Buffer;
  segmentBytes: number;
  /** Space on the volume that further segments leave free; none when left out. */
  reserveBytes?: number | (() => number);
  syncBytes: number;
  syncIntervalMs: number;
  /** Nobody needs records up to here any more; and what is known durable from elsewhere. */
  appliedLsn: number;
  durableLsn: number;
  visitor: RecoveryVisitor;
  events: SegmentLogEvents;
}

export interface SegmentLogEvents {
  /** A segment is complete; the next records go to another. */
  sealed(segment: Segment): void;
  /**
   * Unacknowledged records moved to other files after a failed sync: all positions above `durableLsn` are
   * void. All segments are complete but `current`, which is the last of them, or null when there is none to
   * write to.
   */
  relocated(current: Segment | null): void;
  /** The log takes records again after it had failed, or stopped taking them. */
  stateChanged(): void;
}
