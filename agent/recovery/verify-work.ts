// One piece of a verification, wherever it is done: in a thread of its own, or where it is called.
import { readOnlyFiles } from './rescue-files.ts';
import { checkRedo, type RedoJob } from './verify-redo.ts';
import { checkReplica, type ReplicaJob } from './verify-replica.ts';
import { checkUndo, type UndoJob } from './verify-undo.ts';
import type { PieceResult } from './verify-finding.ts';

export type PieceJob = RedoJob | UndoJob | ReplicaJob;

/** Blocks its thread for `mostMs`, or a little longer: a redo segment is looked at as a whole. */
export function checkPiece(job: PieceJob, mostMs: number): PieceResult {
  const end = performance.now() + mostMs;
  const isTimeUp = (): boolean => performance.now() >= end;
  if (job.kind === 'redo') return checkRedo(job);
  if (job.kind === 'undo') return checkUndo(job, isTimeUp);
  return checkReplica(job, isTimeUp, readOnlyFiles);
}
