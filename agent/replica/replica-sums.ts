// Checksums of a replica's content, in a file of their own that may be deleted: rot in the replica is found
// before it is copied into undo or shown.
import { crc32 } from 'node:zlib';
import { errnoOf } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import { readU64, writeU64 } from '../../core/record/record.ts';
import { KiB } from '../../core/units.ts';

/**
 * One CRC-32 covers this much, sixteen of them what one check of a record covers (64 KiB): most writes are
 * whole blocks of file systems, so a scattered one brings its new sum with it, and nothing around it has to
 * be read. The price is a thousandth of the disk.
 */
export const sumBlockBytes = 4 * KiB;

/** Sums of one page of the file. The last word of a page is the CRC of the others. */
export const sumsPerPage = 1023;
const pageBytes = 4 * KiB;
/** Bytes of a disk whose sums are on one page. */
export const sumPageSpan = sumsPerPage * sumBlockBytes;
const headerBytes = 64;
const magic = Buffer.from('HWSUMS1\n', 'latin1');

/** Nothing is known of a block with this sum. */
export const notKnown = 0;
/** A block whose CRC happens to be 0 is never checked. */
export const sumOf = (block: Uint8Array): number => crc32(block);
export const zeroSum = sumOf(Buffer.alloc(sumBlockBytes));

/** Whose sums they are. */
export interface SumsOwner {
  /** UUID, 16 bytes. */
  machine: Uint8Array;
  disk: number;
}

/**
 * Closed (`low` = `high`): the sums are those of the replica at this LSN. Open: a step within [low, high] has
 * begun; what it touches may have either sum, all else has the right one.
 */
export interface SumsState {
  low: number;
  high: number;
  open: boolean;
  rest: number;
}

/**
 * What a page that is not there says of its blocks. Any other number is that of a pass through the replica
 * that is under way: nothing yet.
 */
export const Rest = { unknown: 0, zeros: 1, leastPass: 2 } as const;

/** The sums of `sumsPerPage` blocks as they were read or changed. */
export class SumsPage {
  readonly words = new Uint32Array(pageBytes / 4);
  readonly bytes = Buffer.from(this.words.buffer);

  /**
   * A page that is not sound says nothing; of one that is not there, each block has the sum `absent`. False
   * when it is there and not sound.
   */
  settle(read: number, absent: number): boolean {
    if (read === pageBytes && this.words[sumsPerPage] === this.#crc()) return true;
    const isThere = this.words.subarray(0, Math.ceil(read / 4)).some((word) => word !== 0);
    this.words.fill(isThere ? notKnown : absent);
    return !isThere;
  }

  seal(): void {
    this.words[sumsPerPage] = this.#crc();
  }

  #crc(): number {
    return crc32(this.bytes.subarray(0, sumsPerPage * 4));
  }
}

/** The file as such: header, then pages from 4 KiB on, which are little-endian words as on all our hosts. */
export class SumsFile {
  readonly fd: number;
  readonly #files: Files;
  readonly #owner: SumsOwner;
  /** The sum of each block of a page that is not there, by the state that was read or written last. */
  absent: number = notKnown;
  /** The file was no shorter then: what is missing below has been cut off. */
  #leastBytes = 0;

  constructor(files: Files, fd: number, owner: SumsOwner) {
    this.#files = files;
    this.fd = fd;
    this.#owner = owner;
  }

