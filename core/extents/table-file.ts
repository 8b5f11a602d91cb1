// An extent table as a file that may be deleted at any time: damage makes it "not there", never wrong.
//
// Little-endian; columns are written as they lie in memory.
//
// Header         offset  bytes
//                     0      8  "HWEXTENT"
//                     8      4  version, 2
//                    12      4  CRC-32 of the 8 + m bytes from offset 16
//                    16      4  bytes of meta, m
//                    20      4  a random number, the same in the footer
//                    24      m  meta: a JSON object, UTF-8
//
// Pages of 512 extents, the last one of what is left; page p begins at 24 + m + p * 512 * 29.
// One of k extents:
//                     0     8k  starts, f64
//                    8k     8k  ends, f64
//                   16k     4k  segments, u32: each an index into `sources` of the meta
//                   20k     4k  positions, u32
//                   24k     4k  LSN deltas, u32
//                   28k      k  kinds, u8
//
// Index, behind the last page, of q pages:
//                     0     8q  start of the first extent of each page, f64
//                    8q     8q  end of the last extent of each page, f64
//                   16q     4q  CRC-32 of each page
//
// Footer, the last 24 bytes of the file:
//                     0      8  extents, n, u64; q is n / 512 rounded up
//                     8      4  CRC-32 of the index
//                    12      4  the random number of the header
//                    16      4  CRC-32 of the first 16 bytes of the footer
//                    20      4  "HWET"
//
// Nothing is synced. After a power cut any part of a file may be of another file or zeros: header, index and
// footer are checked when it is opened, each page when it is read.
import { endianness } from 'node:os';
import { crc32 } from 'node:zlib';
import { assert, errnoOf } from '../errors.ts';
import type { Files } from '../files/files.ts';
import { limits } from '../limits.ts';
import { extentBytes } from './extent-columns.ts';

/** A segment that extents of a table point into: the records (from, to] or the step, and who the file is. */
export interface TableSource {
  from: number;
  to: number;
  identity: string;
}

/** What the owner wants to know of a table before it trusts it; whatever else it adds has to be JSON. */
export interface TableMeta {
  readonly sources: readonly TableSource[];
  readonly [extra: string]: unknown;
}

/** The calls of `Files` that reading a table takes. */
export type TableFiles = Pick<Files, 'readSync' | 'size'>;

/** Where the parts of a table file lie. */
export interface TableLayout {
  meta: TableMeta;
  extents: number;
  pages: number;
  pagesAt: number;
  indexAt: number;
  indexCrc: number;
}

export const tableHeaderBytes = 24;
export const tableFooterBytes = 24;
/** Bytes of the index for one page. */
export const tableIndexBytes = 20;
const magic = 'HWEXTENT';
const footerMagic = 'HWET';
const version = 2;
const headerCheckedFrom = 16;
const footerCheckedBytes = 16;
/** Header and meta are mostly had with one read of this. */
const firstReadBytes = 4096;

assert(endianness() === 'LE', 'columns are written as they lie in memory');

/** Header and meta; `mark` ties them to the footer. */
export function encodeTableHeader(meta: TableMeta, mark: number): Buffer {
  const json = Buffer.from(JSON.stringify(meta));
  if (json.length > limits.tableMetaBytes) {
    throw new RangeError(`${json.length} bytes of meta do not go into an extent table`);
  }
  const header = Buffer.alloc(tableHeaderBytes);
  header.write(magic, 0, 'latin1');
  header.writeUInt32LE(version, 8);
  header.writeUInt32LE(json.length, 16);
  header.writeUInt32LE(mark, 20);
  const bytes = Buffer.concat([header, json]);
  bytes.writeUInt32LE(crc32(bytes.subarray(headerCheckedFrom)), 12);
  return bytes;
}

