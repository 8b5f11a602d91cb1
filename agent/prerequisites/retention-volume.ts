// retention-volume: a file system and a disk of its own, there after a restart, and it can be written.
import path from 'node:path';
import { describeStack, disksUnder, readBlockGraph, walkUp, type BlockGraph } from './block-graph.ts';
import { fail, pass, warn, type Check, type CheckContext, type Finding } from './check.ts';
import type { Host } from './host.ts';
import { devicesOf, mountOf, readMounts, type Mount } from './mounts.ts';
import { findForeign } from './retention-content.ts';
import { findRestartFault } from './retention-restart.ts';
import { readSystemDevices, requireDevices } from './system-disks.ts';
import { formatSize } from '../../core/units.ts';
import { HostRole } from '../../core/identity/host-identity.ts';
import { limits } from '../../core/limits.ts';

/** One thing that is wrong; `warn` alone does not keep the service from starting. */
export interface Fault {
  result: 'fail' | 'warn';
  found: string;
  action: string;
}

export const retentionVolume: Check = {
  id: 'retention-volume',
  severity: 'hard',
  title: 'The retention volume can be relied on',
  roles: [HostRole.masterTarget],
  async run(host, context) {
    const { retention, replicaDirectory } = context;
    if (retention === null)
      return fail(
        'no retention volume is set',
        'Mount one and choose it in hostconfigcli, or set RetentionVolume in drscout.conf.',
      );
    if (replicaDirectory !== null && path.resolve(replicaDirectory) === path.resolve(retention))
      return fail(
        `${retention} is the directory of the replicas, too`,
        'Give each its own: RetentionVolume and ReplicaDirectory in drscout.conf.',
      );
    const graph = readBlockGraph(host);
    requireDevices(graph);
    // To look into it mounts it, where that waits for somebody to look.
    host.list(retention);
    const kind = host.stat(retention)?.kind;
    const mount = mountOf(host, readMounts(host), retention);
    if (mount === null || kind !== 'directory')
      return fail(
        kind === undefined ? `${retention} does not exist` : `${retention} is no directory`,
        'Make the directory and mount the volume there.',
      );
    return summarise(host, graph, { retention, mount, context });
  },
};

interface Volume {
  retention: string;
  mount: Mount;
  context: CheckContext;
}

async function summarise(host: Host, graph: BlockGraph, volume: Volume): Promise<Finding> {
  const { retention, mount } = volume;
  const ownership = findWrongPlace(host, graph, volume);
  // Where it is no volume of its own, nothing else about it means anything.
  if (ownership !== null) return fail(ownership.found, ownership.action);
  const faults = [
    ...(await findUnwritable(host, graph, volume)),
    ...findForeign(host, retention, mount, volume.context),
    ...findNeighbours(host, graph, mount),
    ...findRestartFault(host, graph, mount),
    ...findShortage(host, volume),
  ];
  const space = host.statfs(retention);
  const room = space === null ? '' : `, ${formatSize(space.free)} of ${formatSize(space.total)} free`;
  const [device] = devicesOf(host, graph, mount);
  const where = device === undefined ? mount.source : describeStack(graph, device.name);
  if (faults.length === 0) return pass(`${retention}: ${mount.type} on ${where}${room}`);
  const failed = faults.filter(({ result }) => result === 'fail');
  const shown = failed.length > 0 ? failed : faults;
  const found = shown.map((fault) => fault.found).join('; ');
  const action = [...new Set(shown.map((fault) => fault.action))].join(' ');
  return failed.length > 0 ? fail(found, action) : warn(found, action);
}

const suitable = ['ext4', 'xfs'];
const inMemory = ['tmpfs', 'ramfs', 'rootfs', 'overlay'];

