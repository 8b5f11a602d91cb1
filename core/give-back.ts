// Gives memory back when there is nothing to do: V8 does not count what threads share, nor collects in a
// thread that rests, and malloc keeps what is freed.
import { setTimeout as startTimer } from 'node:timers';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { limits } from './limits.ts';
import { trimMalloc } from './linux.ts';

let collect: (() => void) | null = null;

/** A full collection of this thread's heap: some milliseconds, more with a large one. */
export function collectGarbage(): void {
  if (collect === null) {
    // The function is only in contexts made after the flag is set.
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}

/** Resident bytes after the last time. */
let kept = 0;

/**
 * The same, where memory has grown since the last time; and what this process has freed goes back to the
 * system. Buffers are freed behind a collection, by another thread, and the last of them with the next one:
 * so there are two.
 */
export async function giveBack(): Promise<void> {
  if (process.memoryUsage.rss() < kept + limits.grownBytes) return;
  collectGarbage();
  await setTimeout(limits.threadRestMs, undefined, { ref: false });
  collectGarbage();
  trimMalloc();
  kept = process.memoryUsage.rss();
}

/** For a thread that does one job after the other: it collects its garbage once it has rested for so long. */
export class RestingThread {
  readonly #restMs: number;
  #timer: NodeJS.Timeout | null = null;

  constructor(restMs: number) {
    this.#restMs = restMs;
  }

  /** A job has ended. */
  ended(): void {
    this.#timer ??= startTimer(collectGarbage, this.#restMs).unref();
    this.#timer.refresh();
  }
}
