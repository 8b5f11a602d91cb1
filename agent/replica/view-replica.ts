// Reads the replicas under a view: bytes and holes against their checksums where these are known.
import { appendExtent, dataExtent, holeExtent } from '../../core/block/append-extent.ts';
import type { BlockExtent } from '../../core/block/block-store.ts';
import { HomewardError } from '../../core/errors.ts';
import { machineAddress } from '../../core/extents/address.ts';
import type { Files } from '../../core/files/files.ts';
import { roundUp } from '../../core/units.ts';
import { openSums, sumBlockBytes, SumsReader } from './replica-sums.ts';
import type { ReplicaSpan, ViewContent, ViewDisk } from './view-content.ts';

interface Sums {
  fd: number;
  reader: SumsReader;
}

/**
 * Of a block that a step is writing in part, and nobody has looked at before: whether the rest of it is right
 * shows when that is done.
 */
export class BeingWritten extends HomewardError {}

export interface ViewReplicasOptions {
  files: Files;
  /** Whether redo or undo of the plan hides any of bytes [start, end) of a disk. */
  isHidden(disk: number, start: number, end: number): boolean;
  /** Whether a block that an open step is writing was looked at before it began, and fitted its checksum. */
  wasSound(disk: number, start: number, end: number): boolean;
  /** What cannot be waited for is believed instead of 'being written'. */
  waits: boolean;
}

export class ViewReplicas {
  readonly #content: ViewContent;
  readonly #files: Files;
  readonly #options: ViewReplicasOptions;
  /** What the sums that are looked at are of; null while none are. */
  #span: ReplicaSpan | null = null;
  /** By disk; none where there are none for `#span`. */
  #sums: (Sums | null)[] = [];
  /** Whole blocks, when a piece of one is wanted. */
  #blocks = Buffer.alloc(0);
  /** Where data was seen last: pieces of a disk that is all data need not ask again each. */
  readonly #data = { disk: -1, from: 0, to: 0 };

  constructor(content: ViewContent, options: ViewReplicasOptions) {
    this.#content = content;
    this.#files = options.files;
    this.#options = options;
  }

