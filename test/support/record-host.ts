// Writes a recorded host from a compact description: files as those of /sys, /proc, /dev, /run/udev.
import fs from 'node:fs';
import path from 'node:path';
import type { Host } from '../../agent/prerequisites/host.ts';
import { HostTree } from './host-tree.ts';
import { hostOf, type RecordedFacts } from './recorded-host.ts';

export interface DescribedDisk {
  name: string;
  bytes: number;
  kind?: 'scsi' | 'nvme' | 'virtio';
  vendor?: string;
  model?: string;
  /** As the kernel spells it; left out: the device shows none. */
  wwid?: string;
  /** Shown in VPD page 83 alone: the kernel has no file `wwid` for it. */
  onlyInVpd?: boolean;
  serial?: string;
  /** SCSI device type, 0. */
  type?: number;
  removable?: boolean;
  readOnly?: boolean;
  /** Sizes of sda1, sda2 … */
  partitions?: number[];
  /** Names in /dev/disk/by-id beyond those of the WWID. */
  names?: string[];
  /** One of several paths: udev gives the names to what holds them. */
  isPath?: boolean;
}

export interface DescribedMapping {
  /** `dm-0`, `md127` */
  name: string;
  /** Of device mapper or of the array. */
  label: string;
  uuid: string;
  on: string[];
  bytes: number;
  /** Further names in /dev/disk/by-id. */
  names?: string[];
}

export interface DescribedMount {
  /** A block device by its kernel name, or a source such as `tmpfs`. */
  device: string;
  point: string;
  type: string;
  options?: string;
}

export interface DescribedHost {
  disks: DescribedDisk[];
  mappings?: DescribedMapping[];
  mounts: DescribedMount[];
  /** By kernel name. */
  fileSystems?: Record<string, { uuid: string; label?: string; partuuid?: string }>;
  swaps?: string[];
  files?: Record<string, string | Uint8Array>;
  links?: Record<string, string>;
  /** Their output, by `PROGRAM ARGUMENTS`; a number stands for an exit status. */
  commands?: Record<string, string | number>;
  facts?: RecordedFacts;
}

/** The description as a host. */
export function described(host: DescribedHost): Host {
  const commands = Object.entries(host.commands ?? {}).map(([words, output]) => ({
    words,
    result:
      typeof output === 'number'
        ? { status: output, stdout: '', stderr: '' }
        : { status: 0, stdout: output, stderr: '' },
  }));
  return hostOf({ tree: treeOf(host), commands, facts: host.facts ?? {} });
}

/** `base` with what `change` has in place of its own; files, links, commands and facts are added to. */
export function changed(base: DescribedHost, change: Partial<DescribedHost>): DescribedHost {
  return {
    ...base,
    ...change,
    fileSystems: { ...base.fileSystems, ...change.fileSystems },
    files: { ...base.files, ...change.files },
    links: { ...base.links, ...change.links },
    commands: { ...base.commands, ...change.commands },
    facts: { ...base.facts, ...change.facts },
  };
}

/** The description as files, for `recordedHost`. */
export function writeRecordedHost(directory: string, host: DescribedHost): void {
  treeOf(host).save(path.join(directory, 'root'));
  writeCommands(path.join(directory, 'commands'), host.commands ?? {});
  fs.writeFileSync(path.join(directory, 'host.json'), `${JSON.stringify(host.facts ?? {}, null, 2)}\n`);
}

function treeOf(host: DescribedHost): HostTree {
  const tree = new HostTree();
  const numbers = new Map<string, string>();
  for (const [index, disk] of host.disks.entries()) writeDisk(tree, disk, index, numbers);
  for (const [index, mapping] of (host.mappings ?? []).entries()) writeMapping(tree, mapping, index, numbers);
  for (const [name, names] of Object.entries(host.fileSystems ?? {})) writeFileSystemNames(tree, name, names);
  tree.write('/proc/self/mountinfo', host.mounts.map((mount, at) => mountLine(mount, at, numbers)).join(''));
  tree.write('/proc/swaps', swapsText(host.swaps ?? []));
  for (const { point } of host.mounts) tree.directory(point);
  for (const [file, content] of Object.entries(host.files ?? {})) tree.write(file, content);
  for (const [file, target] of Object.entries(host.links ?? {})) tree.link(file, target);
  return tree;
}

