// The block devices of a host and how they lie upon each other: partitions, LVM, MD, crypt, multipath, disks.
import {
  readDeviceLinks,
  readDiskIdentity,
  type DeviceLinks,
  type DiskIdentity,
} from '../replica/disk-identity.ts';
import type { Host } from './host.ts';

export type BlockKind =
  | 'disk'
  | 'partition'
  | 'lvm'
  | 'crypt'
  | 'multipath'
  | 'raid'
  | 'loop'
  /** Some other kind of device mapper: VDO, Stratis, integrity … */
  | 'mapped'
  /** Optical, floppy, memory, network block devices: nothing to build on. */
  | 'other';

export interface BlockDevice {
  /** The kernel's: `sda1`, `dm-3`. */
  name: string;
  /** `major:minor`. */
  number: string;
  kind: BlockKind;
  /** As people know it: `/dev/sda1`, `/dev/mapper/rl-root`. */
  path: string;
  bytes: number;
  isReadOnly: boolean;
  isRemovable: boolean;
  /** Names of what it lies on: a partition's disk, the members of a volume. */
  below: string[];
  /** What is needed to use it is built from these, by name. */
  above: string[];
  /** Of device mapper: its UUID says who made it. */
  mapped: { name: string; uuid: string } | null;
  vendor: string | null;
  model: string | null;
  /** SCSI device type: 0 a disk, 5 optical, 13 an enclosure. */
  type: number | null;
  identity: DiskIdentity;
}

export interface BlockGraph {
  devices: ReadonlyMap<string, BlockDevice>;
  /** By `major:minor`. */
  numbers: ReadonlyMap<string, BlockDevice>;
}

const sectorBytes = 512;
const classDirectory = '/sys/class/block';
const notToBuildOn = /^(?:ram|zram|fd|sr|nbd)\d+/;

/** Empty where /sys is not to be seen. Devices that came or went meanwhile may be missing. */
export function readBlockGraph(host: Host): BlockGraph {
  const names = host.list(classDirectory) ?? [];
  const parents = partitionParents(host, names);
  const links = readDeviceLinks(host);
  const found = names.map((name) => readDevice(host, name, { parent: parents.get(name) ?? null, links }));
  const devices = new Map(found.flatMap((device) => (device === null ? [] : [[device.name, device]])));
  for (const device of devices.values()) {
    for (const below of device.below) devices.get(below)?.above.push(device.name);
  }
  return { devices, numbers: new Map([...devices.values()].map((device) => [device.number, device])) };
}

function readDevice(
  host: Host,
  name: string,
  { parent, links }: { parent: string | null; links: DeviceLinks },
): BlockDevice | null {
  const at = `${classDirectory}/${name}`;
  const number = text(host, `${at}/dev`);
  // The paths of a native NVMe multipath are hidden: nobody can open them.
  if (number === null || text(host, `${at}/hidden`) === '1') return null;
  const uuid = text(host, `${at}/dm/uuid`);
  const dmName = text(host, `${at}/dm/name`);
  const mapped = dmName === null ? null : { name: dmName, uuid: uuid ?? '' };
  const kind = kindOf(host, name, { at, parent, mapped });
  const type = text(host, `${at}/device/type`);
  return {
    ...{ name, number, kind, mapped },
    path: mapped === null ? `/dev/${name.replaceAll('!', '/')}` : `/dev/mapper/${mapped.name}`,
    bytes: Number(text(host, `${at}/size`) ?? 0) * sectorBytes,
    isReadOnly: text(host, `${at}/ro`) === '1',
    isRemovable: text(host, `${at}/removable`) === '1',
    below: parent === null ? (host.list(`${at}/slaves`) ?? []) : [parent],
    above: [],
    vendor: text(host, `${at}/device/vendor`),
    model: text(host, `${at}/device/model`),
    type: type === null ? null : Number(type),
    identity: readDiskIdentity(host, name, links),
  };
}

interface Signs {
  at: string;
  parent: string | null;
  mapped: BlockDevice['mapped'];
}

function kindOf(host: Host, name: string, { at, parent, mapped }: Signs): BlockKind {
  if (mapped !== null) return mappedKind(mapped.uuid);
  if (parent !== null) return 'partition';
  if (notToBuildOn.test(name)) return 'other';
  if (name.startsWith('loop')) return 'loop';
  if (/^md\d|^md_/.test(name) || host.list(`${at}/md`) !== null) return 'raid';
  if (name.startsWith('dm-')) return 'mapped';
  // What stands for hardware has a device; the rest is made by software.
  return host.list(`${at}/device`) === null ? 'other' : 'disk';
}

