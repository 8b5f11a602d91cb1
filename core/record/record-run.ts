// A run of records as it travels: whole records one behind the other, built from changes or read and checked.
import { HomewardError } from '../errors.ts';
import { limits } from '../limits.ts';
import { checkPayload, checkTableBytes, payloadFits } from './payload.ts';
import {
  dataBytesOf,
  decodeRecordHeader,
  encodeRecordHeader,
  recordHeaderBytes,
  RecordKind,
  type MachineMark,
  type RecordHeader,
} from './record.ts';

/** The records of a run; `positions` are where their headers begin in it. */
export interface RecordRun {
  bytes: Buffer;
  headers: RecordHeader[];
  positions: number[];
}

export interface RunCheck {
  /** Whether payloads are checked against their CRC as well. */
  payloads: boolean;
}

/**
 * Reads a run. Throws 'damaged-record' naming the first record (by LSN where its header is sound) that is
 * cut, foreign, or does not fit its checksums. That LSNs follow each other is for the caller to check.
 */
export function parseRecordRun(bytes: Buffer, machine: MachineMark, check: RunCheck): RecordRun {
  const headers: RecordHeader[] = [];
  const positions: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const header = decodeRecordHeader(bytes, at, machine);
    if (header === null) throw damaged(`what stands at byte ${at} of a run is no record of this machine`);
    const fault = faultOf(header);
    if (fault !== null) throw damaged(`record ${header.lsn} ${fault}`);
    const start = at + recordHeaderBytes;
    const end = start + header.payloadBytes;
    if (end > bytes.length) throw damaged(`record ${header.lsn} is cut`);
    if (check.payloads && !payloadFits(bytes.subarray(start, end), header.payloadCrc, dataBytesOf(header)))
      throw damaged(`record ${header.lsn} does not fit its checksum`);
    if (headers.length === limits.runRecords)
      throw damaged(`a run has more than ${limits.runRecords} records, the next is ${header.lsn}`);
    headers.push(header);
    positions.push(at);
    at = end;
  }
  return { bytes, headers, positions };
}

/**
 * The pieces of a run in which every LSN follows the one before. A `sync-begin` may skip LSNs, so a run may
 * have several; whether what begins a piece may stand there is for the caller to judge.
 */
export function splitRun(run: RecordRun): RecordRun[] {
  const { bytes, headers, positions } = run;
  const pieces: RecordRun[] = [];
  let from = 0;
  for (let to = 1; to <= headers.length; to++) {
    if (headers[to]?.lsn === headers[to - 1]!.lsn + 1) continue;
    if (from === 0 && to === headers.length) return [run];
    const start = positions[from]!;
    pieces.push({
      bytes: bytes.subarray(start, positions[to] ?? bytes.length),
      headers: headers.slice(from, to),
      positions: positions.slice(from, to).map((position) => position - start),
    });
    from = to;
  }
  return pieces;
}

/** Bytes that a record with `dataBytes` of data takes in a run: header, check table, data. */
export function recordBytes(dataBytes: number): number {
  return recordHeaderBytes + checkTableBytes(dataBytes) + dataBytes;
}

/**
 * Writes a record into `target` at `at`: header with checksums, table, and a copy of `data`. Gives back the
 * end.
 */
export function encodeRecord(
  target: Buffer,
  at: number,
  record: Omit<RecordHeader, 'payloadBytes' | 'payloadCrc'>,
  data: Buffer | null,
  machine: MachineMark,
): number {
  const { table, crc } = data === null ? noPayload : checkPayload(data);
  const payloadBytes = (table?.length ?? 0) + (data?.length ?? 0);
  encodeRecordHeader(target, at, { ...record, payloadBytes, payloadCrc: crc }, machine);
  let end = at + recordHeaderBytes;
  if (table !== null) end += table.copy(target, end);
  if (data !== null) end += data.copy(target, end);
  return end;
}

const noPayload = { table: null, crc: 0 };

/** What a header with a fitting CRC says that no record may, or null. */
export function faultOf(header: RecordHeader): string | null {
  const { kind, disk, offset, length, payloadBytes } = header;
  if (disk >= limits.disksPerMachine) return `is of disk ${disk}`;
  if (offset + length > limits.diskBytes) return 'reaches beyond the largest disk';
  if (kind === RecordKind.write) {
    if (length > limits.recordDataBytes) return `has ${length} bytes of data`;
    return payloadBytes === checkTableBytes(length) + length ? null : 'has a payload of another length';
  }
  if (kind === RecordKind.zero || kind === RecordKind.unknown) {
    if (kind === RecordKind.zero && length > limits.recordZeroBytes) return `covers ${length} bytes of zeros`;
    return payloadBytes === 0 ? null : 'has a payload where there is none';
  }
  return payloadBytes <= limits.recordNoteBytes ? null : `has a note of ${payloadBytes} bytes`;
}

const damaged = (message: string): HomewardError => new HomewardError('damaged-record', message);
