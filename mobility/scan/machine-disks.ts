// The disks of a machine as its syncs see them: those of the front, with those that are scanned.
import type { CapturedDisks, Region } from '../capture/captured-disks.ts';
import type { FrontDisks } from '../capture/front-disks.ts';
import type { Scans } from './scans.ts';

type SizedDisk = { name: string; size: number };

/** Scanned disks are in the list and nowhere else: they have no dirty map, and are copied by `Scans`. */
export class MachineDisks implements CapturedDisks {
  readonly disks: readonly SizedDisk[];
  readonly #front: FrontDisks;
  readonly #scans: Scans | null;

  constructor(front: FrontDisks, scans: Scans | null) {
    this.#front = front;
    this.#scans = scans;
    const all = [...front.disks, ...(scans?.disks ?? [])];
    this.disks = all.toSorted((one, other) => one.index - other.index);
  }

  /** Every disk is scanned. */
  get onlyScans(): boolean {
    return this.#front.disks.length === 0;
  }

  dirtyRegions(): Region[] {
    return this.#front.dirtyRegions();
  }
  get dirtyBytes(): number {
    return this.#front.dirtyBytes;
  }
  get allDirty(): boolean {
    return this.#front.allDirty;
  }
  get needsSync(): boolean {
    return this.#front.needsSync;
  }
  get changedBytes(): number {
    return this.#front.changedBytes;
  }
  async fillDirty(): Promise<void> {
    await this.#front.fillDirty();
    await this.#scans?.forgetAll();
  }
  /** Whether a disk is scanned: it has no map that an extent could be marked in. */
  isScanned(disk: number): boolean {
    return this.#scans?.disks.some(({ index }) => index === disk) === true;
  }
  /** Resolves when the map says durably that the regions of an extent have to be synced. */
  mark(disk: number, start: number, end: number): Promise<void> {
    return this.#front.mark(disk, start, end);
  }
  beginSync(): Region[] {
    return this.#front.beginSync();
  }
  syncAgain(): Region[] {
    return this.#front.syncAgain();
  }
  copied(region: Region, lsn: number): void {
    this.#front.copied(region, lsn);
  }
  read(...call: Parameters<CapturedDisks['read']>): Promise<void> {
    return this.#front.read(...call);
  }
  readStable(...call: Parameters<CapturedDisks['readStable']>): Promise<void> {
    return this.#front.readStable(...call);
  }
  zeroStable(...call: Parameters<CapturedDisks['zeroStable']>): Promise<boolean> {
    return this.#front.zeroStable(...call);
  }
  extents(...call: Parameters<CapturedDisks['extents']>): ReturnType<CapturedDisks['extents']> {
    return this.#front.extents(...call);
  }
}
