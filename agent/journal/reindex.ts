// Makes extents out of records read back from segments: at start, and wherever no table of them is there.
import { wholeMachine, machineAddress } from '../../core/extents/address.ts';
import { buildTable } from '../../core/extents/build.ts';
import { ContentKind } from '../../core/extents/extent-columns.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import type { ExtentTable } from '../../core/extents/extent-table.ts';
import type { Files } from '../../core/files/files.ts';
import { machineMark, RecordKind, type MachineMark, type RecordHeader } from '../../core/record/record.ts';
import { listFrames } from '../../core/segment-log/frames.ts';
import { scanSegment, type ScanVisitor } from '../../core/segment-log/scan.ts';
import { emptyReport, noteOf, payloadAt, type SegmentReport } from './segment-notes.ts';

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

export const sourceOf = ({ files, machine }: { files: Files; machine: Buffer }): RecordSource => ({
  files,
  machine,
  mark: machineMark(machine),
});

/** What of a segment reading it takes. */
export interface RedoPart {
  ordinal: number;
  fd: number;
  firstLsn: number;
  precededBy: number;
  end: number;
}

/**
 * Shows `visitor` the records of one segment up to `lsn`, all of which are durable: what is not sound is
 * lost.
 */
export function visitSegment(source: RecordSource, part: RedoPart, lsn: number, visitor: ScanVisitor): void {
  visitContent(source, readContent(source.files, part), part.firstLsn, lsn, visitor);
}

/** All that a segment holds of content. */
export function readContent(
  files: Pick<Files, 'readSync'>,
  { fd, end }: Pick<RedoPart, 'fd' | 'end'>,
): Buffer {
  const content = Buffer.allocUnsafe(end);
  return content.subarray(0, files.readSync(fd, content, 0));
}

function visitContent(
  { machine, mark }: Pick<RecordSource, 'machine' | 'mark'>,
  content: Buffer,
  firstLsn: number,
  lsn: number,
  visitor: ScanVisitor,
): void {
  const frames = listFrames(content, machine, firstLsn);
  scanSegment({ content, frames, machine: mark, firstLsn, cutLsn: lsn + 1, durable: lsn, visitor });
}

/**
 * The table of one segment's records (afterLsn, lsn], after what is lost between `afterLsn` and the segment.
 * Reads the segment, blocking its thread.
 */
export function buildRedoTable(
  files: Pick<Files, 'readSync'>,
  machine: Uint8Array,
  part: RedoPart,
  afterLsn: number,
  lsn: number,
): ExtentTable {
  const owner = Buffer.from(machine);
  const { ordinal, firstLsn, precededBy } = part;
  const list = new ExtentList();
  if (precededBy > afterLsn) pushLost(list, ordinal, 0);
  visitContent({ machine: owner, mark: machineMark(owner) }, readContent(files, part), firstLsn, lsn, {
    record: (header, position) => {
      if (header.lsn > afterLsn) pushRecord(list, ordinal, firstLsn, header, position);
    },
    lost: ({ to }) => {
      if (to > afterLsn) pushLost(list, ordinal, to - firstLsn);
    },
  });
  return buildTable(list);
}

/** All of a complete segment's records, as extents in their order, and what else is remembered of them. */
export function scanRedo(
  source: Pick<RecordSource, 'machine' | 'mark'>,
  content: Buffer,
  part: RedoPart,
  lastLsn: number,
): { list: ExtentList; report: SegmentReport } {
  const { ordinal, firstLsn } = part;
  const list = new ExtentList();
  const report = emptyReport();
  visitContent(source, content, firstLsn, lastLsn, {
    record: (header, position) => {
      pushRecord(list, ordinal, firstLsn, header, position);
      reportRecord(report, header, part, payloadAt(content, position, header));
    },
    lost: (lost) => {
      pushLost(list, ordinal, lost.to - firstLsn);
      report.lost.push(lost);
    },
  });
  return { list, report };
}

/** Remembers a record of the segment at `place`, if there is something to remember. */
export function reportRecord(
  report: SegmentReport,
  header: RecordHeader,
  place: { firstLsn: number; precededBy: number },
  payload: () => Buffer,
): void {
  report.generation = Math.max(report.generation, header.generation);
  const note = noteOf(header, place, payload);
  if (note !== null) report.notes.push(note);
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

/**
 * Lost records may have been anywhere: all that is older is unknown from here on. `lsnDelta` is that of the
 * last of them: from there on it is all in the replica, or it is not.
 */
export function pushLost(list: ExtentList, ordinal: number, lsnDelta: number): void {
  list.push(wholeMachine.start, wholeMachine.end, ordinal, 0, Math.max(lsnDelta, 0), ContentKind.unknown);
}

/** A table that says of everything that it is unknown. */
export function unknownTable(ordinal: number): ExtentTable {
  const list = new ExtentList(1);
  pushLost(list, ordinal, 0);
  return buildTable(list);
}
