// A group of records on its way to the log: headers in one staging buffer, payloads as views of what was
// received.
import { crc32 } from 'node:zlib';
import {
  encodeRecordHeader,
  isNoteKind,
  recordHeaderBytes,
  RecordKind,
  type MachineMark,
  type RecordHeader,
} from '../record/record.ts';
import { groupHeaderBytes } from './group.ts';

/**
 * Whoever owns the memory behind a payload; kept until the record is durable, since a failed sync writes it
 * again.
 */
export interface PayloadOwner {
  retain(): void;
  release(): void;
}

/** What the log takes: records that follow each other, with an empty frame before them. */
export interface Group {
  readonly firstLsn: number;
  readonly lastLsn: number;
  readonly firstTime: number;
  readonly lastTime: number;
  readonly records: number;
  /** All of the records, headers and payloads, without the frame. */
  readonly bodyBytes: number;
  /** The first record is a `sync-begin`, before which LSNs may have been skipped. */
  readonly beginsSync: boolean;
  /** Tags and the like only: on a full volume the reserve has room for them. */
  readonly isNotes: boolean;
  /** Where each record begins, in bytes behind the frame. */
  readonly positions: readonly number[];
  /** What `writev` takes: the frame comes first, to be filled in by the log. */
  readonly parts: readonly Buffer[];
  readonly frame: Buffer;
  /** The CRC over the record headers, one after the other. */
  headersCrc(): number;
  /** Gives the payloads' memory back; the group must not be written after this. */
  release(): void;
}

/** A group of records that are made here. */
export class RecordGroup implements Group {
  readonly firstLsn: number;
  lastTime = 0;
  firstTime = 0;
  bodyBytes = 0;
  records = 0;
  beginsSync = false;
  isNotes = true;
  readonly positions: number[] = [];
  readonly parts: Buffer[];
  readonly frame: Buffer;
  readonly #headers: Buffer;
  readonly #owners: PayloadOwner[] = [];

  constructor(firstLsn: number, capacity: number) {
    this.firstLsn = firstLsn;
    const staging = Buffer.allocUnsafe(groupHeaderBytes + capacity * recordHeaderBytes);
    this.frame = staging.subarray(0, groupHeaderBytes);
    this.#headers = staging.subarray(groupHeaderBytes);
    this.parts = [this.frame];
  }

  get lastLsn(): number {
    return this.firstLsn + this.records - 1;
  }

  add(
    header: RecordHeader,
    machine: MachineMark,
    table: Buffer | null,
    payload: Buffer | null,
    owner: PayloadOwner | null,
  ): void {
    const at = this.records * recordHeaderBytes;
    encodeRecordHeader(this.#headers, at, header, machine);
    this.positions.push(this.bodyBytes);
    this.parts.push(this.#headers.subarray(at, at + recordHeaderBytes));
    if (table !== null) this.parts.push(table);
    if (payload !== null) this.parts.push(payload);
    if (owner !== null) {
      owner.retain();
      this.#owners.push(owner);
    }
    if (this.records === 0) {
      this.firstTime = header.time;
      this.beginsSync = header.kind === RecordKind.syncBegin;
    }
    if (!isNoteKind(header.kind)) this.isNotes = false;
    this.lastTime = header.time;
    this.bodyBytes += recordHeaderBytes + header.payloadBytes;
    this.records += 1;
  }

  headersCrc(): number {
    return crc32(this.#headers.subarray(0, this.records * recordHeaderBytes));
  }

  release(): void {
    for (const owner of this.#owners) owner.release();
    this.#owners.length = 0;
  }
}
