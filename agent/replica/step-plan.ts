// Where the next step of the cursor ends: a pure function from what is there.

export interface StepFacts {
  cursorLsn: number;
  /** How far the cursor may go now. */
  target: number;
  /** Redo above the cursor, oldest first. */
  segments: readonly { firstLsn: number; lastLsn: number; end: number }[];
  /** LSNs that are to be boundaries: tags, marks of the policy, the edges of gaps; in any order. */
  stops: readonly number[];
  /** Of redo, in one step, about. */
  maxBytes: number;
}

/** The end of the step that begins at the cursor; null when there is nothing to do. */
export function nextStepEnd(facts: StepFacts): number | null {
  const { cursorLsn, target, segments, stops, maxBytes } = facts;
  if (target <= cursorLsn) return null;
  let end = target;
  for (const stop of stops) if (stop > cursorLsn && stop < end) end = stop;
  let bytes = 0;
  for (const segment of segments) {
    if (segment.lastLsn <= cursorLsn || segment.lastLsn >= end) continue;
    bytes += segment.end;
    if (bytes >= maxBytes) return segment.lastLsn;
  }
  return end;
}

/** How much redo (from, to] is, about: a segment that is touched in part counts by its share of LSNs. */
export function redoBytesBetween(segments: StepFacts['segments'], from: number, to: number): number {
  let bytes = 0;
  for (const { firstLsn, lastLsn, end } of segments) {
    const inside = Math.min(lastLsn, to) - Math.max(firstLsn - 1, from);
    if (inside > 0) bytes += (end * inside) / (lastLsn - firstLsn + 1);
  }
  return bytes;
}

/**
 * Which LSN was the newest how long ago, for the lag of the cursor. Bounded: of moments that lie close
 * together only some are kept.
 */
export class LagClock {
  #samples: { time: number; lsn: number }[] = [];

  /** Times are microseconds and do not go back; `lagUs` is what will be asked for. */
  note(time: number, lsn: number, lagUs: number): void {
    const before = this.#samples.at(-2)?.time ?? -Infinity;
    const last = this.#samples.at(-1);
    if (last !== undefined && (last.lsn === lsn || time - before < lagUs / samplesMost)) {
      if (last.lsn !== lsn) this.#samples[this.#samples.length - 1] = { time, lsn };
      return;
    }
    this.#samples.push({ time, lsn });
    const old = this.#samples.findLastIndex((sample) => sample.time <= time - lagUs);
    if (old > 0) this.#samples = this.#samples.slice(old);
  }

  /** The newest LSN that was there at `time`, as far as is known; 0 when nothing is known of then. */
  at(time: number): number {
    return this.#samples.findLast((sample) => sample.time <= time)?.lsn ?? 0;
  }
}

const samplesMost = 256;