  /** Null when the header is not a sound one of this owner. Of a file that was cut the rest is unknown. */
  readState(): SumsState | null {
    this.absent = notKnown;
    this.#leastBytes = 0;
    const header = Buffer.alloc(headerBytes);
    if (this.#tryRead(header, 0) < headerBytes) return null;
    if (magic.compare(header, 0, magic.length) !== 0) return null;
    if (header.readUInt32LE(60) !== crc32(header.subarray(0, 60))) return null;
    const { machine, disk } = this.#owner;
    if (!header.subarray(8, 24).equals(machine) || header.readUInt32LE(24) !== disk) return null;
    const leastBytes = readU64(header, 52);
    const rest = this.#files.size(this.fd) < leastBytes ? Rest.unknown : header.readUInt32LE(48);
    this.#leastBytes = leastBytes;
    this.absent = absentOf(rest);
    return { open: header.readUInt32LE(28) !== 0, low: readU64(header, 32), high: readU64(header, 40), rest };
  }

  /**
   * 64 bytes at the beginning of a sector, which is written whole or not at all. After a power cut that
   * leaves them, but not what made the file longer, the rest is unknown.
   */
  writeState({ low, high, open, rest }: SumsState): void {
    this.#leastBytes = this.#files.size(this.fd);
    const header = Buffer.alloc(headerBytes);
    magic.copy(header, 0);
    header.set(this.#owner.machine, 8);
    header.writeUInt32LE(this.#owner.disk, 24);
    header.writeUInt32LE(open ? 1 : 0, 28);
    writeU64(header, 32, low);
    writeU64(header, 40, high);
    header.writeUInt32LE(rest, 48);
    writeU64(header, 52, this.#leastBytes);
    header.writeUInt32LE(crc32(header.subarray(0, 60)), 60);
    this.#files.write(this.fd, [header], 0);
    this.absent = absentOf(rest);
  }

  readPage(index: number, page: SumsPage): void {
    const at = placeOf(index);
    // What another thread is just writing may be read in part, which does not last.
    for (let tries = 0; tries < 3; tries++) {
      const read = this.#tryRead(page.bytes, at);
      const isCut = read < pageBytes && at < this.#leastBytes;
      if (page.settle(read, isCut ? notKnown : this.absent)) return;
    }
  }

  writePage(index: number, page: SumsPage): void {
    page.seal();
    this.#files.write(this.fd, [page.bytes], placeOf(index));
  }

  /** The first page at or after `index` that may say something, or null. */
  nextPage(index: number): number | null {
    const data = this.#files.nextData(this.fd, placeOf(index));
    return data === null ? null : Math.max(Math.floor(data / pageBytes) - 1, index);
  }

  /** Durably without any content: nothing of it can come back with a header that is written later. */
  async clear(): Promise<void> {
    this.#files.allocate(this.fd, 0);
    await this.sync();
  }

  sync(): Promise<void> {
    return this.#files.sync(this.fd);
  }

  /** What the disk does not give back is as if it had not been written. */
  #tryRead(target: Buffer, position: number): number {
    try {
      return this.#files.readSync(this.fd, target, position);
    } catch (error) {
      if (errnoOf(error) !== 'EIO') throw error;
      return 0;
    }
  }
}

const absentOf = (rest: number): number => (rest === Rest.zeros ? zeroSum : notKnown);
const placeOf = (page: number): number => (page + 1) * pageBytes;

/**
 * Opens the file of sums at `path`, made new when it is not there and `create` says so; null when there is
 * none.
 */
export function openSums(files: Files, path: string, owner: SumsOwner, create = false): SumsFile | null {
  try {
    return new SumsFile(files, files.open(path), owner);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return create ? new SumsFile(files, files.create(path), owner) : null;
  }
}

/** Pages that a reader keeps: 1 MiB of them are the sums of 1 GiB. */
const pagesKept = 256;

/**
 * Checks what was read from a replica. `isValid` is to be asked whenever a step has begun or ended, and what
 * was checked counts when none has by the time it was; while one is open, only of blocks that it leaves
 * alone.
 */
export class SumsReader {
  /** Bytes that were to be checked, and of which nothing is known. */
  unknownBytes = 0;
  readonly #sums: SumsFile;
  readonly #pages = new Map<number, SumsPage>();

  constructor(sums: SumsFile) {
    this.#sums = sums;
  }

  /**
   * Whether the sums are those of the replica at this LSN, or on its way from `low` to `high`. Forgets what
   * was read before.
   */
  isValid(low: number, high = low): boolean {
    this.forget();
    const state = this.#sums.readState() ?? this.#sums.readState(); // the first may have been half written
    return state !== null && state.low >= low && state.high <= high && (!state.open || low < high);
  }

  /** What was read before may have been written since. */
  forget(): void {
    this.#pages.clear();
  }

  /**
   * The parts [start, end) of the disk, whole blocks, that do not fit their sums. `bytes` is what was read at
   * `offset`; of blocks that are in it in part nothing is said.
   */
  check(offset: number, bytes: Buffer): [number, number][] {
    const bad: [number, number][] = [];
    const end = offset + bytes.length;
    const first = Math.ceil(offset / sumBlockBytes);
    for (let block = first; (block + 1) * sumBlockBytes <= end; block++) {
      const known = this.#page(block).words[block % sumsPerPage]!;
      if (known === notKnown) {
        this.unknownBytes += sumBlockBytes;
        continue;
      }
      const at = block * sumBlockBytes;
      if (sumOf(bytes.subarray(at - offset, at - offset + sumBlockBytes)) !== known) pushBlock(bad, at);
    }
    return bad;
  }

  /** The same for [start, end) that is a hole. */
  checkHole(start: number, end: number): [number, number][] {
    const bad: [number, number][] = [];
    const last = Math.floor(end / sumBlockBytes);
    for (let block = Math.ceil(start / sumBlockBytes); block < last;) {
      const page = Math.floor(block / sumsPerPage);
      // Holes may be vast, and so may be the part of the file that says nothing of them.
      const filled = last - block > sumsPerPage ? (this.#sums.nextPage(page) ?? Infinity) : page;
      const told = Math.min(Math.max(block, filled * sumsPerPage), last);
      if (this.#sums.absent === notKnown) this.unknownBytes += (told - block) * sumBlockBytes;
      block = told;
      for (const stop = Math.min((filled + 1) * sumsPerPage, last); block < stop; block++) {
        const known = this.#page(block).words[block % sumsPerPage]!;
        if (known === notKnown) this.unknownBytes += sumBlockBytes;
        else if (known !== zeroSum) pushBlock(bad, block * sumBlockBytes);
      }
    }
    return bad;
  }

  #page(block: number): SumsPage {
    const index = Math.floor(block / sumsPerPage);
    const known = this.#pages.get(index);
    if (known !== undefined) return known;
    const [oldest] = this.#pages.keys();
    if (this.#pages.size >= pagesKept && oldest !== undefined) this.#pages.delete(oldest);
    const page = new SumsPage();
    this.#sums.readPage(index, page);
    this.#pages.set(index, page);
    return page;
  }
}

function pushBlock(list: [number, number][], start: number): void {
  const last = list.at(-1);
  if (last !== undefined && last[1] === start) last[1] = start + sumBlockBytes;
  else list.push([start, start + sumBlockBytes]);
}
