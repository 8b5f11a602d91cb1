// Opens what is on disk: finds the segments, learns what was durable, and reads each by the decision table.
import { join } from 'node:path';
import { HomewardError } from '../errors.ts';
import type { Files } from '../files/files.ts';
import type { MachineMark } from '../record/record.ts';
import { listFrames, precedingLsn, type FrameList } from './frames.ts';
import { decodeGroupHeader, groupHeaderBytes } from './group.ts';
import { speaksOf, takeKnown, type KnownSegment } from './known-segment.ts';
import { scanSegment, type Lost, type ScanVisitor } from './scan.ts';
import { isEmpty, parseSegmentFileName, type Segment } from './segment.ts';
import type { SegmentFiles } from './segment-files.ts';

/** Hears of the content of every segment in LSN order. */
export interface RecoveryVisitor extends ScanVisitor {
  /** Called before the records of each segment, and `segmentEnd` behind them. */
  segmentBegin(segment: Segment): void;
  segmentEnd(segment: Segment): void;
  /** `file` is where lost records should have been, when that is not the segment that was begun last. */
  lost(lost: Lost, file?: string): void;
  /** What is known of it from elsewhere; asked of segments that are followed by others. */
  lookUp?(segment: Segment): KnownSegment | null;
  /** Called in place of `record` and `lost` for a segment that was known and so is not read. */
  known?(segment: Segment): void;
}

export interface RecoveryRequest {
  files: Files;
  segmentFiles: SegmentFiles;
  directory: string;
  machine: Buffer;
  mark: MachineMark;
  /** Nobody needs what lies at or below it; segments that end there are not read. */
  appliedLsn: number;
  /** The highest LSN that anybody outside the log knows to be durable. */
  durable: number;
  visitor: RecoveryVisitor;
}

/** Content from `start` on that is not known to be durable. */
export interface Tail {
  segment: Segment;
  start: number;
}

export interface Recovered {
  /** Oldest first; all sound to read. */
  segments: Segment[];
  /** Files that hold nothing that counts: below the cursor, empty, or behind a cut. */
  unneeded: Segment[];
  tails: Tail[];
  /** Those of `segments` that were not read, all of which is durable. */
  known: Set<Segment>;
  lastLsn: number;
  /** A torn tail was left out. */
  cut: boolean;
}

/** A segment as it was read. */
interface Read {
  segment: Segment;
  content: Buffer;
  frames: FrameList;
}

/** The newest segment is asked first what is durable, and read last: once is enough. */
interface Reading extends RecoveryRequest {
  last: Read | null;
}

/** Reads the log. Changes nothing on disk. */
export function recoverSegments(asked: RecoveryRequest): Recovered {
  const request: Reading = { ...asked, last: null };
  const found: Segment[] = [];
  try {
    findSegments(request, found);
    for (const segment of found) segment.precededBy = findPreceding(request, segment);
    return readSegments(request, found);
  } catch (error) {
    for (const segment of found) request.files.close(segment.fd);
    throw error;
  }
}

function readSegments(request: Reading, found: readonly Segment[]): Recovered {
  const durable = Math.max(request.durable, request.appliedLsn, learnDurable(request, found));
  const result: Recovered = {
    segments: [],
    unneeded: [],
    tails: [],
    known: new Set(),
    lastLsn: request.appliedLsn,
    cut: false,
  };
  for (const [index, segment] of found.entries()) {
    const cutLsn = (found[index + 1]?.precededBy ?? Infinity) + 1;
    const expected = Math.max(result.lastLsn, request.appliedLsn) + 1;
    const behindTheTail = segment.precededBy >= expected && expected > durable;
    result.cut ||= behindTheTail;
    if (result.cut || cutLsn <= request.appliedLsn + 1) {
      result.unneeded.push(segment);
      continue;
    }
    const place = { cutLsn, expected, durable };
    if (!takeAsKnown(request, result, segment, place)) recoverSegment(request, result, segment, place);
  }
  if (result.lastLsn < durable) reportMissingEnd(request, result, durable);
  return result;
}

interface Place {
  cutLsn: number;
  expected: number;
  durable: number;
}

/**
 * Takes a segment without reading it: what is known must say that it ends where the next one begins, and all
 * of it must be durable, since only then reading finds the same whatever is known to be durable.
 */
function takeAsKnown(
  { visitor }: RecoveryRequest,
  result: Recovered,
  segment: Segment,
  { cutLsn, expected, durable }: Place,
): boolean {
  if (cutLsn > durable + 1) return false;
  const known = visitor.lookUp?.(segment) ?? null;
  if (known === null || !speaksOf(known, segment) || known.lastLsn !== cutLsn - 1) return false;
  visitor.segmentBegin(segment);
  lostBefore(visitor, result, segment, expected);
  takeKnown(segment, known);
  visitor.known?.(segment);
  result.lastLsn = segment.lastLsn;
  visitor.segmentEnd(segment);
  result.segments.push(segment);
  result.known.add(segment);
  return true;
}

/** Whether the file before has lost its end, or another is missing, its content does not say. */
function lostBefore(
  visitor: RecoveryVisitor,
  { segments }: Recovered,
  next: Segment,
  expected: number,
): void {
  const { precededBy: to } = next;
  if (to >= expected) visitor.lost({ from: expected, to, ...endOf(segments.at(-1)) }, segments.at(-1)?.path);
}

const endOf = (segment: Segment | undefined): { start: number; end: number } => ({
  start: segment?.end ?? 0,
  end: segment?.bytes ?? 0,
});

