// uuid-unique: no two disks show the same identity, as those of cloned templates do.
import { disksOf, readBlockGraph, type Disk } from './block-graph.ts';
import { fail, pass, skipped, type Check } from './check.ts';
import { requireDevices } from './system-disks.ts';
import { HostRole } from '../../core/identity/host-identity.ts';

export const uuidUnique: Check = {
  id: 'uuid-unique',
  severity: 'hard',
  title: 'No two disks share an identity',
  roles: [HostRole.masterTarget],
  async run(host) {
    const graph = readBlockGraph(host);
    requireDevices(graph);
    const { shared, distinct } = groupByIdentity(disksOf(graph));
    if (shared.length > 0) {
      const found = shared
        .map(({ identity, disks }) => `${disks.map(({ device }) => device.path).join(', ')} show ${identity}`)
        .join('; ');
      return fail(
        found,
        'Were they cloned: give each copy a UUID of its own (on VMware, with the machine off: ' +
          'vmkfstools -J setuuid DISK.vmdk). Is it one disk over several paths: set multipath up.',
      );
    }
    return distinct === 0
      ? skipped('no disk shows an identity')
      : pass(distinct === 1 ? 'one disk shows an identity' : `${distinct} disks, ${distinct} identities`);
  },
};

interface Shared {
  identity: string;
  disks: Disk[];
}

export function groupByIdentity(disks: readonly Disk[]): { shared: Shared[]; distinct: number } {
  const groups = new Map<string, Disk[]>();
  for (const disk of disks) {
    const identity = comparable(disk);
    if (identity !== null) groups.set(identity, [...(groups.get(identity) ?? []), disk]);
  }
  const all = [...groups].map(([identity, members]) => ({ identity, disks: members }));
  return { shared: all.filter((group) => group.disks.length > 1), distinct: groups.size };
}

/** Without a WWID the serial number counts, together with the model: two makers may count alike. */
function comparable({ device, paths }: Disk): string | null {
  const { identity, vendor, model } = paths[0] ?? device;
  if (identity.wwid !== null) return identity.wwid.toLowerCase().replaceAll(/\s+/g, ' ');
  return identity.serial === null ? null : `${vendor ?? ''} ${model ?? ''} serial ${identity.serial}`.trim();
}
