// Groups of an undo segment: where the next sound one is, and which records of one can be believed.
import { crc32 } from 'node:zlib';
import { machineAddress } from '../../../core/extents/address.ts';
import type { Files } from '../../../core/files/files.ts';
import { limits } from '../../../core/limits.ts';
import { payloadFits } from '../../../core/record/payload.ts';
import {
  dataBytesOf,
  decodeRecordHeader,
  findRecordMagic,
  recordHeaderBytes,
  RecordKind,
  type MachineMark,
  type RecordHeader,
} from '../../../core/record/record.ts';
import { faultOf } from '../../../core/record/record-run.ts';
import {
  decodeGroupHeader,
  findGroupMagic,
  groupHeaderBytes,
  type GroupHeader,
} from '../../../core/segment-log/group.ts';
import type { LentUndo } from './undo-step.ts';

/** A record whose header is sound and stands where the one before it ends. */
export interface PlacedRecord {
  header: RecordHeader;
  /** Of its header in the file. */
  position: number;
  /** Not checked. */
  payload: Buffer;
}

/** What a stretch of the file consists of, in order. */
export type Found = PlacedRecord | { damage: [number, number] };

const searchBytes = 1024 * 1024;

/** Reads one file; what is given out is used again by the next call. */
export class GroupReader {
  readonly size: number;
  readonly #files: Files;
  readonly #undo: LentUndo;
  readonly #machine: Buffer;
  readonly #mark: MachineMark;
  readonly #head = Buffer.allocUnsafe(groupHeaderBytes);
  #memory = Buffer.alloc(0);
  /** That of the first sound frame. */
  #identity: Buffer | null = null;

  constructor(files: Files, undo: LentUndo, machine: Buffer, mark: MachineMark) {
    this.size = files.size(undo.fd);
    this.#files = files;
    this.#undo = undo;
    this.#machine = machine;
    this.#mark = mark;
  }

  /** The next sound frame of this file at or behind `position`, or null. */
  find(position: number): GroupHeader | null {
    const expected = this.#frame(this.#read(this.#head, position), 0, position);
    if (expected !== null) return expected;
    const window = Buffer.allocUnsafe(Math.max(Math.min(searchBytes, this.size - position), 0));
    const step = searchBytes - groupHeaderBytes;
    for (let from = position + 1; from < this.size; from += step) {
      const bytes = this.#read(window, from);
      for (let at = findGroupMagic(bytes, 0); at >= 0; at = findGroupMagic(bytes, at + 1)) {
        const frame = this.#frame(bytes, at, from + at);
        if (frame !== null) return frame;
      }
    }
    return null;
  }

  /** The records of a sound frame. */
  group(frame: GroupHeader): Found[] {
    const from = frame.position + groupHeaderBytes;
    const body = this.#body(from, from + frame.bodyBytes);
    const whole = this.#walk(body, from, 0);
    if (whole.end === frame.bodyBytes && body.length === frame.bodyBytes) {
      if (whole.headersCrc === frame.headersCrc && whole.records.length === frame.records)
        return whole.records;
      // Every header is sound, and they are not those that were written here.
      return [{ damage: [from, from + frame.bodyBytes] }];
    }
    const rest = this.#search(body, from, whole.end);
    return [...whole.records, ...rest];
  }

  /** What can be found in [from, to), where a sound frame should begin. */
  stretch(from: number, to: number): Found[] {
    if (to - from > limits.groupBytes) return [{ damage: [from, to] }];
    const found = this.#search(this.#body(from, to), from, 0);
    const [first] = found;
    const isFrameOnly =
      first !== undefined && 'damage' in first && first.damage[1] === from + groupHeaderBytes;
    // Records stand where a frame ends: nothing but the frame is damaged.
    return isFrameOnly ? found.slice(1) : found;
  }

  #frame(source: Buffer, at: number, position: number): GroupHeader | null {
    const frame = decodeGroupHeader(source, at);
    if (frame === null || frame.position !== position || !frame.machine.equals(this.#machine)) return null;
    if (frame.firstLsn !== this.#undo.from || frame.previousDurable !== this.#undo.to) return null;
    if (frame.bodyBytes > limits.groupBytes) return null;
    this.#identity ??= frame.identity;
    return frame.identity.equals(this.#identity) ? frame : null;
  }

  /** Records one behind the other from `at`, up to the end of `body` or the first that is not sound. */
  #walk(body: Buffer, bodyAt: number, at: number): Walk {
    const records: PlacedRecord[] = [];
    let headersCrc = 0;
    let low = 0;
    while (at < body.length) {
      const header = decodeRecordHeader(body, at, this.#mark);
      if (header === null || !this.#isOurs(header)) break;
      const start = at + recordHeaderBytes;
      const end = start + header.payloadBytes;
      if (end > body.length) break;
      if (header.kind !== RecordKind.tag) {
        const address = machineAddress(header.disk, header.offset);
        if (address < low) break;
        low = address + header.length;
      }
      headersCrc = crc32(body.subarray(at, start), headersCrc);
      records.push({ header, position: bodyAt + at, payload: body.subarray(start, end) });
      at = end;
    }
    return { records, headersCrc, end: at };
  }

  /**
   * Records behind damage at `at`: of the first place from which sound ones follow each other to the very end
   * of the body. Old content may hold what looks like a record; it does not lead there.
   */
  #search(body: Buffer, bodyAt: number, at: number): Found[] {
    const damagedAt = bodyAt + at;
    for (let place = findRecordMagic(body, at); place >= 0;) {
      const walk = this.#walk(body, bodyAt, place);
      const isContent =
        walk.records.length > 0 && walk.end === body.length && walk.records.every(payloadIsSound);
      if (isContent) return [{ damage: [damagedAt, bodyAt + place] }, ...walk.records];
      // From where this chain breaks: what it went over is the same chain.
      place = findRecordMagic(body, Math.max(walk.end, place + 1));
    }
    return [{ damage: [damagedAt, bodyAt + body.length] }];
  }

  #isOurs(header: RecordHeader): boolean {
    if (header.lsn !== this.#undo.from || faultOf(header) !== null) return false;
    const { kind } = header;
    if (kind === RecordKind.tag) return header.length === 0;
    return header.length > 0 && kind !== RecordKind.syncBegin && kind !== RecordKind.syncEnd;
  }

  #body(from: number, to: number): Buffer {
    const length = Math.max(Math.min(to, this.size) - from, 0);
    if (this.#memory.length < length) this.#memory = Buffer.allocUnsafeSlow(length);
    return this.#read(this.#memory.subarray(0, length), from);
  }

  #read(target: Buffer, position: number): Buffer {
    return target.subarray(0, this.#files.readSync(this.#undo.fd, target, position));
  }
}

interface Walk {
  records: PlacedRecord[];
  headersCrc: number;
  /** Where in the body it stopped. */
  end: number;
}

function payloadIsSound({ header, payload }: PlacedRecord): boolean {
  return payloadFits(payload, header.payloadCrc, dataBytesOf(header));
}
