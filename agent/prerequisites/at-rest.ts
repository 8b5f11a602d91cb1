// at-rest: whether what lies here of other people's disks is encrypted.
import { readBlockGraph, type BlockDevice, type BlockGraph } from './block-graph.ts';
import { pass, skipped, warn, type Check, type CheckContext } from './check.ts';
import type { Host } from './host.ts';
import { devicesOf, deviceAt, mountOf, readMounts, type Mount } from './mounts.ts';
import { HostRole } from '../../core/identity/host-identity.ts';

export const atRest: Check = {
  id: 'at-rest',
  severity: 'advice',
  title: 'Data at rest is encrypted',
  roles: [HostRole.masterTarget, HostRole.processServer],
  async run(host, context) {
    const graph = readBlockGraph(host);
    const mounts = readMounts(host);
    const places = placesOf(context).map(({ what, path }) => ({
      what: `${what} (${path})`,
      isEncrypted: isEncrypted(graph, devicesAt(host, graph, mounts, path)),
    }));
    if (places.length === 0) return skipped('nothing is kept here yet');
    const open = places.filter((place) => !place.isEncrypted).map(({ what }) => what);
    if (open.length === 0) return pass(`encrypted by dm-crypt: ${places.map(({ what }) => what).join(', ')}`);
    const closed = places.filter((place) => place.isEncrypted).map(({ what }) => what);
    const rest = closed.length === 0 ? '' : `; encrypted: ${closed.join(', ')}`;
    return warn(
      `not encrypted as far as this host can see: ${open.join(', ')}${rest}`,
      'Where the hypervisor or the storage does not encrypt: put these on LUKS volumes, opened at start.',
    );
  },
};

function placesOf({
  retention,
  replicaDirectory,
  replicas,
  spool,
}: CheckContext): { what: string; path: string }[] {
  const devices = replicas.filter(({ kind }) => kind === 'device');
  return [
    ...(retention === null ? [] : [{ what: 'retention', path: retention }]),
    ...(replicaDirectory === null ? [] : [{ what: 'replicas', path: replicaDirectory }]),
    ...devices.map(({ machine, disk, path }) => ({ what: `replica of ${machine} ${disk}`, path })),
    ...(spool === null ? [] : [{ what: 'spool', path: spool }]),
  ];
}

/** Of a device itself, or of what a directory lies on. */
function devicesAt(host: Host, graph: BlockGraph, mounts: readonly Mount[], path: string): BlockDevice[] {
  const real = host.realPath(path) ?? path;
  if (host.stat(real)?.kind === 'block') return [deviceAt(graph, real)].flatMap((device) => device ?? []);
  const mount = mountOf(host, mounts, path);
  return mount === null ? [] : devicesOf(host, graph, mount);
}

/** Every device of it, by every way down: one open member of a volume is enough to read from. */
function isEncrypted(graph: BlockGraph, devices: readonly BlockDevice[]): boolean {
  const covered = (device: BlockDevice): boolean => {
    if (device.kind === 'crypt') return true;
    const below = device.below.flatMap((name) => graph.devices.get(name) ?? []);
    return below.length > 0 && below.every(covered);
  };
  return devices.length > 0 && devices.every(covered);
}
