// Reads back what a recovery has written, as disks again: a way of its own, so that it finds the writer's
// mistakes too.
import { inflateSync } from 'node:zlib';
import { undisturbed } from '../../../core/end-thread.ts';
import { errnoOf } from '../../../core/errors.ts';
import {
  parseQcow2Entries,
  qcow2ClusterBytes,
  qcow2EntryPosition,
  qcow2Layout,
  type Qcow2Layout,
} from '../../../core/formats/qcow2.ts';
import {
  parseVmdkGrain,
  vmdkGrainBytes,
  vmdkSectorBytes,
  vmdkTableGrains,
  vmdkTableSpan,
} from '../../../core/formats/vmdk.ts';
import { readFullySync } from '../../../core/full-io.ts';
import { seekData } from '../../../core/linux.ts';
import type { ImageFormat } from './stretch.ts';

export interface ImageReader {
  /** Whether [from, to), which lies within one stretch, is known to be zeros without reading it. */
  isHole(from: number, to: number): boolean;
  /** Fills `target`; what cannot be read is anything but the content. */
  read(offset: number, target: Buffer): void;
}

export function openImage(format: ImageFormat, fd: number, size: number, fileBytes: number): ImageReader {
  if (format === 'qcow2') return new Qcow2Image(fd, size);
  return format === 'vmdk' ? new VmdkImage(fd, fileBytes) : new RawImage(fd);
}

class RawImage implements ImageReader {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  isHole(from: number, to: number): boolean {
    try {
      return (seekData(this.#fd, from) ?? to) >= to;
    } catch (error) {
      if (errnoOf(error) === 'EINVAL') return false; // devices and file systems that do not know
      throw error;
    }
  }

  read(offset: number, target: Buffer): void {
    const read = readFullySync(this.#fd, target, offset);
    target.fill(0xff, read);
  }
}

class Qcow2Image implements ImageReader {
  readonly #fd: number;
  readonly #layout: Qcow2Layout;

  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.#layout = qcow2Layout(size);
  }

  isHole(from: number, to: number): boolean {
    return this.#clusters(from, to).every((cluster) => cluster === 0);
  }

  read(offset: number, target: Buffer): void {
    const clusters = this.#clusters(offset, offset + target.length);
    const whole = Buffer.alloc(qcow2ClusterBytes);
    clusters.forEach((cluster, at) => {
      const piece = target.subarray(at * qcow2ClusterBytes, (at + 1) * qcow2ClusterBytes);
      const read = cluster === 0 ? whole.fill(0).length : this.#readAt(whole, cluster * qcow2ClusterBytes);
      whole.fill(0xff, read).copy(piece);
    });
  }

  #clusters(from: number, to: number): Float64Array {
    const first = Math.floor(from / qcow2ClusterBytes);
    const entries = Buffer.alloc((Math.ceil(to / qcow2ClusterBytes) - first) * 8);
    this.#readAt(entries, qcow2EntryPosition(this.#layout, first));
    return parseQcow2Entries(entries);
  }

  #readAt(target: Buffer, position: number): number {
    return readFullySync(this.#fd, target, position);
  }
}

/** The footer and its marker's successor, the end of the stream, are the last two sectors. */
const footerFromEnd = 2 * vmdkSectorBytes;
const directorySectorAt = 56;

class VmdkImage implements ImageReader {
  readonly #fd: number;
  readonly #directory: number;
  readonly #raw = Buffer.alloc(2 * vmdkGrainBytes);
  #table: { index: number; sectors: Uint32Array } = { index: -1, sectors: new Uint32Array() };

  constructor(fd: number, fileBytes: number) {
    this.#fd = fd;
    const footer = Buffer.alloc(vmdkSectorBytes);
    readFullySync(fd, footer, fileBytes - footerFromEnd);
    this.#directory = Number(footer.readBigUInt64LE(directorySectorAt)) * vmdkSectorBytes;
  }

  isHole(from: number, to: number): boolean {
    for (let offset = from; offset < to; offset += vmdkGrainBytes)
      if (this.#sectorOf(offset) !== 0) return false;
    return true;
  }

  read(offset: number, target: Buffer): void {
    for (let at = 0; at < target.length; at += vmdkGrainBytes) {
      const piece = target.subarray(at, at + vmdkGrainBytes);
      const sector = this.#sectorOf(offset + at);
      const grain = sector === 0 ? null : this.#grain(sector, offset + at);
      if (sector === 0) piece.fill(0);
      else if (grain === null) piece.fill(0xff);
      else grain.copy(piece);
    }
  }

  /** Null when it is none that belongs there. */
  #grain(sector: number, diskOffset: number): Buffer | null {
    const read = readFullySync(this.#fd, this.#raw, sector * vmdkSectorBytes);
    const marker = parseVmdkGrain(this.#raw);
    if (marker.diskOffset !== diskOffset || marker.from + marker.bytes > read) return null;
    try {
      const options = { maxOutputLength: vmdkGrainBytes };
      const packed = this.#raw.subarray(marker.from, marker.from + marker.bytes);
      return undisturbed(() => inflateSync(packed, options));
    } catch {
      return null; // not what was written: the comparison says where
    }
  }

  #sectorOf(offset: number): number {
    const index = Math.floor(offset / vmdkTableSpan);
    if (this.#table.index !== index) this.#table = { index, sectors: this.#readTable(index) };
    return this.#table.sectors[Math.floor((offset % vmdkTableSpan) / vmdkGrainBytes)] ?? 0;
  }

  #readTable(index: number): Uint32Array {
    const entry = Buffer.alloc(4);
    readFullySync(this.#fd, entry, this.#directory + index * 4);
    const sectors = new Uint32Array(vmdkTableGrains);
    if (entry.readUInt32LE(0) === 0) return sectors;
    const table = Buffer.alloc(vmdkTableGrains * 4);
    readFullySync(this.#fd, table, entry.readUInt32LE(0) * vmdkSectorBytes);
    return sectors.map((_zero, at) => table.readUInt32LE(at * 4));
  }
}
