// Debian 12 under KVM: root on btrfs, disks of virtio-scsi and of virtio.
import type { DescribedHost } from '../support/record-host.ts';

const GiB = 1024 ** 3;

export const debian12: DescribedHost = {
  disks: [
    {
      name: 'sda',
      bytes: 32 * GiB,
      vendor: 'QEMU',
      model: 'QEMU HARDDISK',
      wwid: 't10.QEMU    QEMU HARDDISK   system-1',
      partitions: [31 * GiB],
    },
    { name: 'sdb', bytes: 64 * GiB, vendor: 'QEMU', model: 'QEMU HARDDISK', wwid: 'naa.5000c50015ea71ac' },
    { name: 'vda', kind: 'virtio', bytes: 16 * GiB, serial: 'replica-1' },
  ],
  mounts: [
    { device: 'sda1', point: '/', type: 'btrfs' },
    { device: 'sdb', point: '/srv/retention', type: 'ext4' },
  ],
  fileSystems: {
    sda1: { uuid: 'a1d4c8f2-70b3-49e5-8c61-d25f0e9b7a34' },
    sdb: { uuid: 'f60b2e97-1d8a-4c53-b7e4-08a9c3d5f172' },
  },
  files: {
    '/etc/os-release':
      'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION="12 (bookworm)"\nID=debian\n',
    '/etc/fstab': 'UUID=a1d4c8f2-70b3-49e5-8c61-d25f0e9b7a34 / btrfs defaults,subvol=@rootfs 0 0\n',
    // As systemd spells /srv/retention.
    '/etc/systemd/system/srv-retention.mount':
      '[Unit]\nDescription=History\n[Mount]\nWhat=/dev/disk/by-uuid/f60b2e97-1d8a-4c53-b7e4-08a9c3d5f172\n' +
      'Where=/srv/retention\nType=ext4\n[Install]\nWantedBy=multi-user.target\n',
    '/proc/cmdline':
      'BOOT_IMAGE=/@rootfs/boot/vmlinuz-6.1.0-21-amd64 root=UUID=a1d4c8f2-70b3-49e5-8c61-d25f0e9b7a34 ro\n',
    '/proc/sys/kernel/osrelease': '6.1.0-21-amd64\n',
    '/srv/retention/homeward-volume.json': '{}\n',
    '/sys/fs/btrfs/a1d4c8f2-70b3-49e5-8c61-d25f0e9b7a34/devices/sda1/dev': '8:1\n',
  },
  facts: { space: { '/srv/retention': { total: 63 * GiB, free: 60 * GiB } } },
};
