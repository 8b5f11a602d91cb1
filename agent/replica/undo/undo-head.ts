// Reads what an undo segment says of itself: its note, whose it is, and whether its end is there.
import { errnoOf } from '../../../core/errors.ts';
import type { Files } from '../../../core/files/files.ts';
import { limits } from '../../../core/limits.ts';
import { parseTagNote } from '../../../core/record/notes.ts';
import { payloadFits } from '../../../core/record/payload.ts';
import {
  decodeRecordHeader,
  machineMark,
  recordHeaderBytes,
  RecordKind,
} from '../../../core/record/record.ts';
import {
  decodeGroupHeader,
  findGroupMagic,
  groupHeaderBytes,
  type GroupHeader,
} from '../../../core/segment-log/group.ts';
import type { UndoNote } from './undo-step.ts';

export interface UndoHead {
  note: UndoNote;
  /** 32 hex digits. */
  identity: string;
  /** Size of the file. */
  bytes: number;
  /** The frame that says so is at the end of the file. */
  isWhole: boolean;
}

/** What a file turns out to be; `why` is a part of a sentence: 'its note does not fit its checksum'. */
export type UndoFound = { kind: 'undo'; head: UndoHead } | { kind: 'foreign' | 'damaged'; why: string };

/** The note with its frame. */
const noteGroupBytes = groupHeaderBytes + recordHeaderBytes + limits.recordNoteBytes;

/**
 * Reads the first record and the last frame. A file whose end is missing is still an undo segment: what is
 * there of it can be read, the rest comes out of `scanUndo` as unknown. Throws what the disk throws.
 */
export function readUndoNote(files: Files, fd: number, machine: Uint8Array): UndoFound {
  const bytes = files.size(fd);
  const first = readAt(files, fd, 0, Math.min(bytes, noteGroupBytes));
  const last = readAt(files, fd, Math.max(bytes - noteGroupBytes - groupHeaderBytes, 0), bytes);
  const lastAt = bytes - last.length;
  const begin = frameAt(first, 0, 0);
  const end = frameAt(last, last.length - groupHeaderBytes, lastAt);
  const own = Buffer.from(machine);
  for (const frame of [begin, end]) {
    if (frame !== null && !frame.machine.equals(own))
      return { kind: 'foreign', why: 'it is another machine’s' };
  }
  const noteFrame = begin ?? end;
  if (noteFrame === null) return { kind: 'damaged', why: 'neither its first nor its last frame is sound' };
  const isWhole = end !== null && isEnd(end) && (begin === null || begin.identity.equals(end.identity));
  const note = noteAt(first, groupHeaderBytes, own, noteFrame) ?? lastNote(last, lastAt, own, noteFrame);
  if (note === null) return { kind: 'damaged', why: 'its note does not fit its checksum' };
  return { kind: 'undo', head: { note, identity: noteFrame.identity.toString('hex'), bytes, isWhole } };
}

/** Whether a frame says that it is the end of its file. */
export function isEnd(frame: GroupHeader): boolean {
  return frame.records === 0 && frame.bodyBytes === 0 && frame.position > 0;
}

function readAt(files: Files, fd: number, from: number, to: number): Buffer {
  const target = Buffer.allocUnsafe(to - from);
  return target.subarray(0, files.readSync(fd, target, from));
}

function frameAt(source: Buffer, at: number, sourceAt: number): GroupHeader | null {
  if (at < 0) return null;
  const frame = decodeGroupHeader(source, at);
  return frame !== null && frame.position === sourceAt + at ? frame : null;
}

function noteAt(source: Buffer, at: number, machine: Buffer, frame: GroupHeader): UndoNote | null {
  const header = decodeRecordHeader(source, at, machineMark(machine));
  if (header === null || header.kind !== RecordKind.tag || header.lsn !== frame.firstLsn) return null;
  const start = at + recordHeaderBytes;
  const payload = source.subarray(start, start + header.payloadBytes);
  if (!payloadFits(payload, header.payloadCrc, header.payloadBytes)) return null;
  const note = parseUndoNote(payload);
  return note !== null && note.from === frame.firstLsn && note.to === frame.previousDurable ? note : null;
}

/** The note stands once more in the last group before the end. */
function lastNote(source: Buffer, sourceAt: number, machine: Buffer, ours: GroupHeader): UndoNote | null {
  for (let at = findGroupMagic(source, 0); at >= 0; at = findGroupMagic(source, at + 1)) {
    const frame = frameAt(source, at, sourceAt);
    if (frame === null || !frame.identity.equals(ours.identity)) continue;
    const note = noteAt(source, at + groupHeaderBytes, machine, frame);
    if (note !== null) return note;
  }
  return null;
}

/** The note in a payload, or null. What a newer version added is left out. */
export function parseUndoNote(payload: Buffer): UndoNote | null {
  const value = parseJson(payload);
  if (typeof value !== 'object' || value === null) return null;
  const { from, to, fromTime, toTime, firstTime, tag, fromTag, fromPoint, point } = value as Partial<
    Record<keyof UndoNote, unknown>
  >;
  if (!isNatural(from) || !isNatural(to) || !isNatural(fromTime) || !isNatural(toTime) || from >= to)
    return null;
  return {
    ...{ from, to, fromTime, toTime },
    ...(isNatural(firstTime) ? { firstTime } : {}),
    tag: parseTagNote(tag),
    ...(fromTag === undefined ? {} : { fromTag: parseTagNote(fromTag) }),
    ...(fromPoint === undefined ? {} : { fromPoint: fromPoint === true }),
    point: point === true,
  };
}

function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return null; // it fits its CRC but is no JSON: written by something that is no Homeward
  }
}

/** Whether a file could not be read because it is not there. */
export function isMissing(error: unknown): boolean {
  return errnoOf(error) === 'ENOENT';
}
