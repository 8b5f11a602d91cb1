// The machine of the host's scenario: its disks, and the packages that it is given on one of them.
import fs from 'node:fs';
import path from 'node:path';
import { readVersion } from '../../core/version.ts';
import { run, runOk } from '../support/homeward.ts';
import { Machine, type VirtualDisk } from './machine.ts';
import { rootImage } from './root-image.ts';

const root = path.resolve(import.meta.dirname, '../..');
const MiB = 2 ** 20;

/** What is installed first, and what it is upgraded to: as new as the configuration server, and no newer. */
export const newer = readVersion();
export const older = versionBefore(newer);

/** By what each disk is known below /dev/disk/by-id. */
export const wwn = {
  retention: '5000c50000000002',
  target: '5000c50000000003',
  lvm: '5000c50000000004',
  release: '5000c50000000005',
  late: '5000c50000000006',
  boot: '5000c50000000007',
} as const;
export const byId = (disk: keyof typeof wwn): string => `wwn-0x${wwn[disk]}`;

/** A retention disk, a disk for a replica, one that LVM has, one without any identity, one with packages. */
export async function startHost(directory: string): Promise<Machine> {
  const image = await rootImage();
  const disks: VirtualDisk[] = [
    { id: 'retention', ...blankDisk(directory, 'retention', 8192), serial: 'ret0001', wwn: wwn.retention },
    { id: 'target', ...blankDisk(directory, 'target', 64), serial: 'tgt0001', wwn: wwn.target },
    { id: 'nameless', ...blankDisk(directory, 'nameless', 64) },
    { id: 'lvm', ...blankDisk(directory, 'lvm', 256), serial: 'lvm0001', wwn: wwn.lvm },
    { id: 'boot', ...blankDisk(directory, 'boot', 128), serial: 'boot0001', wwn: wwn.boot },
    { id: 'release', file: await packages(directory), serial: 'rel0001', wwn: wwn.release, readOnly: true },
  ];
  return Machine.start({ directory, image, disks });
}

export function lateDisk(directory: string): VirtualDisk {
  return { id: 'late', ...blankDisk(directory, 'late', 128), serial: 'late0001', wwn: wwn.late };
}

function blankDisk(directory: string, name: string, mebibytes: number): { file: string } {
  const file = path.join(directory, `${name}.raw`);
  fs.writeFileSync(file, '');
  fs.truncateSync(file, mebibytes * MiB);
  return { file };
}

/** The initial file system that the host has built for itself, to boot it from. */
export async function takeInitrd(machine: Machine, directory: string): Promise<string> {
  const size = await machine.ok(
    `dd if=/boot/initrd.img-$(uname -r) of=/dev/disk/by-id/${byId('boot')} bs=1M conv=fsync status=none
     stat -c %s /boot/initrd.img-$(uname -r)`,
    120_000,
  );
  const file = path.join(directory, 'initrd');
  const content = fs.readFileSync(path.join(directory, 'boot.raw'));
  fs.writeFileSync(file, content.subarray(0, Number(size.trim())));
  return file;
}

function versionBefore(version: string): string {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  if (patch > 0) return `${major}.${minor}.${patch - 1}`;
  return minor > 0 ? `${major}.${minor - 1}.9` : `${major - 1}.9.9`;
}

/** A file system with what `scripts/package` builds of this checkout, as two versions. */
async function packages(directory: string): Promise<string> {
  const content = path.join(directory, 'packages');
  for (const version of [older, newer]) {
    const args = ['--out', path.join(content, version)];
    const { status, out, err } = await run(path.join(root, 'scripts/package'), args, {
      env: { VERSION: version },
      timeoutMs: 600_000,
    });
    if (status !== 0) throw new Error(`scripts/package ended with ${status}: ${(out + err).slice(-2000)}`);
  }
  const file = path.join(directory, 'packages.ext4');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, 256 * MiB);
  await runOk('mkfs.ext4', ['-q', '-F', '-L', 'packages', '-d', content, file]);
  fs.rmSync(content, { recursive: true });
  return file;
}
