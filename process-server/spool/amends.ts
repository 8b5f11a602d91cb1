// What a spool cannot give any more, and the syncs of the source that make up for it.
import type { SyncBeginNote } from '../../core/record/notes.ts';
import type { Jump } from './serving-plan.ts';
import type { SpoolState } from './spool-state.ts';

/** What the `sync-begin` says of what its sync copies. */
export type SyncScope = Pick<Required<SyncBeginNote>, 'full' | 'part' | 'checksums'>;

export interface AmendsOptions {
  /** Its parts that are named here are changed in place. */
  state: SpoolState;
  /** Something has changed that should be on disk before long. */
  changed(): void;
  /** Puts everything on disk that has changed. */
  save(): void;
  problem(text: string): void;
}

/**
 * Invariant: a source is never told a `target` at or above a lost record, so its dirty map keeps what was
 * lost.
 */
export class Amends {
  readonly #options: AmendsOptions;
  readonly #state: SpoolState;
  /** What the master target had when the begin of a sync was sent to it. */
  readonly #sentBehind = new Map<number, number>();

  constructor(options: AmendsOptions) {
    this.#options = options;
    this.#state = options.state;
  }

  get jumps(): readonly Jump[] {
    return this.#state.jumps;
  }
  get lost(): readonly { from: number; to: number; reason: string }[] {
    return this.#state.lost;
  }
  /** A sync that the source is to begin, or null. */
  get resync(): { reason: string; full: boolean } | null {
    return this.#state.resync;
  }
  /** The highest `target` that a source was told: its dirty map has nothing older. */
  get told(): number {
    return this.#state.told;
  }

  /** What a source may be told of `target`, and is told now. */
  tell(target: number): number {
    const firstLost = this.#state.lost.reduce((least, { from }) => Math.min(least, from), Infinity);
    const tells = Math.min(target, firstLost - 1);
    this.noteTold(tells);
    return tells;
  }

  noteTold(target: number): void {
    if (target <= this.told) return;
    this.#state.told = target;
    this.#options.changed();
  }

  /**
   * A sync is wanted of the source until one begins; without `keep`, or until a master target comes that
   * can do without. On disk when this returns.
   */
  wantResync(reason: string, full: boolean, keep = false): void {
    const { resync } = this.#state;
    const { changed, problem, save } = this.#options;
    if (resync === null || (full && !resync.full) || (keep && !resync.keep)) {
      const before = resync ?? { full: false, keep: false };
      this.#state.resync = { reason, full: full || before.full, keep: keep || before.keep };
      changed();
      problem(`a ${full ? 'full ' : ''}resync is needed: ${reason}`);
    }
    save();
  }

  /** A master target begins anew: what it misses shows by itself. */
  targetBegins(): void {
    if (this.#state.resync === null || this.#state.resync.keep) return;
    this.#state.resync = null;
    this.#options.changed();
  }

  /**
   * A sync has begun at `lsn`. It makes up for everything after `told`, one of all for all, one of a part for
   * nothing. A crash that forgets this costs one more sync.
   */
  syncBegan(lsn: number, scope: SyncScope): void {
    const { full: isFull, part, checksums } = scope;
    if (part) return;
    const { resync } = this.#state;
    this.#state.jumps.push({ lsn, covers: isFull ? 0 : this.told, ...(checksums && { base: null }) });
    if (resync !== null && (isFull || !resync.full)) this.#state.resync = null;
    this.#state.lost = this.#state.lost.filter(({ to }) => to > lsn);
    this.#options.changed();
  }

  /** The record `lsn` goes to a master target that has everything up to `position`. */
  sent(lsn: number, position: number): void {
    if (this.jumps.some((jump) => jump.lsn === lsn)) this.#sentBehind.set(lsn, position);
  }

  /**
   * A master target that had everything up to `from` has it up to `to`. The source compares with what is
   * there: what was the same is not in the records of its sync, which is of no use to whoever has less than
   * that. On disk when this returns, so that the source may be told then.
   */
  reached(from: number, to: number): void {
    const begun = this.#state.jumps.filter(({ lsn }) => from < lsn && lsn <= to);
    for (const jump of begun)
      jump.covers = Math.max(jump.covers, this.#sentBehind.get(jump.lsn) ?? jump.lsn - 1);
    if (begun.length === 0) return;
    this.#options.changed();
    this.#options.save();
  }

  /**
   * Whether a sync that is here already makes up for what the record `lsn` has lost: it began behind it, when
   * no `target` from there on had been told. The source would not begin another for that.
   */
  isMadeUpFor(lsn: number): boolean {
    // Once it may have compared, it may have found nothing missing at a master target that had the record.
    const isOpen = (jump: Jump): boolean => jump.base === undefined || this.told < jump.lsn;
    return this.jumps.some((jump) => jump.lsn > lsn && jump.covers < lsn && isOpen(jump));
  }

  /**
   * A record goes to the master target without its content; true when that is news. On disk when this
   * returns, so that it may be passed on then.
   */
  noteLost(lsn: number, reason: string): boolean {
    const { lost } = this.#state;
    const isNew = !lost.some(({ from, to }) => from <= lsn && lsn <= to);
    if (isNew) {
      const before = lost.find(({ to }) => to === lsn - 1);
      if (before === undefined) lost.push({ from: lsn, to: lsn, reason });
      else before.to = lsn;
      this.#options.changed();
      this.#options.problem(`record ${lsn} is lost: ${reason}`);
    }
    this.#options.save();
    return isNew;
  }

  /** The records [from, to] go to a master target that has everything up to `position`. */
  given(position: number, from: number, to: number): void {
    for (const jump of this.#state.jumps) {
      if (jump.base !== null || jump.lsn < from || jump.lsn > to) continue;
      jump.base = jump.lsn === from ? position : jump.lsn - 1;
      this.#options.changed();
    }
  }

  /** Syncs at or below `lsn` are gone. */
  pruned(lsn: number): void {
    this.#state.jumps = this.#state.jumps.filter((jump) => jump.lsn > lsn);
    for (const sent of this.#sentBehind.keys()) if (sent <= lsn) this.#sentBehind.delete(sent);
  }
}
