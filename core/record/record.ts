// The record codec: 64 bytes of header, the same on the wire and in every log (docs/journal-format.md,
// section 2).
import { crc32 } from 'node:zlib';
import { HomewardError } from '../errors.ts';

export const RecordKind = { write: 1, zero: 2, tag: 3, syncBegin: 4, syncEnd: 5, unknown: 6 } as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

/** It says something of the records beside it, and nothing of a disk. */
export const isNoteKind = (kind: RecordKind): boolean =>
  kind === RecordKind.tag || kind === RecordKind.syncBegin || kind === RecordKind.syncEnd;

export const RecordFlags = { none: 0, discard: 1 } as const;

export const recordHeaderBytes = 64;
const magic = 0x31525748; // "HWR1"
const maximumHigh = 0x1f_ffff; // upper 32 bits of the largest safe integer

/** A decoded header. Offsets and lengths are bytes, times microseconds. */
export interface RecordHeader {
  kind: RecordKind;
  flags: number;
  disk: number;
  lsn: number;
  offset: number;
  length: number;
  time: number;
  generation: number;
  payloadBytes: number;
  payloadCrc: number;
}

/** A machine's UUID as records and frames have it, 16 bytes. */
export function machineBytes(id: string): Buffer {
  const bytes = Buffer.from(id.replaceAll('-', ''), 'hex');
  if (bytes.length !== 16) throw new HomewardError('bug', `${id} is not a UUID`);
  return bytes;
}

/** The first 8 bytes of a machine's UUID, as the two words that a header holds. */
export interface MachineMark {
  low: number;
  high: number;
}

export function machineMark(uuid: Buffer): MachineMark {
  return { low: uuid.readUInt32LE(0), high: uuid.readUInt32LE(4) };
}

/** Writes `header` into 64 bytes of `target` at `at`. */
export function encodeRecordHeader(
  target: Buffer,
  at: number,
  header: RecordHeader,
  machine: MachineMark,
): void {
  target.writeUInt32LE(magic, at);
  target[at + 4] = header.kind;
  target[at + 5] = header.flags;
  target.writeUInt16LE(header.disk, at + 6);
  writeU64(target, at + 8, header.lsn);
  writeU64(target, at + 16, header.offset);
  writeU64(target, at + 24, header.length);
  writeU64(target, at + 32, header.time);
  target.writeUInt32LE(header.generation, at + 40);
  target.writeUInt32LE(header.payloadBytes, at + 44);
  target.writeUInt32LE(header.payloadCrc, at + 48);
  target.writeUInt32LE(machine.low, at + 52);
  target.writeUInt32LE(machine.high, at + 56);
  target.writeUInt32LE(crc32(target.subarray(at, at + 60)), at + 60);
}

/** The header at `at`, or null when it is not a sound header of this machine. */
export function decodeRecordHeader(source: Buffer, at: number, machine: MachineMark): RecordHeader | null {
  if (at + recordHeaderBytes > source.length || source.readUInt32LE(at) !== magic) return null;
  if (source.readUInt32LE(at + 60) !== crc32(source.subarray(at, at + 60))) return null;
  return parseRecordHeader(source, at, machine);
}

/** The same without the header CRC, for bytes that another CRC has vouched for. */
export function parseRecordHeader(source: Buffer, at: number, machine: MachineMark): RecordHeader | null {
  if (source.readUInt32LE(at) !== magic) return null;
  if (source.readUInt32LE(at + 52) !== machine.low || source.readUInt32LE(at + 56) !== machine.high)
    return null;
  const header: RecordHeader = {
    kind: source[at + 4] as RecordKind,
    flags: source[at + 5]!,
    disk: source.readUInt16LE(at + 6),
    lsn: readU64(source, at + 8),
    offset: readU64(source, at + 16),
    length: readU64(source, at + 24),
    time: readU64(source, at + 32),
    generation: source.readUInt32LE(at + 40),
    payloadBytes: source.readUInt32LE(at + 44),
    payloadCrc: source.readUInt32LE(at + 48),
  };
  return isPossible(header) ? header : null;
}

/** Where a record's magic stands next at or after `from`, or -1. */
export function findRecordMagic(source: Buffer, from: number): number {
  return source.indexOf(magicBytes, from);
}

const magicBytes = Buffer.from('HWR1', 'latin1');

/** Bytes of data in a record's payload: the extent of a write, the whole payload of anything else. */
export function dataBytesOf(header: RecordHeader): number {
  return header.kind === RecordKind.write ? header.length : header.payloadBytes;
}

function isPossible(header: RecordHeader): boolean {
  const safe = header.lsn >= 0 && header.offset >= 0 && header.length >= 0 && header.time >= 0;
  return safe && header.kind >= RecordKind.write && header.kind <= RecordKind.unknown;
}

/** Writes a safe integer as u64. */
export function writeU64(target: Buffer, at: number, value: number): void {
  target.writeUInt32LE(value >>> 0, at);
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

/** Reads a u64; -1 when it is not a safe integer. */
export function readU64(source: Buffer, at: number): number {
  const high = source.readUInt32LE(at + 4);
  return high > maximumHigh ? -1 : high * 0x1_0000_0000 + source.readUInt32LE(at);
}
