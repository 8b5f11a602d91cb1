// Which runs of neighbouring undo steps get one table together, and which tables cover steps with the fewest.
import type { UndoStep } from './undo-step.ts';

/** How many tables of about one size become one. */
export const nodeFanOut = 8;

/** Steps [from, to) of a list, which one table is about. */
export interface StepRun {
  from: number;
  to: number;
}

/** Whether there is a table of exactly the steps [from, to). */
export type HasTable = (from: number, to: number) => boolean;

/**
 * The runs that cover steps [from, to): each the longest that has a table, or one step. `starting` lists
 * where runs that may have tables end, by the LSN where they begin.
 */
export function coverSteps(
  steps: readonly UndoStep[],
  { from, to }: StepRun,
  starting: ReadonlyMap<number, ReadonlySet<number>>,
  has: HasTable,
): StepRun[] {
  const cover: StepRun[] = [];
  const indexOfEnd = new Map(steps.slice(from, to).map((step, at) => [step.to, from + at + 1]));
  for (let at = from; at < to;) {
    const first = steps[at]!;
    const ends = [...(starting.get(first.from) ?? [])]
      .map((end) => indexOfEnd.get(end) ?? 0)
      .filter((end) => end > at + 1 && isJoined(steps, at, end))
      .toSorted((a, b) => b - a);
    const end = ends.find((candidate) => has(at, candidate)) ?? at + 1;
    cover.push({ from: at, to: end });
    at = end;
  }
  return cover;
}

/**
 * Runs that should have a table of their own: neighbours in a cover, `nodeFanOut` at a time, that are of one
 * size to the power of that. No state is needed: what is there says what is missing, also when the oldest
 * have gone, and no look-up needs more than some `2 * nodeFanOut` tables of each size.
 */
export function wantedRuns(steps: readonly UndoStep[], cover: readonly StepRun[]): StepRun[] {
  const wanted: StepRun[] = [];
  let first = 0;
  cover.forEach((run, at) => {
    const begins = cover[first];
    const continues =
      begins !== undefined && sizeClass(begins) === sizeClass(run) && isJoined(steps, begins.from, run.to);
    if (!continues) first = at;
    if (at - first + 1 < nodeFanOut) return;
    wanted.push({ from: cover[first]!.from, to: run.to });
    first = at + 1;
  });
  return wanted;
}

function sizeClass({ from, to }: StepRun): number {
  // In whole numbers: the logarithm of 8 to the power of n is not always n.
  let count = to - from;
  let size = 0;
  while (count >= nodeFanOut) {
    count = Math.floor(count / nodeFanOut);
    size += 1;
  }
  return size;
}

function isJoined(steps: readonly UndoStep[], from: number, to: number): boolean {
  for (let at = from + 1; at < to; at++) if (steps[at]!.from !== steps[at - 1]!.to) return false;
  return true;
}
