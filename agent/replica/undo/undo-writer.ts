// Writes an undo segment: sorted old content in groups, read straight into the memory that is written.
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { assert, errnoOf } from '../../../core/errors.ts';
import { addressDisk, addressOffset, machineAddress } from '../../../core/extents/address.ts';
import { ContentKind } from '../../../core/extents/extent-columns.ts';
import type { Files } from '../../../core/files/files.ts';
import { limits } from '../../../core/limits.ts';
import { checkPayload, checkTableBytes } from '../../../core/record/payload.ts';
import {
  encodeRecordHeader,
  machineMark,
  recordHeaderBytes,
  RecordKind,
  type MachineMark,
} from '../../../core/record/record.ts';
import { encodeGroupHeader, groupHeaderBytes } from '../../../core/segment-log/group.ts';
import { FileHash } from '../../journal/ledger-hash.ts';
import { UndoTableWriter } from './undo-table.ts';
import type { UndoMade, UndoNote } from './undo-step.ts';

export interface UndoTarget {
  /** Made new; an older file of that name is removed. */
  path: string;
  /** UUID, 16 bytes. */
  machine: Uint8Array;
  generation: number;
  note: UndoNote;
  /** Where its derived table goes, or null for none; no failure of that counts. */
  tablePath: string | null;
}

/**
 * Fills `target` with old content from `offset` of the disk on; called once or, for a large extent, several
 * times in order. What it gives back are parts [from, to) of `target`, in order, whose content is unknown:
 * no byte of them is kept.
 */
export type FillContent = (target: Buffer, offset: number) => readonly [number, number][] | void;

const groupBytes = limits.undoGroupBytes;
const recordBytesMost = limits.undoRecordBytes;
const tableBytesMost = checkTableBytes(recordBytesMost);
/** Long extents are cut at multiples of this. */
const blockBytes = 4096;

/** A record that may still grow: its header and check table are written when it is closed. */
interface OpenRecord {
  kind: ContentKind;
  disk: number;
  offset: number;
  length: number;
  /** Where in the group buffer its header goes. */
  at: number;
}

/**
 * One file under way. Extents come in address order and do not overlap. The group buffer is laid out as it
 * is written, so what is read into it is written, checked and hashed from there; only a record that has
 * grown beyond one check block is moved, by the length of its check table.
 */
export class UndoWriter {
  readonly #files: Files;
  readonly #target: UndoTarget;
  readonly #machine: Buffer;
  readonly #mark: MachineMark;
  readonly #identity = randomBytes(16);
  readonly #fd: number;
  readonly #hash = new FileHash();
  readonly #group = Buffer.allocUnsafeSlow(groupBytes + groupHeaderBytes);
  readonly #table: UndoTableWriter;
  /** Bytes of the file before this group, and of this group. */
  #position = 0;
  #used = groupHeaderBytes;
  #records = 0;
  #contentRecords = 0;
  #headersCrc = 0;
  #open: OpenRecord | null = null;
  /** Machine address behind the last extent. */
  #end = 0;
  #unsynced = 0;
  #closed = false;

  private constructor(files: Files, target: UndoTarget, fd: number) {
    this.#files = files;
    this.#target = target;
    this.#fd = fd;
    this.#machine = Buffer.from(target.machine);
    this.#mark = machineMark(this.#machine);
    const { from, to } = target.note;
    const identity = this.#identity.toString('hex');
    this.#table = new UndoTableWriter(files, target.tablePath, { from, to, identity });
  }

  static begin(files: Files, target: UndoTarget): UndoWriter {
    assert(target.note.from < target.note.to, 'a step has records');
    unlinkIfThere(files, target.path);
    const writer = new UndoWriter(files, target, files.create(target.path));
    writer.#putNote();
    return writer;
  }

  /** Bytes written since the last sync; whoever adds much calls `flush` in between, so that commits go on. */
  get unsynced(): number {
    return this.#unsynced;
  }

  /** Bytes of the file so far, about. */
  get bytes(): number {
    return this.#position + this.#used;
  }

