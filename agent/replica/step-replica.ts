// Writes a step onto the replicas: content in address order, long runs in one call, sums and flushes behind.
import { HomewardError } from '../../core/errors.ts';
import { addressDisk, addressOffset } from '../../core/extents/address.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { KnownSums } from './known-sums.ts';
import { isHole } from './replica-read.ts';
import { StepSums } from './step-sums.ts';
import { TrailingFlush } from './step-flush.ts';
import { UnknownWalk } from './step-unknown.ts';
import type { LentDisk, ReplicaWritten } from './undo/undo-step.ts';

export interface ReplicaChange {
  machine: Uint8Array;
  /** The step; sums that are of a place outside it are worth nothing. */
  from: number;
  to: number;
  disks: readonly LentDisk[];
  unknown: readonly [number, number][];
  flushBytes: number;
}

/** Fills `target` with content from machine address `start` on; gives back the parts of it that are lost. */
export type ContentOf = (start: number, target: Buffer) => readonly [number, number][];

interface OpenDisk {
  fd: number;
  size: number;
  sparse: boolean;
  sums: StepSums;
  touched: boolean;
}

/** Extents come in address order. What is unknown is left as it is in the replica, and listed. */
export class ReplicaWriter {
  readonly #files: Files;
  readonly #disks: readonly OpenDisk[];
  readonly #unknown: UnknownWalk;
  readonly #known: KnownSums | null;
  readonly #flushes: TrailingFlush;
  readonly #run = Buffer.allocUnsafeSlow(limits.applyWriteBytes);
  #runDisk: OpenDisk | null = null;
  #runStart = 0;
  #runBytes = 0;
  #bytes = 0;

  /** `known` may have the sums of what is filled in, from when it was checked. */
  constructor(files: Files, change: ReplicaChange, known: KnownSums | null = null) {
    this.#files = files;
    this.#known = known;
    this.#unknown = new UnknownWalk(change.unknown);
    this.#flushes = new TrailingFlush(() => this.#flushTouched(), change.flushBytes);
    const disks: OpenDisk[] = [];
    this.#disks = disks;
    try {
      for (const [disk, lent] of change.disks.entries()) {
        const sums = new StepSums(files, lent, { machine: change.machine, disk }, change);
        const { fd, size, sparse } = lent;
        disks.push({ fd, size, sparse, sums, touched: false });
      }
    } catch (error) {
      for (const { sums } of disks) sums.close();
      throw error;
    }
  }

  /** Null when it is done; else to be awaited before the next extent. */
  write(start: number, end: number, contentOf: ContentOf): Promise<void> | null {
    const disk = this.#diskOf(start, end);
    if (!disk.touched) return this.#touch(disk).then(() => this.write(start, end, contentOf) ?? undefined);
    const moved = addressOffset(start) - start;
    for (let at = start; at < end;) {
      const target = this.#roomAt(disk, at + moved, end - at);
      this.#take(disk, at, target, contentOf(at, target));
      at += target.length;
    }
    return this.#wrote(end - start);
  }

