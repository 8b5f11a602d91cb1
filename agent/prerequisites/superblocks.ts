// Reads what a disk, or a copy of one, calls itself: partitions and superblocks, without any program.
import {
  has,
  readPartitions,
  uuidAt,
  view,
  type CarriedName,
  type IdentityField,
  type ReadAt,
  type SuperblockKind,
} from './partition-table.ts';

export type { CarriedName, IdentityField, ReadAt };

const sector = 512;

/**
 * Every name on the disk and in its partitions; not of what a volume of LVM or MD holds inside. `bytes`, the
 * size of the disk, is needed to find MD of the versions that lie at its end.
 */
export function readCarriedNames(read: ReadAt, bytes: number | null = null): CarriedName[] {
  const partitions = readPartitions(read);
  const inside = partitions.flatMap((partition) => {
    const within: ReadAt = (offset, length) =>
      offset >= partition.bytes
        ? null
        : read(partition.start + offset, Math.min(length, partition.bytes - offset));
    return [
      ...partition.names,
      ...readSuperblocks(within, partition.bytes).map((name) => ({ ...name, partition: partition.number })),
    ];
  });
  const whole = partitions.length > 0 ? [] : readSuperblocks(read, bytes);
  return [...inside, ...whole.map((name) => ({ ...name, partition: null }))];
}

type FoundName = Omit<CarriedName, 'partition'>;

/** `bytes` is needed for MD of version 0.90 and 1.0, which lie at the end; null leaves them out. */
function readSuperblocks(read: ReadAt, bytes: number | null): FoundName[] {
  const head = view(read(0, 72 * 1024));
  if (head.length < sector) return [];
  return [
    ...readExt(head),
    ...readXfs(head),
    ...readBtrfs(head),
    ...readSwap(head),
    ...readLuks(head),
    ...readVfat(head),
    ...readLvm(head, read),
    ...readMd(head, read, bytes),
  ].filter(({ value }) => value !== '');
}

const named = (kind: SuperblockKind, uuid: string | null, label: string): FoundName[] => [
  ...(uuid === null ? [] : [{ kind, field: 'UUID' as const, value: uuid }]),
  ...(label === '' ? [] : [{ kind, field: 'LABEL' as const, value: label }]),
];

function text(bytes: Buffer, at: number, length: number): string {
  const [part = ''] = bytes.toString('utf8', at, at + length).split('\0');
  return part.trim();
}

/** ext2 to ext4: the superblock at 1024, its magic 56 bytes on. */
function readExt(head: Buffer): FoundName[] {
  if (head.length < 2048 || head.readUInt16LE(1024 + 56) !== 0xef53) return [];
  return named('ext', uuidAt(head, 1024 + 104), text(head, 1024 + 120, 16));
}

function readXfs(head: Buffer): FoundName[] {
  return has(head, 0, 'XFSB') ? named('xfs', uuidAt(head, 32), text(head, 108, 12)) : [];
}

function readBtrfs(head: Buffer): FoundName[] {
  const at = 64 * 1024;
  return has(head, at + 64, '_BHRfS_M')
    ? named('btrfs', uuidAt(head, at + 32), text(head, at + 299, 256))
    : [];
}

/** The magic ends the first page, which is as large as those of the machine that made it. */
function readSwap(head: Buffer): FoundName[] {
  const isSwap = [4096, 8192, 16_384, 65_536].some((page) => has(head, page - 10, 'SWAPSPACE2'));
  return isSwap ? named('swap', uuidAt(head, 1036), text(head, 1052, 16)) : [];
}

/** Version 1 and 2 have the UUID, as text, in the same place. */
function readLuks(head: Buffer): FoundName[] {
  if (!has(head, 0, 'LUKS\xba\xbe')) return [];
  const label = head.readUInt16BE(6) === 2 ? text(head, 24, 48) : '';
  return named('luks', text(head, 168, 40) || null, label);
}