  /** Takes [offset, offset + length) of a disk; `fill` is for data, and called before it returns. */
  add(disk: number, offset: number, length: number, kind: ContentKind, fill: FillContent | null): void {
    const start = machineAddress(disk, offset);
    assert(length > 0 && start >= this.#end, 'undo extents come in order and do not overlap');
    machineAddress(disk, offset + length);
    this.#end = start + length;
    if (kind === ContentKind.data) {
      assert(fill !== null, 'content comes from somewhere');
      this.#addData(disk, offset, length, fill);
    } else this.#addEmpty(kind, disk, offset, length);
  }

  /** The same for machine addresses, which may go over several disks. */
  addExtent(start: number, end: number, kind: ContentKind, fill: FillContent | null): void {
    for (let at = start; at < end;) {
      const disk = addressDisk(at);
      const to = Math.min(end, (disk + 1) * limits.diskBytes);
      this.add(disk, addressOffset(at), to - at, kind, fill);
      at = to;
    }
  }

  /** Syncs what is written so far. */
  async flush(): Promise<void> {
    this.#unsynced = 0;
    await this.#files.sync(this.#fd);
  }

  /** Ends, syncs and closes the file; the writer must be abandoned when this fails. */
  async finish(): Promise<UndoMade> {
    this.#writeGroup();
    // The note once more, so that damage to the first block does not lose the times and the tag.
    this.#putNote();
    this.#writeGroup();
    this.#writeFrame();
    await this.flush();
    this.#close();
    this.#table.finish();
    return {
      path: this.#target.path,
      identity: this.#identity.toString('hex'),
      bytes: this.#position,
      hash: this.#hash.hex(),
      records: this.#contentRecords,
    };
  }

  /** Closes and removes the file. */
  abandon(): void {
    this.#table.abandon();
    if (!this.#closed) this.#close();
    unlinkIfThere(this.#files, this.#target.path);
  }

  /** The same where another failure is what counts; a file that stays is removed by the next start. */
  tryAbandon(): void {
    try {
      this.abandon();
    } catch (error) {
      if (errnoOf(error) === null) throw error;
    }
  }

  #close(): void {
    this.#closed = true;
    this.#files.close(this.#fd);
  }

  #addData(disk: number, offset: number, length: number, fill: FillContent): void {
    for (let at = offset; at < offset + length;) {
      const open = this.#recordFor(ContentKind.data, disk, at);
      const room = Math.min(recordBytesMost - open.length, groupBytes - tableBytesMost - this.#used);
      const rest = offset + length - at;
      const piece = rest <= room ? rest : room - (room % blockBytes);
      const target = this.#group.subarray(this.#used, this.#used + piece);
      const unknown = fill(target, at) ?? [];
      open.length += piece;
      this.#used += piece;
      at += piece;
      if (unknown.length > 0) this.#takeOut(target, disk, at - piece, unknown);
    }
  }

  /** What was filled in last ends the open record; it is put in once more without its unknown parts. */
  #takeOut(target: Buffer, disk: number, offset: number, unknown: readonly [number, number][]): void {
    const content = Buffer.from(target);
    const open = this.#open;
    assert(open !== null, 'what was filled in is in a record');
    open.length -= content.length;
    this.#used -= content.length;
    if (open.length === 0) {
      this.#open = null;
      this.#used -= recordHeaderBytes;
    }
    const copy = (from: number, to: number): void => {
      const fill = (piece: Buffer, at: number): void => void content.copy(piece, 0, at - offset);
      if (from < to) this.#addData(disk, offset + from, to - from, fill);
    };
    let low = 0;
    for (const [from, to] of unknown) {
      copy(low, from);
      if (from < to) this.#addEmpty(ContentKind.unknown, disk, offset + from, to - from);
      low = to;
    }
    copy(low, content.length);
  }

  #addEmpty(kind: ContentKind, disk: number, offset: number, length: number): void {
    const most = kind === ContentKind.zero ? limits.recordZeroBytes : limits.diskBytes;
    for (let at = offset; at < offset + length;) {
      const open = this.#recordFor(kind, disk, at);
      const piece = Math.min(offset + length - at, most - open.length);
      open.length += piece;
      at += piece;
    }
  }