function recoverSegment(request: Reading, result: Recovered, segment: Segment, place: Place): void {
  const { visitor } = request;
  const { cutLsn, expected, durable } = place;
  const { content, frames } = readFrames(request, segment);
  visitor.segmentBegin(segment);
  lostBefore(visitor, result, segment, expected);
  for (const frame of frames.frames)
    if (frame.records > 0) segment.places.add(frame.firstLsn, frame.position);
  const scan = scanSegment({
    content,
    frames,
    machine: request.mark,
    firstLsn: segment.firstLsn,
    cutLsn,
    durable,
    leavesEnd: true,
    visitor: judging(request, segment),
  });
  segment.lastLsn = scan.nextLsn - 1;
  segment.end = scan.end;
  segment.lastArrival = frames.frames.findLast(({ records }) => records > 0)?.arrival ?? 0;
  segment.recyclable = !scan.cut && !holdsMore(frames, cutLsn);
  if (scan.tailStart !== null) result.tails.push({ segment, start: scan.tailStart });
  result.lastLsn = isEmpty(segment) ? Math.max(segment.precededBy, expected - 1) : segment.lastLsn;
  result.cut = scan.cut;
  visitor.segmentEnd(segment);
  result.segments.push(segment);
}

/**
 * Whether records that do not count lie behind the cut. Such a file is not written over: its LSNs may come
 * again, and what it holds of them must not be taken for content then.
 */
function holdsMore({ frames }: FrameList, cutLsn: number): boolean {
  const last = frames.at(-1);
  return last !== undefined && last.firstLsn + last.records > cutLsn;
}

/** Notes the times of a segment; leaves out what is lost below the cursor, where the replica has it. */
function judging({ visitor: next, appliedLsn }: RecoveryRequest, segment: Segment): ScanVisitor {
  return {
    record(header, position, content) {
      if (segment.firstTime === 0) segment.firstTime = header.time;
      segment.lastTime = header.time;
      next.record(header, position, content);
    },
    lost(lost) {
      if (lost.to > appliedLsn) next.lost({ ...lost, from: Math.max(lost.from, appliedLsn + 1) });
    },
  };
}

/**
 * The newest content is gone although somebody knows that it was durable: its LSNs are lost, and never used
 * again.
 */
function reportMissingEnd(request: RecoveryRequest, result: Recovered, durable: number): void {
  const last = result.segments.at(-1);
  const from = Math.max(result.lastLsn, request.appliedLsn) + 1;
  result.lastLsn = durable;
  if (from <= durable) request.visitor.lost({ from, to: durable, ...endOf(last) }, last?.path);
}

function findSegments(request: RecoveryRequest, found: Segment[]): void {
  const { files, segmentFiles, directory } = request;
  const named = files
    .list(directory)
    .map((name) => ({ name, firstLsn: parseSegmentFileName(name) }))
    .filter((entry): entry is { name: string; firstLsn: number } => entry.firstLsn !== null)
    .sort((a, b) => a.firstLsn - b.firstLsn);
  for (const { name, firstLsn } of named) found.push(segmentFiles.adopt(join(directory, name), firstLsn));
}

/** The largest previous durable LSN that any frame states; the newest file says it in its last frame. */
function learnDurable(request: Reading, segments: readonly Segment[]): number {
  let durable = 0;
  for (let index = segments.length - 1; index >= 0; index--) {
    const segment = segments[index];
    if (segment === undefined) continue;
    const { frames } = readFrames(request, segment);
    durable = Math.max(durable, frames.durable);
    if (frames.frames.length > 0) break;
  }
  return durable;
}

/** Which LSN precedes a segment, and which identity it has; that its first frame is sound is the rule. */
function findPreceding(request: RecoveryRequest, segment: Segment): number {
  const { files, machine } = request;
  const first = Buffer.alloc(groupHeaderBytes);
  files.readSync(segment.fd, first, 0);
  const frame = decodeGroupHeader(first, 0);
  const isOurs = frame !== null && frame.position === 0 && frame.machine.equals(machine);
  if (isOurs && frame.firstLsn === segment.firstLsn) {
    segment.identity = frame.identity.toString('hex');
    return precedingLsn(frame, segment.firstLsn);
  }
  const list = listFrames(readSegment(files, segment), machine, segment.firstLsn);
  return precedingLsn(list.frames[0], segment.firstLsn);
}

/** Reads a segment, unless it was the last that was read. */
function readFrames(request: Reading, segment: Segment): Read {
  if (request.last?.segment === segment) return request.last;
  const content = readSegment(request.files, segment);
  const frames = listFrames(content, request.machine, segment.firstLsn);
  if (frames.foreign && frames.frames.length === 0) {
    throw new HomewardError('foreign-segment', `${segment.path} holds records of another machine`);
  }
  request.last = { segment, content, frames };
  return request.last;
}

/** The whole content of a segment. */
export function readSegment(files: Files, segment: Segment): Buffer {
  const content = Buffer.allocUnsafe(segment.bytes);
  return content.subarray(0, files.readSync(segment.fd, content, 0));
}

/**
 * Writes what is not known to be durable once more, so that the sync to come covers it: after a failed sync
 * the pages that it could not write count as written, also for the next process.
 */
export function rewriteTail(files: Files, { segment, start }: Tail): void {
  const tail = Buffer.allocUnsafe(segment.end - start);
  files.readSync(segment.fd, tail, start);
  files.write(segment.fd, [tail], start);
}
