// Which devices the host itself runs from.
import { disksUnder, type BlockDevice, type BlockGraph } from './block-graph.ts';
import type { Host } from './host.ts';
import { devicesOf, deviceAt, readMounts, type Mount } from './mounts.ts';

const systemPoints = ['/', '/boot', '/boot/efi', '/usr', '/var', '/home', '/opt', '/tmp'];

export interface SystemDevices {
  /** What is mounted as part of the system, or used as swap space, and where. */
  devices: { device: BlockDevice; use: string }[];
  /** Names of the disks under them. */
  disks: ReadonlySet<string>;
}

export function readSystemDevices(host: Host, graph: BlockGraph): SystemDevices {
  const mounted = readMounts(host)
    .filter(({ point }) => systemPoints.includes(point))
    .flatMap((mount) => devicesOf(host, graph, mount).map((device) => ({ device, use: mount.point })));
  const devices = [...mounted, ...swapDevices(host, graph)];
  const disks = devices.flatMap(({ device }) => disksUnder(graph, device.name)).map(({ name }) => name);
  return { devices, disks: new Set(disks) };
}

function swapDevices(host: Host, graph: BlockGraph): SystemDevices['devices'] {
  return (host.read('/proc/swaps') ?? '').split('\n').flatMap((entry) => {
    const [path = '', type] = entry.split(/\s+/);
    const device = type === 'partition' ? deviceAt(graph, host.realPath(path) ?? path) : undefined;
    return device === undefined ? [] : [{ device, use: 'swap space' }];
  });
}

export interface MountedVolume {
  mount: Mount;
  devices: BlockDevice[];
}

/** Throws where the kernel's list of devices cannot be seen: nothing could be said about them. */
export function requireDevices(graph: BlockGraph): void {
  if (graph.devices.size === 0) throw new Error('/sys/class/block is empty or not to be seen from here');
}
