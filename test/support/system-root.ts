// Directories that look like the root of a real system: /etc, /proc, /sys and /dev as ApplyCustomChanges.sh
// reads them.
import fs from 'node:fs';
import path from 'node:path';

export interface RootDisk {
  name: string;
  /** Below /dev/disk/by-id, of the whole disk; partitions get `-partN`. */
  ids?: readonly string[];
  paths?: readonly string[];
  wwid?: string;
  /** Number to the UUID of what it holds, and of the physical volume where it is one. */
  partitions?: Readonly<Record<number, { uuid?: string; pv?: string }>>;
  uuid?: string;
  pv?: string;
}

export interface RootMapped {
  name: string;
  dm: string;
  uuid: string;
  slaves: readonly string[];
}

export interface SystemRoot {
  /** Path in the root to content. */
  files: Readonly<Record<string, string>>;
  disks: readonly RootDisk[];
  mapped?: readonly RootMapped[];
  arrays?: readonly { name: string; uuid: string; slaves: readonly string[] }[];
  /** Mount point to kernel name. */
  mounts: Readonly<Record<string, string>>;
}

export function makeSystemRoot(directory: string, system: SystemRoot): void {
  const numbers = new Numbers(directory);
  for (const [file, content] of Object.entries(system.files)) write(path.join(directory, file), content);
  for (const disk of system.disks) makeDisk(numbers, disk);
  for (const { name, dm, uuid, slaves } of system.mapped ?? []) {
    const place = numbers.device(name, `devices/virtual/block/${name}`, slaves);
    write(path.join(place, 'dm/uuid'), `${uuid}\n`);
    write(path.join(place, 'dm/name'), `${dm}\n`);
    numbers.link(`mapper/${dm}`, `../${name}`);
    numbers.link(`disk/by-id/dm-name-${dm}`, `../../${name}`);
    numbers.link(`disk/by-id/dm-uuid-${uuid}`, `../../${name}`);
  }
  for (const { name, uuid, slaves } of system.arrays ?? []) {
    const place = numbers.device(name, `devices/virtual/block/${name}`, slaves);
    write(path.join(place, 'md/metadata_version'), '1.2\n');
    numbers.link(`disk/by-id/md-uuid-${uuid}`, `../../${name}`);
  }
  const lines = Object.entries(system.mounts).map(
    ([at, name], place) =>
      `${20 + place} 1 ${numbers.of(name)} / ${at} rw,relatime shared:1 - xfs /dev/${name} rw,attr2`,
  );
  write(
    path.join(directory, 'proc/self/mountinfo'),
    [...lines, '40 20 0:22 / /sys rw - sysfs sysfs rw'].join('\n') + '\n',
  );
  write(path.join(directory, 'proc/swaps'), 'Filename\tType\tSize\tUsed\tPriority\n');
}

function makeDisk(numbers: Numbers, disk: RootDisk): void {
  const { name, ids = [], paths = [], partitions = {} } = disk;
  const base = `devices/pci0000:00/0000:00:10.0/block/${name}`;
  const place = numbers.device(name, base, []);
  if (disk.wwid !== undefined) write(path.join(place, 'device/wwid'), `${disk.wwid}\n`);
  const nameAll = (device: string, suffix: string, held: { uuid?: string; pv?: string }): void => {
    for (const id of ids) numbers.link(`disk/by-id/${id}${suffix}`, `../../${device}`);
    for (const id of paths) numbers.link(`disk/by-path/${id}${suffix}`, `../../${device}`);
    if (held.uuid !== undefined) numbers.link(`disk/by-uuid/${held.uuid}`, `../../${device}`);
    if (held.pv !== undefined) numbers.link(`disk/by-id/lvm-pv-uuid-${held.pv}`, `../../${device}`);
  };
  nameAll(name, '', disk);
  for (const [number, held] of Object.entries(partitions)) {
    const part = /\d$/.test(name) ? `${name}p${number}` : `${name}${number}`;
    write(path.join(numbers.device(part, `${base}/${part}`, []), 'partition'), `${number}\n`);
    nameAll(part, `-part${number}`, held);
  }
}

/** Gives devices their numbers and places, as /sys has them. */
class Numbers {
  readonly #directory: string;
  readonly #given = new Map<string, string>();

  constructor(directory: string) {
    this.#directory = directory;
    fs.mkdirSync(path.join(directory, 'sys/class/block'), { recursive: true });
    fs.mkdirSync(path.join(directory, 'sys/dev/block'), { recursive: true });
  }

  of(name: string): string {
    const number = this.#given.get(name);
    if (number === undefined) throw new Error(`there is no device ${name}`);
    return number;
  }

  /** The path of its directory. */
  device(name: string, place: string, slaves: readonly string[]): string {
    const number = `8:${this.#given.size}`;
    this.#given.set(name, number);
    const directory = path.join(this.#directory, 'sys', place);
    write(path.join(directory, 'dev'), `${number}\n`);
    fs.mkdirSync(path.join(directory, 'slaves'), { recursive: true });
    for (const slave of slaves)
      fs.symlinkSync(`../../../../class/block/${slave}`, path.join(directory, 'slaves', slave));
    fs.symlinkSync(`../../${place}`, path.join(this.#directory, 'sys/class/block', name));
    fs.symlinkSync(`../../${place}`, path.join(this.#directory, 'sys/dev/block', number));
    return directory;
  }

  /** A link below /dev; the last one made counts, as with udev. */
  link(name: string, target: string): void {
    const file = path.join(this.#directory, 'dev', name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.rmSync(file, { force: true });
    fs.symlinkSync(target, file);
  }
}

function write(file: string, content: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
}
