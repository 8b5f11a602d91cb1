// Checks one redo segment: every frame, record and payload, and the hash that the ledger has of it.
import { readWhatThereIs } from './verify-read.ts';
import { dataBytesOf, recordHeaderBytes, RecordKind, type RecordHeader } from '../../core/record/record.ts';
import { machineMark } from '../../core/record/record.ts';
import { listFrames } from '../../core/segment-log/frames.ts';
import { scanSegment, type Lost } from '../../core/segment-log/scan.ts';
import { FileHash } from '../journal/ledger-hash.ts';
import type { LentRedo } from '../replica/undo/undo-step.ts';
import { unfit, unfitParts, type Finding, type PieceResult } from './verify-finding.ts';

export interface RedoJob {
  kind: 'redo';
  /** UUID, 16 bytes. */
  machine: Uint8Array;
  segment: LentRedo;
  /** What the ledger says of its first `bytes`, if it was sealed. */
  sealed: { bytes: number; hash: string } | null;
}

export const lostRecords = 'records are lost: their extents are not known';

export function checkRedo({ machine, segment, sealed }: RedoJob): PieceResult {
  const { path: file, firstLsn, lastLsn, end } = segment;
  const result: PieceResult = { bytes: end, records: 0, findings: [], stoppedAt: null, uncheckedBytes: 0 };
  const content = readContent(segment, Math.max(end, sealed?.bytes ?? 0));
  const owner = Buffer.from(machine);
  const times: { lsn: number; time: number }[] = [];
  const lost: Lost[] = [];
  const frames = listFrames(content.subarray(0, end), owner, firstLsn);
  scanSegment({
    content: content.subarray(0, end),
    frames,
    machine: machineMark(owner),
    firstLsn,
    cutLsn: lastLsn + 1,
    durable: lastLsn,
    visitor: {
      record(header, position, bytes) {
        result.records += 1;
        if (times.length === 0 || lost.length > 0) times.push({ lsn: header.lsn, time: header.time });
        result.findings.push(...unfitRecord(header, position, bytes, file));
      },
      lost: (records) => lost.push(records),
    },
  });
  for (const { from, to } of lost)
    result.findings.push({ ...place(file, from, to, times), what: lostRecords });
  for (const [from, to] of lsnsWithoutFrame(frames.frames, segment))
    if (!lost.some((records) => records.from <= to && from <= records.to))
      result.findings.push({
        ...place(file, from, to, times),
        what: 'a frame is damaged; its records are sound without it',
      });
  if (result.findings.length === 0 && sealed !== null && !hasHash(content, sealed))
    result.findings.push({
      ...place(file, firstLsn, lastLsn, times),
      what: 'it is not the file that was sealed: the ledger has another hash of it',
    });
  return result;
}

function readContent({ fd }: LentRedo, bytes: number): Buffer {
  const content = Buffer.allocUnsafe(bytes);
  return content.subarray(0, readWhatThereIs(fd, content, 0));
}

function lsnsWithoutFrame(
  frames: readonly { firstLsn: number; records: number }[],
  { firstLsn, lastLsn }: LentRedo,
): [number, number][] {
  const missing: [number, number][] = [];
  let next = firstLsn;
  for (const frame of frames) {
    if (frame.firstLsn > next) missing.push([next, Math.min(frame.firstLsn - 1, lastLsn)]);
    next = frame.firstLsn + frame.records;
  }
  if (next <= lastLsn) missing.push([next, lastLsn]);
  return missing;
}

function unfitRecord(header: RecordHeader, position: number, content: Buffer, file: string): Finding[] {
  const { lsn, disk, offset, length, payloadBytes, payloadCrc, time, kind } = header;
  const start = position + recordHeaderBytes;
  const payload = content.subarray(start, start + payloadBytes);
  const found = { in: 'redo', file, from: lsn, to: lsn, fromTime: time, toTime: time, what: unfit } as const;
  const hasExtent = kind === RecordKind.write;
  return unfitParts(payload, payloadCrc, dataBytesOf(header)).map(([from, to]) =>
    hasExtent
      ? { ...found, disk, start: offset + from, end: offset + Math.min(to, length) }
      : { ...found, disk: null, start: null, end: null },
  );
}

/** A place whose extents are not known; its times lie between those of its neighbours. */
function place(
  file: string,
  from: number,
  to: number,
  times: readonly { lsn: number; time: number }[],
): Omit<Finding, 'what'> {
  const fromTime = times.findLast(({ lsn }) => lsn < from)?.time ?? times[0]?.time ?? null;
  const toTime = times.find(({ lsn }) => lsn > to)?.time ?? null;
  return { in: 'redo', file, disk: null, start: null, end: null, from, to, fromTime, toTime };
}

function hasHash(content: Buffer, { bytes, hash }: { bytes: number; hash: string }): boolean {
  return new FileHash().add(content.subarray(0, bytes)).hex() === hash;
}
