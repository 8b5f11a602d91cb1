// Reads pieces of records for a view, blocking its thread, each checked; remembers the large records it read
// last.
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { machineAddress } from '../../core/extents/address.ts';
import type { Files } from '../../core/files/files.ts';
import { hostFiles } from '../../core/files/host-files.ts';
import { limits } from '../../core/limits.ts';
import { checkTableBytes, blocksFit } from '../../core/record/payload.ts';
import { recordHeaderBytes, type MachineMark, type RecordHeader } from '../../core/record/record.ts';
import {
  blocksOf,
  firstRead,
  judgeFirst,
  judgeSecond,
  type More,
  type Stretch,
  type Wanted,
} from '../../core/segment-log/read-record.ts';
import type { KnownSums } from './known-sums.ts';

/** What reading records needs of the file system. */
export type ReadFiles = Pick<Files, 'readSync'>;

export interface RecordPlace {
  fd: number;
  path: string;
}

/**
 * A large record: its header and table are known, and `body` holds the checked bytes [from, to) of the disk.
 */
interface Remembered {
  fd: number;
  position: number;
  header: RecordHeader;
  table: Buffer;
  body: Buffer;
  from: number;
  to: number;
}

/** Where what is wanted of a record ends, all in all, when the record itself ends at `end` of the disk. */
export type WantedUntil = (end: number) => number;

const block = limits.checkBlockBytes;
/** Of a record that is wanted in so large a piece the table has to be seen first. */
const headBytes = recordHeaderBytes + checkTableBytes(limits.recordDataBytes);
/** Large records that lie in pieces between each other's. */
const remembered = 4;

/**
 * A large record that small writes have cut into pieces is asked for piece by piece: remembering it saves
 * reading and checking the same block again for each.
 */
export class RecordReader {
  readonly #mark: MachineMark;
  readonly #files: ReadFiles;
  readonly #sums: KnownSums | null;
  readonly #head = Buffer.allocUnsafeSlow(recordHeaderBytes + block);
  /** The one used last comes first. */
  readonly #known: Remembered[] = [];
  /** Bytes of a file from a position on, not checked; small records that are asked for lie in there. */
  #window = { fd: -1, position: 0, bytes: Buffer.alloc(0) };
  #windowBuffer = Buffer.alloc(0);

  /** `sums` gets to know the blocks of what is read of large records in one piece. */
  constructor(mark: MachineMark, files: ReadFiles = hostFiles, sums: KnownSums | null = null) {
    this.#mark = mark;
    this.#sums = sums;
    this.#files = files;
  }

