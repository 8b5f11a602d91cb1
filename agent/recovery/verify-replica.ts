// Checks a stretch of a replica against the checksums of its blocks.
import type { Files } from '../../core/files/files.ts';
import { seekData, seekHole } from '../../core/linux.ts';
import { MiB } from '../../core/units.ts';
import { openSums, sumBlockBytes, SumsReader } from '../replica/replica-sums.ts';
import type { Finding, PieceResult } from './verify-finding.ts';
import { readWhatThereIs } from './verify-read.ts';

export interface ReplicaJob {
  kind: 'replica';
  /** UUID, 16 bytes. */
  machine: Uint8Array;
  disk: number;
  replica: { fd: number; path: string; sparse: boolean; sums: string };
  /** Bytes of the disk; whole blocks but at its end. */
  start: number;
  end: number;
  /** The replica is the state after this LSN; its stamp in microseconds. */
  cursor: { lsn: number; time: number };
}

const pieceBytes = MiB;

/**
 * Looks until `isTimeUp` says so, but at one piece at least. What it finds counts when no step was open
 * meanwhile. Where checksums are missing, or are those of another LSN, nothing was checked; single blocks
 * without one are counted.
 */
export function checkReplica(job: ReplicaJob, isTimeUp: () => boolean, files: Files): PieceResult {
  const { machine, disk, replica, start, end } = job;
  const sums = openSums(files, replica.sums, { machine, disk });
  if (sums === null) return { ...nothing, uncheckedBytes: end - start };
  try {
    const reader = new SumsReader(sums);
    if (!reader.isValid(job.cursor.lsn)) return { ...nothing, uncheckedBytes: end - start };
    const size = job.replica.sparse ? files.size(job.replica.fd) : end;
    const there = check({ ...job, end: Math.min(end, Math.max(size, start)) }, reader, isTimeUp);
    if (there.stoppedAt !== null || size >= end) return there;
    const gone = found(job, [[Math.max(size, start), end]], 'the replica ends here');
    return { ...there, findings: [...there.findings, ...gone] };
  } finally {
    files.close(sums.fd);
  }
}

const nothing: PieceResult = { bytes: 0, records: 0, findings: [], stoppedAt: null, uncheckedBytes: 0 };

function check(job: ReplicaJob, reader: SumsReader, isTimeUp: () => boolean): PieceResult {
  const { replica, start, end } = job;
  const findings: Finding[] = [];
  const buffer = Buffer.allocUnsafe(pieceBytes);
  let at = start;
  for (; at < end;) {
    if (at > start && isTimeUp()) break;
    const data = replica.sparse ? nextData(replica.fd, at, end) : at;
    if (data > at) {
      findings.push(...found(job, reader.checkHole(at, data)));
      at = data;
      continue;
    }
    const stop = Math.min(replica.sparse ? endOfData(replica.fd, at, end) : end, at + pieceBytes, end);
    const piece = buffer.subarray(0, stop - at);
    const read = readWhatThereIs(replica.fd, piece, at);
    findings.push(...found(job, reader.check(at, piece.subarray(0, read))));
    at = stop;
  }
  const { unknownBytes } = reader;
  return {
    ...nothing,
    bytes: at - start - unknownBytes,
    unknownBytes,
    findings,
    stoppedAt: at < end ? at : null,
  };
}

/** Both are whole blocks, so that a block that is data in part is read as a whole. */
function nextData(fd: number, from: number, end: number): number {
  const data = seekData(fd, from) ?? end;
  return Math.min(Math.max(data - (data % sumBlockBytes), from), end);
}

function endOfData(fd: number, from: number, end: number): number {
  const hole = seekHole(fd, from) ?? end;
  return Math.min(Math.ceil(Math.max(hole, from + 1) / sumBlockBytes) * sumBlockBytes, end);
}

function found(
  { disk, replica, cursor }: ReplicaJob,
  extents: readonly [number, number][],
  what = 'content does not fit its checksum',
): Finding[] {
  const { lsn, time } = cursor;
  return extents.map(([start, end]) => ({
    ...({ in: 'replica', file: replica.path, disk, start, end, what } as const),
    ...{ from: lsn, to: lsn, fromTime: time, toTime: time },
  }));
}
