// Points whose undo has gone without us, judged as if they were there: pure.
import { keptPoints, type Candidate, type KeepPolicy, type KeptPoint } from './kept-points.ts';
import type { Boundary } from '../replica/points.ts';
import type { UndoStep } from '../replica/undo/undo-step.ts';

/** Of (from, to]. */
interface Interval {
  from: number;
  to: number;
}

type KnownStep = Pick<UndoStep, 'from' | 'to' | 'toTime' | 'tag' | 'point'>;

export interface LostFacts {
  /** Undo that the ledger says must be there. */
  expected: Iterable<Interval>;
  /** Oldest first; they do not overlap. */
  steps: readonly KnownStep[];
  /** Where steps begin, and the cursor; oldest first. */
  boundaries: readonly Pick<Boundary, 'lsn' | 'time'>[];
  /** Redo is gone up to here: what undo above it led to can still be had. */
  pruned: number;
  /** Whether it can have been a point, as far as is known. */
  isPoint(lsn: number): boolean;
}

/**
 * What a lost file led to is missed for as long as a rule or a lock may want it, and so are the files behind
 * it, with which it could be put back. Its time and tag are known only where older undo ends there: else it
 * counts as a tag of the latest time that it can have had, and as the last point before each mark from the
 * earliest on.
 */
export function lostPoints(facts: LostFacts, policy: KeepPolicy): KeptPoint[] {
  const lost = [...facts.expected].filter(({ to }) => to <= facts.pruned).filter(isLost(facts.steps));
  const lsns = [...new Set(lost.map(({ from }) => from))].toSorted((a, b) => a - b);
  return lsns.filter((lsn) => facts.isPoint(lsn)).flatMap((lsn) => judge(lsn, facts, policy) ?? []);
}

function isLost(steps: readonly Interval[]): (file: Interval) => boolean {
  return ({ from, to }) => {
    const covered = steps.map((step) => Math.min(step.to, to) - Math.max(step.from, from));
    return covered.reduce((sum, one) => sum + Math.max(0, one), 0) < to - from;
  };
}

function judge(lsn: number, { steps, boundaries, pruned }: LostFacts, policy: KeepPolicy): KeptPoint | null {
  const next = boundaries.find((boundary) => boundary.lsn > lsn) ?? { lsn: pruned + 1, time: policy.now };
  const before = steps.find(({ to }) => to === lsn);
  if (before !== undefined) {
    const { toTime: time, tag, point } = before;
    return kept({ lsn, time, tag, point }, next, policy);
  }
  const unknown = { lsn, point: true };
  const earliest = boundaries.findLast((boundary) => boundary.lsn < lsn)?.time ?? 0;
  const late = kept({ ...unknown, time: next.time, tag: { name: '' } }, next, policy);
  const early = kept({ ...unknown, time: earliest, tag: null }, next, policy);
  if (late === null || early === null) return tagless(late) ?? early;
  const reasons = [...new Set([...late.reasons, ...early.reasons])];
  return { ...late, tag: null, reasons, until: Math.max(late.until, early.until) };
}

function kept(one: Candidate, next: Pick<Boundary, 'lsn' | 'time'>, policy: KeepPolicy): KeptPoint | null {
  const behind = { lsn: next.lsn, time: next.time, point: true, tag: null };
  return keptPoints([one, behind], policy).find(({ lsn }) => lsn === one.lsn) ?? null;
}

const tagless = (point: KeptPoint | null): KeptPoint | null =>
  point === null ? null : { ...point, tag: null };
