// What a verification finds, as plain data that threads can exchange.
import { limits } from '../../core/limits.ts';
import { blocksFit, checkTableBytes } from '../../core/record/payload.ts';
import { crc32 } from 'node:zlib';

/** Times are microseconds, null where they are not known; LSNs [from, to] include both ends. */
export interface Finding {
  in: 'redo' | 'undo' | 'replica' | 'ledger' | 'cursor' | 'machine';
  file: string;
  /** Index of the disk and bytes [start, end) of it, where they are known. */
  disk: number | null;
  start: number | null;
  end: number | null;
  /** Redo: the records. Undo: the step (from, to]. Replica: the cursor, twice. */
  from: number;
  to: number;
  fromTime: number | null;
  toTime: number | null;
  what: string;
}

export interface PieceResult {
  bytes: number;
  records: number;
  findings: Finding[];
  /** Where to go on in the file when the time was up; null when all of the piece was looked at. */
  stoppedAt: number | null;
  /** Bytes of a replica that has no checksums, or those of another LSN: nothing was looked at. */
  uncheckedBytes: number;
  /** Bytes of a replica whose own checksum is not known; they are not in `bytes`. */
  unknownBytes?: number;
}

export const unfit = 'content does not fit its checksum';

/**
 * The parts [from, to) of a record's data that do not fit, told apart by check block. A damaged check table
 * vouches for nothing: then it is all of it.
 */
export function unfitParts(payload: Buffer, payloadCrc: number, dataBytes: number): [number, number][] {
  const tableBytes = checkTableBytes(dataBytes);
  const whole: [number, number][] = [[0, dataBytes]];
  if (payload.length !== tableBytes + dataBytes) return whole;
  if (tableBytes === 0) return dataBytes === 0 || crc32(payload) === payloadCrc ? [] : whole;
  const table = payload.subarray(0, tableBytes);
  if (crc32(table) !== payloadCrc) return whole;
  const parts: [number, number][] = [];
  const block = limits.checkBlockBytes;
  for (let at = 0; at < dataBytes; at += block) {
    const end = Math.min(at + block, dataBytes);
    if (blocksFit(payload.subarray(tableBytes + at, tableBytes + end), table, at / block)) continue;
    const last = parts.at(-1);
    if (last !== undefined && last[1] === at) last[1] = end;
    else parts.push([at, end]);
  }
  return parts;
}
