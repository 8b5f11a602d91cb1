// Checks one undo segment: every frame and record, their order, the end, and the hash of the whole file.
import { crc32 } from 'node:zlib';
import { addressDisk, addressOffset, machineAddress, wholeMachine } from '../../core/extents/address.ts';
import { readWhatThereIs } from './verify-read.ts';
import { limits } from '../../core/limits.ts';
import {
  dataBytesOf,
  decodeRecordHeader,
  machineMark,
  recordHeaderBytes,
  RecordKind,
  type MachineMark,
  type RecordHeader,
} from '../../core/record/record.ts';
import {
  decodeGroupHeader,
  findGroupMagic,
  groupHeaderBytes,
  type GroupHeader,
} from '../../core/segment-log/group.ts';
import { MiB } from '../../core/units.ts';
import { FileHash } from '../journal/ledger-hash.ts';
import { unfit, unfitParts, type Finding, type PieceResult } from './verify-finding.ts';

export interface UndoJob {
  kind: 'undo';
  /** UUID, 16 bytes. */
  machine: Uint8Array;
  undo: {
    fd: number;
    path: string;
    from: number;
    to: number;
    fromTime: number | null;
    toTime: number | null;
    bytes: number;
    /** Of all its frames, where it is known; and the hash of the file. */
    identity: string | null;
    hash: string | null;
  };
  /** Where a frame begins; 0 for all of the file. Without the beginning there is no hash. */
  startAt: number;
}

const searchBytes = MiB;

/** Looks until `isTimeUp` says so, but at one frame at least. */
export function checkUndo(job: UndoJob, isTimeUp: () => boolean): PieceResult {
  return new UndoCheck(job).run(isTimeUp);
}

/** Invariant: everything before `#at` was looked at; content up to `#end` was seen or is in a finding. */
class UndoCheck {
  readonly #job: UndoJob;
  readonly #machine: Buffer;
  readonly #mark: MachineMark;
  readonly #hash = new FileHash();
  readonly #findings: Finding[] = [];
  #at: number;
  #end = 0;
  #records = 0;
  #identity: string | null;
  #hasNote: boolean;
  #hasEnd = false;
  /** What lies from here on could not be read: where in the file, and behind which address. */
  #lost: { at: number; end: number } | null = null;

  constructor(job: UndoJob) {
    this.#job = job;
    this.#machine = Buffer.from(job.machine);
    this.#mark = machineMark(this.#machine);
    this.#at = job.startAt;
    this.#identity = job.undo.identity;
    this.#hasNote = job.startAt > 0;
  }

  run(isTimeUp: () => boolean): PieceResult {
    const { bytes } = this.#job.undo;
    while (this.#at < bytes && !this.#hasEnd) {
      this.#readFrame();
      // Not in the midst of what is lost: the next run could not tell where that began.
      if (isTimeUp() && this.#lost === null && this.#at < bytes && !this.#hasEnd)
        return this.#result(this.#at);
    }
    this.#judgeEnd();
    return this.#result(null);
  }

  #result(stoppedAt: number | null): PieceResult {
    const bytes = Math.min(this.#at, this.#job.undo.bytes) - this.#job.startAt;
    return {
      bytes,
      records: this.#records,
      findings: this.#findings,
      stoppedAt,
      uncheckedBytes: 0,
    };
  }

  #readFrame(): void {
    const head = this.#read(this.#at, groupHeaderBytes);
    const frame = this.#soundFrame(head, 0, this.#at);
    const body = frame === null ? null : this.#read(this.#at + groupHeaderBytes, frame.bodyBytes);
    if (frame === null || body?.length !== frame.bodyBytes) {
      this.#lose(this.#at);
      this.#at = this.#findFrame(this.#at + 1);
      return;
    }
    this.#identity ??= frame.identity.toString('hex');
    this.#hash.add(head).add(body);
    if (frame.records === 0) this.#hasEnd = true;
    else this.#readRecords(frame, body);
    this.#at += groupHeaderBytes + frame.bodyBytes;
  }

