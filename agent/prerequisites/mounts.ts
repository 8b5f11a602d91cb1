// What is mounted where, what is to be mounted at the next start, and what device a path lies on.
import type { BlockDevice, BlockGraph } from './block-graph.ts';
import type { Host } from './host.ts';

export interface Mount {
  /** `major:minor`; of a file system without a device of its own (btrfs, tmpfs, NFS) a number made up. */
  number: string;
  /** The directory of the file system that is shown there. */
  root: string;
  point: string;
  options: string[];
  type: string;
  source: string;
  superOptions: string[];
}

/** In the order in which they were mounted. */
export function readMounts(host: Host): Mount[] {
  return parseMountinfo(host.read('/proc/self/mountinfo') ?? '');
}

/** proc(5): after the options come any number of fields, then a hyphen. */
export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((entry) => {
    const [front, back] = splitOnce(entry, ' - ');
    const [, , number, root, point, options] = front.split(' ');
    const [type, source, superOptions] = back.split(' ');
    if (point === undefined || number === undefined || source === undefined || type === undefined) return [];
    return [
      {
        ...{ number, type },
        root: unescapeOctal(root ?? '/'),
        point: unescapeOctal(point),
        source: unescapeOctal(source),
        options: (options ?? '').split(','),
        superOptions: (superOptions ?? '').split(','),
      },
    ];
  });
}

function splitOnce(text: string, by: string): [string, string] {
  const at = text.indexOf(by);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + by.length)];
}

/** Blanks and backslashes in paths are written as `\040`. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** What the path lies on, be it there or not yet; of mounts over each other the last. */
export function mountOf(host: Host, mounts: readonly Mount[], path: string): Mount | null {
  const real = realPathSoFar(host, path);
  let best: Mount | null = null;
  for (const mount of mounts) {
    const holds = mount.point === '/' || real === mount.point || real.startsWith(`${mount.point}/`);
    if (holds && (best === null || mount.point.length >= best.point.length)) best = mount;
  }
  return best;
}

/** Links in it followed as far as it exists. */
function realPathSoFar(host: Host, path: string): string {
  const parts = path.split('/').filter((part) => part !== '');
  for (let count = parts.length; count >= 0; count -= 1) {
    const real = host.realPath(`/${parts.slice(0, count).join('/')}`);
    if (real !== null) return [real === '/' ? '' : real, ...parts.slice(count)].join('/') || '/';
  }
  return path;
}

/** The block devices under a mount: several for btrfs over several, none for tmpfs, NFS and the like. */
export function devicesOf(host: Host, graph: BlockGraph, mount: Mount): BlockDevice[] {
  const direct = graph.numbers.get(mount.number);
  if (direct !== undefined) return [direct];
  const source = mount.source.startsWith('/') ? host.realPath(mount.source) : null;
  const named = source === null ? undefined : deviceAt(graph, source);
  if (named === undefined) return [];
  return mount.type === 'btrfs' ? btrfsMembers(host, graph, named) : [named];
}

/** By its node, links resolved. */
export function deviceAt(graph: BlockGraph, node: string): BlockDevice | undefined {
  return (
    graph.devices.get(node.replace(/^\/dev\//, '').replaceAll('/', '!')) ??
    [...graph.devices.values()].find(({ path }) => path === node)
  );
}

function btrfsMembers(host: Host, graph: BlockGraph, one: BlockDevice): BlockDevice[] {
  for (const id of host.list('/sys/fs/btrfs') ?? []) {
    const members = host.list(`/sys/fs/btrfs/${id}/devices`) ?? [];
    if (members.includes(one.name)) return members.flatMap((name) => graph.devices.get(name) ?? []);
  }
  return [one];
}

export interface PlannedMount {
  /** As written: `UUID=…`, `/dev/sdb1` … */
  device: string;
  point: string;
  type: string;
  options: string[];
  /** The file that says so, and the line where it has several. */
  from: string;
}

/** /etc/fstab and mount units: what will be mounted after a restart. Swap has the point `none`. */
export function readPlannedMounts(host: Host): PlannedMount[] {
  return [...parseFstab(host.read('/etc/fstab') ?? ''), ...readMountUnits(host)];
}

export function parseFstab(text: string): PlannedMount[] {
  return text.split('\n').flatMap((entry, index) => {
    const [device, point, type, options] = entry.trim().split(/\s+/);
    if (device === undefined || device === '' || device.startsWith('#') || point === undefined) return [];
    return [
      {
        device: unescapeOctal(device.replaceAll('"', '')),
        point: unescapeOctal(point).replace(/(?<=.)\/+$/, ''),
        type: type ?? 'auto',
        options: (options ?? 'defaults').split(','),
        from: `/etc/fstab line ${index + 1}`,
      },
    ];
  });
}

/** Those under /run/systemd/generator are made from fstab. */
const unitDirectories = ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'];

function readMountUnits(host: Host): PlannedMount[] {
  return unitDirectories.flatMap((directory) =>
    (host.list(directory) ?? [])
      .filter((name) => name.endsWith('.mount'))
      .flatMap((name) => {
        const unit = host.read(`${directory}/${name}`) ?? '';
        const field = (key: string): string | null =>
          new RegExp(`^\\s*${key}\\s*=\\s*(.+?)\\s*$`, 'm').exec(unit)?.[1] ?? null;
        const device = field('What');
        const point = field('Where');
        if (device === null || point === null) return [];
        const options = (field('Options') ?? 'defaults').split(',');
        return [{ device, point, type: field('Type') ?? 'auto', options, from: `${directory}/${name}` }];
      }),
  );
}

/** Where a specification such as `UUID=…` leads now: a device node, or null when there is none. */
export function resolveSpecification(host: Host, specification: string): string | null {
  const match = /^(UUID|LABEL|PARTUUID|PARTLABEL|ID)=(.+)$/.exec(specification);
  if (match === null) return specification.startsWith('/') ? host.realPath(specification) : null;
  return host.realPath(`/dev/disk/by-${match[1]!.toLowerCase()}/${match[2]!.replaceAll('"', '')}`);
}
