// The content of a machine as of a moment, as data that can be posted to another thread, and its reader
// there.
import fs from 'node:fs';
import { addressOffset, machineAddress } from '../../core/extents/address.ts';
import { ContentKind, type ExtentColumns } from '../../core/extents/extent-columns.ts';
import { ExtentTable, type SharedExtents } from '../../core/extents/extent-table.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import { resolve } from '../../core/extents/resolve.ts';
import { appendExtent, dataExtent, holeExtent } from '../../core/block/append-extent.ts';
import type { BlockExtent } from '../../core/block/block-store.ts';
import { HomewardError } from '../../core/errors.ts';
import { seekData, seekHole } from '../../core/linux.ts';
import type { MachineMark } from '../../core/record/record.ts';
import { RecordReader } from './record-reader.ts';

/** Everything that a view needs, and nothing that changes: files are lent by the thread that opened them. */
export interface ViewContent {
  mark: MachineMark;
  lsn: number;
  /** Newest first. */
  tables: SharedExtents[];
  firstLiveSegment: number;
  segments: { ordinal: number; fd: number; firstLsn: number; path: string }[];
  disks: { name: string; size: number; fd: number; sparse: boolean }[];
  /** Addresses whose content in the replicas is unknown, in order. */
  unknown: readonly [number, number][];
}

/** A view's content, with everything it needs held until `release`. */
export interface HeldContent {
  content: ViewContent;
  release(): void;
}

/** Reads a view, blocking its thread; damage is a 'damaged' error that names the place, never other bytes. */
export class ViewReader {
  readonly content: ViewContent;
  readonly #tables: ExtentTable[];
  readonly #segments: Map<number, ViewContent['segments'][number]>;
  readonly #pieces = new Pieces();
  readonly #records: RecordReader;

  constructor(content: ViewContent) {
    this.content = content;
    this.#records = new RecordReader(content.mark);
    this.#tables = content.tables.map((table) => ExtentTable.from(table));
    this.#segments = new Map(content.segments.map((segment) => [segment.ordinal, segment]));
  }

  /** Fills `target` with the disk's content from `offset`. */
  read(disk: number, offset: number, target: Buffer): void {
    const start = machineAddress(disk, offset);
    const { starts, ends, columns, indexes, count } = this.#resolve(start, start + target.length);
    for (let at = 0; at < count; at++) {
      const from = starts[at]! - start;
      const piece = target.subarray(from, ends[at]! - start);
      const extent = columns[at] ?? null;
      if (extent === null) this.#readReplica(disk, offset + from, piece);
      else this.#readExtent(disk, offset + from, piece, extent, indexes[at]!);
    }
  }

  /** What [offset, offset + length) consists of: data, or zeros that no storage stands behind. */
  extents(disk: number, offset: number, length: number): BlockExtent[] {
    const extents: BlockExtent[] = [];
    this.#resolve(machineAddress(disk, offset), machineAddress(disk, offset) + length).forEach(
      (start, end, extent, index) => {
        if (extent === null) this.#replicaExtents(disk, addressOffset(start), end - start, extents);
        else if (extent.kinds[index] === ContentKind.zero) appendExtent(extents, holeExtent(end - start));
        else appendExtent(extents, dataExtent(end - start));
      },
    );
    return extents;
  }

  #resolve(start: number, end: number): Pieces {
    return resolve(this.#tables, start, end, this.#pieces, this.content.firstLiveSegment);
  }

  #readReplica(disk: number, offset: number, target: Buffer): void {
    if (this.#isUnknown(disk, offset, target.length)) throw this.#unknown(disk, offset, target.length);
    const fd = this.content.disks[disk]?.fd ?? -1;
    for (let done = 0; done < target.length;) {
      const read = fs.readSync(fd, target, done, target.length - done, offset + done);
      if (read === 0)
        throw new HomewardError(
          'damaged',
          `the replica of disk ${this.#diskName(disk)} ends at ${offset + done}`,
        );
      done += read;
    }
  }

  #readExtent(disk: number, offset: number, target: Buffer, extent: ExtentColumns, index: number): void {
    const kind = extent.kinds[index];
    if (kind === ContentKind.zero) {
      target.fill(0);
      return;
    }
    const segment = this.#segments.get(extent.segments[index]!);
    if (kind !== ContentKind.data || segment === undefined) throw this.#unknown(disk, offset, target.length);
    this.#records.read(segment, target, {
      position: extent.positions[index]!,
      lsn: segment.firstLsn + extent.lsnDeltas[index]!,
      disk,
      start: offset,
      end: offset + target.length,
    });
  }

  #replicaExtents(disk: number, offset: number, length: number, extents: BlockExtent[]): void {
    const { fd, sparse } = this.content.disks[disk] ?? { fd: -1, sparse: false };
    const end = offset + length;
    if (!sparse || this.#isUnknown(disk, offset, length)) {
      appendExtent(extents, dataExtent(length));
      return;
    }
    for (let at = offset; at < end;) {
      const data = Math.min(seekData(fd, at) ?? end, end);
      if (data > at) appendExtent(extents, holeExtent(data - at));
      const hole = data < end ? Math.min(seekHole(fd, data) ?? end, end) : end;
      if (hole > data) appendExtent(extents, dataExtent(hole - data));
      at = hole;
    }
  }

  #isUnknown(disk: number, offset: number, length: number): boolean {
    if (this.content.unknown.length === 0) return false;
    const from = machineAddress(disk, offset);
    return this.content.unknown.some(([start, end]) => start < from + length && from < end);
  }

  #unknown(disk: number, offset: number, length: number): HomewardError {
    const where = `bytes ${offset} to ${offset + length} of disk ${this.#diskName(disk)}`;
    return new HomewardError(
      'damaged',
      `${where} are unknown at lsn:${this.content.lsn}: a record that may have written them is lost`,
    );
  }

  #diskName(disk: number): string {
    return this.content.disks[disk]?.name ?? String(disk);
  }
}
