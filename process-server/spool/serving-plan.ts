// What a master target is given next: what follows, a sync that makes up for what is missing, or nothing yet.

/**
 * A `sync-begin` in the spool. Its sync copies all that was written after LSN `covers`, so whoever has
 * everything up to there may go on with it, whatever lies between; 0: it copies everything.
 */
export interface Jump {
  lsn: number;
  covers: number;
  /**
   * Its sync sends only what differs from what the master target had that was given it first: everything up
   * to here. Null: none was yet, so whoever is will be compared with. Left out: it sends all that it copies.
   */
  base?: number | null;
}

/**
 * Whether the sync compares with the state of a master target that has everything up to `have`. Nothing at
 * all says nothing: it may have begun with a seed, and with another one than before.
 */
function fits({ lsn, base }: Jump, have: number, told: number): boolean {
  if (base === undefined || base === null) return true;
  return have === 0 ? told < lsn : have === base;
}

export interface ServingPlace {
  /** What the master target has: everything up to here. */
  position: number;
  /** The first LSN that can be read; `spooled` + 1 when there is none. */
  oldest: number;
  spooled: number;
  jumps: readonly Jump[];
  /** The highest LSN that a source was told to be at the master target: its dirty map has no older writes. */
  told: number;
}

export type ServingPlan =
  /** Records from `from` on. */
  | { kind: 'serve'; from: number }
  /** Nothing is newer than what it has. */
  | { kind: 'idle' }
  /** A new sync is needed, of the dirty map or of everything. */
  | { kind: 'resync'; full: boolean };

export function planServing(place: ServingPlace): ServingPlan {
  const { position, oldest, spooled, jumps, told } = place;
  if (position >= spooled) return { kind: 'idle' };
  const first = jumps.find(({ lsn }) => lsn === position + 1);
  if (position === 0 && first !== undefined && !fits(first, 0, told)) return planAround(place, 1, 1);
  if (position + 1 >= oldest) return { kind: 'serve', from: position + 1 };
  return planAround(place, position + 1, oldest - 1);
}

/** The same when the records [from, to] cannot be had; everything before `from` has been given. */
export function planAround(place: ServingPlace, from: number, to: number): ServingPlan {
  const have = from - 1;
  const { jumps, oldest, told } = place;
  const jump = jumps.find(
    (each) => each.lsn > to && each.lsn >= oldest && each.covers <= have && fits(each, have, told),
  );
  if (jump !== undefined) return { kind: 'serve', from: jump.lsn };
  return { kind: 'resync', full: have < told };
}

/** Whether a master target that has everything up to `position` may go on with the record `lsn`. */
export function mayFollow(
  { jumps, told }: Pick<ServingPlace, 'jumps' | 'told'>,
  position: number,
  lsn: number,
): boolean {
  if (lsn === position + 1) return true;
  return jumps.some((jump) => jump.lsn === lsn && jump.covers <= position && fits(jump, position, told));
}
