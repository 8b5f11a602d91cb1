// What is unknown of a replica behind a step: what was so before it, less what it wrote, and what it lost.
import { limits } from '../../core/limits.ts';

type Addresses = [start: number, end: number];

/** Walks along the list as it was; changes come in address order and do not overlap. */
export class UnknownWalk {
  readonly #before: readonly Addresses[];
  readonly #after: Addresses[] = [];
  #index = 0;
  #low = 0;

  constructor(before: readonly Addresses[]) {
    this.#before = before;
  }

  /** [start, end) is known from here on, or is not. */
  change(start: number, end: number, isUnknown: boolean): void {
    this.#keep(start);
    if (isUnknown) this.#push(start, end);
    this.#low = end;
  }

  end(): Addresses[] {
    this.#keep(Infinity);
    return this.#after;
  }

  /** What was unknown before, up to `until`, stays so. */
  #keep(until: number): void {
    for (;;) {
      const old = this.#before[this.#index];
      if (old === undefined || old[0] >= until) return;
      const start = Math.max(old[0], this.#low);
      const end = Math.min(old[1], until);
      if (start < end) this.#push(start, end);
      if (old[1] > until) return;
      this.#index += 1;
    }
  }

  /** Bounded: what lies between the last places counts as unknown too when there are too many. */
  #push(start: number, end: number): void {
    const last = this.#after.at(-1);
    const joins = last !== undefined && (last[1] === start || this.#after.length >= limits.unknownExtents);
    if (joins) last[1] = end;
    else this.#after.push([start, end]);
  }
}

/** A part of an extent. */
export interface CutPart {
  start: number;
  end: number;
  isUnknown: boolean;
}

/** Cuts extents that come in address order where they are unknown and where they are not. */
export class UnknownCutter {
  readonly #unknown: readonly Addresses[];
  #index = 0;

  constructor(unknown: readonly Addresses[]) {
    this.#unknown = unknown;
  }

  *cut(start: number, end: number): Generator<CutPart> {
    for (let at = start; at < end;) {
      const next = this.#unknown[this.#index];
      if (next !== undefined && next[1] <= at) {
        this.#index += 1;
        continue;
      }
      const isUnknown = next !== undefined && next[0] <= at;
      const stop = Math.min(end, isUnknown ? next[1] : (next?.[0] ?? end));
      yield { start: at, end: stop, isUnknown };
      at = stop;
    }
  }
}
