// Payload checks: one CRC for up to 64 KiB, a table of CRCs for more, so that any small read can be checked.
import { crc32 } from 'node:zlib';
import { limits } from '../limits.ts';

const block = limits.checkBlockBytes;

/** Bytes of the check table that precedes `dataBytes` of data. */
export function checkTableBytes(dataBytes: number): number {
  return dataBytes <= block ? 0 : Math.ceil(dataBytes / block) * 4;
}

/** The check table of `data` (null up to 64 KiB) and the payload CRC for its header. */
export function checkPayload(data: Buffer): { table: Buffer | null; crc: number } {
  if (data.length <= block) return { table: null, crc: data.length === 0 ? 0 : crc32(data) };
  const table = Buffer.allocUnsafe(checkTableBytes(data.length));
  for (let at = 0, slot = 0; at < data.length; at += block, slot += 4) {
    table.writeUInt32LE(crc32(data.subarray(at, at + block)), slot);
  }
  return { table, crc: crc32(table) };
}

/** Whether a whole payload (table and data) fits its CRC. */
export function payloadFits(payload: Buffer, payloadCrc: number, dataBytes: number): boolean {
  const tableBytes = checkTableBytes(dataBytes);
  if (payload.length !== tableBytes + dataBytes) return false;
  if (tableBytes === 0) return dataBytes === 0 || crc32(payload) === payloadCrc;
  const table = payload.subarray(0, tableBytes);
  if (crc32(table) !== payloadCrc) return false;
  return blocksFit(payload.subarray(tableBytes), table, 0);
}

/**
 * Whether `data`, which begins at check block `firstBlock` of its record, fits the table. `data` ends at a
 * block's end or at the record's.
 */
export function blocksFit(data: Buffer, table: Buffer, firstBlock: number): boolean {
  for (let at = 0, slot = firstBlock * 4; at < data.length; at += block, slot += 4) {
    if (crc32(data.subarray(at, at + block)) !== table.readUInt32LE(slot)) return false;
  }
  return true;
}
