// The disks of this host, as the kernel lists them.
import fs from 'node:fs';
import { join } from 'node:path';
import type { HostDisk } from '../../core/registration/messages.ts';

const sectorBytes = 512;

/** Whole disks that have a size; memory disks and empty drives are left out. `root` is /sys/block. */
export function readHostDisks(root = '/sys/block'): HostDisk[] {
  return tryList(root)
    .filter((name) => !/^(?:ram|zram|fd|sr)\d+$/.test(name))
    .map((name) => ({
      name,
      size: readSize(join(root, name, 'size')),
      path: `/dev/${name.replaceAll('!', '/')}`,
    }))
    .filter(({ size }) => size > 0)
    .sort((one, other) => one.name.localeCompare(other.name));
}

function readSize(file: string): number {
  try {
    return Number(fs.readFileSync(file, 'utf8').trim()) * sectorBytes || 0;
  } catch {
    return 0; // it was taken out meanwhile
  }
}

function tryList(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return []; // a container may not show them
  }
}
