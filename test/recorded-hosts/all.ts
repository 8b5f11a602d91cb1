// Every recorded host by its name, and where it has its retention volume.
import type { DescribedHost } from '../support/record-host.ts';
import { debian12 } from './debian.ts';
import * as el from './enterprise-linux.ts';

export const recordedHosts = {
  'el8-vmware': el.el8Vmware,
  'el8-vmware-without-uuid': el.el8VmwareWithoutUuid,
  'el9-vmware': el.el9Vmware,
  'el9-vmware-without-uuid': el.el9VmwareWithoutUuid,
  'el9-lvm-root': el.el9LvmRoot,
  'el9-lvm-crypt-retention': el.el9LvmCryptRetention,
  'el8-multipath': el.el8Multipath,
  'el8-multipath-off': el.el8MultipathOff,
  'el9-nvme': el.el9Nvme,
  'el9-cloned': el.el9Cloned,
  'el9-seventy-disks': el.el9SeventyDisks,
  debian12,
} as const satisfies Record<string, DescribedHost>;
export type RecordedHostName = keyof typeof recordedHosts;

export const retentionOf = (name: RecordedHostName): string =>
  name === 'debian12' ? '/srv/retention' : '/retention';