  #soundFrame(bytes: Buffer, offset: number, at: number): GroupHeader | null {
    const frame = decodeGroupHeader(bytes, offset);
    const { from, to, bytes: fileBytes } = this.#job.undo;
    const isOurs =
      frame !== null &&
      frame.position === at &&
      frame.machine.equals(this.#machine) &&
      frame.firstLsn === from &&
      frame.previousDurable === to &&
      (this.#identity === null || frame.identity.toString('hex') === this.#identity);
    const fits =
      isOurs &&
      frame.bodyBytes <= limits.groupBytes &&
      at + groupHeaderBytes + frame.bodyBytes <= fileBytes &&
      (frame.records > 0 || frame.bodyBytes === 0);
    return fits ? frame : null;
  }

  /** Where the next sound frame begins, or the end of the file. */
  #findFrame(from: number): number {
    const { bytes } = this.#job.undo;
    for (let at = from; at < bytes; at += searchBytes) {
      const window = this.#read(at, searchBytes + groupHeaderBytes);
      for (let found = findGroupMagic(window, 0); found >= 0; found = findGroupMagic(window, found + 1))
        if (this.#soundFrame(window, found, at + found) !== null) return at + found;
    }
    return bytes;
  }

  #readRecords(frame: GroupHeader, body: Buffer): void {
    let at = 0;
    let crc = 0;
    for (let count = 0; count < frame.records; count++) {
      const header = decodeRecordHeader(body, at, this.#mark);
      const end = at + recordHeaderBytes + (header?.payloadBytes ?? 0);
      if (header === null || end > body.length || header.lsn !== this.#job.undo.from) {
        this.#lose(this.#at + groupHeaderBytes + at);
        return;
      }
      crc = crc32(body.subarray(at, at + recordHeaderBytes), crc);
      this.#take(header, body.subarray(at + recordHeaderBytes, end));
      at = end;
    }
    if (at !== body.length || crc !== frame.headersCrc) this.#lose(this.#at);
  }

  #take(header: RecordHeader, payload: Buffer): void {
    this.#records += 1;
    const { kind, disk, offset, length } = header;
    if (kind === RecordKind.tag) {
      this.#takeNote(header, payload);
      return;
    }
    const start = machineAddress(disk, offset);
    if (start < this.#end) {
      this.#add(null, null, 'records are out of order, or there twice');
      return;
    }
    this.#found(start);
    this.#end = start + length;
    if (kind === RecordKind.unknown) this.#add(start, start + length, 'content is unknown');
    for (const [from, to] of unfitParts(payload, header.payloadCrc, dataBytesOf(header)))
      this.#add(start + from, start + to, unfit);
  }

  #takeNote(header: RecordHeader, payload: Buffer): void {
    const isFirst = !this.#hasNote;
    this.#hasNote = true;
    const { from, to } = this.#job.undo;
    if (unfitParts(payload, header.payloadCrc, payload.length).length > 0 || !notes(payload, from, to))
      this.#addNote(isFirst ? 'its first note is damaged' : 'its second note is damaged');
  }

  /** From here on something cannot be read. */
  #lose(at: number): void {
    this.#lost ??= { at, end: this.#end };
  }

  /** Content is sound again at address `start`: what was lost lies before it. */
  #found(start: number): void {
    if (this.#lost === null) return;
    const { end } = this.#lost;
    this.#lost = null;
    this.#add(end, start, 'records of the undo are lost: what they held of these bytes is not known');
  }

  #judgeEnd(): void {
    const { bytes, hash } = this.#job.undo;
    if (this.#lost !== null) this.#found(wholeMachine.end);
    if (!this.#hasEnd) this.#addNote('its end is missing');
    else if (this.#at < bytes) this.#addNote('it goes on behind its end');
    if (this.#findings.length > 0 || this.#job.startAt > 0 || hash === null) return;
    if (this.#hash.hex() !== hash)
      this.#addNote('it is not the file that was written: the ledger has another hash of it');
  }

  #addNote(what: string): void {
    this.#add(null, null, what);
  }

  /** Addresses [start, end) are told as bytes of a disk where they lie on one. */
  #add(start: number | null, end: number | null, what: string): void {
    const { path: file, from, to, fromTime, toTime } = this.#job.undo;
    const disk = start === null ? null : addressDisk(start);
    const isOneDisk =
      start !== null && end !== null && disk !== null && start < end && addressDisk(end - 1) === disk;
    this.#findings.push({
      in: 'undo',
      file,
      disk: isOneDisk ? disk : null,
      start: isOneDisk ? addressOffset(start) : null,
      end: isOneDisk ? addressOffset(start) + (end - start) : null,
      from,
      to,
      fromTime,
      toTime,
      what,
    });
  }

  #read(position: number, length: number): Buffer {
    const target = Buffer.allocUnsafe(length);
    return target.subarray(0, readWhatThereIs(this.#job.undo.fd, target, position));
  }
}

function notes(payload: Buffer, from: number, to: number): boolean {
  try {
    const note: unknown = JSON.parse(payload.toString('utf8'));
    return (
      typeof note === 'object' &&
      note !== null &&
      'from' in note &&
      'to' in note &&
      note.from === from &&
      note.to === to
    );
  } catch {
    return false; // damaged, or not written by us
  }
}
