// Reads pieces of records for a view, blocking its thread, each checked; remembers the large record it read
// last.
import { HomewardError } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import { hostFiles } from '../../core/files/host-files.ts';
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

/** What reading records needs of the file system. */
export type ReadFiles = Pick<Files, 'readSync'>;

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
 * reading and checking the same block again for each.
 */
export class RecordReader {
  readonly #mark: MachineMark;
  readonly #files: ReadFiles;
  readonly #head = Buffer.allocUnsafeSlow(recordHeaderBytes + limits.checkBlockBytes);
  #body = Buffer.allocUnsafeSlow(2 * limits.checkBlockBytes);
  #last: Remembered | null = null;

  constructor(mark: MachineMark, files: ReadFiles = hostFiles) {
    this.#mark = mark;
    this.#files = files;
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
    const first = judgeFirst(wanted, this.#read(segment.fd, firstRead(wanted), this.#head), this.#mark);
    if (first.kind === 'damaged') throw damagedRecord(segment.path, wanted);
    if (first.kind === 'data') first.data.copy(target);
    else this.#readOn(segment, wanted, first).copy(target);
  }

  #readOn(segment: RecordPlace, wanted: Wanted, more: More): Buffer {
    const { length } = more.stretch;
    this.#last = null;
    if (this.#body.length < length) this.#body = Buffer.allocUnsafeSlow(length);
    const data = judgeSecond(wanted, this.#read(segment.fd, more.stretch, this.#body), more);
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

  #read(fd: number, { length, position }: Stretch, into: Buffer): Buffer {
    const target = into.subarray(0, length);
    return target.subarray(0, this.#files.readSync(fd, target, position));
  }
}

export function damagedRecord(path: string, wanted: Wanted): HomewardError {
  const where = `record ${wanted.lsn} at byte ${wanted.position} of ${path}`;
  return new HomewardError('damaged', `${where} does not fit its checksum`);
}