const sectorBytes = 512;

function writeDisk(tree: HostTree, disk: DescribedDisk, index: number, numbers: Map<string, string>): void {
  const { name, kind = 'scsi', partitions = [] } = disk;
  const major = { scsi: 8, nvme: 259, virtio: 254 }[kind];
  const device = `/sys/devices/pci0000:00/0000:03:00.0/${kind}/${index}:0:0:0`;
  const at = `${device}/block/${name}`;
  writeBlock(tree, at, { name, number: `${major}:${index * 16}`, bytes: disk.bytes }, numbers);
  tree.write(`${at}/removable`, disk.removable === true ? '1\n' : '0\n');
  tree.write(`${at}/ro`, disk.readOnly === true ? '1\n' : '0\n');
  tree.link(`${at}/device`, '../../');
  writeIdentity(tree, device, at, disk);
  for (const [order, bytes] of partitions.entries()) {
    const number = order + 1;
    const part = `${name}${kind === 'nvme' ? 'p' : ''}${number}`;
    const own = `${at}/${part}`;
    writeBlock(tree, own, { name: part, number: `${major}:${index * 16 + number}`, bytes }, numbers);
    tree.write(`${own}/partition`, `${number}\n`);
  }
  const names = [...(disk.isPath === true ? [] : namesOf(disk)), ...(disk.names ?? [])];
  for (const one of names) {
    tree.link(`/dev/disk/by-id/${one}`, `../../${name}`);
    for (const order of partitions.keys()) {
      const part = `${name}${kind === 'nvme' ? 'p' : ''}${order + 1}`;
      tree.link(`/dev/disk/by-id/${one}-part${order + 1}`, `../../${part}`);
    }
  }
  const udev = disk.wwid === undefined ? '' : `E:ID_SERIAL=${disk.wwid}\n`;
  tree.write(`/run/udev/data/b${major}:${index * 16}`, `I:1\n${udev}`);
}

interface BlockFacts {
  name: string;
  number: string;
  bytes: number;
}

function writeBlock(
  tree: HostTree,
  at: string,
  { name, number, bytes }: BlockFacts,
  numbers: Map<string, string>,
): void {
  numbers.set(name, number);
  tree.write(`${at}/dev`, `${number}\n`);
  tree.write(`${at}/size`, `${bytes / sectorBytes}\n`);
  tree.write(`${at}/ro`, '0\n');
  tree.directory(`${at}/holders`);
  tree.directory(`${at}/slaves`);
  tree.link(`/sys/class/block/${name}`, path.relative('/sys/class/block', at));
  tree.write(`/dev/${name}`, '');
}

function writeIdentity(tree: HostTree, device: string, at: string, disk: DescribedDisk): void {
  const { kind = 'scsi', vendor, model, wwid, serial, type = 0 } = disk;
  if (kind === 'scsi') {
    tree.write(`${device}/type`, `${type}\n`);
    // The kernel pads both with blanks, as the device does.
    tree.write(`${device}/vendor`, `${(vendor ?? 'VMware').padEnd(8)}\n`);
    tree.write(`${device}/model`, `${(model ?? 'Virtual disk').padEnd(16)}\n`);
    if (wwid !== undefined) tree.write(`${device}/vpd_pg83`, vpdPage(wwid));
    if (wwid !== undefined && disk.onlyInVpd !== true) tree.write(`${device}/wwid`, `${wwid}\n`);
  } else {
    if (model !== undefined) tree.write(`${device}/model`, `${model}\n`);
    if (wwid !== undefined) tree.write(`${at}/wwid`, `${wwid}\n`);
  }
  if (serial !== undefined)
    tree.write(kind === 'virtio' ? `${at}/serial` : `${device}/serial`, `${serial}\n`);
}

/** One designator of the logical unit, after one of the target's port, which is nobody's identity. */
function vpdPage(wwid: string): Uint8Array {
  const [, kind = '', text = ''] = /^(naa|eui|t10)\.(.*)$/.exec(wwid) ?? [];
  const bytes = kind === 't10' ? Buffer.from(text, 'latin1') : Buffer.from(text, 'hex');
  const code = { naa: 3, eui: 2, t10: 1 }[kind as 'naa' | 'eui' | 't10'];
  const port = Buffer.from([0x61, 0x93, 0, 8, 0x50, 0, 0, 0, 0, 0, 0, 1]);
  const unit = Buffer.concat([Buffer.from([kind === 't10' ? 2 : 1, code, 0, bytes.length]), bytes]);
  const body = Buffer.concat([port, unit]);
  return Buffer.concat([Buffer.from([0, 0x83, body.length >> 8, body.length & 255]), body]);
}