  /** Says what the replicas are as of; null when nobody knows. */
  settle(span: ReplicaSpan | null): void {
    if (span?.low === this.#span?.low && span?.high === this.#span?.high) return;
    this.#span = span;
    if (span === null) return;
    this.#sums = this.#content.disks.map((disk, index) => this.#sumsFor(disk, index, span));
  }

  /** Checksums may have been written since they were read. */
  lookAgain(): void {
    for (const sums of this.#sums) sums?.reader.forget();
  }

  /** Closes what it has opened. */
  close(): void {
    for (const sums of this.#sums) if (sums !== null) this.#files.close(sums.fd);
    this.#sums = [];
    this.#span = null;
  }

  read(disk: number, offset: number, target: Buffer): void {
    const sums = this.#validSums(disk);
    if (sums === null) {
      this.#fill(disk, offset, target);
      return;
    }
    const start = offset - (offset % sumBlockBytes);
    const end = Math.min(roundUp(offset + target.length, sumBlockBytes), this.#disk(disk).size);
    const isWhole = start === offset && end === offset + target.length;
    const bytes = isWhole ? target : this.#buffer(end - start);
    this.#fill(disk, start, bytes);
    for (const [from, to] of sums.check(start, bytes)) this.#judge(disk, from, to);
    if (!isWhole) bytes.copy(target, 0, offset - start, offset - start + target.length);
  }

  /** To be said before `extents` is asked for pieces that belong together. */
  lookAnew(): void {
    this.#data.disk = -1;
  }

  /** Appends what [offset, offset + length) consists of. A hole that is no hole by its sums is data. */
  extents(disk: number, offset: number, length: number, extents: BlockExtent[]): void {
    const { fd, sparse } = this.#disk(disk);
    const end = offset + length;
    if (!sparse || this.#isInData(disk, offset, end)) {
      appendExtent(extents, dataExtent(length));
      return;
    }
    for (let at = offset; at < end;) {
      const data = Math.min(this.#files.nextData(fd, at) ?? end, end);
      if (data > at) this.#hole(disk, at, data, extents);
      const hole = data < end ? (this.#files.nextHole(fd, data) ?? end) : end;
      if (hole > data) Object.assign(this.#data, { disk, from: data, to: hole });
      at = Math.min(hole, end);
      if (at > data) appendExtent(extents, dataExtent(at - data));
    }
  }

  #isInData(disk: number, start: number, end: number): boolean {
    return disk === this.#data.disk && start >= this.#data.from && end <= this.#data.to;
  }

  #hole(disk: number, start: number, end: number, extents: BlockExtent[]): void {
    let at = start;
    for (const [from, to] of this.#validSums(disk)?.checkHole(start, end) ?? []) {
      appendExtent(extents, holeExtent(from - at));
      appendExtent(extents, dataExtent(to - from));
      at = to;
    }
    appendExtent(extents, holeExtent(end - at));
  }

  #fill(disk: number, offset: number, target: Buffer): void {
    const { fd, name } = this.#disk(disk);
    const read = this.#files.readSync(fd, target, offset);
    if (read < target.length)
      throw new HomewardError('damaged', `the replica of disk ${name} ends at ${offset + read}`);
  }

  #validSums(disk: number): SumsReader | null {
    return this.#span === null ? null : (this.#sums[disk]?.reader ?? null);
  }

  /** Throws what is to be said of blocks that do not fit: a step changes no others than those it hides. */
  #judge(disk: number, start: number, end: number): void {
    const isOpen = this.#span !== null && this.#span.low < this.#span.high;
    const { isHidden, wasSound, waits } = this.#options;
    let isUnsure = false;
    for (let at = start; at < end; at += sumBlockBytes) {
      const to = at + sumBlockBytes;
      if (!isOpen || !isHidden(disk, at, to)) throw this.#rotten(disk, [start, end]);
      isUnsure ||= !wasSound(disk, at, to);
    }
    if (isUnsure && waits) throw new BeingWritten('damaged', this.#rotten(disk, [start, end]).message);
  }

  /** A file that is not, or no more, about these replicas is looked for again: it may have been made anew. */
  #sumsFor({ sums }: ViewDisk, disk: number, { low, high }: ReplicaSpan): Sums | null {
    const known = this.#sums[disk] ?? null;
    if (known !== null) {
      if (known.reader.isValid(low, high)) return known;
      this.#files.close(known.fd);
    }
    const file = sums === null ? null : openSums(this.#files, sums, { machine: this.#content.machine, disk });
    if (file === null) return null;
    const reader = new SumsReader(file);
    if (reader.isValid(low, high)) return { fd: file.fd, reader };
    this.#files.close(file.fd);
    return null;
  }

  #buffer(bytes: number): Buffer {
    if (this.#blocks.length < bytes) this.#blocks = Buffer.allocUnsafeSlow(bytes);
    return this.#blocks.subarray(0, bytes);
  }

  #rotten(disk: number, [start, end]: [number, number]): HomewardError {
    return new HomewardError(
      'damaged',
      `bytes ${start} to ${end} of the replica of disk ${this.#disk(disk).name} do not fit their checksums`,
    );
  }

  #disk(disk: number): ViewDisk {
    return this.#content.disks[disk] ?? { name: String(disk), size: 0, fd: -1, sparse: false, sums: null };
  }
}

/** Whether any of the sorted, disjoint `intervals` touches bytes [offset, offset + length) of a disk. */
export function touches(
  intervals: readonly (readonly [number, number])[],
  disk: number,
  offset: number,
  length: number,
): boolean {
  if (intervals.length === 0) return false;
  const from = machineAddress(disk, offset);
  return intervals.some(([start, end]) => start < from + length && from < end);
}
