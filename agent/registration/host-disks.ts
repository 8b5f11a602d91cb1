// The disks of this host, as the kernel lists them.
import { join } from 'node:path';
import type { HostDisk } from '../../core/registration/messages.ts';
import { readDeviceLinks, readDiskIdentity, type DeviceFiles } from '../replica/disk-identity.ts';
import { deviceFiles } from '../replica/target-device.ts';

const sectorBytes = 512;

/**
 * Whole disks that have a size, and by what name they can be chosen as a target; memory disks and empty
 * drives are left out. `root` is /sys/block.
 */
export function readHostDisks(root = '/sys/block', files: DeviceFiles = deviceFiles): HostDisk[] {
  const links = readDeviceLinks(files);
  return (files.list(root) ?? [])
    .filter((name) => !/^(?:ram|zram|fd|sr)\d+$/.test(name))
    .map((name) => ({ name, size: readSize(files, join(root, name, 'size')) }))
    .filter(({ size }) => size > 0)
    .map(({ name, size }) => {
      const { wwid, serial, names } = readDiskIdentity(files, name, links);
      return {
        ...{ name, size },
        path: `/dev/${name.replaceAll('!', '/')}`,
        wwid: wwid ?? serial,
        byId: names[0] ?? null,
      };
    })
    .sort((one, other) => one.name.localeCompare(other.name));
}

/** 0 when it was taken out meanwhile. */
const readSize = (files: DeviceFiles, file: string): number =>
  Number(files.read(file)?.trim() ?? 0) * sectorBytes || 0;
