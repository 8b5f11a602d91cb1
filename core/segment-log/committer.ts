// Group commit: one sync at a time for whatever has been appended, waiters released in LSN order, failures
// healed.
import { errnoOf, HomewardError } from '../errors.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Group } from './record-group.ts';
import type { Segment } from './segment.ts';

export interface CommitterOptions {
  clock: Clock;
  log: Log;
  /** A background sync begins when this much is unsynced, or this long after the first unsynced append. */
  syncBytes: number;
  syncIntervalMs: number;
  syncBegins(): void;
  sync(segments: readonly Segment[], directory: boolean): Promise<void>;
  moveToNewSegment(durableLsn: number, groups: readonly Group[]): Promise<void>;
  stateChanged(): void;
  writeNote(): void;
}

interface Waiter {
  lsn: number;
  done: (error: Error | null) => void;
}

const retryMs = 1000;
const idleNoteMs = 1000;

/** Invariant: `#unsynced` holds, in order, every group above `durableLsn`. */
export class Committer {
  durableLsn = 0;
  /** Why nothing can be made durable just now, or null. */
  failure: Error | null = null;
  /** A failed sync is being healed: appends wait for `stateChanged`. */
  suspended = false;
  readonly #options: CommitterOptions;
  #unsynced: Group[] = [];
  #unsyncedBytes = 0;
  #dirty: Segment[] = [];
  #newEntries = false;
  #waiters: Waiter[] = [];
  #syncing = false;
  #running: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #idleTimer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  startAt(lsn: number): void {
    this.durableLsn = lsn;
  }

  appended(segment: Segment, group: Group): void {
    this.#unsynced.push(group);
    this.#unsyncedBytes += group.bodyBytes;
    this.rewritten(segment);
    if (this.#unsyncedBytes >= this.#options.syncBytes) this.#start();
    else this.#startLater();
  }

  rewritten(segment: Segment): void {
    if (this.#dirty.at(-1) !== segment) this.#dirty.push(segment);
  }

  newSegment(segment: Segment): void {
    this.#newEntries = true;
    this.rewritten(segment);
  }

  noteWritten(segment: Segment): void {
    this.rewritten(segment);
    this.#start();
  }

  commit(lsn: number, done: (error: Error | null) => void): void {
    if (lsn <= this.durableLsn) return done(null);
    if (this.failure !== null) return done(this.failure);
    if (this.#closed) return done(closed());
    this.#waiters.push({ lsn, done });
    this.#start();
  }

  /** Begins nothing any more; resolves when what is under way has ended, so that files may be closed then. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#clearTimers();
    await this.#running;
    for (const waiter of this.#waiters.splice(0)) waiter.done(closed());
  }

  #clearTimers(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#timer = null;
    this.#idleTimer = null;
  }

  #start(): void {
    if (this.#syncing || this.#closed) return;
    this.#syncing = true;
    this.#clearTimers();
    this.#running = this.#run();
  }

  #startLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null; // a sync may be under way: `#continue` then sees to the next
      this.#start();
    }, this.#options.syncIntervalMs);
  }

  /** Never rejects: a failure ends in `failure`, with another try to come. */
  async #run(): Promise<void> {
    const target = this.#unsynced.at(-1)?.lastLsn ?? this.durableLsn;
    const segments = this.#dirty;
    const directory = this.#newEntries;
    this.#dirty = [];
    this.#newEntries = false;
    this.#options.syncBegins();
    try {
      await this.#options.sync(segments, directory);
    } catch (error) {
      const { durableLsn } = this;
      this.#options.log.error('sync-failed', {
        errno: errnoOf(error),
        durableLsn,
        unsyncedBytes: this.#unsyncedBytes,
      });
      return this.#heal();
    }
    this.#syncing = false;
    this.#release(target);
    this.#settle();
    this.#continue();
  }

  #continue(): void {
    if (this.#closed) return;
    if (this.#waiters.length > 0 || this.#unsyncedBytes >= this.#options.syncBytes) this.#start();
    else if (this.#unsynced.length > 0) this.#startLater();
    else this.#idleTimer ??= setTimeout(() => this.#idle(), idleNoteMs).unref();
  }

  #idle(): void {
    this.#idleTimer = null;
    try {
      this.#options.writeNote();
    } catch (error) {
      this.#options.log.warn('note-failed', { errno: errnoOf(error) });
    }
  }

  #release(target: number): void {
    this.durableLsn = Math.max(this.durableLsn, target);
    let count = 0;
    for (const group of this.#unsynced) {
      if (group.lastLsn > target) break;
      this.#unsyncedBytes -= group.bodyBytes;
      group.release();
      count += 1;
    }
    this.#unsynced.splice(0, count);
  }

  #settle(): void {
    const ready = this.#waiters.filter((waiter) => waiter.lsn <= this.durableLsn);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.lsn > this.durableLsn);
    for (const waiter of ready) waiter.done(null);
  }

  /**
   * The files whose sync failed are not trusted again: what is unacknowledged goes to a new one, then that
   * is synced.
   */
  async #heal(): Promise<void> {
    const { log } = this.#options;
    this.suspended = true;
    this.#dirty = [];
    const groups = [...this.#unsynced];
    try {
      await this.#options.moveToNewSegment(this.durableLsn, groups);
      this.#options.syncBegins();
      await this.#options.sync(this.#dirty, true);
    } catch (error) {
      if (this.failure === null) log.error('journal-failed', { errno: errnoOf(error), retryMs });
      this.#fail(error);
      if (!this.#closed) this.#healLater();
      return;
    }
    this.failure = null;
    this.suspended = false;
    this.#dirty = [];
    this.#newEntries = false;
    this.#syncing = false;
    this.#release(groups.at(-1)?.lastLsn ?? this.durableLsn);
    log.warn('journal-healed', { durableLsn: this.durableLsn });
    this.#settle();
    this.#options.stateChanged();
    this.#continue();
  }

  #healLater(): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#running = this.#heal();
    }, retryMs).unref();
  }

  #fail(cause: unknown): void {
    const failure = new HomewardError(
      'journal-failed',
      `a sync failed with ${errnoOf(cause) ?? String(cause)}`,
      { cause },
    );
    const failed = this.#waiters;
    this.failure = failure;
    this.suspended = false;
    this.#waiters = [];
    for (const waiter of failed) waiter.done(failure);
    this.#options.stateChanged();
  }
}

const closed = (): HomewardError => new HomewardError('journal-failed', 'the journal has been closed');