function findWrongPlace(host: Host, graph: BlockGraph, { retention, mount }: Volume): Fault | null {
  const own = 'Give retention a disk of its own with ext4 or XFS, and mount it there by its UUID.';
  const wrong = (found: string, action = own): Fault => ({ result: 'fail', found, action });
  if (inMemory.includes(mount.type))
    return wrong(`${retention} is ${mount.type}: what is written there is gone after a restart`);
  const system = readSystemDevices(host, graph);
  const devices = devicesOf(host, graph, mount);
  const shared = system.devices.find(({ device }) => devices.some(({ name }) => name === device.name));
  if (shared !== undefined) {
    const what = `${retention} is no volume of its own: it lies on ${shared.device.path}, the system's`;
    return wrong(`${what} (${shared.use})`, `Is its volume not mounted? ${own}`);
  }
  if (devices.length === 0)
    return wrong(`${retention} is ${mount.type} from ${mount.source}, not a local block device`);
  const disks = devices.flatMap(({ name }) => disksUnder(graph, name));
  const systemDisk = disks.find(({ name }) => system.disks.has(name));
  if (systemDisk !== undefined)
    return wrong(`${retention} lies on ${systemDisk.path}, the disk that the system is on`);
  if (!suitable.includes(mount.type))
    return wrong(`${retention} is ${mount.type}; ext4 and xfs are supported`, 'Make it ext4 or XFS.');
  return null;
}

async function findUnwritable(host: Host, graph: BlockGraph, { retention, mount }: Volume): Promise<Fault[]> {
  const readOnlyDevice = devicesOf(host, graph, mount).find(({ isReadOnly }) => isReadOnly);
  if (mount.options.includes('ro') || mount.superOptions.includes('ro')) {
    const because = readOnlyDevice === undefined ? '' : `, and ${readOnlyDevice.path} is read-only`;
    const action =
      'See with `dmesg` whether the kernel made it so after an error, and mend that; ' +
      `then mount -o remount,rw ${mount.point}`;
    return [{ result: 'fail', found: `${retention} is mounted read-only${because}`, action }];
  }
  const why = await host.tryWrite(retention);
  if (why === null) return [];
  const action =
    host.uid === 0
      ? 'A file must be written, synced and read back there: look for errors of the disk with `dmesg`.'
      : 'A file must be written there: run the check as root.';
  return [{ result: 'fail', found: `${retention} cannot be written: ${why}`, action }];
}

/** Other things that are mounted from the same disk take its time, and go down with it. */
function findNeighbours(host: Host, graph: BlockGraph, mount: Mount): Fault[] {
  const own = devicesOf(host, graph, mount);
  const onDisks = new Set(
    own
      .flatMap(({ name }) => disksUnder(graph, name))
      .flatMap(({ name }) => walkUp(graph, name))
      .map(({ name }) => name),
  );
  const ownNames = new Set(own.map(({ name }) => name));
  const others = readMounts(host)
    .filter((other) =>
      devicesOf(host, graph, other).some(({ name }) => onDisks.has(name) && !ownNames.has(name)),
    )
    .map(({ point }) => point);
  if (others.length === 0) return [];
  return [
    {
      result: 'warn',
      found: `${mount.point} shares its disk with ${[...new Set(others)].join(', ')}`,
      action: 'Move the other file systems to another disk: they slow replication down.',
    },
  ];
}

/** History is shortened when room runs out, so that this is no reason not to start. */
function findShortage(host: Host, { retention, context: { growthBytesPerDay } }: Volume): Fault[] {
  const space = host.statfs(retention);
  if (space === null) return [];
  const action = 'Enlarge the volume, or shorten the window: history gets shorter when there is no room.';
  if (space.free < Math.max(limits.checkFreeBytes, space.total * limits.checkFreePart))
    return [
      {
        result: 'warn',
        found: `only ${formatSize(space.free)} of ${formatSize(space.total)} are free`,
        action,
      },
    ];
  if (growthBytesPerDay === null || growthBytesPerDay <= 0) return [];
  const days = space.free / growthBytesPerDay;
  if (days >= limits.checkForecastDays) return [];
  const rate = `${formatSize(growthBytesPerDay)} a day`;
  const left = `${formatSize(space.free)} free will be full in ${days.toFixed(1)} days at ${rate}`;
  return [{ result: 'warn', found: left, action }];
}
