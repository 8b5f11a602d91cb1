// The bytes of a hash file (docs/scan.md): one hash for each chunk that the master target has of a disk.
import { crc32 } from 'node:zlib';
import { hashBytes, hashedChunkBytes } from '../../core/chain/messages.ts';
import { readU64, writeU64 } from '../../core/record/record.ts';

export const headerBytes = 512;
/** Chunks that one page has the hashes of, and the bytes of disk that they are. */
export const pageChunks = 256;
export const pageDiskBytes = pageChunks * hashedChunkBytes;
const hashesBytes = pageChunks * hashBytes;
const hashesAt = 8;
const pageCrcAt = hashesAt + hashesBytes;
export const pageBytes = pageCrcAt + 4;

const magic = 'HWSCAN01';
const nameAt = 40;
const timeAt = 500;
const headerCrcAt = 508;

/** Of a chunk of which nobody knows what the master target has: no content has this hash. */
export const unknownHash = Buffer.alloc(hashBytes);

/** Whose hashes they are. */
export interface HashIdentity {
  /** UUID of the machine, 16 bytes. */
  machine: Buffer;
  disk: string;
}

export interface HashHeader {
  /** Bytes of the disk. */
  size: number;
  /** When the scan began that was whole at the master target last, microseconds; null before the first. */
  scannedTime: number | null;
}

export const pageCount = (size: number): number => Math.ceil(size / pageDiskBytes);
export const pagePosition = (page: number): number => headerBytes + page * pageBytes;

export function encodeHeader({ machine, disk }: HashIdentity, { size, scannedTime }: HashHeader): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  const name = Buffer.from(disk, 'utf8');
  bytes.write(magic, 0, 'latin1');
  machine.copy(bytes, 8, 0, 16);
  writeU64(bytes, 24, size);
  bytes.writeUInt32LE(hashedChunkBytes, 32);
  bytes.writeUInt32LE(name.length, 36);
  name.copy(bytes, nameAt, 0, timeAt - nameAt);
  writeU64(bytes, timeAt, scannedTime ?? 0);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, headerCrcAt)), headerCrcAt);
  return bytes;
}

/** Null when these bytes are not the header of a file of this identity. */
export function decodeHeader(bytes: Buffer, identity: HashIdentity): HashHeader | null {
  if (bytes.length < headerBytes) return null;
  if (bytes.readUInt32LE(headerCrcAt) !== crc32(bytes.subarray(0, headerCrcAt))) return null;
  const size = readU64(bytes, 24);
  const time = readU64(bytes, timeAt);
  const header = { size, scannedTime: time === 0 ? null : time };
  return encodeHeader(identity, header).equals(bytes.subarray(0, headerBytes)) ? header : null;
}

/** What a page says of whose it is; a disk that grows keeps its pages. */
export function identityOf({ machine, disk }: HashIdentity): number {
  return crc32(Buffer.from(disk, 'utf8'), crc32(machine));
}

export function encodePage(identity: number, page: number, hashes: Buffer): Buffer {
  const bytes = Buffer.alloc(pageBytes);
  bytes.writeUInt32LE(page, 0);
  bytes.writeUInt32LE(identity, 4);
  hashes.copy(bytes, hashesAt, 0, hashesBytes);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, pageCrcAt)), pageCrcAt);
  return bytes;
}

/** The hashes of a page; all unknown when it is not sound, not this one, or not there. */
export function decodePage(bytes: Buffer, identity: number, page: number): Buffer {
  const isSound =
    bytes.length === pageBytes &&
    bytes.readUInt32LE(0) === page &&
    bytes.readUInt32LE(4) === identity &&
    bytes.readUInt32LE(pageCrcAt) === crc32(bytes.subarray(0, pageCrcAt));
  return isSound ? bytes.subarray(hashesAt, pageCrcAt) : Buffer.alloc(hashesBytes);
}

/** The hash of a chunk in a page's hashes. */
export const hashAt = (hashes: Buffer, chunk: number): Buffer =>
  hashes.subarray(chunk * hashBytes, (chunk + 1) * hashBytes);
export const isUnknown = (hashes: Buffer, chunk: number): boolean =>
  hashAt(hashes, chunk).equals(unknownHash);
