// Which boundaries stay recovery points when the redo around them is gone, and why: pure.
import type { KeepRules, MarkRule } from '../../core/keep-rules.ts';
import { activeRules, liveUntil, markAtOrBefore } from './marks.ts';

/** A boundary, or what could become one. Times are microseconds. */
export interface Candidate {
  lsn: number;
  time: number;
  /** False inside a gap: it is never kept as a point. */
  point: boolean;
  tag: { name: string } | null;
}

/** Nothing at `lsn` goes before `until`. */
export interface HeldPoint {
  lsn: number;
  /** Microseconds. */
  until: number;
}

/** `window`: a tag within the window, where redo is gone for another reason than its age. */
export type KeepReason = 'locked' | 'tag' | 'window' | MarkRule;

export interface KeptPoint {
  lsn: number;
  time: number;
  tag: string | null;
  reasons: KeepReason[];
  /** When the last reason ends, as things are; microseconds. */
  until: number;
}

export interface KeepPolicy {
  rules: KeepRules;
  locks: readonly HeldPoint[];
  /** Tags younger than this stay without any rule. */
  windowMs: number;
  now: number;
}

/**
 * The candidates that are kept, in LSN order, which is the order of `candidates`, too.
 *
 * A rule keeps the last point at or before each of its marks that is not too old, however long before: what a
 * machine was at 14:00 it was made by its last write before, be that days ago.
 *
 * Of what lies within the window without redo, tags stay for that: somebody asked for those. Were all other
 * ends of steps kept, `--max-size` and a full volume would get no room.
 */
export function keptPoints(candidates: readonly Candidate[], policy: KeepPolicy): KeptPoint[] {
  const points = candidates.filter(({ point }) => point);
  const locks = lockEnds(policy);
  return points.flatMap((point, at) => {
    const nextTime = points[at + 1]?.time ?? policy.now + 1;
    const reasons = reasonsFor(point, nextTime, locks, policy);
    if (reasons.length === 0) return [];
    return {
      lsn: point.lsn,
      time: point.time,
      tag: point.tag?.name ?? null,
      reasons: reasons.map(([reason]) => reason),
      until: Math.max(...reasons.map(([, until]) => until)),
    };
  });
}

/** The window says nothing that the rule does not, where that is longer. */
function tagReasons(time: number, tagsMs: number, windowMs: number): [KeepReason, number][] {
  const byRule: [KeepReason, number][] = tagsMs > 0 ? [['tag', time + tagsMs * 1000]] : [];
  return windowMs > tagsMs ? [...byRule, ['window', time + windowMs * 1000]] : byRule;
}

/** The latest end of the locks that hold at each LSN. */
function lockEnds({ locks, now }: KeepPolicy): Map<number, number> {
  const ends = new Map<number, number>();
  for (const { lsn, until } of locks) if (until > now) ends.set(lsn, Math.max(until, ends.get(lsn) ?? 0));
  return ends;
}

function reasonsFor(
  { lsn, time, tag }: Candidate,
  nextTime: number,
  locks: ReadonlyMap<number, number>,
  { rules, windowMs, now }: KeepPolicy,
): [KeepReason, number][] {
  const reasons: [KeepReason, number][] = [];
  const locked = locks.get(lsn);
  if (locked !== undefined) reasons.push(['locked', locked]);
  const ofTag = tag === null ? [] : tagReasons(time, rules.tags ?? 0, windowMs);
  reasons.push(...ofTag.filter(([, until]) => until > now));
  for (const rule of activeRules(rules)) {
    // Of the marks that this is the last point before, the newest lives longest.
    const mark = markAtOrBefore(nextTime - 1, rule);
    const until = liveUntil(mark, rule, rules);
    if (mark >= time && until > now) reasons.push([rule, until]);
  }
  return reasons;
}
