// Lets requests that overlap go one after the other, in the order in which they came; the others do not meet.

/** What wants [start, end) for itself, in bytes. The last four members belong to `ExtentLocks`. */
export interface ExtentLock {
  readonly start: number;
  readonly end: number;
  /** Called when its turn has come, unless `take` said so at once. */
  granted: () => void;
  /** Earlier ones that it waits for. */
  waitsFor: number;
  /** Later ones that wait for it. */
  blocked: ExtentLock[] | null;
  before: ExtentLock | null;
  after: ExtentLock | null;
}

/** Hears whether anything was in [start, end) while it was watched. */
export interface ExtentWatch {
  readonly start: number;
  readonly end: number;
  disturbed: boolean;
}

export const extentLock = (start: number, end: number, granted: () => void): ExtentLock => ({
  start,
  end,
  granted,
  waitsFor: 0,
  blocked: null,
  before: null,
  after: null,
});

/**
 * Each waits only for earlier ones, so nothing can wait in a circle. A list is enough: as many are in it as
 * requests are in flight.
 */
export class ExtentLocks {
  #newest: ExtentLock | null = null;
  #watches: ExtentWatch[] = [];
  /** In it, waiting ones included. */
  count = 0;

  /** True when nothing in flight overlaps; else `granted` is called when nothing does any more. */
  take(lock: ExtentLock): boolean {
    this.#await(lock);
    lock.before = this.#newest;
    if (this.#newest !== null) this.#newest.after = lock;
    this.#newest = lock;
    this.count += 1;
    for (const watch of this.#watches) if (overlap(watch, lock)) watch.disturbed = true;
    return lock.waitsFor === 0;
  }

  release(lock: ExtentLock): void {
    if (lock.before !== null) lock.before.after = lock.after;
    if (lock.after === null) this.#newest = lock.before;
    else lock.after.before = lock.before;
    this.count -= 1;
    const { blocked } = lock;
    lock.before = lock.after = lock.blocked = null;
    if (blocked === null) return;
    for (const next of blocked) {
      next.waitsFor -= 1;
      if (next.waitsFor === 0) next.granted();
    }
  }

  /** Calls back when all that overlap now have ended; later ones do not wait for it. */
  settled(start: number, end: number, callback: () => void): void {
    const passive = extentLock(start, end, callback);
    this.#await(passive);
    if (passive.waitsFor === 0) callback();
  }

  /** From now until `unwatch`; disturbed from the beginning when something in flight overlaps. */
  watch(start: number, end: number): ExtentWatch {
    const watch = { start, end, disturbed: false };
    for (let at = this.#newest; at !== null; at = at.before) if (overlap(watch, at)) watch.disturbed = true;
    this.#watches.push(watch);
    return watch;
  }

  unwatch(watch: ExtentWatch): void {
    this.#watches = this.#watches.filter((other) => other !== watch);
  }

  #await(lock: ExtentLock): void {
    for (let at = this.#newest; at !== null; at = at.before) {
      if (!overlap(at, lock)) continue;
      (at.blocked ??= []).push(lock);
      lock.waitsFor += 1;
    }
  }
}

function overlap(a: { start: number; end: number }, b: { start: number; end: number }): boolean {
  return a.start < b.end && b.start < a.end;
}
