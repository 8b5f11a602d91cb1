// How much redo a machine keeps: a pure function from what there is to the LSN below which no point is
// wanted.

export interface RedoFacts {
  /** Sealed segments that hold redo, oldest first; times in microseconds. */
  sealed: readonly { lastLsn: number; lastTime: number; lastArrival: number; bytes: number }[];
  /** Bytes of all segments, the one being written included. */
  bytes: number;
  cursorLsn: number;
  durableLsn: number;
  /** The least LSN that can ever be shown; null while the first copy is under way. */
  firstPoint: number | null;
  /** The least LSN that an open view shows, or null. */
  leastShownLsn: number | null;
}

export interface RetentionPolicy {
  windowMs: number;
  /** 0 is no bound. */
  windowMaxBytes: number;
}

/**
 * The LSN up to which redo may be applied and pruned; the cursor's when there is nothing to do. `now` is in
 * microseconds.
 */
export function unwantedUpTo(facts: RedoFacts, policy: RetentionPolicy, now: number): number {
  const bound = Math.min(facts.durableLsn, facts.leastShownLsn ?? Infinity);
  let target = facts.cursorLsn;
  let bytes = facts.bytes;
  for (const segment of facts.sealed) {
    if (segment.lastLsn > bound || !isUnwanted(segment, bytes, facts, policy, now)) break;
    bytes -= segment.bytes;
    target = Math.max(target, segment.lastLsn);
  }
  return target;
}

function isUnwanted(
  segment: RedoFacts['sealed'][number],
  bytes: number,
  facts: RedoFacts,
  policy: RetentionPolicy,
  now: number,
): boolean {
  // A first copy has no points inside, so its redo is only kept until it is applied.
  if (facts.firstPoint === null || segment.lastLsn <= facts.firstPoint) return true;
  if (ageMs(segment, now) > policy.windowMs) return true;
  return policy.windowMaxBytes > 0 && bytes > policy.windowMaxBytes;
}

/**
 * How old what is newest in a segment is. The stamps are the source's, whose clock may be far behind: what
 * has just come is not old; or far ahead: then they say nothing, and would keep everything for ever.
 */
export function ageMs(
  { lastTime, lastArrival }: { lastTime: number; lastArrival: number },
  now: number,
): number {
  const isAhead = lastTime > now && lastArrival > 0;
  return (now - (isAhead ? lastArrival : Math.max(lastTime, lastArrival))) / 1000;
}

/** What is known of syncs, for `outsideGaps`. */
export interface GapFacts {
  cursorLsn: number;
  firstPoint: number | null;
  /** No step may end above this. */
  bound: number;
  gaps: readonly { from: number; to: number | null }[];
  /** The sync that goes on, or null. */
  sync: { before: number; checksums: boolean } | null;
}

/**
 * `target` moved so that the cursor does not rest inside a gap, where no point is: to its end when that
 * can be reached, else before it. So the newest point stays while a sync goes on, and with it the state
 * that the source compares with.
 */
export function outsideGaps(target: number, facts: GapFacts): number {
  const { cursorLsn, firstPoint, bound, gaps, sync } = facts;
  const most = sync?.checksums === true ? Math.min(target, sync.before) : target;
  const gap = gaps.find(({ from, to }) => from <= most && (to === null || most < to));
  const isFirstCopy = gap !== undefined && (firstPoint === null || gap.from <= firstPoint);
  if (gap === undefined || isFirstCopy) return Math.max(most, cursorLsn);
  if (gap.to !== null && gap.to <= bound) return gap.to;
  // A crash in the middle of a gap left the cursor there: it goes on as far as it may.
  return cursorLsn >= gap.from ? most : Math.max(gap.from - 1, cursorLsn);
}
