// The layout of a streamOptimized VMDK file, and the bytes of its parts. After VMware's "Virtual Disk Format
// 5.0", section "Stream-Optimized Compressed Sparse Extents".
import { KiB } from '../units.ts';

export const vmdkSectorBytes = 512;
export const vmdkGrainBytes = 64 * KiB;
/** Grains of one grain table. */
export const vmdkTableGrains = 512;
/** What one grain table covers. */
export const vmdkTableSpan = vmdkGrainBytes * vmdkTableGrains;
/** Header, descriptor and padding: the first grain follows. */
export const vmdkOverheadSectors = 128;
/** Grains and tables are found by 32 bits of sector. */
export const vmdkSectorsMost = 2 ** 32;

const magic = 0x564d444b; // "KDMV" in the file
const descriptorSectors = 20;
/** New lines can be checked, grains are compressed, markers lie before everything. */
const flags = 0x3_0001;
const deflate = 1;
const Marker = { end: 0, table: 1, directory: 2, footer: 3 } as const;
/** In the header: the directory is found in the footer. */
const atEnd = 0xffff_ffff_ffff_ffffn;

const { ceil } = Math;
const grainMarkerBytes = 12;

/** Sectors that a grain of so many compressed bytes takes with its marker. */
export const vmdkGrainSectors = (bytes: number): number => ceil((grainMarkerBytes + bytes) / vmdkSectorBytes);

/** Sectors of a grain table with its marker. */
export const vmdkTableSectors = 1 + (vmdkTableGrains * 4) / vmdkSectorBytes;

/** Writes a grain with its marker and padding at the beginning of `target`; gives back its sectors. */
export function encodeVmdkGrain(target: Buffer, diskOffset: number, compressed: Buffer): number {
  const sectors = vmdkGrainSectors(compressed.length);
  target.writeBigUInt64LE(BigInt(diskOffset / vmdkSectorBytes), 0);
  target.writeUInt32LE(compressed.length, 8);
  compressed.copy(target, grainMarkerBytes);
  target.fill(0, grainMarkerBytes + compressed.length, sectors * vmdkSectorBytes);
  return sectors;
}

/** What a grain's marker says: where on the disk it belongs, and how many compressed bytes follow it. */
export function parseVmdkGrain(head: Buffer): { diskOffset: number; bytes: number; from: number } {
  const diskOffset = Number(head.readBigUInt64LE(0)) * vmdkSectorBytes;
  return { diskOffset, bytes: head.readUInt32LE(8), from: grainMarkerBytes };
}

/** A grain table with its marker: the sector of each grain, 0 where it is zeros. */
export function encodeVmdkTable(sectors: Uint32Array): Buffer {
  return withMarker(Marker.table, encodeSectors(sectors, vmdkTableGrains));
}

export interface VmdkEnd {
  /** From the end of the last grain table on: directory, footer, end of stream. */
  bytes: Buffer;
  /** The sector of the directory. */
  directorySector: number;
}

/** `tables` has the sector of each grain table, behind its marker, 0 where there is none. */
export function encodeVmdkEnd(size: number, tables: Uint32Array, endSector: number): VmdkEnd {
  const entries = ceil((tables.length * 4) / vmdkSectorBytes) * (vmdkSectorBytes / 4);
  const directory = withMarker(Marker.directory, encodeSectors(tables, entries));
  const directorySector = endSector + 1;
  const footer = withMarker(Marker.footer, encodeHeader(size, BigInt(directorySector)));
  const endOfStream = Buffer.alloc(vmdkSectorBytes);
  return { bytes: Buffer.concat([directory, footer, endOfStream]), directorySector };
}

/** The first sectors of the file. `cid` names this content; `name` is that of the file. */
export function encodeVmdkBegin(size: number, name: string, cid: number): Buffer {
  const begin = Buffer.alloc(vmdkOverheadSectors * vmdkSectorBytes);
  encodeHeader(size, atEnd).copy(begin);
  begin.write(descriptor(size, name, cid), vmdkSectorBytes, 'utf8');
  return begin;
}

function encodeHeader(size: number, directorySector: bigint): Buffer {
  const header = Buffer.alloc(vmdkSectorBytes);
  header.writeUInt32LE(magic, 0);
  header.writeUInt32LE(3, 4);
  header.writeUInt32LE(flags, 8);
  header.writeBigUInt64LE(BigInt(size / vmdkSectorBytes), 12);
  header.writeBigUInt64LE(BigInt(vmdkGrainBytes / vmdkSectorBytes), 20);
  header.writeBigUInt64LE(1n, 28);
  header.writeBigUInt64LE(BigInt(descriptorSectors), 36);
  header.writeUInt32LE(vmdkTableGrains, 44);
  header.writeBigUInt64LE(directorySector, 56);
  header.writeBigUInt64LE(BigInt(vmdkOverheadSectors), 64);
  header.write('\n \r\n', 73, 'latin1');
  header.writeUInt16LE(deflate, 77);
  return header;
}

function descriptor(size: number, name: string, cid: number): string {
  const sectors = size / vmdkSectorBytes;
  const [heads, sectorsPerTrack] = [255, 63];
  return [
    '# Disk DescriptorFile',
    'version=1',
    `CID=${cid.toString(16).padStart(8, '0')}`,
    'parentCID=ffffffff',
    'createType="streamOptimized"',
    '',
    '# Extent description',
    `RDONLY ${sectors} SPARSE "${name}"`,
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.virtualHWVersion = "4"',
    `ddb.geometry.cylinders = "${ceil(sectors / heads / sectorsPerTrack)}"`,
    `ddb.geometry.heads = "${heads}"`,
    `ddb.geometry.sectors = "${sectorsPerTrack}"`,
    'ddb.adapterType = "lsilogic"',
    '',
  ].join('\n');
}

function withMarker(type: number, content: Buffer): Buffer {
  const marker = Buffer.alloc(vmdkSectorBytes);
  marker.writeBigUInt64LE(BigInt(content.length / vmdkSectorBytes), 0);
  marker.writeUInt32LE(type, 12);
  return Buffer.concat([marker, content]);
}

function encodeSectors(sectors: Uint32Array, entries: number): Buffer {
  const bytes = Buffer.alloc(entries * 4);
  sectors.forEach((sector, at) => bytes.writeUInt32LE(sector, at * 4));
  return bytes;
}
