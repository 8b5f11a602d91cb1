// By what names this host finds its file systems and volumes: mounts, fstab, crypttab, boot loader, mdadm.
import { devicesOf, readMounts, readPlannedMounts } from './mounts.ts';
import { readBlockGraph, walkDown, type BlockDevice } from './block-graph.ts';
import type { Host } from './host.ts';
import { readCarriedNames, type IdentityField } from './superblocks.ts';

export interface NameInUse {
  field: IdentityField;
  value: string;
  /** Who goes by it: `/etc/fstab line 3 (/boot)`. */
  by: string;
}

/** Every name, each with everybody who uses it. */
export function readNamesInUse(host: Host): NameInUse[] {
  // mdadm puts the host's name before that of an array which was made here.
  const hostname = (host.read('/etc/hostname') ?? '').trim().split('.')[0] ?? '';
  return usedNames(host).flatMap((name) =>
    name.field === 'MD' && hostname !== '' && !name.value.includes(':')
      ? [name, { ...name, value: `${hostname}:${name.value}` }]
      : [name],
  );
}

function usedNames(host: Host): NameInUse[] {
  return [
    ...readPlannedMounts(host).flatMap(({ device, point, from }) =>
      namesIn(device, point === 'none' ? from : `${from} (${point})`),
    ),
    ...crypttabNames(host),
    ...bootNames(host),
    ...mdadmNames(host),
    ...mountedNames(host),
  ];
}

/** `UUID=…`, `/dev/disk/by-uuid/…`, `/dev/mapper/rl-root`, `/dev/rl/root`. */
function namesIn(specification: string, by: string): NameInUse[] {
  const tag = /^(UUID|LABEL|PARTUUID|PARTLABEL)=(.+)$/.exec(specification);
  if (tag !== null) return [{ field: tag[1] as IdentityField, value: tag[2]!.replaceAll('"', ''), by }];
  const link = /^\/dev\/disk\/by-(uuid|label|partuuid|partlabel)\/(.+)$/.exec(specification);
  if (link !== null)
    return [{ field: link[1]!.toUpperCase() as IdentityField, value: unescapeLink(link[2]!), by }];
  const mapper = /^\/dev\/mapper\/(.+)$/.exec(specification);
  if (mapper !== null) return groupNames(mapper[1]!, by);
  const volume = /^\/dev\/(?!mapper\/|disk\/|md\/)([^/]+)\/[^/]+$/.exec(specification);
  if (volume !== null) return [{ field: 'VG', value: volume[1]!, by }];
  const array = /^\/dev\/md\/(.+)$/.exec(specification);
  return array === null ? [] : [{ field: 'MD', value: array[1]!, by }];
}

/** udev writes a blank in a label as `\x20`. */
const unescapeLink = (name: string): string =>
  name.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** Device mapper doubles the hyphens of both names and puts one between them: none is no volume of LVM. */
function groupNames(mapperName: string, by: string): NameInUse[] {
  const match = /^((?:[^-]|--)+)-(?!-)/.exec(mapperName);
  return match === null ? [] : [{ field: 'VG', value: match[1]!.replaceAll('--', '-'), by }];
}

function crypttabNames(host: Host): NameInUse[] {
  return (host.read('/etc/crypttab') ?? '').split('\n').flatMap((entry, index) => {
    const [name, device] = entry.trim().split(/\s+/);
    if (name === undefined || device === undefined || name.startsWith('#')) return [];
    return namesIn(device, `/etc/crypttab line ${index + 1} (${name})`);
  });
}

const bootFiles = [
  '/proc/cmdline',
  '/etc/kernel/cmdline',
  '/etc/default/grub',
  '/boot/grub2/grub.cfg',
  '/boot/grub2/grubenv',
  '/boot/grub/grub.cfg',
  '/boot/grub/grubenv',
];

function bootNames(host: Host): NameInUse[] {
  const entries = (host.list('/boot/loader/entries') ?? []).map((name) => `/boot/loader/entries/${name}`);
  const vendors = (host.list('/boot/efi/EFI') ?? []).map((name) => `/boot/efi/EFI/${name}/grub.cfg`);
  return [...bootFiles, ...entries, ...vendors].flatMap((file) => bootNamesIn(host.read(file) ?? '', file));
}

