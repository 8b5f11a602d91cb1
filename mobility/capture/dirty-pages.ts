// The bytes of a dirty map (docs/dirty-map.md): pages with a checksum each, one bit for each region.
import { crc32 } from 'node:zlib';
import { writeU64 } from '../../core/record/record.ts';
import { regionBytes } from './captured-disks.ts';

export const dirtyPageBytes = 512;
/** Regions that one page has bits of. */
export const pageRegions = 4000;

const magic = 'HWDIRTY1';
const crcAt = 508;
const bitsAt = 8;
const nameAt = 40;

/** Whose map it is. */
export interface DirtyIdentity {
  /** 16 bytes. */
  machine: Buffer;
  disk: string;
  /** Bytes. */
  size: number;
}

export const regionCount = (size: number): number => Math.ceil(size / regionBytes);

const pageCount = (regions: number): number => Math.ceil(regions / pageRegions);

/** The page that has the bit of a region. */
export const pageOf = (region: number): number => 1 + Math.floor(region / pageRegions);

/** A map without a bit set; its pages are not sealed. */
export function emptyPages(identity: DirtyIdentity): Buffer {
  const pages = 1 + pageCount(regionCount(identity.size));
  const bytes = Buffer.alloc(pages * dirtyPageBytes);
  const name = Buffer.from(identity.disk, 'utf8');
  bytes.write(magic, 0, 'latin1');
  identity.machine.copy(bytes, 8, 0, 16);
  writeU64(bytes, 24, identity.size);
  bytes.writeUInt32LE(regionBytes, 32);
  bytes.writeUInt32LE(name.length, 36);
  name.copy(bytes, nameAt, 0, crcAt - nameAt);
  sealPage(bytes, 0);
  for (let page = 1; page < pages; page += 1) {
    bytes.writeUInt32LE(page, page * dirtyPageBytes);
    bytes.writeUInt32LE(bytes.readUInt32LE(crcAt), page * dirtyPageBytes + 4);
  }
  return bytes;
}

/** Puts the checksum of a page where it belongs, and gives back the page. */
export function sealPage(bytes: Buffer, page: number): Buffer {
  const start = page * dirtyPageBytes;
  bytes.writeUInt32LE(crc32(bytes.subarray(start, start + crcAt)), start + crcAt);
  return bytes.subarray(start, start + dirtyPageBytes);
}

export function hasRegion(bytes: Buffer, region: number): boolean {
  return (bytes[byteOf(region)]! & bitOf(region)) !== 0;
}

export function setRegion(bytes: Buffer, region: number): void {
  bytes[byteOf(region)]! |= bitOf(region);
}

export function clearRegion(bytes: Buffer, region: number): void {
  bytes[byteOf(region)]! &= ~bitOf(region);
}

/** Whether nothing is dirty in a page: the quick way past most of a large map. */
export function isPageClear(bytes: Buffer, page: number): boolean {
  const start = page * dirtyPageBytes + bitsAt;
  const end = page * dirtyPageBytes + crcAt;
  for (let at = start; at < end; at += 4) if (bytes.readUInt32LE(at) !== 0) return false;
  return true;
}

export interface ReadPages {
  /** `other`: of another machine, disk or size, or not a map: everything is dirty. */
  found: 'kept' | 'damaged' | 'other';
  /** Unsealed where something was damaged. */
  bytes: Buffer;
}

/**
 * What the bytes of a file say of the disk of `identity`; a damaged page is one whose regions are all dirty.
 */
export function readPages(stored: Buffer, identity: DirtyIdentity): ReadPages {
  const bytes = emptyPages(identity);
  const regions = regionCount(identity.size);
  if (!stored.subarray(0, dirtyPageBytes).equals(bytes.subarray(0, dirtyPageBytes))) {
    fillRegions(bytes, 0, regions);
    return { found: 'other', bytes };
  }
  let found: ReadPages['found'] = 'kept';
  for (let page = 1; page * dirtyPageBytes < bytes.length; page += 1) {
    const first = (page - 1) * pageRegions;
    const end = Math.min(first + pageRegions, regions);
    if (copyPage(stored, bytes, page)) continue;
    fillRegions(bytes, first, end);
    found = 'damaged';
  }
  return { found, bytes };
}

export function fillRegions(bytes: Buffer, first: number, end: number): void {
  for (let region = first; region < end; region += 1) setRegion(bytes, region);
}

/** False when the stored page is not sound, or not this one of this map. */
function copyPage(stored: Buffer, bytes: Buffer, page: number): boolean {
  const start = page * dirtyPageBytes;
  if (start + dirtyPageBytes > stored.length) return false;
  if (stored.readUInt32LE(start + crcAt) !== crc32(stored.subarray(start, start + crcAt))) return false;
  const own = bytes.subarray(start, start + bitsAt);
  if (!stored.subarray(start, start + bitsAt).equals(own)) return false;
  stored.copy(bytes, start, start, start + dirtyPageBytes);
  return true;
}

const byteOf = (region: number): number =>
  pageOf(region) * dirtyPageBytes + bitsAt + ((region % pageRegions) >> 3);

/** 4000 is a multiple of 8, so the bit in its byte is that of the region itself. */
const bitOf = (region: number): number => 1 << (region & 7);
