// Which regions of a captured disk may differ from the master target's copy, and which of them may leave the
// map.
import { hostFiles } from '../../core/files/host-files.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { regionBytes } from './captured-disks.ts';
import { DirtyFile, type Waiter } from './dirty-file.ts';
import { isPageClear, pageOf, pageRegions, type DirtyIdentity } from './dirty-pages.ts';

/** How the service ended before: after anything but a clean stop the target may lack what the map names. */
export type StoppedBefore = { clean: true; headLsn: number } | { clean: false };

export interface DirtyMapOptions {
  path: string;
  identity: DirtyIdentity;
  before: StoppedBefore;
  log: Log;
  files?: Files;
}

const Flag = {
  /** Has content that no record carries. */
  unsynced: 1,
  /** On the list of a sync, not copied yet. */
  held: 2,
} as const;

/** Regions that may leave the map if nothing happens to them while the disk is flushed. */
export interface Candidates {
  regions: number[];
  lastLsns: number[];
}

/**
 * A write enters its regions before it goes to the disk and leaves them behind its number. A region whose
 * content is not all in records stays until a sync has copied it.
 */
export class DirtyMap {
  readonly #file: DirtyFile;
  /** Of the newest record that touched the region. */
  readonly #lastLsns: Float64Array;
  readonly #inFlight: Uint32Array;
  readonly #flags: Uint8Array;
  /** Seconds. */
  readonly #touched: Uint32Array;
  /** Regions with a flag. */
  #flagged = 0;
  #again: number[] = [];

  private constructor(file: DirtyFile, before: StoppedBefore) {
    this.#file = file;
    this.#lastLsns = new Float64Array(file.count);
    this.#inFlight = new Uint32Array(file.count);
    this.#flags = new Uint8Array(file.count);
    this.#touched = new Uint32Array(file.count);
    // A damaged page may stand for regions that have long been clean; nobody knows which LSN they would wait
    // for.
    const known = before.clean && file.found === 'kept';
    for (const region of this.regions()) {
      if (known) this.#lastLsns[region] = before.headLsn;
      else this.#setFlag(region, Flag.unsynced);
    }
  }

  static async open({ before, files = hostFiles, ...options }: DirtyMapOptions): Promise<DirtyMap> {
    const file = await DirtyFile.open({ ...options, files });
    const fields = { disk: options.identity.disk, file: options.path, regions: file.setCount };
    if (file.found === 'damaged') options.log.warn('dirty-map-damaged', fields);
    else if (file.found !== 'kept') options.log.info('dirty-map-new', { ...fields, found: file.found });
    return new DirtyMap(file, before);
  }

  /** What there was when it was opened. */
  get found(): DirtyFile['found'] {
    return this.#file.found;
  }

  get dirtyCount(): number {
    return this.#file.setCount;
  }

  /** Whether some region waits for a sync. */
  get needsSync(): boolean {
    return this.#flagged > 0;
  }