/** Of kernel parameters and of grub's `search`. A boot loader's file says the same many times. */
export function bootNamesIn(text: string, by: string): NameInUse[] {
  const found: NameInUse[] = [];
  for (const [, tag, value] of text.matchAll(
    /\b(?:root|resume|rootfs|swap)="?(UUID|LABEL|PARTUUID|PARTLABEL)="?([^\s"']+)/g,
  )) {
    found.push({ field: tag as IdentityField, value: value!, by });
  }
  for (const [, path] of text.matchAll(/\b(?:root|resume)=(\/dev\/[^\s"']+)/g))
    found.push(...namesIn(path!, by));
  for (const [, value] of text.matchAll(/--(?:fs-uuid|set=\S+ --fs-uuid)[^\n]*?\s([0-9A-Fa-f-]{9,36})\s*$/gm))
    found.push({ field: 'UUID', value: value!, by });
  for (const [, value] of text.matchAll(/\brd\.luks\.uuid=(?:luks-)?([0-9a-f-]{36})/g))
    found.push({ field: 'UUID', value: value!, by });
  for (const [, value] of text.matchAll(/\brd\.lvm\.(?:vg|lv)=([^\s"'/]+)/g))
    found.push({ field: 'VG', value: value!, by });
  for (const [, value] of text.matchAll(/\brd\.md\.uuid=([0-9a-f:]{35})/g))
    found.push({ field: 'MD UUID', value: value!, by });
  const key = ({ field, value }: NameInUse): string => `${field}=${value}`;
  return [...new Map(found.map((one) => [key(one), one])).values()];
}

function mdadmNames(host: Host): NameInUse[] {
  return ['/etc/mdadm.conf', '/etc/mdadm/mdadm.conf'].flatMap((file) =>
    (host.read(file) ?? '')
      .split('\n')
      .filter((entry) => entry.startsWith('ARRAY'))
      .flatMap((entry): NameInUse[] => {
        const uuid = /\bUUID=([0-9a-f:]{35})/i.exec(entry)?.[1];
        const name = /\bname=(\S+)/i.exec(entry)?.[1];
        return [
          ...(uuid === undefined ? [] : [{ field: 'MD UUID' as const, value: uuid, by: file }]),
          ...(name === undefined ? [] : [{ field: 'MD' as const, value: name, by: file }]),
        ];
      }),
  );
}

const links: readonly [string, IdentityField][] = [
  ['/dev/disk/by-uuid', 'UUID'],
  ['/dev/disk/by-partuuid', 'PARTUUID'],
];

/**
 * Of every device under a mount: what it is called, and its volume group. No labels: what is mounted goes by
 * one only where a file says so. No loop devices either: somebody looks at files of a copy.
 */
function mountedNames(host: Host): NameInUse[] {
  const graph = readBlockGraph(host);
  const named = links.flatMap(([directory, field]) =>
    (host.list(directory) ?? []).map((name) => ({
      field,
      value: unescapeLink(name),
      node: host.realPath(`${directory}/${name}`),
    })),
  );
  return readMounts(host).flatMap((mount) => {
    const by = `${mount.point}, which is mounted`;
    const tops = devicesOf(host, graph, mount);
    const stack = tops.flatMap(({ name }) => walkDown(graph, name));
    if (stack.some(({ kind }) => kind === 'loop' || kind === 'other')) return [];
    const ofUdev = stack.flatMap((device) =>
      named.filter(({ node }) => node === nodeOf(device)).map(({ field, value }) => ({ field, value, by })),
    );
    return [
      ...ofUdev,
      ...tops.flatMap((device) => namesOnDevice(host, device, by)),
      ...stack.flatMap((device) => [...groupOf(device, by), ...arrayOf(device, by)]),
    ];
  });
}

/** What the device itself says: of two copies udev's link leads to one, and some hosts have no udev. */
function namesOnDevice(host: Host, device: BlockDevice, by: string): NameInUse[] {
  const carried = readCarriedNames((offset, length) => host.readBytes(nodeOf(device), offset, length));
  return carried
    .filter(({ field, partition }) => field === 'UUID' && partition === null)
    .map(({ field, value }) => ({ field, value, by }));
}

const nodeOf = ({ name }: BlockDevice): string => `/dev/${name.replaceAll('!', '/')}`;

/** `LVM-` and 32 characters of the group's UUID, 32 of the volume's. */
function groupOf({ kind, mapped }: BlockDevice, by: string): NameInUse[] {
  if (kind !== 'lvm' || mapped === null) return [];
  const id = /^LVM-(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})/.exec(mapped.uuid);
  const uuid = id === null ? [] : [{ field: 'VG UUID' as const, value: id.slice(1).join('-'), by }];
  return [...groupNames(mapped.name, by), ...uuid];
}

/** udev's link has the array's UUID as mdadm spells it. */
function arrayOf({ kind, identity }: BlockDevice, by: string): NameInUse[] {
  if (kind !== 'raid') return [];
  return identity.names.flatMap((name) => {
    const uuid = /^md-uuid-([0-9a-f:]{35})$/.exec(name)?.[1];
    return uuid === undefined ? [] : [{ field: 'MD UUID' as const, value: uuid, by }];
  });
}
