// Reads a disk at the head of its journal: the newest redo of each extent, else the replica.
import type { BlockExtent, BlockStore } from '../../core/block/block-store.ts';
import { appendExtent, dataExtent, holeExtent } from '../../core/block/append-extent.ts';
import { HomewardError } from '../../core/errors.ts';
import { addressOffset, machineAddress } from '../../core/extents/address.ts';
import { ContentKind, type ExtentColumns } from '../../core/extents/extent-columns.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import type { Files } from '../../core/files/files.ts';
import type { MachineMark } from '../../core/record/record.ts';
import {
  firstRead,
  judgeFirst,
  judgeSecond,
  type Stretch,
  type Wanted,
} from '../../core/segment-log/read-record.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { Journal } from '../journal/journal.ts';
import { damagedRecord } from '../replica/record-reader.ts';

export class HeadReader {
  readonly #journal: Journal;
  readonly #replicas: readonly BlockStore[];
  readonly #diskNames: readonly string[];
  readonly #unknown: () => readonly (readonly [number, number])[];
  readonly #files: Files;
  readonly #mark: MachineMark;

  /** `unknown` gives the addresses [start, end) of the replicas whose content nobody knows. */
  constructor(
    journal: Journal,
    replicas: readonly BlockStore[],
    diskNames: readonly string[] = [],
    unknown: () => readonly (readonly [number, number])[] = () => [],
  ) {
    this.#unknown = unknown;
    this.#diskNames = diskNames;
    this.#journal = journal;
    this.#replicas = replicas;
    this.#files = journal.source.files;
    this.#mark = journal.source.mark;
  }

  /** Fills `target`; damage is a 'damaged' error. */
  read(disk: number, offset: number, target: Buffer): Promise<void> {
    return this.#inOneTurn(() => this.#read(disk, offset, target));
  }

  extents(disk: number, offset: number, length: number): Promise<BlockExtent[]> {
    return this.#inOneTurn(() => this.#extents(disk, offset, length));
  }

  /**
   * When the cursor goes back meanwhile, the replica may have been read when older content was in it already:
   * then what it had is in redo again, and all is read once more.
   */
  async #inOneTurn<T>(read: () => Promise<T>): Promise<T> {
    for (;;) {
      const { turns } = this.#journal;
      const found = await read();
      if (turns === this.#journal.turns) return found;
    }
  }

  async #read(disk: number, offset: number, target: Buffer): Promise<void> {
    const reads: Promise<void>[] = [];
    this.#journal
      .resolveHead(disk, offset, target.length, new Pieces())
      .forEach((start, end, extent, index) => {
        const from = addressOffset(start) - offset;
        const piece = target.subarray(from, from + end - start);
        reads.push(this.#readPiece(disk, offset + from, piece, extent, index));
      });
    await Promise.all(reads);
  }

  async #extents(disk: number, offset: number, length: number): Promise<BlockExtent[]> {
    const found: { offset: number; length: number; extent: ExtentColumns | null; index: number }[] = [];
    this.#journal.resolveHead(disk, offset, length, new Pieces()).forEach((start, end, extent, index) => {
      found.push({ offset: addressOffset(start), length: end - start, extent, index });
    });
    const extents: BlockExtent[] = [];
    for (const piece of found) {
      const below =
        piece.extent === null ? await this.#replica(disk).extents(piece.offset, piece.length) : null;
      const zero = piece.extent?.kinds[piece.index] === ContentKind.zero;
      for (const extent of below ?? [zero ? holeExtent(piece.length) : dataExtent(piece.length)])
        appendExtent(extents, extent);
    }
    return extents;
  }

  #readPiece(
    disk: number,
    offset: number,
    target: Buffer,
    extent: ExtentColumns | null,
    index: number,
  ): Promise<void> {
    if (extent === null) return this.#readReplica(disk, offset, target);
    if (extent.kinds[index] === ContentKind.zero) {
      target.fill(0);
      return Promise.resolve();
    }
    const segment = this.#journal.segment(extent.segments[index] ?? 0);
    if (segment === undefined || extent.kinds[index] !== ContentKind.data) {
      return Promise.reject(this.#notKnown(disk, offset, target.length));
    }
    return this.#readRecord(segment, target, {
      position: extent.positions[index] ?? 0,
      lsn: segment.firstLsn + (extent.lsnDeltas[index] ?? 0),
      disk,
      start: offset,
      end: offset + target.length,
    });
  }

  #readReplica(disk: number, offset: number, target: Buffer): Promise<void> {
    const start = machineAddress(disk, offset);
    const end = start + target.length;
    if (this.#unknown().some(([from, to]) => from < end && start < to))
      return Promise.reject(this.#notKnown(disk, offset, target.length));
    return this.#replica(disk).read(target, offset);
  }

  #notKnown(disk: number, offset: number, length: number): HomewardError {
    const name = this.#diskNames[disk] ?? String(disk);
    return new HomewardError('damaged', `bytes ${offset} to ${offset + length} of disk ${name} are unknown`);
  }

  /** The segment is held while we read, so that it is not pruned and written over under us. */
  async #readRecord(segment: Segment, target: Buffer, wanted: Wanted): Promise<void> {
    segment.users += 1;
    try {
      const first = judgeFirst(wanted, await this.#readStretch(segment, firstRead(wanted)), this.#mark);
      let data = first.kind === 'data' ? first.data : null;
      if (first.kind === 'more')
        data = judgeSecond(wanted, await this.#readStretch(segment, first.stretch), first);
      if (data === null) {
        this.#noteDamage(segment, wanted);
        throw damagedRecord(segment.path, wanted);
      }
      data.copy(target);
    } finally {
      segment.users -= 1;
    }
  }

  #noteDamage({ path: file }: Segment, { lsn, disk, start, end }: Wanted): void {
    const name = this.#diskNames[disk] ?? null;
    this.#journal.noteDamage({ file, fromLsn: lsn, toLsn: lsn, disk: name, start, end });
  }

  async #readStretch(segment: Segment, stretch: Stretch): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(stretch.length);
    return bytes.subarray(0, await this.#files.read(segment.fd, bytes, stretch.position));
  }

  #replica(disk: number): BlockStore {
    const store = this.#replicas[disk];
    if (store === undefined) throw new RangeError(`no disk ${disk}`);
    return store;
  }
}
