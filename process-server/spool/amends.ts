// What a spool cannot give any more, and the syncs of the source that make up for it.
import type { Jump } from './serving-plan.ts';
import type { SpoolState } from './spool-state.ts';

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
   * A sync has begun at `lsn`; `answers`: the source began it after it had been told what is wanted. It
   * makes up for everything after `told`, and a full one for all. A crash that forgets this costs one more
   * sync.
   */
  syncBegan(lsn: number, answers: boolean): void {
    const { resync } = this.#state;
    const isFull = answers && resync?.full === true;
    this.#state.jumps.push({ lsn, covers: isFull ? 0 : this.told });
    if (resync !== null && (isFull || !resync.full)) this.#state.resync = null;
    this.#state.lost = this.#state.lost.filter(({ to }) => to > lsn);
    this.#options.changed();
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

  /** Syncs at or below `lsn` are gone. */
  pruned(lsn: number): void {
    this.#state.jumps = this.#state.jumps.filter((jump) => jump.lsn > lsn);
  }
}