function mappedKind(uuid: string): BlockKind {
  if (uuid.startsWith('LVM-')) return 'lvm';
  if (uuid.startsWith('CRYPT-')) return 'crypt';
  if (uuid.startsWith('mpath-')) return 'multipath';
  if (/^part\d+-/.test(uuid)) return 'partition';
  if (uuid.startsWith('DMRAID-')) return 'raid';
  return 'mapped';
}

/** A partition lies in its disk's directory. */
function partitionParents(host: Host, names: readonly string[]): Map<string, string> {
  const parents = new Map<string, string>();
  for (const name of names) {
    if (host.read(`${classDirectory}/${name}/partition`) === null) continue;
    const parent = names
      .filter((other) => other !== name && name.startsWith(other))
      .find((other) => host.list(`${classDirectory}/${other}/${name}`) !== null);
    if (parent !== undefined) parents.set(name, parent);
  }
  return parents;
}

/** A device and all that it lies on, itself first, each once. */
export function walkDown(graph: BlockGraph, name: string): BlockDevice[] {
  return walk(graph, name, ({ below }) => below);
}

/** A device and all that is built on it. */
export function walkUp(graph: BlockGraph, name: string): BlockDevice[] {
  return walk(graph, name, ({ above }) => above);
}

function walk(graph: BlockGraph, name: string, next: (device: BlockDevice) => string[]): BlockDevice[] {
  const seen = new Set<string>([name]);
  for (const at of seen) {
    const device = graph.devices.get(at);
    if (device !== undefined) for (const one of next(device)) seen.add(one);
  }
  return [...seen].flatMap((at) => graph.devices.get(at) ?? []);
}

/** `/dev/mapper/rl-root (LVM) on /dev/sda2 on /dev/sda`: one way down, for people. */
export function describeStack(graph: BlockGraph, name: string): string {
  const words: string[] = [];
  let at = graph.devices.get(name);
  for (let depth = 0; at !== undefined && depth < 32; depth += 1) {
    const label = kindLabels[at.kind];
    words.push(label === null ? at.path : `${at.path} (${label})`);
    const more = at.below.length - 1;
    if (more > 0) words[words.length - 1] += ` over ${at.below.length} devices`;
    at = at.below[0] === undefined ? undefined : graph.devices.get(at.below[0]);
  }
  return words.join(' on ');
}

export const kindLabels: Readonly<Record<BlockKind, string | null>> = {
  disk: null,
  partition: null,
  lvm: 'LVM',
  crypt: 'encrypted',
  multipath: 'multipath',
  raid: 'RAID',
  loop: 'loop device',
  mapped: 'device mapper',
  other: null,
};

export interface Disk {
  /** What is used: the multipath device where there is one. */
  device: BlockDevice;
  /** Its paths, or itself alone. */
  paths: BlockDevice[];
}

/** The disks that are attached, those with several paths once; empty drives and removable media left out. */
export function disksOf(graph: BlockGraph): Disk[] {
  const isDisk = ({ kind, bytes, type, isRemovable }: BlockDevice): boolean =>
    kind === 'disk' && bytes > 0 && (type === null || type === 0) && !isRemovable;
  const all = [...graph.devices.values()];
  const multipath = all.filter(({ kind }) => kind === 'multipath');
  const inMultipath = new Set(multipath.flatMap(({ below }) => below));
  const single = all.filter((device) => isDisk(device) && !inMultipath.has(device.name));
  return [
    ...single.map((device) => ({ device, paths: [device] })),
    ...multipath.map((device) => ({
      device,
      paths: device.below.flatMap((name) => graph.devices.get(name) ?? []),
    })),
  ].sort((one, other) => byName(one.device.name, other.device.name));
}

/** sdb before sdaa, sda2 before sda10. */
export function byName(one: string, other: string): number {
  const keyOf = (name: string): [prefix: string, letters: number] => {
    const [, prefix = '', letters = ''] = /^([shv]d|xvd)([a-z]+)/.exec(name) ?? [];
    return [prefix === '' ? name.replace(/\d.*$/, '') : prefix, letters.length];
  };
  const [prefix, letters] = keyOf(one);
  const [otherPrefix, otherLetters] = keyOf(other);
  const byPrefix = prefix.localeCompare(otherPrefix) || letters - otherLetters;
  return byPrefix || one.localeCompare(other, 'en', { numeric: true });
}

/** Names of the disks of `disks` that lie under the device. */
export function disksUnder(graph: BlockGraph, name: string): BlockDevice[] {
  const under = walkDown(graph, name);
  const multipath = under.filter(({ kind }) => kind === 'multipath');
  const paths = new Set(multipath.flatMap(({ below }) => below));
  return [...multipath, ...under.filter((device) => device.below.length === 0 && !paths.has(device.name))];
}

function text(host: Host, path: string): string | null {
  const trimmed = host.read(path)?.trim() ?? '';
  return trimmed === '' ? null : trimmed;
}
