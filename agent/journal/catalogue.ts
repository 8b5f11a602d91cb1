// What a machine's journal says besides content: tags, gaps and lost records, in LSN order.
import { limits } from '../../core/limits.ts';
import type { TagNote } from '../../core/record/notes.ts';

export interface Tag extends TagNote {
  lsn: number;
  time: number;
}

/** No recovery point lies in [from, to); `to` is null while the sync goes on. Times are microseconds. */
export interface Gap {
  from: number;
  to: number | null;
  reason: string;
  fromTime: number;
  toTime: number | null;
}

/** Records [from, to] that were durable and cannot be read any more. */
export interface LostRecords {
  from: number;
  to: number;
  file: string;
  start: number;
  end: number;
}

/** Records of [fromLsn, toLsn] whose content does not fit its checksum; what they hold, where it is known. */
export interface DamagedPlace {
  file: string;
  fromLsn: number;
  toLsn: number;
  /** The disk's name, and bytes [start, end) of it. */
  disk: string | null;
  start: number | null;
  end: number | null;
}

/** A `sync-begin` whose `sync-end` has not come. */
export interface OpenSync {
  lsn: number;
  /** The LSN of the record before it. */
  before: number;
  /** The source compares with the state at `before`, which must therefore stay within reach. */
  checksums: boolean;
  /** It does not bring all that may be missing: what is unknown may stay so. */
  part?: boolean;
}

/** What is known of one place of a record says enough of it; those of a replica are many. */
function overlap(known: DamagedPlace, place: DamagedPlace): boolean {
  if (known.disk === null || place.disk === null) return known.disk === place.disk;
  const { start, end } = place;
  return (
    known.disk === place.disk &&
    (known.start ?? 0) < (end ?? Infinity) &&
    (start ?? 0) < (known.end ?? Infinity)
  );
}

export class Catalogue {
  tags: Tag[] = [];
  gaps: Gap[] = [];
  lost: LostRecords[] = [];
  /** LSNs of `unknown` records that no sync has followed. */
  unknown: number[] = [];
  /** Found since the start by whoever read it; bounded. */
  damaged: DamagedPlace[] = [];
  /** Told of each such place once. */
  hearsDamage: ((place: DamagedPlace) => void) | null = null;

  /** The newest sync, while it goes on. */
  sync: OpenSync | null = null;

  /** LSNs that were skipped are no points either: the gap begins behind the record before. */
  syncBegins(begin: OpenSync & { time: number; reason: string }): void {
    const { lsn, before, checksums, part = false, time, reason } = begin;
    this.sync = { lsn, before, checksums, ...(part && { part }) };
    const open = this.gaps.at(-1);
    if (open !== undefined && open.to === null) return; // a sync that begins again goes on with the same gap
    this.gaps.push({ from: before + 1, to: null, reason, fromTime: time, toTime: null });
  }

  /** A sync has been found that was not known; `end` is null while it goes on, or was followed by others. */
  syncWas(
    begin: OpenSync & { time: number; reason: string },
    end: { lsn: number; time: number } | null,
  ): void {
    const { lsn, before, checksums, part = false, time: fromTime, reason } = begin;
    const isNewest = this.sync === null || this.sync.lsn < lsn;
    if (end === null && isNewest) this.sync = { lsn, before, checksums, ...(part && { part }) };
    if (this.gapAt(lsn) !== null) return; // it went on with a gap that was there
    const { lsn: to, time: toTime } = end ?? { lsn: null, time: null };
    const others = this.gaps.filter((gap) => gap.from < lsn || (to !== null && gap.from >= to));
    this.gaps = [...others, { from: before + 1, to, reason, fromTime, toTime }];
    this.gaps.sort((one, other) => one.from - other.from);
  }

  syncEnds(lsn: number, time: number): void {
    if (this.sync?.part !== true) this.unknown = [];
    this.sync = null;
    const open = this.gaps.at(-1);
    if (open === undefined || open.to !== null) return;
    open.to = lsn;
    open.toTime = time;
  }

  /** The gap that has no end yet, or null. */
  get openGap(): Gap | null {
    const last = this.gaps.at(-1);
    return last === undefined || last.to !== null ? null : last;
  }

  /** A gap is open whose begin is not in redo any more. */
  gapWasOpen(gap: { from: number; time: number; reason: string }): void {
    this.gaps.push({ from: gap.from, to: null, reason: gap.reason, fromTime: gap.time, toTime: null });
  }

  /** False when it was known, or lies beyond what is remembered. */
  noteDamage(place: DamagedPlace): boolean {
    const isKnown = this.damaged.some(
      (known) => known.file === place.file && known.fromLsn === place.fromLsn && overlap(known, place),
    );
    if (isKnown || this.damaged.length >= limits.damagedPlaces) return false;
    this.damaged.push(place);
    this.hearsDamage?.(place);
    return true;
  }

  /** Everything was read: what is remembered and was not found again is gone. */
  keepDamage(found: readonly { file: string; fromLsn: number }[]): void {
    this.damaged = this.damaged.filter((place) =>
      found.some(({ file, fromLsn }) => file === place.file && fromLsn === place.fromLsn),
    );
  }

  gapAt(lsn: number): Gap | null {
    return this.gaps.find((gap) => gap.from <= lsn && (gap.to === null || lsn < gap.to)) ?? null;
  }

  /** One that may be known, or older than others that are. */
  enterTag(tag: Tag): void {
    if (this.tags.some(({ lsn }) => lsn === tag.lsn)) return;
    this.tags.push(tag);
    this.tags.sort((one, other) => one.lsn - other.lsn);
  }

  tagAt(lsn: number): TagNote | null {
    const tag = this.tags.find((one) => one.lsn === lsn);
    return tag === undefined ? null : { name: tag.name, consistency: tag.consistency };
  }

  findTag(name: string): Tag | null {
    return this.tags.findLast((tag) => tag.name === name) ?? null;
  }

  /** Forgets what lies below the redo that is kept; what is still known of older points, undo knows. */
  forgetBelow(lsn: number): void {
    this.tags = this.tags.filter((tag) => tag.lsn >= lsn);
    this.gaps = this.gaps.filter((gap) => gap.to === null || gap.to > lsn);
    this.lost = this.lost.filter((lost) => lost.to > lsn);
    this.damaged = this.damaged.filter(({ toLsn }) => toLsn > lsn);
  }
}
