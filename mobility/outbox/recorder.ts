// What capture and sync give their records to: numbered on the spot, sent by somebody else.
import type { RecordKind } from '../../core/record/record.ts';
import type { SyncBeginNote, TagNote } from '../../core/record/notes.ts';

export interface Change {
  kind: typeof RecordKind.write | typeof RecordKind.zero;
  flags: number;
  disk: number;
  /** Bytes. */
  offset: number;
  length: number;
  /** Data of a write, copied before `record` returns; null for a zero. */
  payload: Buffer | null;
}

export interface Recorder {
  /**
   * Numbers one change that the disk has completed and keeps it for sending. Synchronous. Null while nothing
   * is recorded (not protected, no room left): the caller then keeps the region dirty until a sync has taken
   * it.
   */
  record(change: Change): number | null;
  /** The same for a tag or an end of a sync. */
  tag(note: TagNote): { lsn: number; time: number } | null;
  /**
   * Begins a sync: generation + 1. Records are kept again from here on, if there is room and a protection.
   */
  syncBegin(note: SyncBeginNote): { lsn: number; time: number } | null;
  syncEnd(): { lsn: number; time: number } | null;
  /** Whether changes get numbers. Once it has ended only `syncBegin` begins it again. */
  readonly recording: boolean;
  /** True while a sync should hold back: much is waiting to be sent. */
  readonly crowded: boolean;
  /** The newest LSN given; what the process server has; what the master target has made durable. */
  readonly headLsn: number;
  readonly spooledLsn: number;
  readonly targetLsn: number;
  /**
   * Whether it is on disk up to where the master target was told to be: only then may a region leave the
   * dirty
   * map, or a process server and a master target that both go back would not be given it again.
   */
  keepTold(): boolean;
  /** Called whenever one of those two moves. */
  onProgress(listener: () => void): void;
}
