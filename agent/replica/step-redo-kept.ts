// Keeps what the redo of a step consists of between saving its undo and writing it.
import type { Files } from '../../core/files/files.ts';
import { readStepRedo, type RedoRun, type StepRedo } from './step-redo.ts';

interface Kept extends RedoRun {
  found: StepRedo;
}

/** That of one step: who saves undo goes on with writing that step. A thread that ended has forgotten. */
const kept = new WeakMap<Files, Kept>();

/** To be given when the undo is whole. */
export function keepStepRedo(files: Files, { machine, from, to, redo }: RedoRun, found: StepRedo): void {
  kept.set(files, { machine, from, to, redo, found });
}

/**
 * What was kept of this step, else read anew; nothing is kept any more. All of it was durable before the step
 * began, so it does not change; every record is checked when its content is read.
 */
export async function takeStepRedo(files: Files, run: RedoRun): Promise<StepRedo> {
  const last = kept.get(files);
  kept.delete(files);
  return last !== undefined && isSame(last, run) ? last.found : await readStepRedo(files, run);
}

function isSame(last: RedoRun, run: RedoRun): boolean {
  if (last.from !== run.from || last.to !== run.to || last.redo.length !== run.redo.length) return false;
  if (Buffer.compare(last.machine, run.machine) !== 0) return false;
  return last.redo.every(({ fd, path, firstLsn, precededBy }, at) => {
    const other = run.redo[at]!;
    // One that was healed meanwhile is another file of the same name.
    if (fd !== other.fd || path !== other.path) return false;
    return firstLsn === other.firstLsn && precededBy === other.precededBy;
  });
}
