// Opens what is on disk: finds the segments, learns what was durable, and reads each by the decision table.
import { join } from 'node:path';
import { HomewardError } from '../errors.ts';
import type { Files } from '../files/files.ts';
import type { MachineMark } from '../record/record.ts';
import { listFrames, type FrameList } from './frames.ts';
import { scanSegment, type ScanVisitor } from './scan.ts';
import { parseSegmentFileName, type Segment } from './segment.ts';
import type { SegmentFiles } from './segment-files.ts';

/** Hears of the content of every segment in LSN order. */
export interface RecoveryVisitor extends ScanVisitor {
  /** Called before the records of each segment, and `segmentEnd` behind them. */
  segmentBegin(segment: Segment): void;
  segmentEnd(segment: Segment): void;
}

export interface RecoveryRequest {
  files: Files;
  segmentFiles: SegmentFiles;
  directory: string;
  machine: Buffer;
  mark: MachineMark;
  /** Everything up to here is in the replica; segments that end at or below it are not read. */
  appliedLsn: number;
  /** The highest LSN that anybody outside the log knows to be durable. */
  durable: number;
  visitor: RecoveryVisitor;
}

export interface Recovered {
  /** Oldest first; all sound to read. */
  segments: Segment[];
  /** Files that hold nothing that counts: below the cursor, empty, or behind a cut. */
  unneeded: Segment[];
  lastLsn: number;
  /** A torn tail was left out. */
  cut: boolean;
}

/** Reads the log. Changes nothing on disk. */
export function recoverSegments(request: RecoveryRequest): Recovered {
  const found = findSegments(request);
  const durable = Math.max(request.durable, request.appliedLsn, learnDurable(request, found));
  const result: Recovered = { segments: [], unneeded: [], lastLsn: request.appliedLsn, cut: false };
  for (const [index, segment] of found.entries()) {
    const cutLsn = found[index + 1]?.firstLsn ?? Infinity;
    const expected = result.segments.length === 0 ? request.appliedLsn + 1 : result.lastLsn + 1;
    const behindTheTail = segment.firstLsn > expected && expected > durable;
    result.cut ||= behindTheTail;
    if (result.cut || cutLsn <= request.appliedLsn + 1) {
      segment.recyclable &&= !result.cut;
      result.unneeded.push(segment);
      continue;
    }
    recoverSegment(request, result, segment, { cutLsn, expected, durable });
  }
  if (result.lastLsn < durable) reportMissingEnd(request, result, durable);
  return result;
}

interface Place { cutLsn: number; expected: number; durable: number }

function recoverSegment(request: RecoveryRequest, result: Recovered, segment: Segment, place: Place): void {
  const { visitor } = request;
  const { cutLsn, expected, durable } = place;
  const content = readSegment(request.files, segment);
  const frames = framesOf(request, segment, content);
  visitor.segmentBegin(segment);
  if (segment.firstLsn > expected) visitor.lost({ from: expected, to: segment.firstLsn - 1, start: 0, end: 0 });
  const scan = scanSegment({
    content, frames, machine: request.mark, firstLsn: segment.firstLsn, cutLsn, durable,
    visitor: notingTimes(segment, visitor),
  });
  segment.lastLsn = scan.nextLsn - 1;
  segment.end = scan.end;
  segment.recyclable = !scan.cut;
  result.lastLsn = segment.lastLsn;
  result.cut = scan.cut;
  visitor.segmentEnd(segment);
  result.segments.push(segment);
}

function notingTimes(segment: Segment, next: ScanVisitor): ScanVisitor {
  return {
    record(header, position, content) {
      if (segment.firstTime === 0) segment.firstTime = header.time;
      segment.lastTime = header.time;
      next.record(header, position, content);
    },
    lost: (lost) => next.lost(lost),
  };
}

/** The newest content is gone although somebody knows that it was durable: its LSNs are lost, and never used again. */
function reportMissingEnd(request: RecoveryRequest, result: Recovered, durable: number): void {
  const last = result.segments.at(-1);
  const from = result.lastLsn + 1;
  result.lastLsn = durable;
  request.visitor.lost({ from, to: durable, start: last?.end ?? 0, end: last?.bytes ?? 0 });
}

function findSegments(request: RecoveryRequest): Segment[] {
  const { files, segmentFiles, directory } = request;
  const named = files.list(directory)
    .map((name) => ({ name, firstLsn: parseSegmentFileName(name) }))
    .filter((entry): entry is { name: string; firstLsn: number } => entry.firstLsn !== null)
    .sort((a, b) => a.firstLsn - b.firstLsn);
  return named.map(({ name, firstLsn }) => segmentFiles.adopt(join(directory, name), firstLsn));
}

/** The largest previous durable LSN that any frame states; the newest file says it in its last frame. */
function learnDurable(request: RecoveryRequest, segments: Segment[]): number {
  let durable = 0;
  for (let index = segments.length - 1; index >= 0; index--) {
    const segment = segments[index];
    if (segment === undefined) continue;
    const list = framesOf(request, segment, readSegment(request.files, segment));
    durable = Math.max(durable, list.durable);
    if (list.frames.length > 0) break;
  }
  return durable;
}

function framesOf(request: RecoveryRequest, segment: Segment, content: Buffer): FrameList {
  const list = listFrames(content, request.machine, segment.firstLsn);
  if (list.foreign && list.frames.length === 0) {
    throw new HomewardError('foreign-segment', `${segment.path} holds records of another machine`);
  }
  return list;
}

/** The whole content of a segment. */
export function readSegment(files: Files, segment: Segment): Buffer {
  const content = Buffer.allocUnsafe(segment.bytes);
  return content.subarray(0, files.readSync(segment.fd, content, 0));
}
