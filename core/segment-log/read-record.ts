// Reads a piece of one record's data out of a segment and checks it: what to read and how to judge it, as
// pure steps.
import { checkTableBytes, blocksFit, payloadFits } from '../record/payload.ts';
import { limits } from '../limits.ts';
import { crc32 } from 'node:zlib';
import { roundUp } from '../units.ts';
import {
  decodeRecordHeader,
  recordHeaderBytes,
  type MachineMark,
  type RecordHeader,
} from '../record/record.ts';

const block = limits.checkBlockBytes;
const largestTable = checkTableBytes(limits.recordDataBytes);

/**
 * The bytes [start, end) of a disk, wanted from the record `lsn` whose header is at `position` of a segment
 * file.
 */
export interface Wanted {
  position: number;
  lsn: number;
  disk: number;
  start: number;
  end: number;
}

/** A stretch of the segment file. */
export interface Stretch {
  position: number;
  length: number;
}

/**
 * The first read: the whole record when it is a small one that is wanted whole, else its header and check
 * table.
 */
export function firstRead(wanted: Wanted): Stretch {
  const payload = Math.min(Math.max(wanted.end - wanted.start, largestTable), block);
  return { position: wanted.position, length: recordHeaderBytes + payload };
}

/** The second read, and what judges it. */
export interface More {
  kind: 'more';
  stretch: Stretch;
  header: RecordHeader;
  table: Buffer | null;
  firstBlock: number;
}

export type FirstJudgement = { kind: 'data'; data: Buffer } | { kind: 'damaged' } | More;

/** Judges what `firstRead` brought: the data, or what to read on. */
export function judgeFirst(wanted: Wanted, bytes: Buffer, machine: MachineMark): FirstJudgement {
  const header = decodeRecordHeader(bytes, 0, machine);
  if (header === null || !isWanted(header, wanted)) return { kind: 'damaged' };
  const payloadAt = wanted.position + recordHeaderBytes;
  const payload = bytes.subarray(recordHeaderBytes);
  const tableBytes = checkTableBytes(header.length);
  if (tableBytes === 0) {
    if (payload.length >= header.length)
      return judgeSmall(wanted, payload.subarray(0, header.length), header);
    return {
      kind: 'more',
      header,
      table: null,
      firstBlock: 0,
      stretch: { position: payloadAt, length: header.length },
    };
  }
  const table = payload.subarray(0, tableBytes);
  if (table.length < tableBytes || crc32(table) !== header.payloadCrc) return { kind: 'damaged' };
  return blocksOf(wanted, header, table);
}

/** The check blocks of a large record, whose header and table are known, that hold what is wanted. */
export function blocksOf(wanted: Wanted, header: RecordHeader, table: Buffer): More {
  const firstBlock = Math.floor((wanted.start - header.offset) / block);
  const from = firstBlock * block;
  const to = Math.min(roundUp(wanted.end - header.offset, block), header.length);
  const position = wanted.position + recordHeaderBytes + table.length + from;
  return { kind: 'more', header, table, firstBlock, stretch: { position, length: to - from } };
}

/** Judges what the stretch of `more` brought: the data, or null when it is damaged. */
export function judgeSecond(wanted: Wanted, bytes: Buffer, more: More): Buffer | null {
  if (bytes.length !== more.stretch.length) return null;
  if (more.table === null) {
    const small = judgeSmall(wanted, bytes, more.header);
    return small.kind === 'data' ? small.data : null;
  }
  if (!blocksFit(bytes, more.table, more.firstBlock)) return null;
  const from = wanted.start - more.header.offset - more.firstBlock * block;
  return bytes.subarray(from, from + wanted.end - wanted.start);
}

function judgeSmall(wanted: Wanted, payload: Buffer, header: RecordHeader): FirstJudgement {
  if (!payloadFits(payload, header.payloadCrc, header.length)) return { kind: 'damaged' };
  const from = wanted.start - header.offset;
  return { kind: 'data', data: payload.subarray(from, from + wanted.end - wanted.start) };
}

function isWanted(header: RecordHeader, wanted: Wanted): boolean {
  return (
    header.lsn === wanted.lsn &&
    header.disk === wanted.disk &&
    header.offset <= wanted.start &&
    header.offset + header.length >= wanted.end
  );
}
