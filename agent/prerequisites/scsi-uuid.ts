// scsi-uuid: every disk says who it is, so that it is still found when the kernel counts disks another way.
import { disksOf, readBlockGraph, type BlockDevice, type Disk } from './block-graph.ts';
import { fail, pass, skipped, type Check } from './check.ts';
import { requireDevices } from './system-disks.ts';
import { HostRole } from '../../core/identity/host-identity.ts';
import { enableUuidAdvice } from '../replica/target-name.ts';

export const scsiUuid: Check = {
  id: 'scsi-uuid',
  severity: 'hard-unless-accepted',
  title: 'Every disk shows a SCSI identity',
  roles: [HostRole.masterTarget],
  async run(host) {
    const graph = readBlockGraph(host);
    requireDevices(graph);
    const disks = disksOf(graph);
    if (disks.length === 0) return skipped('no disk is attached');
    const nameless = disks.filter((disk) => identityOf(disk) === null);
    if (nameless.length === 0) return pass(describeNamed(disks));
    const names = nameless.map(({ device }) => device.path);
    const isVmware = nameless.some(({ device }) => isVmwareDisk(device));
    const found =
      `${names.length} of ${disks.length} disks show no identity ` +
      `(neither VPD page 83 nor a WWID nor a name in /dev/disk/by-id): ${names.join(', ')}`;
    return fail(found, isVmware ? enableUuidAdvice.vmware : enableUuidAdvice.any);
  },
};

/** The WWID, else the name udev has made of the disk's serial number; null when there is neither. */
export function identityOf({ device, paths }: Disk): string | null {
  for (const { identity } of [...paths, device]) {
    if (identity.wwid !== null) return identity.wwid;
    if (identity.names[0] !== undefined) return identity.names[0];
  }
  return null;
}

export function isVmwareDisk({ vendor, model }: BlockDevice): boolean {
  return /vmware/i.test(`${vendor ?? ''} ${model ?? ''}`);
}

function describeNamed(disks: readonly Disk[]): string {
  const some = disks
    .slice(0, 4)
    .map((disk) => `${disk.device.mapped?.name ?? disk.device.name} ${identityOf(disk) ?? ''}`);
  if (disks.length > some.length) some.push(`${disks.length - some.length} more`);
  const all =
    disks.length === 1 ? 'the disk shows an identity' : `all ${disks.length} disks show an identity`;
  return `${all}: ${some.join(', ')}`;
}
