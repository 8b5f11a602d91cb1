// Partition tables, GPT and DOS: where the partitions of a disk lie, and by what ids they go.

/** Bytes from an offset; fewer at the end, null when they cannot be read. */
export type ReadAt = (offset: number, length: number) => Uint8Array | null;

export type SuperblockKind =
  | 'ext'
  | 'xfs'
  | 'btrfs'
  | 'swap'
  | 'luks'
  | 'vfat'
  | 'LVM'
  | 'MD'
  | 'GPT'
  | 'DOS partitions';

/** What a name is matched by; texts as udev and fstab spell them. */
export type IdentityField = 'UUID' | 'LABEL' | 'PARTUUID' | 'PARTLABEL' | 'VG' | 'VG UUID' | 'MD UUID' | 'MD';

export interface CarriedName {
  field: IdentityField;
  value: string;
  kind: SuperblockKind;
  /** 1 for the first partition, null for the whole disk. */
  partition: number | null;
}

export interface Partition {
  number: number;
  start: number;
  bytes: number;
  names: CarriedName[];
}

const sector = 512;
/** More than any disk has that is still to be started from; a damaged table must not keep us. */
const mostPartitions = 256;

/** GPT where there is one, else the DOS table; nothing for a disk without. */
export function readPartitions(read: ReadAt): Partition[] {
  for (const blockBytes of [512, 4096]) {
    const header = view(read(blockBytes, 512));
    if (has(header, 0, 'EFI PART') && header.length >= 92) return readGpt(header, blockBytes, read);
  }
  return readDos(read);
}

function readGpt(header: Buffer, blockBytes: number, read: ReadAt): Partition[] {
  const count = Math.min(header.readUInt32LE(80), mostPartitions);
  const entryBytes = header.readUInt32LE(84);
  if (entryBytes < 128 || entryBytes > 4096) return [];
  const table = view(read(Number(header.readBigUInt64LE(72)) * blockBytes, count * entryBytes));
  const partitions: Partition[] = [];
  for (let index = 0; (index + 1) * entryBytes <= table.length; index += 1) {
    const entry = table.subarray(index * entryBytes, (index + 1) * entryBytes);
    if (guidAt(entry, 0) === null) continue;
    const number = index + 1;
    const start = Number(entry.readBigUInt64LE(32)) * blockBytes;
    const bytes = (Number(entry.readBigUInt64LE(40)) + 1) * blockBytes - start;
    const label = entry.toString('utf16le', 56, 128).split('\0')[0] ?? '';
    const fields = { kind: 'GPT' as const, partition: number };
    const id = guidAt(entry, 16);
    const names: CarriedName[] = id === null ? [] : [{ ...fields, field: 'PARTUUID', value: id }];
    if (label !== '') names.push({ ...fields, field: 'PARTLABEL', value: label });
    if (bytes > 0 && Number.isSafeInteger(start)) partitions.push({ number, start, bytes, names });
  }
  return partitions;
}

const extendedTypes = new Set([0x05, 0x0f, 0x85]);

/** A partition's id is the disk's signature and its number. */
function readDos(read: ReadAt): Partition[] {
  const table = view(read(0, sector));
  if (table.length < sector || table.readUInt16LE(510) !== 0xaa55 || isBootSector(table)) return [];
  const signature = table.readUInt32LE(440).toString(16).padStart(8, '0');
  const found = entriesOf(table, 0);
  const extended = found.find(({ type }) => extendedTypes.has(type));
  const logical = extended === undefined ? [] : readLogical(read, extended.start);
  const primary = found.filter(({ type }) => !extendedTypes.has(type));
  const partitions = [...primary, ...logical].map(({ number, start, bytes }) => ({
    ...{ number, start, bytes },
    names:
      signature === '00000000'
        ? []
        : [
            {
              kind: 'DOS partitions' as const,
              field: 'PARTUUID' as const,
              value: `${signature}-${number.toString(16).padStart(2, '0')}`,
              partition: number,
            },
          ],
  }));
  return partitions;
}

/** FAT and NTFS begin with code that ends in the same two bytes. */
const isBootSector = (table: Buffer): boolean =>
  has(table, 54, 'FAT1') || has(table, 82, 'FAT32') || has(table, 3, 'NTFS');

interface DosEntry {
  number: number;
  type: number;
  start: number;
  bytes: number;
}

function entriesOf(table: Buffer, base: number): DosEntry[] {
  return [0, 1, 2, 3].flatMap((index) => {
    const at = 446 + index * 16;
    const type = table[at + 4]!;
    const bytes = table.readUInt32LE(at + 12) * sector;
    const start = base + table.readUInt32LE(at + 8) * sector;
    return type === 0 || bytes === 0 ? [] : [{ number: index + 1, type, start, bytes }];
  });
}

/** A chain of tables: each has one logical partition, and where the next table lies. */
function readLogical(read: ReadAt, extended: number): DosEntry[] {
  const found: DosEntry[] = [];
  let at = extended;
  for (let number = 5; number < mostPartitions; number += 1) {
    const table = view(read(at, sector));
    if (table.length < sector || table.readUInt16LE(510) !== 0xaa55) break;
    const [one] = entriesOf(table, at).filter(({ type }) => !extendedTypes.has(type));
    if (one !== undefined) found.push({ ...one, number });
    const next = entriesOf(table, extended).find(({ type }) => extendedTypes.has(type));
    if (next === undefined || next.start <= at) break;
    at = next.start;
  }
  return found;
}

export function view(bytes: Uint8Array | null): Buffer {
  return bytes === null ? Buffer.alloc(0) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

export const has = (bytes: Buffer, at: number, text: string): boolean =>
  bytes.length >= at + text.length && bytes.toString('latin1', at, at + text.length) === text;

/** As most write it: big-endian. Null for zeros, which is none. */
export function uuidAt(bytes: Buffer, at: number): string | null {
  if (bytes.length < at + 16) return null;
  const hex = bytes.toString('hex', at, at + 16);
  if (/^0+$/.test(hex)) return null;
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** As GPT writes it: the first three fields little-endian (UEFI, appendix A). */
function guidAt(bytes: Buffer, at: number): string | null {
  if (bytes.length < at + 16) return null;
  const turned = Buffer.from(bytes.subarray(at, at + 16));
  turned.subarray(0, 4).reverse();
  turned.subarray(4, 6).reverse();
  turned.subarray(6, 8).reverse();
  return uuidAt(turned, 0);
}
