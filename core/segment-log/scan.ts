// Reads one segment's content by the decision table of docs/journal-format.md, section 4: content, rot or
// torn tail.
import { crc32 } from 'node:zlib';
import {
  dataBytesOf,
  decodeRecordHeader,
  findRecordMagic,
  parseRecordHeader,
  recordHeaderBytes,
  type MachineMark,
  type RecordHeader,
} from '../record/record.ts';
import { payloadFits } from '../record/payload.ts';
import { groupHeaderBytes, type GroupHeader } from './group.ts';
import type { FrameList } from './frames.ts';

export { dataBytesOf } from '../record/record.ts';

/** LSNs [from, to] that were durable and are gone, and where in the file they should have been. */
export interface Lost {
  from: number;
  to: number;
  start: number;
  end: number;
}

/** Hears of everything in LSN order. `position` is that of the record header in the file. */
export interface ScanVisitor {
  record(header: RecordHeader, position: number, content: Buffer): void;
  lost(lost: Lost): void;
}

export interface ScanRequest {
  content: Buffer;
  frames: FrameList;
  machine: MachineMark;
  firstLsn: number;
  /** The LSN after the one that precedes the next file, which cuts this one; Infinity for the last. */
  cutLsn: number;
  /** The highest LSN known to be durable. */
  durable: number;
  /**
   * Where content is there, LSNs behind the last that is found are left to the caller: they may have been in
   * another file.
   */
  leavesEnd?: boolean;
  visitor: ScanVisitor;
}

export interface ScanResult {
  /** The LSN after the last that is accounted for, as content or as lost. */
  nextLsn: number;
  /** Position behind the last content. */
  end: number;
  /** Something above the durable LSN was left out: nothing later counts. */
  cut: boolean;
  /** Where content above the durable LSN begins, or null. */
  tailStart: number | null;
}

export function scanSegment(request: ScanRequest): ScanResult {
  const { frames, cutLsn } = request;
  const state: ScanResult = { nextLsn: request.firstLsn, end: 0, cut: false, tailStart: null };
  const durableHere = Math.min(request.durable, cutLsn - 1);
  for (const frame of frames.frames) {
    if (frame.firstLsn >= cutLsn) break;
    if (frame.firstLsn > state.nextLsn) {
      if (state.nextLsn > request.durable) return { ...state, cut: true };
      salvage(request, state, { end: frame.position, lastLsn: frame.firstLsn - 1 });
    }
    if (!takeGroup(request, state, frame)) return { ...state, cut: true };
  }
  if (state.nextLsn <= durableHere)
    salvage(request, state, { end: request.content.length, lastLsn: durableHere, isEnd: true });
  return { ...state, nextLsn: Math.min(state.nextLsn, cutLsn) };
}

/** Hands over one group; false when it is a torn tail. */
function takeGroup(request: ScanRequest, state: ScanResult, frame: GroupHeader): boolean {
  const { content } = request;
  const mustBeWhole = frame.firstLsn > request.durable;
  const placed = readHeaders(request, frame);
  const end = frame.position + groupHeaderBytes + frame.bodyBytes;
  if (placed === null) {
    if (mustBeWhole) return false;
    salvage(request, state, {
      end: Math.min(end, content.length),
      lastLsn: frame.firstLsn + frame.records - 1,
    });
    return true;
  }
  if (mustBeWhole && !placed.every(({ header, position }) => payloadAtFits(content, header, position)))
    return false;
  if (mustBeWhole && frame.firstLsn < request.cutLsn) state.tailStart ??= frame.position;
  for (const { header, position } of placed) {
    if (header.lsn < request.cutLsn) request.visitor.record(header, position, content);
  }
  state.nextLsn = frame.firstLsn + frame.records;
  state.end = end;
  return true;
}

interface Placed {
  header: RecordHeader;
  position: number;
}

/** The record headers of a group in order, or null when they are not what the frame says. */
function readHeaders(request: ScanRequest, frame: GroupHeader): Placed[] | null {
  let position = frame.position + groupHeaderBytes;
  const end = position + frame.bodyBytes;
  if (end > request.content.length) return null;
  const headers: Placed[] = [];
  let crc = 0;
  for (let count = 0; count < frame.records; count++) {
    if (position + recordHeaderBytes > end) return null;
    crc = crc32(request.content.subarray(position, position + recordHeaderBytes), crc);
    const header = parseRecordHeader(request.content, position, request.machine);
    if (header === null || header.lsn !== frame.firstLsn + count) return null;
    headers.push({ header, position });
    position += recordHeaderBytes + header.payloadBytes;
  }
  return position === end && crc === frame.headersCrc ? headers : null;
}

export function payloadAtFits(content: Buffer, header: RecordHeader, position: number): boolean {
  const start = position + recordHeaderBytes;
  const payload = content.subarray(start, start + header.payloadBytes);
  return payloadFits(payload, header.payloadCrc, dataBytesOf(header));
}

/**
 * Keeps the records that are sound in themselves between `state.end` and `until.end`; the other LSNs are
 * lost.
 */
function salvage(
  request: ScanRequest,
  state: ScanResult,
  until: { end: number; lastLsn: number; isEnd?: true },
): void {
  const { content, visitor, cutLsn } = request;
  const lastLsn = Math.min(until.lastLsn, cutLsn - 1);
  let at = state.end;
  let lostFrom = at;
  while (at < until.end && state.nextLsn <= lastLsn) {
    at = findRecordMagic(content, at);
    if (at < 0 || at >= until.end) break;
    const header = decodeRecordHeader(content, at, request.machine);
    if (
      header === null ||
      header.lsn < state.nextLsn ||
      header.lsn > lastLsn ||
      !payloadAtFits(content, header, at)
    ) {
      at += 1;
      continue;
    }
    if (header.lsn > state.nextLsn)
      visitor.lost({ from: state.nextLsn, to: header.lsn - 1, start: lostFrom, end: at });
    visitor.record(header, at, content);
    state.nextLsn = header.lsn + 1;
    at += recordHeaderBytes + header.payloadBytes;
    lostFrom = at;
  }
  if (until.isEnd === true && request.leavesEnd === true && state.nextLsn > request.firstLsn) {
    state.end = lostFrom;
    return;
  }
  if (state.nextLsn <= lastLsn)
    visitor.lost({ from: state.nextLsn, to: lastLsn, start: lostFrom, end: until.end });
  state.nextLsn = Math.max(state.nextLsn, lastLsn + 1);
  state.end = Math.max(state.end, Math.min(until.end, content.length));
}
