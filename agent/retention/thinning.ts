// Which undo steps are merged and which dropped once their redo is gone: a pure function.
import { limits } from '../../core/limits.ts';
import type { KeptPoint } from './kept-points.ts';

/** A step (from, to] whose redo is gone. Times are microseconds. */
export interface ThinStep {
  from: number;
  to: number;
  toTime: number;
  bytes: number;
}

export interface ThinFacts {
  /** Oldest first; where one does not begin at the end of the one before, undo is lost. */
  steps: readonly ThinStep[];
  kept: readonly Pick<KeptPoint, 'lsn' | 'time' | 'reasons'>[];
  /** Points that would be kept if the undo that led to them were there. */
  lost?: readonly Pick<KeptPoint, 'lsn' | 'time' | 'reasons'>[];
  /** Boundaries that a view, a recovery or a sync needs. */
  needed: readonly number[];
  /** So much has to go for want of room, 0 for nothing: the oldest kept points are given up for it. */
  freeBytes: number;
  /** Points after this time are not given up. */
  floorTime: number;
  /** What merges may write before anything they replace is unlinked. */
  roomBytes: number;
  /** Nothing moves until something goes: then any two steps are worth a merge. */
  stuck?: boolean;
}

export interface ThinPlan {
  /** What ends here or below is dropped; the `from` of the oldest step when nothing is. */
  dropBelow: number;
  /** Runs (from, to] of at least two neighbouring steps, oldest first, each to become one step. */
  merges: { from: number; to: number }[];
  /** Kept points that go for want of room, oldest first. */
  givenUp: number[];
}

/**
 * Every boundary that is kept or needed stays the end of a step, and nothing above the least of them is
 * dropped. Without any of them all steps go.
 */
export function planThinning(facts: ThinFacts): ThinPlan {
  const { steps, needed, lost = [] } = facts;
  const kept = [...facts.kept, ...lost].toSorted((one, other) => one.lsn - other.lsn);
  const oldest = steps[0];
  const newest = steps.at(-1);
  if (oldest === undefined || newest === undefined) return { dropBelow: 0, merges: [], givenUp: [] };
  const givenUp = pointsToGiveUp({ ...facts, kept });
  const gone = new Set(givenUp);
  const wanted = new Set([...kept.map(({ lsn }) => lsn).filter((lsn) => !gone.has(lsn)), ...needed]);
  const missed = lost.map(({ lsn }) => lsn).filter((lsn) => !gone.has(lsn));
  const dropBelow = Math.min(firstWanted(steps, wanted), ...missed);
  const runs = runsBetween(
    steps.filter(({ from }) => from >= dropBelow),
    wanted,
  );
  const merges = runs.flatMap(({ run, closed }) =>
    mergesOf(run, closed || facts.freeBytes > 0, facts.roomBytes),
  );
  const isLeft = merges.length === 0 && facts.stuck === true;
  return { dropBelow, merges: isLeft ? smallestPair(runs, facts.roomBytes) : merges, givenUp };
}

function firstWanted(steps: readonly ThinStep[], wanted: ReadonlySet<number>): number {
  const ends = steps.flatMap(({ from, to }) => [from, to]);
  return ends.find((lsn) => wanted.has(lsn)) ?? steps.at(-1)?.to ?? 0;
}

/**
 * Steps between one wanted boundary and the next, or to where undo is lost: over that nothing is merged. The
 * last run is closed when it ends at a wanted one.
 */
function runsBetween(
  steps: readonly ThinStep[],
  wanted: ReadonlySet<number>,
): { run: ThinStep[]; closed: boolean }[] {
  const runs: { run: ThinStep[]; closed: boolean }[] = [];
  let run: ThinStep[] = [];
  for (const step of steps) {
    if (run.length > 0 && run.at(-1)?.to !== step.from) runs.push({ run, closed: true });
    run = run.at(-1)?.to === step.from ? run : [];
    run.push(step);
    if (!wanted.has(step.to)) continue;
    runs.push({ run, closed: true });
    run = [];
  }
  if (run.length > 0) runs.push({ run, closed: false });
  return runs;
}