/** The EFI system partition: its serial number is what fstab calls UUID. */
function readVfat(head: Buffer): FoundName[] {
  const at = has(head, 82, 'FAT32   ') ? 67 : has(head, 54, 'FAT16   ') || has(head, 54, 'FAT12   ') ? 39 : 0;
  if (at === 0) return [];
  const serial = head.readUInt32LE(at).toString(16).toUpperCase().padStart(8, '0');
  const label = text(head, at + 4, 11);
  return named('vfat', `${serial.slice(0, 4)}-${serial.slice(4)}`, label === 'NO NAME' ? '' : label);
}

const lvmLabelSectors = [0, 1, 2, 3];

/** lvm2's lib/format_text/layout.h: label, header of the volume, areas of metadata, which are text. */
function readLvm(head: Buffer, read: ReadAt): FoundName[] {
  const at = lvmLabelSectors
    .map((number) => number * sector)
    .find((place) => has(head, place, 'LABELONE') && has(head, place + 24, 'LVM2 001'));
  if (at === undefined) return [];
  const header = at + head.readUInt32LE(at + 20);
  const names: FoundName[] = [
    { kind: 'LVM', field: 'UUID', value: lvmId(head.toString('latin1', header, header + 32)) },
  ];
  const metadata = readLvmMetadata(head, header, read);
  const group = /^\s*([A-Za-z0-9+_.-]+) \{\s*id = "([^"]+)"/m.exec(metadata);
  if (group !== null) {
    names.push({ kind: 'LVM', field: 'VG', value: group[1]! });
    names.push({ kind: 'LVM', field: 'VG UUID', value: group[2]! });
  }
  return names;
}

/** `ABCDEF-GHIJ-…` as lvm shows it. */
function lvmId(id: string): string {
  return id.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7');
}

function readLvmMetadata(head: Buffer, header: number, read: ReadAt): string {
  // After the id and the size of the device: areas of data up to an empty one, then areas of metadata.
  let at = header + 40;
  while (at + 32 <= head.length && head.readBigUInt64LE(at) !== 0n) at += 16;
  at += 16;
  if (at + 16 > head.length) return '';
  const start = Number(head.readBigUInt64LE(at));
  const size = Number(head.readBigUInt64LE(at + 8));
  const area = view(read(start, 512));
  if (start === 0 || !has(area, 4, ' LVM2 x[5A%r0N*>') || area.length < 64) return '';
  const offset = Number(area.readBigUInt64LE(40));
  const length = Math.min(Number(area.readBigUInt64LE(48)), 1024 * 1024, size);
  // The area is a ring: what does not fit before its end goes on behind its header.
  const first = Math.min(length, Math.max(0, size - offset));
  const tail = first < length ? view(read(start + 512, length - first)) : Buffer.alloc(0);
  return Buffer.concat([view(read(start + offset, first)), tail]).toString('latin1');
}

const mdMagic = 0xa92b4efc;

/** Version 1.1 at the start, 1.2 at 4 KiB, 1.0 and 0.90 near the end. */
function readMd(head: Buffer, read: ReadAt, bytes: number | null): FoundName[] {
  const places = [
    view(head.subarray(0, 256)),
    head.subarray(4096, 4096 + 256),
    ...(bytes === null
      ? []
      : [view(read(Math.floor((bytes - 8192) / 4096) * 4096, 256)), view(read(md090At(bytes), 4096))]),
  ];
  const block = places.find((place) => place.length >= 256 && place.readUInt32LE(0) === mdMagic);
  if (block === undefined) return [];
  if (block.readUInt32LE(4) === 0) {
    // Version 0.90: the four words of the UUID lie apart.
    const words = [20, 52, 56, 60].map((at) => block.readUInt32LE(at).toString(16).padStart(8, '0'));
    return [{ kind: 'MD', field: 'MD UUID', value: words.join(':') }];
  }
  const hex = block.toString('hex', 16, 32);
  const name = text(block, 32, 32);
  return [
    { kind: 'MD', field: 'MD UUID', value: (hex.match(/.{8}/g) ?? []).join(':') },
    ...(name === '' ? [] : [{ kind: 'MD' as const, field: 'MD' as const, value: name }]),
  ];
}

const md090At = (bytes: number): number => Math.max(0, Math.floor(bytes / 65_536) * 65_536 - 65_536);
