// The files of one segment log: taken into use from a spare, allocated, recycled, removed.
import { basename, join } from 'node:path';
import { errnoOf, HomewardError } from '../errors.ts';
import type { Files } from '../files/files.ts';
import { systemError } from '../system-error.ts';
import { KiB } from '../units.ts';
import { decodeGroupHeader, groupHeaderBytes } from './group.ts';
import { GroupPlaces } from './group-places.ts';
import { isSpareFileName, segmentFileName, type Segment } from './segment.ts';

/** Of a file for notes on a full volume: what comes behind them gets no more of the reserve than this. */
const notesBytes = 64 * KiB;

export interface SegmentFilesOptions {
  files: Files;
  directory: string;
  /** UUID, 16 bytes. */
  machine: Buffer;
  segmentBytes: number;
  /**
   * Space on the volume that no further file may take; files that are there already are written over all
   * the same.
   */
  reserveBytes?: number | (() => number);
}

export class SegmentFiles {
  readonly #files: Files;
  readonly #directory: string;
  readonly #machine: Buffer;
  readonly #segmentBytes: number;
  readonly #reserveBytes: () => number;
  readonly #spares: string[] = [];
  #leftovers: string[];
  #spareCount = 0;

  /** Changes nothing on disk. */
  constructor({ files, directory, machine, segmentBytes, reserveBytes = 0 }: SegmentFilesOptions) {
    this.#files = files;
    this.#directory = directory;
    this.#machine = machine;
    this.#segmentBytes = segmentBytes;
    this.#reserveBytes = typeof reserveBytes === 'number' ? () => reserveBytes : reserveBytes;
    this.#leftovers = files
      .list(directory)
      .filter(isSpareFileName)
      .map((name) => join(directory, name));
    for (const path of this.#leftovers) this.#spareCount = Math.max(this.#spareCount, spareNumber(path));
  }

  /**
   * Spares of an earlier run go. A power cut may have undone a renaming: such a file can hold records that
   * were lost then, with LSNs that will be given again, and must not be taken into use with them in it.
   */
  removeLeftovers(): void {
    for (const path of this.#leftovers) this.#files.unlink(path);
    this.#leftovers = [];
  }

  /**
   * A file that is there. Another machine's is 'foreign-segment', before anything is read from it or
   * written over it.
   */
  adopt(path: string, firstLsn: number): Segment {
    const fd = this.#files.open(path);
    try {
      this.#refuseForeign(path, fd);
      return this.#segment(path, fd, firstLsn, this.#files.size(fd));
    } catch (error) {
      this.#files.close(fd);
      throw error;
    }
  }

  /**
   * A file that holds `leastBytes`, named for `firstLsn`, from a spare where there is one. It gets its name
   * last, so that whatever fails leaves none of that name. Throws ENOSPC when full; a small file for notes
   * comes out of the reserve then.
   */
  take(firstLsn: number, leastBytes: number, { intoReserve = false, isNotes = false } = {}): Segment {
    const bytes = Math.max(leastBytes, this.#segmentBytes);
    if (bytes === this.#segmentBytes && this.#spares.length > 0)
      return this.#name(this.#openSpare(), firstLsn, bytes);
    try {
      return this.#name(this.#allocate(bytes, intoReserve), firstLsn, bytes);
    } catch (error) {
      if (!isNotes || errnoOf(error) !== 'ENOSPC') throw error;
    }
    const little = Math.max(leastBytes, Math.min(notesBytes, this.#segmentBytes));
    return this.#name(this.#allocate(little, true), firstLsn, little);
  }

  /** Allocates the next file ahead of need, so that a full disk shows before anything waits. */
  ensureSpare(): void {
    if (this.#spares.length > 0) return;
    const { path, fd } = this.#allocate(this.#segmentBytes);
    this.#files.close(fd);
    this.#spares.push(path);
  }

  /**
   * Renames a spare, if there is one: that fails where its directory is gone. A spare that is gone itself
   * is forgotten.
   */
  probeSpare(): void {
    const from = this.#spares.at(-1);
    if (from === undefined) return;
    const to = this.#nextSparePath();
    try {
      this.#files.rename(from, to);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      this.#spares.pop();
      return;
    }
    this.#spares[this.#spares.length - 1] = to;
  }

  /** Ends a file's use: it becomes a spare when it may, else it goes. Nobody reads it any more. */
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

  /** Gives the disk back what was kept for writing over, but for `keep` files. */
  trimSpares(keep: number): void {
    while (this.#spares.length > keep) {
      const path = this.#spares[0] ?? '';
      this.#files.unlink(path);
      this.#spares.shift();
    }
  }

  /** Gives a file another name, under which nobody takes it for a segment; the new path comes back. */
  setAside(segment: Segment, ending: string): string {
    const taken = new Set(this.#files.list(this.#directory));
    let name = `${basename(segment.path)}.${ending}`;
    for (let number = 2; taken.has(name); number++) name = `${basename(segment.path)}.${ending}-${number}`;
    const path = join(this.#directory, name);
    this.#files.rename(segment.path, path);
    return path;
  }

  remove(segment: Segment): void {
    this.#files.unlink(segment.path);
  }

  syncDirectory(): Promise<void> {
    return this.#files.syncDirectory(this.#directory);
  }

  #openSpare(): OpenFile {
    const path = this.#spares.at(-1) ?? '';
    const fd = this.#files.open(path);
    this.#spares.pop();
    return { path, fd };
  }

  #name({ path: from, fd }: OpenFile, firstLsn: number, bytes: number): Segment {
    const path = join(this.#directory, segmentFileName(firstLsn));
    try {
      this.#files.rename(from, path);
    } catch (error) {
      this.#files.close(fd);
      if (bytes === this.#segmentBytes) this.#spares.push(from);
      else this.#files.unlink(from);
      throw error;
    }
    return this.#segment(path, fd, firstLsn, bytes);
  }

  #refuseForeign(path: string, fd: number): void {
    const first = Buffer.alloc(groupHeaderBytes);
    this.#files.readSync(fd, first, 0);
    const frame = decodeGroupHeader(first, 0);
    if (frame === null || frame.position !== 0 || frame.machine.equals(this.#machine)) return;
    const owner = frame.machine.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    throw new HomewardError('foreign-segment', `${path} holds records of another machine, ${owner}`);
  }

  #allocate(bytes: number, intoReserve = false): OpenFile {
    const path = this.#nextSparePath();
    if (!intoReserve) this.#refuseReserve(path, bytes);
    const fd = this.#files.create(path);
    try {
      this.#files.allocate(fd, bytes);
      return { path, fd };
    } catch (error) {
      this.#files.close(fd);
      this.#files.unlink(path);
      throw error;
    }
  }

  /** The reserve is kept for housekeeping; what is full altogether says so by itself. */
  #refuseReserve(path: string, bytes: number): void {
    const reserve = this.#reserveBytes();
    if (reserve === 0) return;
    if (this.#files.freeBytes(this.#directory) - bytes < reserve)
      throw systemError('ENOSPC', 'fallocate', path);
  }

  #nextSparePath(): string {
    this.#spareCount += 1;
    return join(this.#directory, `spare-${this.#spareCount}.new`);
  }

  #segment(path: string, fd: number, firstLsn: number, bytes: number): Segment {
    return {
      ordinal: -1,
      path,
      fd,
      identity: '',
      firstLsn,
      precededBy: firstLsn - 1,
      places: new GroupPlaces(),
      lastLsn: firstLsn - 1,
      firstTime: 0,
      lastTime: 0,
      lastArrival: 0,
      bytes,
      end: 0,
      recyclable: true,
      users: 0,
      retired: false,
    };
  }
}

interface OpenFile {
  path: string;
  fd: number;
}

const spareNumber = (path: string): number => Number(/(\d+)\.new$/.exec(path)?.[1] ?? 0);