  async zero(start: number, end: number): Promise<void> {
    const disk = this.#diskOf(start, end);
    await this.#touch(disk);
    const offset = addressOffset(start);
    disk.sums.zeroed(offset, offset + end - start);
    this.#unknown.change(start, end, false);
    // A call for each of many small holes takes longer by far than writing them, which takes no more room.
    if (end - start >= limits.zeroedLeastBytes) {
      this.#writeRun();
      await this.#files.zero(disk.fd, offset, end - start);
      this.#bytes += end - start;
    } else if (!isHole(this.#files, disk, offset, end - start)) this.#putZeros(disk, offset, end - start);
    await this.#wrote(end - start);
  }

  /** [start, end) may go over several disks, and beyond them. */
  async leave(start: number, end: number): Promise<void> {
    this.#unknown.change(start, end, true);
    for (const [index, disk] of this.#disks.entries()) {
      const base = index * limits.diskBytes;
      const low = Math.max(start - base, 0);
      const high = Math.min(end - base, disk.size);
      if (low >= high) continue;
      await this.#touch(disk);
      this.#writeRun();
      disk.sums.left(low, high);
    }
  }

  /** All is on stable storage when it resolves, and the replicas are at `lsn`. */
  async finish(lsn: number): Promise<Omit<ReplicaWritten, 'damaged'>> {
    this.#writeRun();
    await this.#flushes.finish();
    for (const { sums } of this.#disks) await sums.end(lsn);
    return { bytes: this.#bytes, unknown: this.#unknown.end() };
  }

  /** Nothing is under way any more when it resolves. */
  async close(): Promise<void> {
    await this.#flushes.settle();
    for (const { sums } of this.#disks) sums.close();
  }

  #putZeros(disk: OpenDisk, offset: number, bytes: number): void {
    for (let at = offset; at < offset + bytes;) {
      const target = this.#roomAt(disk, at, offset + bytes - at);
      target.fill(0);
      this.#runBytes += target.length;
      at += target.length;
    }
  }

  #diskOf(start: number, end: number): OpenDisk {
    const index = addressDisk(start);
    const disk = this.#disks[index];
    const offset = addressOffset(start);
    if (disk !== undefined && offset + end - start <= disk.size) return disk;
    throw new HomewardError('damaged', `byte ${offset} of disk ${index} is written, which the replica lacks`);
  }

  async #touch(disk: OpenDisk): Promise<void> {
    if (disk.touched) return;
    await disk.sums.begin();
    disk.touched = true;
  }

  /** Memory for what comes at `offset`, behind the run under way if it goes on there. */
  #roomAt(disk: OpenDisk, offset: number, bytes: number): Buffer {
    const isNext = this.#runDisk === disk && this.#runStart + this.#runBytes === offset;
    if (!isNext || this.#runBytes === this.#run.length) {
      this.#writeRun();
      this.#runDisk = disk;
      this.#runStart = offset;
    }
    return this.#run.subarray(this.#runBytes, Math.min(this.#runBytes + bytes, this.#run.length));
  }

  /** `target`, which is behind the run, was filled, but for parts of it that are lost. */
  #take(disk: OpenDisk, start: number, target: Buffer, lost: readonly [number, number][]): void {
    if (lost.length === 0) {
      const offset = addressOffset(start);
      disk.sums.wrote(offset, target, this.#known, start - offset);
      this.#runBytes += target.length;
      this.#unknown.change(start, start + target.length, false);
      return;
    }
    this.#writeRun();
    let low = 0;
    for (const [from, to] of lost) {
      this.#writeAlone(disk, start + low, target.subarray(low, from));
      this.#unknown.change(start + from, start + to, true);
      const offset = addressOffset(start);
      disk.sums.left(offset + from, offset + to);
      low = to;
    }
    this.#writeAlone(disk, start + low, target.subarray(low));
  }

  #writeAlone(disk: OpenDisk, start: number, bytes: Buffer): void {
    if (bytes.length === 0) return;
    const offset = addressOffset(start);
    disk.sums.wrote(offset, bytes);
    this.#files.write(disk.fd, [bytes], offset);
    this.#unknown.change(start, start + bytes.length, false);
    this.#bytes += bytes.length;
  }

  #writeRun(): void {
    const { fd } = this.#runDisk ?? {};
    const bytes = this.#run.subarray(0, this.#runBytes);
    this.#runDisk = null;
    this.#runBytes = 0;
    if (fd === undefined || bytes.length === 0) return;
    this.#files.write(fd, [bytes], this.#runStart);
    this.#bytes += bytes.length;
  }

  /** A flush covers what was written when it begins. */
  #wrote(bytes: number): Promise<void> | null {
    if (!this.#flushes.isDue(bytes)) return null;
    this.#writeRun();
    return this.#flushes.next();
  }

  async #flushTouched(): Promise<void> {
    for (const { fd, touched } of this.#disks) if (touched) await this.#files.sync(fd);
  }
}
