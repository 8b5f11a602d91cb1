// Up to which boundary redo may go, and where steps are split before: a pure function.
import type { KeepRules } from '../../core/keep-rules.ts';
import type { HeldPoint } from './kept-points.ts';
import { activeRules, marksIn } from './marks.ts';
import { ageMs } from './policy.ts';

export interface PruneFacts {
  /** Sealed segments that hold redo, oldest first; times in microseconds. */
  segments: readonly {
    firstLsn: number;
    lastLsn: number;
    lastTime: number;
    lastArrival: number;
    bytes: number;
  }[];
  /** The segment that still takes records: it does not go, but a boundary inside it lets those before go. */
  newest?: { lastLsn: number; lastTime: number; lastArrival: number };
  /** Ends of steps, `prunedLsn` and the cursor among them, in order. */
  boundaries: readonly { lsn: number; time: number }[];
  /** Redo up to here may be gone already. */
  prunedLsn: number;
  /** The cursor, or the pin that it goes back to. */
  cursorLsn: number;
  /** Redo and undo of the machine on the volume, as thinning has left it. */
  bytes: number;
  /** The least LSN that can ever be shown; null while the first copy is under way. */
  firstPoint: number | null;
  /** LSNs that open views and recoveries show, and that a sync compares with; in any order. */
  shown: readonly number[];
  gaps: readonly { from: number; to: number | null }[];
  tags: readonly { lsn: number; time: number }[];
  /** The newest record that is stamped at or before a time. */
  lsnAtTime(time: number): number;
}

export interface PrunePolicy {
  windowMs: number;
  /** 0 is no bound. */
  maxBytes: number;
  floorMs: number;
  keep: KeepRules;
}

export interface PruneDemand {
  locks: readonly HeldPoint[];
  /** So much has to go for want of room on the volume, down to the floor; 0 for nothing. */
  freeBytes: number;
  /** Microseconds. */
  now: number;
}

export interface PrunePlan {
  /** A boundary, at the most the cursor; `prunedLsn` when nothing goes. */
  to: number;
  /** In order: points in (prunedLsn, to] that are kept and no boundary yet. */
  splits: number[];
}

/** Nothing goes unless a whole segment does: a boundary that frees no file would only cost points. */
export function planPrune(facts: PruneFacts, policy: PrunePolicy, demand: PruneDemand): PrunePlan {
  const to = boundaryToPrune(facts, policy, demand);
  return { to, splits: to > facts.prunedLsn ? splitsBefore(facts, policy, demand, to) : [] };
}

function boundaryToPrune(facts: PruneFacts, policy: PrunePolicy, demand: PruneDemand): number {
  const { boundaries, segments, prunedLsn, cursorLsn } = facts;
  const bound = Math.min(unwantedUpTo(facts, policy, demand), cursorLsn, ...needingRedo(facts));
  const most = boundaries.findLast(({ lsn }) => lsn <= bound)?.lsn ?? prunedLsn;
  const freed = segments.findLast(({ lastLsn }) => lastLsn > prunedLsn && lastLsn <= most);
  if (freed === undefined) return prunedLsn;
  return boundaries.find(({ lsn }) => lsn >= freed.lastLsn)?.lsn ?? prunedLsn;
}

/** A moment that is a boundary is shown without redo; any other needs that from the boundary before. */
function needingRedo({ shown, boundaries, prunedLsn }: PruneFacts): number[] {
  const ends = new Set(boundaries.map(({ lsn }) => lsn));
  return shown.filter((lsn) => lsn > prunedLsn && !ends.has(lsn));
}

/** The end of the newest segment whose records nobody wants, nor those before; `prunedLsn` for none. */
function unwantedUpTo(facts: PruneFacts, policy: PrunePolicy, demand: PruneDemand): number {
  let { bytes } = facts;
  let { freeBytes } = demand;
  let upTo = facts.prunedLsn;
  const newest = facts.newest === undefined ? [] : [{ ...facts.newest, bytes: 0 }];
  for (const segment of [...facts.segments, ...newest]) {
    if (segment.lastLsn <= upTo) continue;
    const age = ageMs(segment, demand.now);
    const isUnwanted =
      !hasPoints(facts, upTo, segment.lastLsn) ||
      age > policy.windowMs ||
      (policy.maxBytes > 0 && bytes > policy.maxBytes) ||
      (freeBytes > 0 && age > policy.floorMs);
    if (!isUnwanted) break;
    bytes -= segment.bytes;
    freeBytes -= segment.bytes;
    upTo = segment.lastLsn;
  }
  return upTo;
}

/**
 * Whether a point lies in (from, to]. Redo without any is not kept once it is applied, but only from the old
 * end: there is one line between what has redo and what has not.
 */
function hasPoints({ firstPoint, gaps }: PruneFacts, from: number, to: number): boolean {
  if (firstPoint === null || to <= firstPoint) return false;
  return !gaps.some((gap) => gap.from <= from + 1 && (gap.to === null || to < gap.to));
}

function splitsBefore(
  facts: PruneFacts,
  { keep, windowMs }: PrunePolicy,
  { locks, now }: PruneDemand,
  to: number,
): number[] {
  const { boundaries, prunedLsn, firstPoint } = facts;
  const tagsMs = Math.max(keep.tags ?? 0, windowMs);
  const ends = new Set(boundaries.map(({ lsn }) => lsn));
  const [from, last] = [prunedLsn, to].map((end) => boundaries.find(({ lsn }) => lsn === end));
  const marks = from && last ? marksIn(from.time, last.time, keep, now) : [];
  const kept = [
    ...locks.filter(({ until }) => until > now).map(({ lsn }) => lsn),
    ...facts.tags.filter(({ time }) => time + tagsMs * 1000 > now).map(({ lsn }) => lsn),
    ...marks.map((mark) => lastPointUpTo(facts, facts.lsnAtTime(mark))),
    // The point before a gap stands for the marks in it, which may lie behind `to`.
    ...(activeRules(keep).length > 0 ? [lastPointUpTo(facts, to)] : []),
  ];
  const inside = kept.filter((lsn) => lsn > prunedLsn && lsn < to && lsn >= (firstPoint ?? Infinity));
  return [...new Set(inside)].filter((lsn) => !ends.has(lsn)).sort((one, other) => one - other);
}

/** The point before the gap, when `lsn` lies in one. */
function lastPointUpTo({ gaps }: PruneFacts, lsn: number): number {
  const gap = gaps.find(({ from, to }) => from <= lsn && (to === null || lsn < to));
  return gap === undefined ? lsn : gap.from - 1;
}
