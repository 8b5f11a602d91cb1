// Which moments a machine can show: every LSN of the dense window, and the boundaries that are kept below it.
import type { TagNote } from '../../core/record/notes.ts';
import type { Tag } from '../journal/catalogue.ts';
import type { Cursor } from './cursor.ts';
import type { UndoStep } from './undo/undo-step.ts';

export interface Boundary {
  lsn: number;
  /** Microseconds. */
  time: number;
  /** The stamp of the first record behind it, or just behind its own where that is not known. */
  untilTime: number;
  tag: TagNote | null;
  point: boolean;
}

export interface PointFacts {
  cursor: Readonly<Cursor>;
  /** Oldest first; they join. */
  steps: readonly UndoStep[];
  gapAt(lsn: number): { to: number | null } | null;
}

/** The boundaries below the cursor, oldest first. */
export function boundariesOf(steps: readonly UndoStep[]): Boundary[] {
  return steps.map((step, index) => {
    const before = steps[index - 1];
    const joins = before !== undefined && before.to === step.from;
    return {
      lsn: step.from,
      time: step.fromTime,
      untilTime: step.firstTime ?? step.fromTime + 1,
      tag: joins ? before.tag : (step.fromTag ?? null),
      point: joins ? before.point : (step.fromPoint ?? true),
    };
  });
}

/**
 * Tags at boundaries of the dense window. Where redo begins, the tag's own record is pruned with what lies
 * before, and none of `steps` need lead to it any more.
 */
export function boundaryTags(
  steps: readonly UndoStep[],
  { lsn, time, pruned, tag }: Readonly<Cursor>,
): Tag[] {
  const ends = [...boundariesOf(steps), { lsn, time, tag }];
  return ends.flatMap((end) =>
    end.tag === null || end.lsn < pruned ? [] : [{ lsn: end.lsn, time: end.time, ...end.tag }],
  );
}

/** Where the dense window begins; null while there is no point. */
export function denseFrom({ cursor, steps, gapAt }: PointFacts): number | null {
  const { firstPoint, lsn, stepTo, pruned } = cursor;
  if (firstPoint === null) return null;
  const boundary = steps.find((step) => step.from >= pruned)?.from ?? lsn;
  const base = Math.max(firstPoint, Math.min(boundary, lsn), stepTo ?? 0);
  return gapAt(base)?.to ?? base;
}

/** The points below the dense window, oldest first. */
export function keptBelow(facts: PointFacts): Boundary[] {
  const { cursor, steps } = facts;
  const dense = denseFrom(facts);
  const first = cursor.firstPoint;
  if (dense === null || first === null || cursor.stepTo !== null) return [];
  return boundariesOf(steps).filter(
    ({ lsn, point }) => point && lsn >= first && lsn < dense && lsn < cursor.pruned,
  );
}
