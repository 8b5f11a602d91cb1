// A stretch of a disk: what one thread of a recovery does at a time, and what it says when it is done.
import { assert } from '../../../core/errors.ts';
import { writeFullySync } from '../../../core/full-io.ts';
import { limits } from '../../../core/limits.ts';
import { KiB } from '../../../core/units.ts';
import { vmdkTableSpan } from '../../../core/formats/vmdk.ts';
import type { ByteRange } from './disk-source.ts';

assert(limits.recoveryStretchBytes === vmdkTableSpan, 'a stretch is what one grain table of VMDK covers');

export type ImageFormat = 'raw' | 'qcow2' | 'vmdk';

/** Disk bytes [from, to), the `index`-th stretch; the last ends with the disk. */
export interface Stretch {
  index: number;
  from: number;
  to: number;
  /** What is there may be right already: only what differs is written. */
  compareFirst: boolean;
}

/** Added to an index in a list of stretches: `Stretch.compareFirst`. */
export const compareFirstBit = 2 ** 31;

export interface StretchDone {
  index: number;
  /** Where the format put it: qcow2 runs of clusters, as pairs [start, end); VMDK sectors [start, end). */
  parts: number[];
  bytesWritten: number;
  damaged: ByteRange[];
}

export interface DiskWriter {
  /** In the page cache when it resolves. */
  write(stretch: Stretch): Promise<Pick<StretchDone, 'parts' | 'bytesWritten'>>;
}

export const stretchesOf = (size: number): number => Math.ceil(size / limits.recoveryStretchBytes);

/** Where the threads of one disk get their work and their places in the file. */
export class SharedTurns {
  static readonly bytes = 24;
  readonly buffer: SharedArrayBuffer;
  readonly #counts: Int32Array;
  readonly #sectors: BigInt64Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#counts = new Int32Array(buffer, 0, 4);
    this.#sectors = new BigInt64Array(buffer, 16, 1);
  }

  /** `cluster` and `sector` are the first free ones of a file that has some already. */
  static begin({ cluster = 0, sector = 0 }: { cluster?: number; sector?: number }): SharedTurns {
    const turns = new SharedTurns(new SharedArrayBuffer(SharedTurns.bytes));
    Atomics.store(turns.#counts, 2, cluster);
    Atomics.store(turns.#sectors, 0, BigInt(sector));
    return turns;
  }

  /** The position in the list of stretches that is nobody's yet. */
  nextStretch(): number {
    return Atomics.add(this.#counts, 0, 1);
  }

  /** Takes `count` clusters, gives back the first. */
  takeClusters(count: number): number {
    return Atomics.add(this.#counts, 2, count);
  }

  /**
   * Takes sectors in the order of the list, blocking the thread until all before `position` have theirs.
   * Those exist: positions are given out in order, and a thread that fails ends all others.
   */
  takeSectors(position: number, count: number): number {
    for (let turn = this.#turn; turn !== position; turn = this.#turn) Atomics.wait(this.#counts, 1, turn);
    const sector = Number(Atomics.add(this.#sectors, 0, BigInt(count)));
    Atomics.store(this.#counts, 1, position + 1);
    Atomics.notify(this.#counts, 1);
    return sector;
  }

  get #turn(): number {
    return Atomics.load(this.#counts, 1);
  }
}

const zeros = Buffer.alloc(limits.exportBufferBytes);

export const isZero = (data: Buffer): boolean => data.equals(zeros.subarray(0, data.length));

/**
 * For larger writes Linux looks for larger stretches of memory to cache them in, which on a host that has
 * been up for a while takes several times as long as the writing.
 */
const writeBytes = 256 * KiB;

export function writeInParts(fd: number, source: Buffer, position: number): void {
  for (let at = 0; at < source.length; at += writeBytes)
    writeFullySync(fd, [source.subarray(at, at + writeBytes)], position + at);
}
