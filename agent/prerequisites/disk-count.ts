// disk-count: one disk for the system, at least one more for retention.
import { disksOf, readBlockGraph, type Disk } from './block-graph.ts';
import { fail, pass, warn, type Check } from './check.ts';
import { crossCheck } from './lsblk.ts';
import { readSystemDevices, requireDevices } from './system-disks.ts';
import { formatSize } from '../../core/units.ts';
import { HostRole } from '../../core/identity/host-identity.ts';

export const diskCount: Check = {
  id: 'disk-count',
  severity: 'hard-unless-accepted',
  title: 'At least two disks are attached',
  roles: [HostRole.masterTarget],
  async run(host) {
    const graph = readBlockGraph(host);
    requireDevices(graph);
    const disks = disksOf(graph);
    const system = readSystemDevices(host, graph).disks;
    const found = describeDisks(disks, system);
    // A mirrored system takes two and leaves none.
    const isAllTaken = disks.every(({ device }) => system.has(device.name));
    if (disks.length < 2 || isAllTaken)
      return fail(
        disks.length < 2 ? found : `${found}; all of them are the system's`,
        'Attach another disk for the retention volume, and one for each replica on a disk.',
      );
    const differences = await crossCheck(host, graph);
    if (differences.length === 0) return pass(found);
    return warn(
      `${found}; lsblk says otherwise: ${differences.join('; ')}`,
      'Run `udevadm settle` and check again; if it stays so, restart the host before disks are chosen.',
    );
  },
};

const mostNamed = 8;

/** `3 disks are attached: sda (40 GiB, system), sdb (200 GiB), …` */
function describeDisks(disks: readonly Disk[], system: ReadonlySet<string>): string {
  const named = disks.slice(0, mostNamed).map(({ device, paths }) => {
    const notes = [formatSize(device.bytes)];
    if (system.has(device.name)) notes.push('system');
    if (paths.length > 1) notes.push(`${paths.length} paths`);
    return `${device.mapped?.name ?? device.name} (${notes.join(', ')})`;
  });
  if (disks.length > mostNamed) named.push(`${disks.length - mostNamed} more`);
  if (disks.length === 0) return 'no disk is attached';
  return `${disks.length === 1 ? '1 disk is' : `${disks.length} disks are`} attached: ${named.join(', ')}`;
}