  /**
   * Fills `target` with what is wanted; throws 'damaged' when it does not fit its checksums. `until` tells of
   * what will be asked for next, so that it is read at once.
   */
  read(segment: RecordPlace, target: Buffer, wanted: Wanted, until: WantedUntil | null = null): void {
    const known = this.#find(segment.fd, wanted);
    if (known !== null) {
      if (wanted.start >= known.from && wanted.end <= known.to)
        known.body.copy(target, 0, wanted.start - known.from, wanted.end - known.from);
      else this.#readOn(segment, target, wanted, blocksOf(wanted, known.header, known.table), until);
      return;
    }
    const isLarge = wanted.end - wanted.start > block;
    const stretch = isLarge ? { position: wanted.position, length: headBytes } : firstRead(wanted);
    const first = judgeFirst(wanted, this.#readHead(segment.fd, stretch), this.#mark);
    if (first.kind === 'damaged') throw damagedRecord(segment.path, wanted);
    if (first.kind === 'data') first.data.copy(target);
    else this.#readOn(segment, target, wanted, first, until);
  }

  /**
   * Reads [from, to) of a file in one go: small records that are asked for next lie there. Holds until
   * `forgetAhead`; what cannot be read is left to who asks for it.
   */
  readAhead(fd: number, from: number, to: number): void {
    this.forgetAhead();
    if (this.#windowBuffer.length < to - from) this.#windowBuffer = Buffer.allocUnsafeSlow(to - from);
    const target = this.#windowBuffer.subarray(0, to - from);
    try {
      const bytes = target.subarray(0, this.#files.readSync(fd, target, from));
      this.#window = { fd, position: from, bytes };
    } catch (error) {
      if (errnoOf(error) === null) throw error;
    }
  }

  forgetAhead(): void {
    this.#window.fd = -1;
  }

  /** Files may be closed from now on, and their numbers given to others. */
  forget(): void {
    this.forgetAhead();
    this.#known.length = 0;
  }

  #readOn(segment: RecordPlace, target: Buffer, wanted: Wanted, more: More, until: WantedUntil | null): void {
    const { header, table } = more;
    if (table === null) {
      const small = this.#buffer(more.stretch.length);
      const data = judgeSecond(wanted, this.#read(segment.fd, more.stretch, small), more);
      if (data === null) throw damagedRecord(segment.path, wanted);
      data.copy(target);
      return;
    }
    const known = this.#remember(segment.fd, wanted.position, header, table);
    const end = until === null ? wanted.end : until(header.offset + header.length);
    if (end === wanted.end && more.stretch.length === target.length) {
      this.#readInto(segment, target, wanted, more);
      return;
    }
    const all = end === wanted.end ? more : blocksOf({ ...wanted, end }, header, known.table);
    const { length } = all.stretch;
    if (known.body.length < length) known.body = Buffer.allocUnsafeSlow(length);
    known.to = known.from; // nothing, should it fail
    const bytes = this.#read(segment.fd, all.stretch, known.body);
    const first = more.stretch.length;
    const whole = bytes.length === length && blocksFit(bytes, known.table, all.firstBlock);
    // Damage behind what is wanted now is for who wants that.
    const read = whole ? bytes : bytes.subarray(0, first);
    const data = whole ? read : judgeSecond(wanted, read, more);
    if (data === null) throw damagedRecord(segment.path, wanted);
    known.from = header.offset + all.firstBlock * block;
    known.to = known.from + read.length;
    known.body.copy(target, 0, wanted.start - known.from, wanted.end - known.from);
  }

  /** Whole check blocks are checked where they are wanted. */
  #readInto(segment: RecordPlace, target: Buffer, wanted: Wanted, more: More): void {
    const bytes = this.#read(segment.fd, more.stretch, target);
    if (this.#fitsWhole(bytes, wanted, more)) return;
    target.fill(0);
    throw damagedRecord(segment.path, wanted);
  }

  #fitsWhole(bytes: Buffer, wanted: Wanted, more: More): boolean {
    if (this.#sums === null || more.table === null) return judgeSecond(wanted, bytes, more) !== null;
    if (bytes.length !== more.stretch.length) return false;
    const start = machineAddress(wanted.disk, wanted.start);
    return this.#sums.blocksFit(bytes, start, more.table, more.firstBlock);
  }

  #find(fd: number, wanted: Wanted): Remembered | null {
    const known = this.#known;
    for (let at = 0; at < known.length; at++) {
      const one = known[at]!;
      if (one.position !== wanted.position || one.fd !== fd || !covers(one.header, wanted)) continue;
      if (at > 0) {
        known.copyWithin(1, 0, at);
        known[0] = one;
      }
      return one;
    }
    return null;
  }

  #remember(fd: number, position: number, header: RecordHeader, table: Buffer): Remembered {
    const first = this.#known[0];
    if (first !== undefined && first.table === table) return first;
    const gone = this.#known.length < remembered ? null : this.#known.pop();
    // The table is copied: it may lie in the buffer of the first read, which the next record will use.
    const one = { fd, position, header, table: Buffer.from(table), from: 0, to: 0 };
    const known = { ...one, body: gone?.body ?? Buffer.alloc(0) };
    this.#known.unshift(known);
    return known;
  }

  /** The first read of a record, which may have been made already. */
  #readHead(fd: number, stretch: Stretch): Buffer {
    const { fd: ahead, position, bytes } = this.#window;
    const from = stretch.position - position;
    if (fd === ahead && from >= 0 && from + stretch.length <= bytes.length)
      return bytes.subarray(from, from + stretch.length);
    return this.#read(fd, stretch, this.#buffer(stretch.length));
  }

  #buffer(length: number): Buffer {
    return length <= this.#head.length ? this.#head : Buffer.allocUnsafeSlow(length);
  }

  #read(fd: number, { length, position }: Stretch, into: Buffer): Buffer {
    const target = into.subarray(0, length);
    return target.subarray(0, this.#files.readSync(fd, target, position));
  }
}

function covers({ lsn, disk, offset, length }: RecordHeader, wanted: Wanted): boolean {
  if (lsn !== wanted.lsn || disk !== wanted.disk) return false;
  return offset <= wanted.start && offset + length >= wanted.end;
}

export function damagedRecord(path: string, wanted: Wanted): HomewardError {
  const where = `record ${wanted.lsn} at byte ${wanted.position} of ${path}`;
  return new HomewardError('damaged', `${where} does not fit its checksum`);
}
