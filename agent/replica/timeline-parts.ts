// What the timeline of a machine is made of: where it reads, writes and remembers.
import type { Files } from '../../core/files/files.ts';
import type { Cursor } from './cursor.ts';
import type { UndoLog } from './undo/undo-log.ts';
import type {
  DamagedPlace,
  LentDisk,
  LentRedo,
  ReplicaWritten,
  StepWork,
  UndoNote,
} from './undo/undo-step.ts';

/** What steps need of a journal. */
export interface StepJournal {
  readonly generation: number;
  /** The segments that hold (from, to], held until `release`. */
  lend(from: number, to: number): { redo: LentRedo[]; release(): void };
  /** The cursor moves to `lsn`: what lies above it must be found in redo from now on. */
  cursorMoved(lsn: number): Promise<void>;
  /** Drops segments that end at or below `boundary`; gives back how many went. */
  prune(boundary: number): number;
}

export interface StepLedger {
  append(entry: StepEntry): void;
  /** The undo files that it says must be there. */
  expected?(): { readonly undo: ReadonlyMap<string, { file: string; from: number; to: number }> };
  /** What was appended is durable when it resolves. */
  settle(): Promise<void>;
}

export interface StepEntry {
  event: 'stepped' | 'rolled' | 'split' | 'merged' | 'pruned';
  file?: string;
  from: number;
  to: number;
  bytes?: number;
  hash?: string;
}

export interface TimelineParts {
  files: Files;
  work: StepWork;
  undo: UndoLog;
  journal: StepJournal;
  ledger: StepLedger;
  /** UUID, 16 bytes. */
  machine: Buffer;
  /** Absolute paths of the machine's directories. */
  undoDirectory: string;
  derived: string;
  disks(): LentDisk[];
  cursor(): Readonly<Cursor>;
  /**
   * Durable when it returns. When it throws the process goes on with the old one; the file may say
   * either.
   */
  moveCursor(change: Partial<Cursor>): void;
  /** A step is about to change the replica: every reader knows of it when this returns. */
  stepOpens(): void;
  /** The replica is whole again; so much was written to it. */
  stepEnded(written: ReplicaWritten): void;
  flushBytes: number;
  /** Sees whether damaged redo can be had again; true when some was, and the step is worth repeating. */
  mend?(damaged: readonly DamagedPlace[]): Promise<boolean>;
}

export interface StepPlan {
  note: UndoNote;
  /** False where no point below the end of the step is wanted any more. */
  keepUndo: boolean;
}

/** What is known of a boundary made inside a step; `nextTime` is the stamp of the record behind it. */
export type Middle = Pick<UndoNote, 'toTime' | 'tag' | 'point'> & { nextTime: number };

/** Carries out a part of a step, and again as long as damaged redo can be had again for it. */
export async function mending<T extends { damaged: readonly DamagedPlace[] }>(
  { mend }: Pick<TimelineParts, 'mend'>,
  run: () => Promise<T>,
): Promise<T> {
  for (;;) {
    const done = await run();
    if (done.damaged.length === 0 || (await mend?.(done.damaged)) !== true) return done;
  }
}