  /** Those in the map, in order. */
  regions(): number[] {
    const found: number[] = [];
    this.#forEach((region) => {
      found.push(region);
    });
    return found;
  }

  /**
   * A write into the regions of [start, end), in bytes, begins. True when it may go on at once; else
   * `entered` says when, or that it cannot: then there is nothing to leave.
   */
  enter(start: number, end: number, entered: Waiter): boolean {
    const [first, next] = regionsOf(start, end);
    for (let region = first; region < next; region += 1) this.#inFlight[region]! += 1;
    return this.#file.set(first, next, (error) => {
      if (error !== null) for (let region = first; region < next; region += 1) this.#inFlight[region]! -= 1;
      entered(error);
    });
  }

  /**
   * It ended: `lsn` is that of its record; null when there is none, or nobody knows what the disk has now.
   */
  leave(start: number, end: number, lsn: number | null, nowMs: number): void {
    const [first, next] = regionsOf(start, end);
    for (let region = first; region < next; region += 1) {
      this.#inFlight[region]! -= 1;
      this.#touched[region] = nowMs / 1000;
      if (lsn !== null) this.#raise(region, lsn);
      else if (!this.#hasFlag(region, Flag.unsynced)) {
        this.#setFlag(region, Flag.unsynced);
        this.#again.push(region);
      }
    }
  }

  /** Everything has to be copied; resolves when the map says so durably. */
  fill(): Promise<void> {
    const { count } = this.#file;
    for (let region = 0; region < count; region += 1) this.#setFlag(region, Flag.unsynced);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = (error) => (error === null ? resolve() : reject(error));
      if (this.#file.set(0, count, waiter)) resolve();
    });
  }

  /**
   * The master target may have other content in [start, end), in bytes: these regions have to be synced, by
   * a sync under way as well. Resolves when the map says so durably.
   */
  mark(start: number, end: number): Promise<void> {
    const [first, next] = regionsOf(start, end);
    for (let region = first; region < next; region += 1) {
      if (!this.#hasFlag(region, Flag.unsynced)) this.#again.push(region);
      this.#setFlag(region, Flag.unsynced);
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = (error) => (error === null ? resolve() : reject(error));
      if (this.#file.set(first, next, waiter)) resolve();
    });
  }

  /** The regions of the map, which stay in it from now on until each was `copied`. */
  hold(): number[] {
    const regions = this.regions();
    for (const region of regions) this.#hold(region);
    this.#again = [];
    return regions;
  }

  /** The same for those that got content without a record since. */
  holdAgain(): number[] {
    const regions = this.#again.filter((region) => this.#hasFlag(region, Flag.unsynced));
    for (const region of regions) this.#hold(region);
    this.#again = [];
    return regions;
  }

  copied(region: number, lsn: number): void {
    this.#clearFlag(region, Flag.held);
    this.#raise(region, lsn);
  }

  /** What may leave once the disk is flushed: see rule 2 of docs/dirty-map.md. */
  candidates(targetLsn: number, nowMs: number): Candidates {
    const found: Candidates = { regions: [], lastLsns: [] };
    const idleSince = (nowMs - limits.dirtyIdleMs) / 1000;
    this.#forEach((region) => {
      if (found.regions.length >= limits.dirtySweepRegions) return;
      if (!this.#mayLeave(region, targetLsn) || this.#touched[region]! > idleSince) return;
      found.regions.push(region);
      found.lastLsns.push(this.#lastLsns[region]!);
    });
    return found;
  }

  /** Takes out those that nothing happened to since they were found. Returns how many. */
  clear({ regions, lastLsns }: Candidates, targetLsn: number): number {
    const still = regions.filter(
      (region, at) => this.#lastLsns[region] === lastLsns[at] && this.#mayLeave(region, targetLsn),
    );
    this.#file.clear(still);
    return still.length;
  }

  close(): void {
    this.#file.close();
  }

  #mayLeave(region: number, targetLsn: number): boolean {
    const quiet = this.#inFlight[region] === 0 && this.#flags[region] === 0;
    return quiet && this.#lastLsns[region]! <= targetLsn && this.#file.isDurable(region);
  }

  #raise(region: number, lsn: number): void {
    if (lsn > this.#lastLsns[region]!) this.#lastLsns[region] = lsn;
  }

  #hold(region: number): void {
    this.#setFlag(region, Flag.held);
    this.#clearFlag(region, Flag.unsynced);
  }

  #hasFlag(region: number, flag: number): boolean {
    return (this.#flags[region]! & flag) !== 0;
  }

  #setFlag(region: number, flag: number): void {
    if (this.#flags[region] === 0) this.#flagged += 1;
    this.#flags[region]! |= flag;
  }

  #clearFlag(region: number, flag: number): void {
    if (this.#flags[region] === 0) return;
    this.#flags[region]! &= ~flag;
    if (this.#flags[region] === 0) this.#flagged -= 1;
  }

  #forEach(visit: (region: number) => void): void {
    const { count, bytes } = this.#file;
    for (let first = 0; first < count; first += pageRegions) {
      if (isPageClear(bytes, pageOf(first))) continue;
      const end = Math.min(first + pageRegions, count);
      for (let region = first; region < end; region += 1) if (this.#file.has(region)) visit(region);
    }
  }
}

/** The regions that the bytes [start, end) lie in, as [first, next). */
function regionsOf(start: number, end: number): [number, number] {
  return [Math.floor(start / regionBytes), Math.ceil(end / regionBytes)];
}
