// The disks of a machine that are served through us: opened, claimed, captured and given back together.
import path from 'node:path';
import type { BlockExtent, BlockStore } from '../../core/block/block-store.ts';
import type { Clock } from '../../core/clock.ts';
import { ensureDirectorySync } from '../../core/directory.ts';
import { assert } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { NbdExport } from '../../core/nbd/export.ts';
import type { Recorder } from '../outbox/recorder.ts';
import { regionBytes, type CapturedDisks, type Region } from './captured-disks.ts';
import { claimDisk } from './claim-disk.ts';
import { DirtyMap, type StoppedBefore } from './dirty-map.ts';
import { FrontDisk } from './front-disk.ts';
import { frontExport } from './front-export.ts';
import { ReplyHold } from './reply-hold.ts';
import { readStable, zeroStable } from './stable-read.ts';

export interface FrontDisksOptions {
  /**
   * In the machine's order; `index` where that has other disks between them. `store` instead of the
   * opened `path` is for tests.
   */
  disks: readonly { name: string; path: string; store?: BlockStore; index?: number }[];
  /** UUID of the machine, 16 bytes. */
  machine: Buffer;
  /** `DATA/dirty` lies in it. */
  data: string;
  before: StoppedBefore;
  recorder: Recorder;
  clock: Clock;
  log: Log;
  /** Called when a sync should begin: see `FrontDisk`. */
  onSyncNeeded?: (reason: string) => void;
  files?: Files;
}

export class FrontDisks implements CapturedDisks {
  readonly disks: readonly FrontDisk[];
  readonly exports: readonly NbdExport[];
  readonly #replies: ReplyHold;
  readonly #timer: NodeJS.Timeout;
  #sweeping: Promise<number> | null = null;

  private constructor(disks: readonly FrontDisk[], replies: ReplyHold) {
    this.disks = disks;
    this.#replies = replies;
    this.exports = disks.map((disk) => frontExport(disk, disk.path));
    this.#timer = setInterval(() => void this.sweep(), limits.dirtySweepMs);
    this.#timer.unref();
  }

  /** Errors of `claimDisk`; nothing stays open then. */
  static async open(options: FrontDisksOptions): Promise<FrontDisks> {
    const directory = path.join(options.data, 'dirty');
    if (options.files === undefined) ensureDirectorySync(directory);
    else options.files.ensureDirectory(directory);
    const replies = new ReplyHold();
    const disks: FrontDisk[] = [];
    try {
      for (let index = 0; index < options.disks.length; index += 1) {
        disks.push(await openDisk(options, index, directory, replies));
      }
    } catch (error) {
      for (const disk of disks) await disk.close(limits.nbdCloseMs);
      throw error;
    }
    return new FrontDisks(disks, replies);
  }

  dirtyRegions(): Region[] {
    return this.#regions((disk) => disk.map.regions());
  }

  get dirtyBytes(): number {
    return this.#sum((disk) => Math.min(disk.map.dirtyCount * regionBytes, disk.size));
  }

  get allDirty(): boolean {
    return this.disks.every(({ map, size }) => map.dirtyCount === Math.ceil(size / regionBytes));
  }

  get needsSync(): boolean {
    return this.disks.some((disk) => disk.map.needsSync || disk.flushFailed || disk.leftBusy);
  }

  get changedBytes(): number {
    return this.#sum((disk) => disk.changedBytes);
  }

  async fillDirty(): Promise<void> {
    await Promise.all(this.disks.map((disk) => disk.map.fill()));
  }

  /** The regions of an extent have to be synced; resolves when the map says so durably. */
  mark(disk: number, start: number, end: number): Promise<void> {
    return this.#disk(disk).map.mark(start, end);
  }

  beginSync(): Region[] {
    return this.#regions((disk) => disk.map.hold());
  }

  syncAgain(): Region[] {
    return this.#regions((disk) => disk.map.holdAgain());
  }

  copied(region: Region, lsn: number): void {
    this.#disk(region.disk).map.copied(region.index, lsn);
  }

  read(disk: number, offset: number, target: Buffer): Promise<void> {
    return this.#disk(disk).store.read(target, offset);
  }

  readStable(disk: number, offset: number, target: Buffer, use: (data: Buffer) => void): Promise<void> {
    return readStable(this.#disk(disk), offset, target, use);
  }

  zeroStable(disk: number, offset: number, length: number, use: () => void): Promise<boolean> {
    return zeroStable(this.#disk(disk), offset, length, use);
  }

  extents(disk: number, offset: number, length: number): Promise<BlockExtent[]> {
    return this.#disk(disk).store.extents(offset, length);
  }

  /** Holds back the replies of writes on all disks, for a second at most; the returned function ends it. */
  holdReplies(ms: number): () => void {
    return this.#replies.hold(ms);
  }

  /** Takes regions out of the maps that need not be in them any more; done each second by itself. */
  sweep(): Promise<number> {
    this.#sweeping ??= this.#sweepAll().finally(() => {
      this.#sweeping = null;
    });
    return this.#sweeping;
  }

  /**
   * Flushes and closes the disks, behind the NBD server's `close`. True when the stop may be called clean:
   * all is flushed, nothing is left in flight, and no region waits for a sync.
   */
  async close(waitMs: number = limits.nbdCloseMs): Promise<boolean> {
    clearInterval(this.#timer);
    await this.#sweeping;
    const closed = await Promise.all(this.disks.map((disk) => disk.close(waitMs)));
    return closed.every(Boolean) && !this.needsSync;
  }

  async #sweepAll(): Promise<number> {
    let cleared = 0;
    for (const disk of this.disks) cleared += await disk.sweep();
    return cleared;
  }

  #regions(indexes: (disk: FrontDisk) => number[]): Region[] {
    return this.disks.flatMap((disk) => indexes(disk).map((index) => ({ disk: disk.index, index })));
  }

  #sum(value: (disk: FrontDisk) => number): number {
    return this.disks.reduce((sum, disk) => sum + value(disk), 0);
  }

  #disk(index: number): FrontDisk {
    const disk = this.disks.find((each) => each.index === index);
    assert(disk !== undefined, `there is a disk ${index}`);
    return disk;
  }
}

async function openDisk(
  options: FrontDisksOptions,
  at: number,
  directory: string,
  replies: ReplyHold,
): Promise<FrontDisk> {
  const { machine, before, recorder, clock, log, files, onSyncNeeded } = options;
  const wanted = options.disks[at];
  assert(wanted !== undefined, 'the disk is in the list');
  const { name, path: backing, index = at } = wanted;
  const store = wanted.store ?? (await claimDisk(name, backing));
  try {
    const identity = { machine, disk: name, size: store.size };
    const file = path.join(directory, `${name}.map`);
    const map = await DirtyMap.open({ path: file, identity, before, log, ...(files && { files }) });
    const parts = { index, name, path: backing, store, map, recorder, replies, clock, log };
    return new FrontDisk({ ...parts, onSyncNeeded: onSyncNeeded ?? (() => undefined) });
  } catch (error) {
    await store.close();
    throw error;
  }
}