export function encodeTableFooter(extents: number, indexCrc: number, mark: number): Buffer {
  const footer = Buffer.alloc(tableFooterBytes);
  footer.writeBigUInt64LE(BigInt(extents), 0);
  footer.writeUInt32LE(indexCrc, 8);
  footer.writeUInt32LE(mark, 12);
  footer.writeUInt32LE(crc32(footer.subarray(0, footerCheckedBytes)), 16);
  footer.write(footerMagic, 20, 'latin1');
  return footer;
}

/** What the file says it is, or null when it is damaged, cut, of another version or no table at all. */
export function tryReadTableMeta(files: TableFiles, fd: number): TableMeta | null {
  return tryReadTableLayout(files, fd)?.meta ?? null;
}

/** Reads header and footer; that they fit each other and the size of the file means that nothing is cut. */
export function tryReadTableLayout(files: TableFiles, fd: number): TableLayout | null {
  return nullWhenUnreadable(() => {
    const size = files.size(fd);
    const header = tryReadHeader(files, fd, size);
    if (header === null) return null;
    const footer = tryReadBytes(files, fd, size - tableFooterBytes, tableFooterBytes);
    if (footer?.toString('latin1', 20) !== footerMagic) return null;
    if (footer.readUInt32LE(16) !== crc32(footer.subarray(0, footerCheckedBytes))) return null;
    if (footer.readUInt32LE(12) !== header.mark) return null;
    const extents = Number(footer.readBigUInt64LE(0));
    const pages = Math.ceil(extents / limits.tablePageExtents);
    const indexAt = header.end + extents * extentBytes;
    if (indexAt + pages * tableIndexBytes + tableFooterBytes !== size) return null;
    const indexCrc = footer.readUInt32LE(8);
    return { meta: header.meta, extents, pages, pagesAt: header.end, indexAt, indexCrc };
  });
}

/** Bytes [at, at + bytes) of the file, or null when it does not have them all. */
export function tryReadBytes(files: TableFiles, fd: number, at: number, bytes: number): Buffer | null {
  if (at < 0) return null;
  const buffer = Buffer.from(new ArrayBuffer(bytes));
  return files.readSync(fd, buffer, at) === bytes ? buffer : null;
}

/** What `read` gives, or null when the disk cannot read: a table that cannot be read is not there. */
export function nullWhenUnreadable<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return null;
  }
}

/** Whether the disk could not read; a descriptor that is not open is our own mistake instead. */
export function isUnreadable(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno !== null && errno !== 'EBADF';
}

function tryReadHeader(
  files: TableFiles,
  fd: number,
  size: number,
): { meta: TableMeta; mark: number; end: number } | null {
  const first = tryReadBytes(files, fd, 0, Math.min(size, firstReadBytes));
  if (first === null || first.length < tableHeaderBytes) return null;
  if (first.toString('latin1', 0, 8) !== magic || first.readUInt32LE(8) !== version) return null;
  const end = tableHeaderBytes + first.readUInt32LE(16);
  if (end > Math.min(size, tableHeaderBytes + limits.tableMetaBytes)) return null;
  const bytes = end <= first.length ? first.subarray(0, end) : tryReadBytes(files, fd, 0, end);
  if (bytes === null || crc32(bytes.subarray(headerCheckedFrom)) !== bytes.readUInt32LE(12)) return null;
  const meta = tryParseMeta(bytes.toString('utf8', tableHeaderBytes));
  return meta === null ? null : { meta, mark: bytes.readUInt32LE(20), end };
}

function tryParseMeta(json: string): TableMeta | null {
  try {
    const meta: unknown = JSON.parse(json);
    return isMeta(meta) ? meta : null;
  } catch {
    return null;
  }
}

function isMeta(meta: unknown): meta is TableMeta {
  if (typeof meta !== 'object' || meta === null || !('sources' in meta)) return false;
  return Array.isArray(meta.sources) && meta.sources.every(isSource);
}

function isSource(source: unknown): source is TableSource {
  if (typeof source !== 'object' || source === null) return false;
  if (!('from' in source && 'to' in source && 'identity' in source)) return false;
  const { from, to, identity } = source;
  return Number.isSafeInteger(from) && Number.isSafeInteger(to) && typeof identity === 'string';
}
