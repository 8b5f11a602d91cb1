// Whether the retention volume will be mounted again after a restart, and be the same one.
import type { BlockGraph } from './block-graph.ts';
import type { Host } from './host.ts';
import {
  devicesOf,
  readPlannedMounts,
  resolveSpecification,
  type Mount,
  type PlannedMount,
} from './mounts.ts';
import type { Fault } from './retention-volume.ts';
import { readCarriedNames } from './superblocks.ts';
import { isUnstablePath } from '../replica/disk-identity.ts';

/** fstab or a mount unit must name it by something that belongs to it. */
export function findRestartFault(host: Host, graph: BlockGraph, mount: Mount): Fault[] {
  const planned = readPlannedMounts(host).filter(({ point }) => point === mount.point);
  const uuid = uuidOf(host, graph, mount);
  const entry = `UUID=${uuid ?? '…'} ${mount.point} ${mount.type} defaults 0 0`;
  const wrong = (found: string): Fault[] => [
    { result: 'fail', found, action: `Have this line in /etc/fstab: ${entry}` },
  ];
  const [plan] = planned;
  if (plan === undefined) return wrong(`${mount.point} will not be mounted after a restart`);
  if (planned.length > 1)
    return wrong(`${planned.map(({ from }) => from).join(' and ')} both mount something on ${mount.point}`);
  return findPlanFault(host, graph, { mount, plan, wrong });
}

interface Planned {
  mount: Mount;
  plan: PlannedMount;
  wrong: (found: string) => Fault[];
}

function findPlanFault(host: Host, graph: BlockGraph, { mount, plan, wrong }: Planned): Fault[] {
  const { device, from, options } = plan;
  if (options.includes('noauto') && !options.includes('x-systemd.automount'))
    return wrong(`${from} has noauto: ${mount.point} will not be mounted after a restart`);
  if (options.includes('ro')) return wrong(`${from} mounts ${mount.point} read-only`);
  // A link of /dev/mapper stays; the node it leads to does not.
  const isNamedByOrder =
    !device.includes('=') && isUnstablePath(device) && !device.startsWith('/dev/mapper/');
  if (isNamedByOrder || device.startsWith('/dev/disk/by-path/'))
    return wrong(`${from} names ${device}, which may be another disk after a restart`);
  const node = resolveSpecification(host, device);
  const now = devicesOf(host, graph, mount);
  if (node === null) {
    // Without udev nothing can be said of a UUID; with it, there is no such device.
    const knowsNames = host.list('/dev/disk/by-uuid') !== null;
    return knowsNames || device.startsWith('/') ? wrong(`${from} names ${device}, which is not there`) : [];
  }
  const isSame = now.some(({ name, path }) => node === `/dev/${name.replaceAll('!', '/')}` || node === path);
  if (!isSame) {
    const [first] = now;
    return wrong(
      `${from} names ${device}, which is ${node}; what is mounted now is ${first?.path ?? mount.source}`,
    );
  }
  return [];
}

function uuidOf(host: Host, graph: BlockGraph, mount: Mount): string | null {
  for (const { name } of devicesOf(host, graph, mount)) {
    const node = `/dev/${name.replaceAll('!', '/')}`;
    const link = (host.list('/dev/disk/by-uuid') ?? []).find(
      (uuid) => host.realPath(`/dev/disk/by-uuid/${uuid}`) === node,
    );
    if (link !== undefined) return link;
    const carried = readCarriedNames((offset, length) => host.readBytes(node, offset, length));
    const own = carried.find(({ field, partition }) => field === 'UUID' && partition === null);
    if (own !== undefined) return own.value;
  }
  return null;
}
