// Reads pieces of records for a view, blocking its thread, each checked; remembers the large record it read
// last.
import fs from 'node:fs';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
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

export interface RecordPlace {
  fd: number;
  path: string;
}

/**
 * A large record: its header and table are known, and `#body` holds the checked bytes [from, to) of the
 * disk.
 */
interface Remembered {
  fd: number;
  position: number;
  header: RecordHeader;
  table: Buffer;
  from: number;
  to: number;
}

/**
 * A large record that small writes have cut into pieces is asked for piece by piece: remembering it saves
 * reading and
 * checking the same block again for each.
 */
export class RecordReader {
  readonly #mark: MachineMark;
  readonly #head = Buffer.allocUnsafeSlow(recordHeaderBytes + limits.checkBlockBytes);
  #body = Buffer.allocUnsafeSlow(2 * limits.checkBlockBytes);
  #last: Remembered | null = null;

  constructor(mark: MachineMark) {
    this.#mark = mark;
  }

  /** Fills `target` with what is wanted; throws 'damaged' when it does not fit its checksums. */
  read(segment: RecordPlace, target: Buffer, wanted: Wanted): void {
    const last = this.#last;
    if (last !== null && last.fd === segment.fd && last.position === wanted.position) {
      const isHeld = wanted.start >= last.from && wanted.end <= last.to;
      const data = isHeld
        ? this.#body.subarray(wanted.start - last.from, wanted.end - last.from)
        : this.#readOn(segment, wanted, blocksOf(wanted, last.header, last.table));
      data.copy(target);
      return;
    }
    const first = judgeFirst(wanted, readStretch(segment.fd, firstRead(wanted), this.#head), this.#mark);
    if (first.kind === 'damaged') throw damagedRecord(segment.path, wanted);
    if (first.kind === 'data') first.data.copy(target);
    else this.#readOn(segment, wanted, first).copy(target);
  }

  #readOn(segment: RecordPlace, wanted: Wanted, more: More): Buffer {
    const { length } = more.stretch;
    this.#last = null;
    if (this.#body.length < length) this.#body = Buffer.allocUnsafeSlow(length);
    const data = judgeSecond(wanted, readStretch(segment.fd, more.stretch, this.#body), more);
    if (data === null) throw damagedRecord(segment.path, wanted);
    if (more.table !== null) {
      const from = more.header.offset + more.firstBlock * limits.checkBlockBytes;
      // A copy: the table may lie in the buffer of the first read, which the next record will use.
      const table = Buffer.from(more.table);
      const { position } = wanted;
      this.#last = { fd: segment.fd, position, header: more.header, table, from, to: from + length };
    }
    return data;
  }
}

export function damagedRecord(path: string, wanted: Wanted): HomewardError {
  const where = `record ${wanted.lsn} at byte ${wanted.position} of ${path}`;
  return new HomewardError('damaged', `${where} does not fit its checksum`);
}

function readStretch(fd: number, stretch: Stretch, into: Buffer): Buffer {
  return into.subarray(0, fs.readSync(fd, into, 0, stretch.length, stretch.position));
}
