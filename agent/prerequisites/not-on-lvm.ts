// root-not-lvm and retention-not-lvm: LVM under neither, however deep.
import { describeStack, readBlockGraph, walkDown } from './block-graph.ts';
import { fail, pass, skipped, type Check, type Finding } from './check.ts';
import type { Host } from './host.ts';
import { devicesOf, mountOf, readMounts } from './mounts.ts';
import { requireDevices } from './system-disks.ts';
import { HostRole } from '../../core/identity/host-identity.ts';

export const rootNotLvm: Check = {
  id: 'root-not-lvm',
  severity: 'hard-unless-accepted',
  title: 'The root file system is not on LVM',
  roles: [HostRole.masterTarget],
  run: (host) =>
    Promise.resolve(
      look(host, '/', {
        clean: 'Install the host on standard partitions',
        id: 'root-not-lvm',
      }),
    ),
};

export const retentionNotLvm: Check = {
  id: 'retention-not-lvm',
  severity: 'hard-unless-accepted',
  title: 'The retention volume is not on LVM',
  roles: [HostRole.masterTarget],
  run: (host, { retention }) =>
    Promise.resolve(
      retention === null
        ? skipped('no retention volume is set')
        : look(host, retention, {
            clean: 'Give retention a whole disk or a partition with ext4 or XFS',
            id: 'retention-not-lvm',
          }),
    ),
};

function look(host: Host, path: string, { clean, id }: { clean: string; id: string }): Finding {
  const graph = readBlockGraph(host);
  requireDevices(graph);
  const mount = mountOf(host, readMounts(host), path);
  if (mount === null) throw new Error(`no mount is known that holds ${path}`);
  const devices = devicesOf(host, graph, mount);
  if (devices.length === 0) return pass(`${path} lies on ${mount.type} (${mount.source}), not on LVM`);
  const stacks = devices.map(({ name }) => describeStack(graph, name)).join(', and ');
  const lvm = devices
    .flatMap(({ name }) => walkDown(graph, name))
    .filter((device) => device.kind === 'lvm')
    .map((device) => device.path);
  if (lvm.length === 0) return pass(`${path} lies on ${stacks}`);
  const names = [...new Set(lvm)].join(', ');
  const found = stacks.includes('(LVM)')
    ? `${path} lies on ${stacks}`
    : `${path} lies on ${stacks}: ${names} is LVM`;
  return fail(
    found,
    `${clean}. Or run ApplyCustomChanges.sh, so that LVM leaves replicas alone, and accept it: ` +
      `homeward check --accept ${id} --because TEXT`,
  );
}