  /** The record that content at `offset` joins or begins. */
  #recordFor(kind: ContentKind, disk: number, offset: number): OpenRecord {
    const open = this.#open;
    if (open !== null && joins(open, kind, disk, offset) && !this.#isFull(open)) return open;
    this.#closeRecord();
    if (groupBytes - this.#used < leastRecordRoom) this.#writeGroup();
    const record = { kind, disk, offset, length: 0, at: this.#used };
    this.#used += recordHeaderBytes;
    this.#open = record;
    return record;
  }

  #isFull({ kind, length }: OpenRecord): boolean {
    if (kind === ContentKind.zero) return length >= limits.recordZeroBytes;
    if (kind === ContentKind.unknown) return false;
    return length > recordBytesMost - blockBytes || groupBytes - this.#used < leastRecordRoom;
  }

  #closeRecord(): void {
    const open = this.#open;
    if (open === null) return;
    this.#open = null;
    const { kind, disk, offset, length, at } = open;
    const { from, fromTime } = this.#target.note;
    const dataAt = at + recordHeaderBytes;
    const isData = kind === ContentKind.data;
    const payload = isData ? checkPayload(this.#group.subarray(dataAt, dataAt + length)) : noPayload;
    if (payload.table !== null) {
      this.#group.copyWithin(dataAt + payload.table.length, dataAt, dataAt + length);
      payload.table.copy(this.#group, dataAt);
      this.#used += payload.table.length;
    }
    this.#putHeader(at, recordKindOf(kind), {
      ...{ disk, lsn: from, offset, length, time: fromTime },
      payloadBytes: isData ? length + (payload.table?.length ?? 0) : 0,
      payloadCrc: payload.crc,
    });
    this.#contentRecords += 1;
    const start = machineAddress(disk, offset);
    this.#table.push(start, start + length, this.#position + at, kind);
  }

  /** The note as a record that stands alone in its place, with the content around it. */
  #putNote(): void {
    const { note } = this.#target;
    const payload = Buffer.from(JSON.stringify(note), 'utf8');
    assert(payload.length <= limits.recordNoteBytes, 'an undo note fits its record');
    const at = this.#used;
    payload.copy(this.#group, at + recordHeaderBytes);
    this.#used += recordHeaderBytes + payload.length;
    this.#putHeader(at, RecordKind.tag, {
      ...{ disk: 0, lsn: note.from, offset: 0, length: 0, time: note.fromTime },
      payloadBytes: payload.length,
      payloadCrc: checkPayload(payload).crc,
    });
  }

  #putHeader(
    at: number,
    kind: RecordKind,
    header: Omit<Parameters<typeof encodeRecordHeader>[2], 'kind' | 'flags' | 'generation'>,
  ): void {
    const { generation } = this.#target;
    encodeRecordHeader(this.#group, at, { kind, flags: 0, generation, ...header }, this.#mark);
    this.#headersCrc = crc32(this.#group.subarray(at, at + recordHeaderBytes), this.#headersCrc);
    this.#records += 1;
  }

  #writeGroup(): void {
    this.#closeRecord();
    if (this.#records > 0) this.#writeFrame();
  }

  /** Writes the group under way, which may be empty: then it is the end of the file. */
  #writeFrame(): void {
    const { from, to, toTime } = this.#target.note;
    encodeGroupHeader(this.#group, {
      machine: this.#machine,
      identity: this.#identity,
      firstLsn: from,
      previousDurable: to,
      arrival: toTime,
      position: this.#position,
      records: this.#records,
      bodyBytes: this.#used - groupHeaderBytes,
      headersCrc: this.#headersCrc,
      skippedFrom: 0,
    });
    const bytes = this.#group.subarray(0, this.#used);
    this.#files.write(this.#fd, [bytes], this.#position);
    this.#hash.add(bytes);
    this.#position += this.#used;
    this.#unsynced += this.#used;
    this.#used = groupHeaderBytes;
    this.#records = 0;
    this.#headersCrc = 0;
  }
}

const noPayload = { table: null, crc: 0 };
/** A group goes out rather than take a record that could be hardly longer than a check block. */
const leastRecordRoom = recordHeaderBytes + tableBytesMost + limits.checkBlockBytes;

function joins(open: OpenRecord, kind: ContentKind, disk: number, offset: number): boolean {
  return open.kind === kind && open.disk === disk && open.offset + open.length === offset;
}

function recordKindOf(kind: ContentKind): RecordKind {
  if (kind === ContentKind.data) return RecordKind.write;
  return kind === ContentKind.zero ? RecordKind.zero : RecordKind.unknown;
}

function unlinkIfThere(files: Files, path: string): void {
  try {
    files.unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
