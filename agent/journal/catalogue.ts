// What a machine's journal says besides content: tags, gaps and lost records, in LSN order.
import type { Consistency } from '../../core/record/notes.ts';

export interface Tag {
  lsn: number;
  time: number;
  name: string;
  consistency: Consistency;
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

export class Catalogue {
  tags: Tag[] = [];
  gaps: Gap[] = [];
  lost: LostRecords[] = [];

  syncBegins(lsn: number, time: number, reason: string): void {
    const open = this.gaps.at(-1);
    if (open !== undefined && open.to === null) return; // a sync that begins again goes on with the same gap
    this.gaps.push({ from: lsn, to: null, reason, fromTime: time, toTime: null });
  }

  syncEnds(lsn: number, time: number): void {
    const open = this.gaps.at(-1);
    if (open === undefined || open.to !== null) return;
    open.to = lsn;
    open.toTime = time;
  }

  gapAt(lsn: number): Gap | null {
    return this.gaps.find((gap) => gap.from <= lsn && (gap.to === null || lsn < gap.to)) ?? null;
  }

  findTag(name: string): Tag | null {
    return this.tags.findLast((tag) => tag.name === name) ?? null;
  }

  /** Forgets what lies below the oldest point that can be shown. */
  forgetBelow(lsn: number): void {
    this.tags = this.tags.filter((tag) => tag.lsn >= lsn);
    this.gaps = this.gaps.filter((gap) => gap.to === null || gap.to > lsn);
    this.lost = this.lost.filter((lost) => lost.to > lsn);
  }
}
