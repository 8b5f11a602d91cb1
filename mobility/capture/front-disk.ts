// What one captured disk is made of, shared by its export, its sweeps and the reads of a sync.
import type { BlockStore } from '../../core/block/block-store.ts';
import type { Clock } from '../../core/clock.ts';
import { toHomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Recorder } from '../outbox/recorder.ts';
import type { DirtyMap } from './dirty-map.ts';
import { ExtentLocks } from './extent-locks.ts';
import type { ReplyHold } from './reply-hold.ts';

export interface FrontDiskOptions {
  /** Place in the machine's list of disks. */
  index: number;
  name: string;
  /** Of the backing file or device, for messages. */
  path: string;
  store: BlockStore;
  map: DirtyMap;
  recorder: Recorder;
  replies: ReplyHold;
  clock: Clock;
  log: Log;
  /**
   * What the disk holds is not known, or content is there that is in no record: somebody should begin a sync.
   */
  onSyncNeeded: (reason: string) => void;
}

export class FrontDisk {
  readonly index: number;
  readonly name: string;
  readonly path: string;
  readonly size: number;
  readonly store: BlockStore;
  readonly map: DirtyMap;
  readonly recorder: Recorder;
  readonly replies: ReplyHold;
  readonly clock: Clock;
  readonly locks = new ExtentLocks();
  /** Bytes that the workload has changed. */
  changedBytes = 0;
  /** Once a flush has failed nobody knows what is durable: until a restart no region leaves the map. */
  flushFailed = false;
  /** Closed while something was in flight: nobody will say what the disk has there. */
  leftBusy = false;
  readonly #log: Log;
  readonly #onSyncNeeded: (reason: string) => void;

  constructor(options: FrontDiskOptions) {
    this.index = options.index;
    this.name = options.name;
    this.path = options.path;
    this.store = options.store;
    this.size = options.store.size;
    this.map = options.map;
    this.recorder = options.recorder;
    this.replies = options.replies;
    this.clock = options.clock;
    this.#log = options.log;
    this.#onSyncNeeded = options.onSyncNeeded;
  }

  async flush(): Promise<void> {
    try {
      await this.store.flush();
    } catch (error) {
      if (!this.flushFailed) this.#log.error('front-flush-failed', this.#fields(error));
      this.flushFailed = true;
      throw error;
    }
  }

  /** A write or zero came to nothing, or to half: what lies there now is in no record. */
  changeFailed(error: unknown, offset: number, length: number): void {
    this.#log.error('front-write-failed', { ...this.#fields(error), offset, bytes: length });
    this.#onSyncNeeded('failed write');
  }

  readFailed(error: unknown, offset: number, length: number): void {
    this.#log.error('front-read-failed', { ...this.#fields(error), offset, bytes: length });
  }

  /** Takes the regions out of the map that need not be in it any more; returns how many. Never rejects. */
  async sweep(): Promise<number> {
    if (this.flushFailed) return 0;
    const candidates = this.map.candidates(this.recorder.targetLsn, this.clock.monotonicMs());
    if (candidates.regions.length === 0) return 0;
    try {
      await this.flush();
    } catch {
      return 0; // logged by `flush`, and remembered
    }
    // Another flush may have failed meanwhile, and taken the error that this one should have met.
    if (this.flushFailed || !this.recorder.keepTold()) return 0;
    return this.map.clear(candidates, this.recorder.targetLsn);
  }

  /**
   * Flushes and closes. False when something stays open: a request that does not end keeps its descriptor,
   * whose number would else be given to another file under it.
   */
  async close(waitMs: number): Promise<boolean> {
    if (!(await this.#ended(waitMs))) {
      this.leftBusy = true;
      this.#log.warn('front-still-busy', { disk: this.name, path: this.path, requests: this.locks.count });
      return false;
    }
    // A failure is logged, and remembered in `flushFailed`.
    await this.flush().catch(() => undefined);
    this.map.close();
    await this.store.close();
    return true;
  }

  /** Whether what is in flight ends in time. */
  #ended(waitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), waitMs);
      this.locks.settled(0, this.size, () => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #fields(error: unknown): { disk: string; path: string; error: Error } {
    return { disk: this.name, path: this.path, error: toHomewardError(error) };
  }
}
