// What tells one disk from all others, and the names that follow it wherever the kernel finds it next time.
import { basename } from 'node:path';

/** The files that an identity is read from; null for what is not there. */
export interface DeviceFiles {
  read(path: string): string | null;
  readBytes(path: string, offset: number, length: number): Uint8Array | null;
  list(path: string): string[] | null;
  realPath(path: string): string | null;
}

export interface DiskIdentity {
  /** World wide, as the kernel spells it: `naa.6000…`, `eui.0025…`, `t10.…`; null when it shows none. */
  wwid: string | null;
  serial: string | null;
  /** Links in /dev/disk/by-id that lead to this very device and stay with it; the best one first. */
  names: string[];
}

export const byIdDirectory = '/dev/disk/by-id';

/** Names that say whose disk it is, best first. What is on a disk may change: such names do not count. */
const kinds = [
  /^wwn-/,
  /^nvme-eui\./,
  /^nvme-(?:nguid|uuid)\./,
  /^dm-uuid-(?:mpath|LVM|CRYPT)-/,
  /^dm-uuid-/,
  /^scsi-3/,
  /^scsi-/,
  /^md-uuid-/,
  /^nvme-/,
  /^ata-/,
  /^virtio-/,
  /^usb-/,
  /^dm-name-/,
];
const ofTheContent = /^lvm-pv-uuid-/;

/** `name` is the kernel's: `sda`, `nvme0n1`, `dm-3`. */
export function readDiskIdentity(
  files: DeviceFiles,
  name: string,
  links: DeviceLinks = readDeviceLinks(files),
): DiskIdentity {
  const at = `/sys/class/block/${name}`;
  const names = links.get(`/dev/${name.replaceAll('!', '/')}`) ?? [];
  const shown = line(files.read(`${at}/device/wwid`)) ?? line(files.read(`${at}/wwid`));
  const wwid = shown ?? ofPage(files.readBytes(`${at}/device/vpd_pg83`, 0, 4096)) ?? ofName(names[0]);
  const serial = line(files.read(`${at}/device/serial`)) ?? line(files.read(`${at}/serial`));
  if (wwid !== null && serial !== null) return { wwid, serial, names };
  // udev may know it from a program of its own; of a partition it has what its disk has.
  const isPartition = files.read(`${at}/partition`) !== null;
  const udev = isPartition ? new Map<string, string>() : readUdevFields(files, name);
  return { wwid: wwid ?? ofUdev(udev), serial: serial ?? udev.get('ID_SCSI_SERIAL') ?? null, names };
}

const ofPage = (page: Uint8Array | null): string | null => (page === null ? null : parseDesignators(page));

/** The names in /dev/disk/by-id of each device node but those of what is on it, best first. */
export type DeviceLinks = ReadonlyMap<string, string[]>;

/** For whoever asks about many devices: every link is followed once. */
export function readDeviceLinks(files: DeviceFiles): DeviceLinks {
  const links = new Map<string, string[]>();
  for (const name of files.list(byIdDirectory) ?? []) {
    const node = ofTheContent.test(name) ? null : files.realPath(`${byIdDirectory}/${name}`);
    if (node !== null) links.set(node, [...(links.get(node) ?? []), name]);
  }
  for (const names of links.values())
    names.sort((one, other) => rank(one) - rank(other) || one.localeCompare(other));
  return links;
}

function rank(name: string): number {
  const at = kinds.findIndex((kind) => kind.test(name));
  return at === -1 ? kinds.length : at;
}

/** A path that names a disk by the order in which the kernel found it. */
export function isUnstablePath(path: string): boolean {
  return /^(?:[shv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+|dm-\d+|md\d+|mmcblk\d+)(?:p?\d+)?$/.test(basename(path));
}

/**
 * The identity of a logical unit among the designators of VPD page 0x83 (SPC-5, 7.7.6), spelled as the kernel
 * does; the most specific one. Null when it has none, as VMware disks without disk.EnableUUID.
 */
export function parseDesignators(page: Uint8Array): string | null {
  if (page.length < 4 || page[1] !== 0x83) return null;
  const end = Math.min(page.length, 4 + page[2]! * 256 + page[3]!);
  const found: { rank: number; text: string }[] = [];
  for (let at = 4; at + 4 <= end; at += 4 + page[at + 3]!) {
    const designator = page.subarray(at + 4, Math.min(end, at + 4 + page[at + 3]!));
    const association = (page[at + 1]! >> 4) & 3;
    // Those of a port or of the whole target are the same for all its disks.
    if (association === 0 && designator.length > 0) {
      const one = spell(page[at + 1]! & 15, designator);
      if (one !== null) found.push(one);
    }
  }
  return found.sort((one, other) => one.rank - other.rank)[0]?.text ?? null;
}

function spell(type: number, bytes: Uint8Array): { rank: number; text: string } | null {
  const hex = Buffer.from(bytes).toString('hex');
  // Vendors pad with zeros or blanks.
  const text = Buffer.from(bytes).toString('latin1').replace(/\0+$/, '').trim();
  if (type === 3) return { rank: bytes.length >= 16 ? 0 : 2, text: `naa.${hex}` };
  if (type === 2) return { rank: bytes.length >= 16 ? 1 : 3, text: `eui.${hex}` };
  if (type === 8) return { rank: 4, text };
  return type === 1 && text !== '' ? { rank: 5, text: `t10.${text}` } : null;
}

/** What udev has read from the device: /run/udev/data/b8:0. Empty without udev. */
function readUdevFields(files: DeviceFiles, name: string): Map<string, string> {
  const number = line(files.read(`/sys/class/block/${name}/dev`));
  const text = number === null ? null : files.read(`/run/udev/data/b${number}`);
  const fields = new Map<string, string>();
  for (const entry of (text ?? '').split('\n')) {
    const match = /^E:([^=]+)=(.*)$/.exec(entry);
    if (match !== null) fields.set(match[1]!, match[2]!);
  }
  return fields;
}

function ofUdev(fields: Map<string, string>): string | null {
  const name = fields.get('ID_WWN_WITH_EXTENSION') ?? fields.get('ID_WWN');
  if (name === undefined || fields.has('DM_UUID')) return null;
  return name.startsWith('0x') ? `naa.${name.slice(2)}` : name;
}

function ofName(name: string | undefined): string | null {
  const match = /^(?:wwn-0x|scsi-3)([0-9a-f]{16,32})$/.exec(name ?? '');
  if (match !== null) return `naa.${match[1]}`;
  return /^nvme-(eui\.[0-9a-f]+)$/.exec(name ?? '')?.[1] ?? null;
}

function line(text: string | null): string | null {
  // The kernel pads what it has from the device.
  const trimmed = text?.replaceAll('\0', '').trim() ?? '';
  return trimmed === '' ? null : trimmed;
}
