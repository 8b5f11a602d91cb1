// Keeps what saving the undo of a step saw of the old content until the step is written.
import type { Files } from '../../../core/files/files.ts';
import { OldBlocks, StepCounter } from './step-counts.ts';
import type { StepJob } from '../undo/undo-step.ts';

interface SeenStep {
  from: number;
  to: number;
  old: OldBlocks;
}

/** By machine; one step of each is under way. A thread that ended has forgotten: that step says nothing. */
const seen = new WeakMap<Files, Map<string, SeenStep>>();

/** To be given to `rememberOld` when all of the step was seen. */
export const beginOld = (): OldBlocks => new OldBlocks();

export function rememberOld(files: Files, { machine, from, to }: StepJob, old: OldBlocks): void {
  const steps = seen.get(files) ?? new Map<string, SeenStep>();
  seen.set(files, steps);
  steps.set(keyOf(machine), { from, to, old });
}

/** Null where the old content is not known: nothing can be said of such a step. */
export function counterOf(files: Files, { machine, from, to }: StepJob): StepCounter | null {
  const step = seen.get(files)?.get(keyOf(machine));
  return step?.from === from && step.to === to ? new StepCounter(step.old) : null;
}

export function forgetOld(files: Files, { machine }: Pick<StepJob, 'machine'>): void {
  seen.get(files)?.delete(keyOf(machine));
}

const keyOf = (machine: Uint8Array): string => Buffer.from(machine).toString('hex');
