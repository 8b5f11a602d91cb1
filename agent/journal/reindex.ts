// Makes extents and catalogue entries out of records read back from segments: at start, and for part of a
// segment.
import { wholeMachine, machineAddress } from '../../core/extents/address.ts';
import { ContentKind } from '../../core/extents/extent-columns.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import type { Files } from '../../core/files/files.ts';
import { decodeSyncBegin, decodeTagNote } from '../../core/record/notes.ts';
import {
  RecordKind,
  recordHeaderBytes,
  type MachineMark,
  type RecordHeader,
} from '../../core/record/record.ts';
import { listFrames } from '../../core/segment-log/frames.ts';
import { readSegment } from '../../core/segment-log/recover.ts';
import { scanSegment, type ScanVisitor } from '../../core/segment-log/scan.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { Catalogue } from './catalogue.ts';

/** What a record kind means for content, or null when it has none. */
export function contentKindOf(kind: RecordKind): ContentKind | null {
  if (kind === RecordKind.write) return ContentKind.data;
  if (kind === RecordKind.zero) return ContentKind.zero;
  return kind === RecordKind.unknown ? ContentKind.unknown : null;
}

/** The addresses that a record is about, or null; `unknown` without a length is about all of them. */
export function extentOf({
  kind,
  disk,
  offset,
  length,
}: RecordHeader): { start: number; end: number } | null {
  if (length === 0) return kind === RecordKind.unknown ? wholeMachine : null;
  const start = machineAddress(disk, offset);
  return { start, end: start + length };
}

/** Whose records, and where they are read. */
export interface RecordSource {
  files: Files;
  machine: Buffer;
  mark: MachineMark;
}

/**
 * Shows `visitor` the records of one segment up to `lsn`, all of which are durable: what is not sound is
 * lost.
 */
export function visitSegment(
  source: RecordSource,
  segment: Segment,
  lsn: number,
  visitor: ScanVisitor,
): void {
  const content = readSegment(source.files, segment).subarray(0, segment.end);
  const frames = listFrames(content, source.machine, segment.firstLsn);
  scanSegment({
    content,
    frames,
    machine: source.mark,
    firstLsn: segment.firstLsn,
    cutLsn: lsn + 1,
    durable: lsn,
    visitor,
  });
}

/**
 * The extents of one segment's records up to `lsn`. Up to `afterLsn` everything is known from elsewhere:
 * from the replica or the segment before.
 */
export function extentsOf(
  source: RecordSource,
  segment: Segment,
  { afterLsn, lsn }: { afterLsn: number; lsn: number },
): ExtentList {
  const list = new ExtentList();
  if (segment.precededBy > afterLsn) pushLost(list, segment.ordinal, 0);
  visitSegment(source, segment, lsn, {
    record: (header, position) => {
      if (header.lsn > afterLsn) pushRecord(list, segment.ordinal, segment.firstLsn, header, position);
    },
    lost: (lost) => {
      if (lost.to > afterLsn) pushLost(list, segment.ordinal, lost.from - segment.firstLsn);
    },
  });
  return list;
}

export function pushRecord(
  list: ExtentList,
  ordinal: number,
  firstLsn: number,
  header: RecordHeader,
  position: number,
): void {
  const kind = contentKindOf(header.kind);
  const extent = extentOf(header);
  if (kind === null || extent === null) return;
  list.push(extent.start, extent.end, ordinal, position, header.lsn - firstLsn, kind);
}

/** Lost records may have been anywhere: all that is older is unknown from here on. */
export function pushLost(list: ExtentList, ordinal: number, lsnDelta: number): void {
  list.push(wholeMachine.start, wholeMachine.end, ordinal, 0, Math.max(lsnDelta, 0), ContentKind.unknown);
}

/**
 * Enters tags and the begin and end of syncs. `before` is the LSN of the record before, which is not
 * always the next lower one.
 */
export function noteRecord(
  catalogue: Catalogue,
  header: RecordHeader,
  content: Buffer,
  position: number,
  before: number,
): void {
  if (header.kind === RecordKind.unknown) catalogue.unknown.push(header.lsn);
  if (header.kind < RecordKind.tag || header.kind > RecordKind.syncEnd) return;
  const start = position + recordHeaderBytes;
  const payload = content.subarray(start, start + header.payloadBytes);
  if (header.kind === RecordKind.syncBegin) {
    const note = decodeSyncBegin(payload);
    catalogue.syncBegins({ ...note, lsn: header.lsn, before, time: header.time });
  }
  if (header.kind === RecordKind.syncEnd) catalogue.syncEnds(header.lsn, header.time);
  const tag = header.kind === RecordKind.tag ? decodeTagNote(payload) : null;
  if (tag !== null) catalogue.tags.push({ lsn: header.lsn, time: header.time, ...tag });
}
