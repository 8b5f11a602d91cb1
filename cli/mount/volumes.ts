// What lies on a disk: partitions and file systems, as the host's tools see them, and how each is mounted.
import { runProgram } from './program.ts';

/** Bytes [start, start + size) of a disk; `number` is null for a disk without partitions. */
export interface Volume {
  number: number | null;
  start: number;
  size: number;
  /** As blkid names it: `ext4`, `LVM2_member` …; null when nothing is known there. */
  type: string | null;
}

/** All volumes of the disk whose image `file` is. */
export async function readVolumes(file: string, diskBytes: number): Promise<Volume[]> {
  const whole = await probe(file, 0, diskBytes);
  // A boot sector looks like a partition table, too: the file system counts.
  if (whole.type !== null || whole.table === null)
    return whole.type === null ? [] : [{ number: null, start: 0, size: diskBytes, type: whole.type }];
  const { out } = await runProgram('partx', ['-g', '-r', '-o', 'NR,START,SECTORS,TYPE', file]);
  const volumes: Volume[] = [];
  for (const { number, start, size } of parsePartitions(out))
    volumes.push({ number, start, size, type: (await probe(file, start, size)).type });
  return volumes;
}

const sectorBytes = 512;
/** What only holds further partitions. */
const containers = new Set(['0x5', '0xf', '0x85']);

/** `1 2048 40960 0x83`, a line each. */
export function parsePartitions(text: string): { number: number; start: number; size: number }[] {
  return text.split('\n').flatMap((line) => {
    const [number = '', start = '', sectors = '', type = ''] = line.trim().split(/\s+/);
    if (!/^\d+$/.test(number) || containers.has(type)) return [];
    return [
      { number: Number(number), start: Number(start) * sectorBytes, size: Number(sectors) * sectorBytes },
    ];
  });
}

async function probe(
  file: string,
  start: number,
  size: number,
): Promise<{ type: string | null; table: string | null }> {
  const place = ['--offset', String(start), '--size', String(size)];
  return parseProbe((await runProgram('blkid', ['-p', '-o', 'export', ...place, file])).out);
}

/** What blkid says, which is nothing when it knows nothing. */
export function parseProbe(text: string): { type: string | null; table: string | null } {
  return { type: /^TYPE=(.+)$/m.exec(text)?.[1] ?? null, table: /^PTTYPE=(.+)$/m.exec(text)?.[1] ?? null };
}

/**
 * Options of `mount`, or in words why it is none for us. The mount is read-only, but the disk below is not: a
 * file system replays its journal into the scratch of the view, as the machine would after a power cut.
 * XFS refuses a second file system with the UUID of one that is mounted.
 */
export function howToMount(type: string | null): { options: string } | { why: string } {
  if (type === null) return { why: 'nothing is known of what lies there' };
  const reason = notForUs[type];
  if (reason !== undefined) return { why: reason };
  return { options: type === 'xfs' ? 'ro,nouuid' : 'ro' };
}

const notForUs: Readonly<Record<string, string>> = {
  LVM2_member: 'LVM is not mounted: take the image with a virtual machine, or the disk with `recover`',
  crypto_LUKS: 'it is encrypted: open it from the image with cryptsetup',
  linux_raid_member: 'a part of a RAID is not mounted',
  swap: 'swap has no files',
};