/**
 * A run that still grows waits unless room is short, so that the steps of an hour are read once and not
 * again with each step that comes. A step that is larger than all others together stays as it is, and what
 * lies before and behind it becomes one each: so each merge at least doubles what it writes again, and no
 * byte is written often.
 */
function mergesOf(run: readonly ThinStep[], closed: boolean, roomBytes: number): ThinPlan['merges'] {
  if (run.length < 2 || (!closed && run.length < limits.thinOpenSteps)) return [];
  const total = run.reduce((sum, { bytes }) => sum + bytes, 0);
  const parts = Math.ceil(run.length / limits.thinSteps);
  if (parts > 1) {
    const size = Math.ceil(run.length / parts);
    const starts = Array.from({ length: Math.ceil(run.length / size) }, (_, at) => at * size);
    return starts.flatMap((at) => mergesOf(run.slice(at, at + size), true, roomBytes));
  }
  if (total > roomBytes) return fitting(run, roomBytes).flatMap((part) => mergesOf(part, true, roomBytes));
  const largest = run.reduce((most, { bytes }, at) => (bytes > (run[most]?.bytes ?? 0) ? at : most), 0);
  if ((run[largest]?.bytes ?? 0) > total / 2) {
    return [run.slice(0, largest), run.slice(largest + 1)].flatMap((part) => mergesOf(part, true, roomBytes));
  }
  const [first, last] = [run[0], run.at(-1)];
  return first === undefined || last === undefined ? [] : [{ from: first.from, to: last.to }];
}

/** Neighbours that fit together, each step in one part; one that does not fit is a part of its own. */
function fitting(run: readonly ThinStep[], roomBytes: number): ThinStep[][] {
  const parts: ThinStep[][] = [];
  let left = 0;
  for (const step of run) {
    if (step.bytes > left || parts.length === 0) {
      parts.push([]);
      left = roomBytes;
    }
    parts.at(-1)?.push(step);
    left -= step.bytes;
  }
  return parts;
}

/** The two neighbours that are least together, where they fit; however unequal they are. */
function smallestPair(runs: readonly { run: readonly ThinStep[] }[], roomBytes: number): ThinPlan['merges'] {
  const pairs = runs.flatMap(({ run }) =>
    run.slice(1).flatMap((step, at) => {
      const before = run[at];
      return before === undefined
        ? []
        : [{ from: before.from, to: step.to, bytes: before.bytes + step.bytes }];
    }),
  );
  const [least] = pairs.filter(({ bytes }) => bytes <= roomBytes).toSorted((a, b) => a.bytes - b.bytes);
  return least === undefined ? [] : [{ from: least.from, to: least.to }];
}

/** The oldest kept points, but those that are locked, needed or within the floor, until enough would go. */
function pointsToGiveUp({ steps, kept, needed, freeBytes, floorTime }: ThinFacts): number[] {
  const givenUp: number[] = [];
  const held = new Set(needed);
  const end = steps.at(-1)?.to ?? 0;
  let isOldest = !needed.some((lsn) => lsn <= (kept[0]?.lsn ?? 0));
  // What no rule keeps goes in any case.
  let freed = isOldest ? bytesBetween(steps, 0, Math.min(kept[0]?.lsn ?? end, end)) : 0;
  for (const [at, { lsn, time, reasons }] of kept.entries()) {
    if (freed >= freeBytes || time > floorTime || lsn >= end) break;
    if (reasons.includes('locked') || held.has(lsn)) {
      isOldest = false;
      continue;
    }
    givenUp.push(lsn);
    const bytes = bytesBetween(steps, lsn, kept[at + 1]?.lsn ?? end);
    // What is dropped goes whole; of two steps that become one, nobody knows before how much is in both.
    freed += isOldest ? bytes : Math.min(bytes, bytesBetween(steps, kept[at - 1]?.lsn ?? 0, lsn)) / 2;
  }
  return givenUp;
}

function bytesBetween(steps: readonly ThinStep[], from: number, to: number): number {
  return steps.reduce((sum, step) => (step.from >= from && step.to <= to ? sum + step.bytes : sum), 0);
}
