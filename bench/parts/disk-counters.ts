// What a disk has been written and read, by the kernel's counters of the device that holds a directory.
import fs from 'node:fs';
import { MiB } from '../../core/units.ts';
import { runCommand } from './processes.ts';

/** The unit of /proc/diskstats, whatever the device's own is. */
const sectorBytes = 512;

export interface DiskCounters {
  readBytes: number;
  writtenBytes: number;
}

/** All that was written is on the disk first. The counters are those of everybody on the device. */
export async function diskCounters(directory: string): Promise<DiskCounters> {
  await runCommand(['sync', '--file-system', directory]);
  const { dev } = fs.statSync(directory);
  // As glibc takes a device number apart; those of disks are small.
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
  for (const line of fs.readFileSync('/proc/diskstats', 'latin1').split('\n')) {
    const [ofMajor, ofMinor, , , , read = '', , , , written = ''] = line.trim().split(/\s+/);
    if (Number(ofMajor) === major && Number(ofMinor) === minor)
      return { readBytes: Number(read) * sectorBytes, writtenBytes: Number(written) * sectorBytes };
  }
  throw new Error(`/proc/diskstats does not have the device of ${directory} (${major}:${minor})`);
}

export const since = (before: DiskCounters, after: DiskCounters): DiskCounters => ({
  readBytes: after.readBytes - before.readBytes,
  writtenBytes: after.writtenBytes - before.writtenBytes,
});

/** What files in `directory` may take, some left for everybody else. */
export function roomIn(directory: string): number {
  const { bavail, bsize } = fs.statfsSync(directory);
  return Math.max(0, bavail * bsize - keptFreeBytes);
}

const keptFreeBytes = 8 * 1024 * MiB;
