// The files of one segment log: taken into use from a spare, allocated, recycled, removed.
import { join } from 'node:path';
import type { Files } from '../files/files.ts';
import { isSpareFileName, segmentFileName, type Segment } from './segment.ts';

export class SegmentFiles {
  readonly #files: Files;
  readonly #directory: string;
  readonly #segmentBytes: number;
  #spares: string[];
  #spareCount = 0;

  constructor(files: Files, directory: string, segmentBytes: number) {
    this.#files = files;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#spares = files.list(directory).filter(isSpareFileName).map((name) => join(directory, name));
    for (const path of this.#spares) this.#spareCount = Math.max(this.#spareCount, spareNumber(path));
    this.#spares = this.#spares.filter((path) => this.#keepsItsSize(path));
  }

  adopt(path: string, firstLsn: number): Segment {
    const fd = this.#files.open(path);
    return this.#segment(path, fd, firstLsn, this.#files.size(fd));
  }

  /** A file that holds `leastBytes`, named for `firstLsn`, from a spare where there is one. Throws ENOSPC when full. */
  take(firstLsn: number, leastBytes: number): Segment {
    const path = join(this.#directory, segmentFileName(firstLsn));
    if (leastBytes > this.#segmentBytes) {
      return this.#segment(path, this.#allocate(path, leastBytes), firstLsn, leastBytes);
    }
    this.ensureSpare();
    const spare = this.#spares.pop() ?? '';
    this.#files.rename(spare, path);
    return this.#segment(path, this.#files.open(path), firstLsn, this.#segmentBytes);
  }

  /** Allocates the next file ahead of need, so that a full disk shows before anything waits. */
  ensureSpare(): void {
    if (this.#spares.length > 0) return;
    const path = this.#nextSparePath();
    this.#files.close(this.#allocate(path, this.#segmentBytes));
    this.#spares.push(path);
  }

  /** Ends a file's use: it becomes a spare when it may, else it goes. Called when nobody reads it any more. */
  dispose(segment: Segment, keepSpares: number): void {
    this.#files.close(segment.fd);
    if (segment.recyclable && segment.bytes === this.#segmentBytes && this.#spares.length < keepSpares) {
      const path = this.#nextSparePath();
      this.#files.rename(segment.path, path);
      this.#spares.unshift(path);
    } else {
      this.#files.unlink(segment.path);
    }
  }

  remove(segment: Segment): void {
    this.#files.unlink(segment.path);
  }

  syncDirectory(): Promise<void> {
    return this.#files.syncDirectory(this.#directory);
  }

  /** A spare that a crash or another setting left with another size goes. */
  #keepsItsSize(path: string): boolean {
    const fd = this.#files.open(path);
    const fits = this.#files.size(fd) === this.#segmentBytes;
    this.#files.close(fd);
    if (!fits) this.#files.unlink(path);
    return fits;
  }

  #allocate(path: string, bytes: number): number {
    const fd = this.#files.create(path);
    try {
      this.#files.allocate(fd, bytes);
      return fd;
    } catch (error) {
      this.#files.close(fd);
      this.#files.unlink(path);
      throw error;
    }
  }

  #nextSparePath(): string {
    this.#spareCount += 1;
    return join(this.#directory, `spare-${this.#spareCount}.new`);
  }

  #segment(path: string, fd: number, firstLsn: number, bytes: number): Segment {
    return {
      ordinal: -1, path, fd, firstLsn, lastLsn: firstLsn - 1, firstTime: 0, lastTime: 0,
      bytes, end: 0, recyclable: true, users: 0, retired: false,
    };
  }
}

const spareNumber = (path: string): number => Number(/(\d+)\.new$/.exec(path)?.[1] ?? 0);
