// Checksums of the 4 KiB blocks of what is checked by a larger checksum: the large one follows from the small
// ones, and whoever needs these next does not go over the bytes once more.
import { crc32 } from 'node:zlib';
import { limits } from '../../core/limits.ts';
import { sumBlockBytes } from './replica-sums.ts';

const block = limits.checkBlockBytes;
const most = limits.recordDataBytes / sumBlockBytes;

/** Knows the blocks of one run of addresses: those of the content that was checked last. */
export class KnownSums {
  readonly #sums = new Uint32Array(most);
  #start = 0;
  #count = 0;

  forget(): void {
    this.#count = 0;
  }

  /** The sum of the block at machine address `start` as it was checked last, or -1. */
  at(start: number): number {
    const index = (start - this.#start) / sumBlockBytes;
    return index >= 0 && index < this.#count && Number.isInteger(index) ? this.#sums[index]! : -1;
  }

  /**
   * Whether `data`, the content from machine address `start` on, has this CRC. When it has not, nothing is
   * known any more.
   */
  fits(data: Buffer, start: number, crc: number): boolean {
    if (start % sumBlockBytes !== 0) return crc32(data) === crc;
    if (start !== this.#start + this.#count * sumBlockBytes) {
      this.#start = start;
      this.#count = 0;
    }
    if (this.#add(data) === crc) return true;
    this.forget();
    return false;
  }

  /** The same of a record's check blocks, of which `data` begins with the `firstBlock`-th. */
  blocksFit(data: Buffer, start: number, table: Buffer, firstBlock: number): boolean {
    for (let at = 0, slot = firstBlock * 4; at < data.length; at += block, slot += 4)
      if (!this.fits(data.subarray(at, at + block), start + at, table.readUInt32LE(slot))) return false;
    return true;
  }

  #add(data: Buffer): number {
    const whole = data.length - (data.length % sumBlockBytes);
    if (this.#count * sumBlockBytes + whole > limits.recordDataBytes) {
      this.#start += this.#count * sumBlockBytes;
      this.#count = 0;
    }
    let crc = 0;
    for (let at = 0; at < whole; at += sumBlockBytes) {
      const sum = crc32(data.subarray(at, at + sumBlockBytes));
      this.#sums[this.#count++] = sum;
      crc = at === 0 ? sum : followed(crc, sum);
    }
    return whole === data.length ? crc : crc32(data.subarray(whole), crc);
  }
}

/** The CRC of bytes of this CRC with a block of this sum behind them. */
function followed(crc: number, sum: number): number {
  const moved =
    behind[crc & 0xff]! ^
    behind[0x100 + ((crc >>> 8) & 0xff)]! ^
    behind[0x200 + ((crc >>> 16) & 0xff)]! ^
    behind[0x300 + (crc >>> 24)]!;
  return (moved ^ sum) >>> 0;
}

/**
 * What a block of zeros makes of a CRC, byte by byte of it. CRCs are linear: what zeros make of one is the
 * exclusive or of what they make of its bits, but for what they make of none.
 */
const behind = behindBlock();

function behindBlock(): Uint32Array {
  const zeros = Buffer.alloc(sumBlockBytes);
  const none = crc32(zeros, 0);
  const bits = Array.from({ length: 32 }, (_, bit) => crc32(zeros, (1 << bit) >>> 0) ^ none);
  return Uint32Array.from({ length: 0x400 }, (_, index) => {
    const [byte, value] = [index >>> 8, index & 0xff];
    let made = 0;
    for (let bit = 0; bit < 8; bit++) if (((value >>> bit) & 1) === 1) made ^= bits[byte * 8 + bit]!;
    return made;
  });
}
