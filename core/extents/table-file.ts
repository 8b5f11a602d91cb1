// An extent table as bytes, for files that may be deleted: damage makes it "not there", never wrong.
//
// Little-endian.  offset  bytes
//                      0      8  "HWEXTENT"
//                      8      4  version, 1
//                     12      4  CRC-32 of everything from offset 16 to the end
//                     16      4  extents, n
//                     20      4  bytes of meta, m
//                     24      m  meta: a JSON object, UTF-8, padded with spaces to a multiple of 8
//                 24 + m     8n  starts, u64
//                           8n  ends, u64
//                           4n  segments, u32
//                           4n  positions, u32
//                           4n  LSN deltas, u32
//                            n  kinds, u8
import { crc32 } from 'node:zlib';
import { endianness } from 'node:os';
import { assert } from '../errors.ts';
import { wholeMachine } from './address.ts';
import { ContentKind, ExtentColumns, extentBytes } from './extent-columns.ts';
import { ExtentTable } from './extent-table.ts';

/** What the owner wants to know of a table before it trusts it: of which file, up to which LSN … */
export type TableMeta = Record<string, string | number>;

export interface DecodedTable {
  table: ExtentTable;
  meta: TableMeta;
}

const magic = 'HWEXTENT';
const version = 1;
const headerBytes = 24;
const checkedFrom = 16;

assert(endianness() === 'LE', 'columns are written as they lie in memory');

export function encodeTable(table: ExtentTable, meta: TableMeta): Buffer {
  const json = JSON.stringify(meta);
  const metaBytes = Math.ceil(Buffer.byteLength(json) / 8) * 8;
  const bytes = Buffer.alloc(headerBytes + metaBytes + table.count * extentBytes, ' ');
  bytes.write(magic, 0, 'latin1');
  bytes.writeUInt32LE(version, 8);
  bytes.writeUInt32LE(table.count, 16);
  bytes.writeUInt32LE(metaBytes, 20);
  bytes.write(json, headerBytes);
  const body = Buffer.from(table.columns.buffer);
  const numbers = table.count * 16;
  body.copy(bytes, headerBytes + metaBytes + numbers, numbers);
  let at = headerBytes + metaBytes;
  for (const column of [table.columns.starts, table.columns.ends]) {
    for (const address of column) {
      at = bytes.writeUInt32LE(address % 2 ** 32, at);
      at = bytes.writeUInt32LE(Math.floor(address / 2 ** 32), at);
    }
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(checkedFrom)), 12);
  return bytes;
}

/**
 * The table and its meta, or null when the bytes are damaged, cut, of another version or no table at all.
 * With `segment` all extents get that ordinal, because ordinals are given anew at each start.
 */
export function tryDecodeTable(bytes: Buffer, segment?: number): DecodedTable | null {
  if (bytes.length < headerBytes || bytes.toString('latin1', 0, 8) !== magic) return null;
  if (bytes.readUInt32LE(8) !== version) return null;
  const count = bytes.readUInt32LE(16);
  const metaBytes = bytes.readUInt32LE(20);
  if (bytes.length !== headerBytes + metaBytes + count * extentBytes) return null;
  if (crc32(bytes.subarray(checkedFrom)) !== bytes.readUInt32LE(12)) return null;
  const columns = ExtentColumns.shared(count);
  let at = headerBytes + metaBytes;
  for (const column of [columns.starts, columns.ends]) {
    for (let index = 0; index < count; index++, at += 8) {
      column[index] = bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
    }
  }
  bytes.copy(Buffer.from(columns.buffer), count * 16, at);
  if (segment !== undefined) columns.segments.fill(segment);
  const meta = tryParseMeta(bytes.toString('utf8', headerBytes, headerBytes + metaBytes));
  if (meta === null || !isTable(columns)) return null;
  return { table: ExtentTable.from({ buffer: columns.buffer as SharedArrayBuffer, count }), meta };
}

function tryParseMeta(json: string): TableMeta | null {
  try {
    const meta: unknown = JSON.parse(json);
    return typeof meta === 'object' && meta !== null ? (meta as TableMeta) : null;
  } catch {
    return null;
  }
}

/** Whether what a table promises holds of these columns. */
function isTable({ starts, ends, kinds, capacity }: ExtentColumns): boolean {
  let low: number = wholeMachine.start;
  for (let index = 0; index < capacity; index++) {
    const end = ends[index]!;
    if (starts[index]! < low || end <= starts[index]! || end > wholeMachine.end) return false;
    if (kinds[index]! < ContentKind.data || kinds[index]! > ContentKind.unknown) return false;
    low = end;
  }
  return true;
}
