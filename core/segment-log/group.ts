// The local frame of one group of records in a segment file (docs/journal-format.md, section 3).
import { crc32 } from 'node:zlib';
import { readU64, writeU64 } from '../record/record.ts';

export const groupHeaderBytes = 96;
export const syncedBlockBytes = 4096;
const magic = Buffer.from('HWGROUP1', 'latin1');
const identityAt = 24;

export interface GroupHeader {
  machine: Buffer;
  identity: Buffer;
  firstLsn: number;
  previousDurable: number;
  arrival: number;
  position: number;
  records: number;
  bodyBytes: number;
  headersCrc: number;
  /** The first of the LSNs that were skipped before the first record of the segment; 0 when none were. */
  skippedFrom: number;
}

export function encodeGroupHeader(target: Buffer, header: GroupHeader): void {
  magic.copy(target, 0);
  header.machine.copy(target, 8);
  header.identity.copy(target, identityAt);
  writeU64(target, 40, header.firstLsn);
  writeU64(target, 48, header.previousDurable);
  writeU64(target, 56, header.arrival);
  writeU64(target, 64, header.position);
  target.writeUInt32LE(header.records, 72);
  target.writeUInt32LE(header.bodyBytes, 76);
  target.writeUInt32LE(header.headersCrc, 80);
  writeU64(target, 84, header.skippedFrom);
  target.writeUInt32LE(crc32(target.subarray(0, 92)), 92);
}

/** The frame at `at`, or null when it is not a sound one; whose it is, is for the caller to judge. */
export function decodeGroupHeader(source: Buffer, at: number): GroupHeader | null {
  if (at + groupHeaderBytes > source.length || magic.compare(source, at, at + magic.length) !== 0)
    return null;
  if (source.readUInt32LE(at + 92) !== crc32(source.subarray(at, at + 92))) return null;
  const header: GroupHeader = {
    machine: Buffer.from(source.subarray(at + 8, at + 24)),
    identity: Buffer.from(source.subarray(at + identityAt, at + 40)),
    firstLsn: readU64(source, at + 40),
    previousDurable: readU64(source, at + 48),
    arrival: readU64(source, at + 56),
    position: readU64(source, at + 64),
    records: source.readUInt32LE(at + 72),
    bodyBytes: source.readUInt32LE(at + 76),
    headersCrc: source.readUInt32LE(at + 80),
    skippedFrom: readU64(source, at + 84),
  };
  const { firstLsn, previousDurable, arrival, position, skippedFrom } = header;
  const isSafe = firstLsn >= 0 && previousDurable >= 0 && arrival >= 0 && position >= 0 && skippedFrom >= 0;
  return isSafe ? header : null;
}

/** Where a frame's magic stands next at or after `from`, or -1. */
export function findGroupMagic(source: Buffer, from: number): number {
  return source.indexOf(magic, from);
}
