// A Debian to boot: made with debootstrap once, kept in a cache, and never written by a machine.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { run } from '../support/homeward.ts';

export interface RootImage {
  /** A raw ext4 file system; machines get an overlay of it. */
  disk: string;
  kernel: string;
  initrd: string;
}

const suite = 'bookworm';
const packages = [
  ...['systemd', 'systemd-sysv', 'udev', 'dbus', 'kmod', 'login', 'procps', 'util-linux', 'iproute2', 'less'],
  ...['linux-image-cloud-amd64', 'initramfs-tools', 'e2fsprogs', 'xfsprogs', 'lvm2', 'logrotate', 'nftables'],
  ...['perl', 'lsscsi', 'rsync', 'wget', 'kexec-tools', 'qemu-utils', 'ca-certificates'],
];
const diskBytes = 4 * 2 ** 30;
const minutes = 60_000;

/** What stands in files of the root, beside what Debian has there. */
const files: Readonly<Record<string, string>> = {
  'etc/hostname': 'homeward\n',
  'etc/hosts': '127.0.0.1 localhost\n127.0.1.1 homeward\n::1 localhost\n',
  'etc/fstab': 'LABEL=root / ext4 defaults 0 1\n',
  'etc/resolv.conf': 'nameserver 10.0.2.3\n',
  'etc/systemd/network/any.network': '[Match]\nName=e*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n',
  'etc/systemd/system/serial-getty@hvc0.service.d/login.conf':
    '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 - dumb\n',
  // It is rebuilt in the machine, whose processor is slow.
  'etc/initramfs-tools/conf.d/quick': 'MODULES=dep\nCOMPRESS=gzip\nCOMPRESSLEVEL=1\n',
  // The journal is to be there after a reset.
  'etc/systemd/journald.conf.d/keep.conf': '[Journal]\nStorage=persistent\nSyncIntervalSec=5s\n',
};
const enabled = [
  'serial-getty@hvc0.service',
  'systemd-networkd.service',
  'systemd-networkd-wait-online.service',
];
const masked = [
  ...[
    'apt-daily.timer',
    'apt-daily-upgrade.timer',
    'e2scrub_all.timer',
    'fstrim.timer',
    'dpkg-db-backup.timer',
  ],
  ...['e2scrub_reap.service', 'systemd-pcrphase.service', 'getty@tty1.service', 'serial-getty@ttyS0.service'],
];

/** Makes it unless the cache has it: some minutes, and the network, the first time. Needs root. */
export async function rootImage(): Promise<RootImage> {
  const cache = process.env['HOMEWARD_VM_CACHE'] ?? path.join(os.homedir(), '.cache', 'homeward-vm');
  const tree = await ensureMade(cache, 'debian', [suite, packages], (making) =>
    runs('debootstrap', ['--variant=minbase', `--include=${packages.join(',')}`, suite, making], 15),
  );
  const parts = [path.basename(tree), diskBytes, files, enabled, masked];
  const directory = await ensureMade(cache, 'image', parts, async (making) => {
    const root = path.join(making, 'root');
    await runs('cp', ['-a', tree, root], 5);
    await configure(root);
    const image = imageIn(making);
    takeBootFiles(root, image);
    fs.writeFileSync(image.disk, '');
    fs.truncateSync(image.disk, diskBytes);
    await runs('mkfs.ext4', ['-q', '-F', '-L', 'root', '-d', root, image.disk], 5);
    fs.rmSync(root, { recursive: true });
  });
  return imageIn(directory);
}

/** A directory of the cache, named by what it is made from; it is there whole or not at all. */
async function ensureMade(
  cache: string,
  what: string,
  recipe: unknown,
  make: (directory: string) => Promise<void>,
): Promise<string> {
  const key = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 12);
  const directory = path.join(cache, `${what}-${key}`);
  if (fs.existsSync(directory)) return directory;
  const making = `${directory}.${process.pid}`;
  fs.mkdirSync(making, { recursive: true });
  try {
    await make(making);
    fs.renameSync(making, directory);
  } finally {
    fs.rmSync(making, { recursive: true, force: true });
  }
  return directory;
}

const imageIn = (directory: string): RootImage => ({
  disk: path.join(directory, 'root.ext4'),
  kernel: path.join(directory, 'vmlinuz'),
  initrd: path.join(directory, 'initrd'),
});

async function configure(root: string): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(root, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.rmSync(file, { force: true });
    fs.writeFileSync(file, text);
  }
  await runs('systemctl', [`--root=${root}`, 'enable', ...enabled], 1);
  await runs('systemctl', [`--root=${root}`, 'mask', ...masked], 1);
  await runs('sh', ['-c', `rm -rf "${root}"/var/cache/apt/archives/*.deb "${root}"/var/lib/apt/lists/*`], 1);
}

function takeBootFiles(root: string, to: RootImage): void {
  const boot = path.join(root, 'boot');
  const named = (start: string): string => {
    const name = fs.readdirSync(boot).find((each) => each.startsWith(start));
    if (name === undefined) throw new Error(`the new root has no /boot/${start}…`);
    return path.join(boot, name);
  };
  fs.copyFileSync(named('vmlinuz-'), to.kernel);
  fs.copyFileSync(named('initrd.img-'), to.initrd);
}

async function runs(program: string, args: readonly string[], mostMinutes: number): Promise<void> {
  const { status, out, err } = await run(program, args, { timeoutMs: mostMinutes * minutes });
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${(out + err).slice(-2000)}`);
}