/** As udev's 60-persistent-storage.rules make them. */
function namesOf({ kind = 'scsi', wwid, serial, model }: DescribedDisk): string[] {
  const [, type, id = ''] = /^(naa|eui|t10)\.(.*)$/.exec(wwid ?? '') ?? [];
  if (kind === 'nvme') return wwid === undefined ? [] : [`nvme-${wwid}`, `nvme-${model}_${serial}`];
  if (kind === 'virtio') return serial === undefined ? [] : [`virtio-${serial}`];
  if (type === 'naa') return [`wwn-0x${id}`, `scsi-3${id}`];
  return type === undefined ? [] : [`scsi-${type === 't10' ? '1' : '2'}${id.replaceAll(/\s+/g, '_')}`];
}

function writeMapping(
  tree: HostTree,
  mapping: DescribedMapping,
  index: number,
  numbers: Map<string, string>,
): void {
  const { name, label, uuid, on, bytes } = mapping;
  const isArray = name.startsWith('md');
  const at = `/sys/devices/virtual/block/${name}`;
  writeBlock(tree, at, { name, number: `${isArray ? 9 : 253}:${index}`, bytes }, numbers);
  if (isArray) {
    tree.write(`${at}/md/level`, 'raid1\n');
    tree.link(`/dev/md/${label}`, `../${name}`);
    tree.link(`/dev/disk/by-id/md-uuid-${uuid}`, `../../${name}`);
  } else {
    tree.write(`${at}/dm/name`, `${label}\n`);
    tree.write(`${at}/dm/uuid`, `${uuid}\n`);
    tree.link(`/dev/mapper/${label}`, `../${name}`);
    tree.link(`/dev/disk/by-id/dm-name-${label}`, `../../${name}`);
    tree.link(`/dev/disk/by-id/dm-uuid-${uuid}`, `../../${name}`);
  }
  for (const one of mapping.names ?? []) tree.link(`/dev/disk/by-id/${one}`, `../../${name}`);
  for (const below of on) {
    tree.link(`${at}/slaves/${below}`, `../../../../../class/block/${below}`);
    tree.link(`/sys/class/block/${below}/holders/${name}`, `/sys/class/block/${name}`);
  }
}

function writeFileSystemNames(
  tree: HostTree,
  name: string,
  { uuid, label, partuuid }: { uuid: string; label?: string; partuuid?: string },
): void {
  tree.link(`/dev/disk/by-uuid/${uuid}`, `../../${name}`);
  if (label !== undefined) tree.link(`/dev/disk/by-label/${label}`, `../../${name}`);
  if (partuuid !== undefined) tree.link(`/dev/disk/by-partuuid/${partuuid}`, `../../${name}`);
}

function mountLine(
  { device, point, type, options = 'rw,relatime' }: DescribedMount,
  at: number,
  numbers: Map<string, string>,
): string {
  const number = type === 'btrfs' ? undefined : numbers.get(device);
  const source = numbers.has(device) ? `/dev/${device}` : device;
  const front = `${20 + at} 1 ${number ?? `0:${40 + at}`} / ${point} ${options} shared:${at + 1}`;
  return `${front} - ${type} ${source} ${options}\n`;
}

const swapsText = (swaps: readonly string[]): string =>
  [
    'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority',
    ...swaps.map((device) => `${device.padEnd(40)}partition\t2097148\t0\t-2`),
    '',
  ].join('\n');

function writeCommands(directory: string, commands: Record<string, string | number>): void {
  fs.mkdirSync(directory, { recursive: true });
  for (const [at, [words, output]] of Object.entries(commands).entries()) {
    const body = typeof output === 'number' ? `[exit ${output}]\n` : output;
    fs.writeFileSync(path.join(directory, `${at}-${words.split(' ')[0]}.txt`), `$ ${words}\n${body}`);
  }
}
