// Rocky Linux 8 and 9 as master targets: on VMware, on LVM, multipath, NVMe, cloned, with seventy disks.
import { changed, type DescribedDisk, type DescribedHost } from '../support/record-host.ts';

const GiB = 1024 ** 3;
const MiB = 1024 ** 2;

const osRelease = (version: string): string =>
  [
    'NAME="Rocky Linux"',
    `VERSION="${version} (Blue Onyx)"`,
    'ID="rocky"',
    'ID_LIKE="rhel centos fedora"',
    `VERSION_ID="${version}"`,
    `PLATFORM_ID="platform:el${version[0]}"`,
    `PRETTY_NAME="Rocky Linux ${version} (Blue Onyx)"`,
    '',
  ].join('\n');

/** Of a disk of a VMware machine with disk.EnableUUID. */
export const vmwareWwid = (number: number): string =>
  `naa.6000c29a3f8d19c2b40e75d6a01f3${number.toString(16).padStart(3, '0')}`;

export const uuids = {
  boot: '5b3f6d2a-8c1e-4f70-9d24-b06e1a7c3d58',
  efi: '7A21-4C0E',
  root: '0e9d4c71-36ab-4d82-a5f1-92c7e8b01d46',
  swap: '91f0a2bc-7d43-4e18-b6c5-2a8f03d9e714',
  retention: 'c4a7e912-05bd-48f3-8e61-7fd2b93a0c85',
} as const;

const systemParts = [600 * MiB, 1024 * MiB, 38 * GiB];

const plainFstab = [
  '# /etc/fstab, created by anaconda',
  `UUID=${uuids.root} /                       xfs     defaults        0 0`,
  `UUID=${uuids.boot} /boot                   xfs     defaults        0 0`,
  `UUID=${uuids.efi}          /boot/efi               vfat    umask=0077,shortname=winnt 0 2`,
  `UUID=${uuids.retention} /retention xfs defaults,nofail 0 0`,
  '',
].join('\n');

function vmware(version: string, kernel: string): DescribedHost {
  return {
    disks: [
      { name: 'sda', bytes: 40 * GiB, wwid: vmwareWwid(1), partitions: systemParts },
      { name: 'sdb', bytes: 200 * GiB, wwid: vmwareWwid(2), partitions: [200 * GiB - 2 * MiB] },
      { name: 'sdc', bytes: 100 * GiB, wwid: vmwareWwid(3) },
      // The optical drive that every such machine has.
      {
        name: 'sr0',
        bytes: 1 * MiB,
        vendor: 'NECVMWar',
        model: 'VMware IDE CDR00',
        type: 5,
        removable: true,
      },
    ],
    mounts: [
      { device: 'sysfs', point: '/sys', type: 'sysfs' },
      { device: 'proc', point: '/proc', type: 'proc' },
      { device: 'sda3', point: '/', type: 'xfs' },
      { device: 'tmpfs', point: '/tmp/build', type: 'tmpfs' },
      { device: 'sda2', point: '/boot', type: 'xfs' },
      { device: 'sda1', point: '/boot/efi', type: 'vfat' },
      { device: 'sdb1', point: '/retention', type: 'xfs' },
    ],
    fileSystems: {
      sda1: { uuid: uuids.efi, partuuid: 'd1c5b8e0-1111-4a6f-8a34-1f5b0c7e2d91' },
      sda2: { uuid: uuids.boot, partuuid: 'd1c5b8e0-2222-4a6f-8a34-1f5b0c7e2d91' },
      sda3: { uuid: uuids.root, partuuid: 'd1c5b8e0-3333-4a6f-8a34-1f5b0c7e2d91' },
      sdb1: { uuid: uuids.retention, partuuid: 'e72f4a06-1111-4c92-b3d8-60a1f9e5c847' },
    },
    files: {
      '/etc/os-release': osRelease(version),
      '/etc/fstab': plainFstab,
      '/proc/cmdline': `BOOT_IMAGE=(hd0,gpt2)/vmlinuz-${kernel} root=UUID=${uuids.root} ro quiet\n`,
      '/proc/sys/kernel/osrelease': `${kernel}\n`,
      '/boot/grub2/grub.cfg': `search --no-floppy --fs-uuid --set=boot ${uuids.boot}\n`,
      '/boot/loader/entries/a.conf': `title Rocky Linux\noptions root=UUID=${uuids.root} ro quiet\n`,
      '/retention/homeward-volume.json': '{}\n',
      '/retention/lost+found/.keep': '',
    },
    facts: {
      space: {
        '/': { total: 38 * GiB, free: 30 * GiB },
        '/retention': { total: 200 * GiB, free: 150 * GiB },
      },
    },
  };
}

export const el8Vmware = vmware('8.10', '4.18.0-553.el8_10.x86_64');
export const el9Vmware = vmware('9.4', '5.14.0-427.13.1.el9_4.x86_64');

/** As vSphere makes machines when nobody thought of it: no disk answers to VPD page 83. */
function withoutUuid(host: DescribedHost): DescribedHost {
  const disks = host.disks.map((disk) => {
    const { wwid, ...rest } = disk;
    return wwid === undefined ? disk : rest;
  });
  return changed(host, { disks });
}
export const el8VmwareWithoutUuid = withoutUuid(el8Vmware);
export const el9VmwareWithoutUuid = withoutUuid(el9Vmware);

/** Two ids of LVM in one, as the kernel shows them. */
const lvmUuid = (group: string, volume: string): string => `LVM-${group}${volume}`.padEnd(68, '0');

export const lvmGroup = {
  /** Without hyphens, as the kernel has it. */
  packed: 'Xk3pQ9vTzR1mWc7YhLs2BdFg5NjE8uAo',
  spelled: 'Xk3pQ9-vTzR-1mWc-7YhL-s2Bd-Fg5N-jE8uAo',
} as const;

/** The default of the installer: root and swap in a group that is called like the distribution. */
export const el9LvmRoot = changed(el9Vmware, {
  mappings: [
    { name: 'dm-0', label: 'rl-root', uuid: lvmUuid(lvmGroup.packed, 'r'), on: ['sda3'], bytes: 36 * GiB },
    { name: 'dm-1', label: 'rl-swap', uuid: lvmUuid(lvmGroup.packed, 's'), on: ['sda3'], bytes: 2 * GiB },
  ],
  mounts: [
    { device: 'dm-0', point: '/', type: 'xfs' },
    { device: 'sda2', point: '/boot', type: 'xfs' },
    { device: 'sda1', point: '/boot/efi', type: 'vfat' },
    { device: 'sdb1', point: '/retention', type: 'xfs' },
  ],
  swaps: ['/dev/dm-1'],
  fileSystems: { sda3: { uuid: 'lvmpv-none' }, 'dm-0': { uuid: uuids.root }, 'dm-1': { uuid: uuids.swap } },
  files: {
    '/etc/fstab': plainFstab.replace(`UUID=${uuids.root}`, '/dev/mapper/rl-root'),
    '/proc/cmdline':
      'root=/dev/mapper/rl-root ro resume=/dev/mapper/rl-swap rd.lvm.lv=rl/root rd.lvm.lv=rl/swap\n',
    '/boot/loader/entries/a.conf': 'options root=/dev/mapper/rl-root ro rd.lvm.lv=rl/root\n',
  },
});

/** Retention: a volume of LVM over LUKS over a partition, as somebody built it who meant well. */
export const el9LvmCryptRetention = changed(el9Vmware, {
  mappings: [
    {
      name: 'dm-0',
      label: 'luks-retention',
      uuid: 'CRYPT-LUKS2-3d81c0f5a2794be6-luks-retention',
      on: ['sdb1'],
      bytes: 199 * GiB,
    },
    {
      name: 'dm-1',
      label: 'vg_keep-history--1',
      uuid: lvmUuid('Hc5TbV2yKq8LmZ4nPs7RwXd1GfJ3EuAi', 'h'),
      on: ['dm-0'],
      bytes: 190 * GiB,
    },
  ],
  mounts: [...el9Vmware.mounts.slice(0, -1), { device: 'dm-1', point: '/retention', type: 'xfs' }],
  fileSystems: { sdb1: { uuid: '3d81c0f5-a279-4be6-9c07-18e5d4f3b6a2' }, 'dm-1': { uuid: uuids.retention } },
  files: { '/etc/crypttab': 'luks-retention UUID=3d81c0f5-a279-4be6-9c07-18e5d4f3b6a2 none discard\n' },
});

/** Three disks of a storage array, each over two paths; retention on a partition of one of them. */
export const el8Multipath = changed(el8Vmware, {
  disks: [
    el8Vmware.disks[0]!,
    ...['sdb', 'sdc', 'sdd', 'sde', 'sdf', 'sdg'].map((name, at): DescribedDisk => ({
      name,
      bytes: 200 * GiB,
      vendor: 'PURE',
      model: 'FlashArray',
      wwid: `naa.624a9370c0ffee00000110${(Math.floor(at / 2) + 1).toString().padStart(10, '0')}`,
      isPath: true,
    })),
  ],
  mappings: [
    ...['mpatha', 'mpathb', 'mpathc'].map((label, at) => ({
      name: `dm-${at}`,
      label,
      uuid: `mpath-3624a9370c0ffee00000110${(at + 1).toString().padStart(10, '0')}`,
      on: [`sd${'bdf'[at]}`, `sd${'ceg'[at]}`],
      bytes: 200 * GiB,
      names: [
        `wwn-0x624a9370c0ffee00000110${(at + 1).toString().padStart(10, '0')}`,
        `scsi-3624a9370c0ffee00000110${(at + 1).toString().padStart(10, '0')}`,
      ],
    })),
    {
      name: 'dm-3',
      label: 'mpatha1',
      uuid: 'part1-mpath-3624a9370c0ffee000001100000000001',
      on: ['dm-0'],
      bytes: 200 * GiB - 2 * MiB,
    },
  ],
  mounts: [...el8Vmware.mounts.slice(0, -1), { device: 'dm-3', point: '/retention', type: 'xfs' }],
  fileSystems: { sdb1: { uuid: 'none-of-it' }, 'dm-3': { uuid: uuids.retention } },
});

/** The same with multipathd off: what one disk is shows up as two with one name. */
export const el8MultipathOff = changed(el8Multipath, {
  disks: el8Multipath.disks.map((disk) => ({ ...disk, isPath: false })),
  mappings: [],
  mounts: [...el8Vmware.mounts.slice(0, -1), { device: 'sdb', point: '/retention', type: 'xfs' }],
  fileSystems: { sdb: { uuid: uuids.retention } },
});

/** A server with NVMe alone: the system mirrored by MD, retention on a namespace of its own. */
export const el9Nvme = changed(el9Vmware, {
  disks: [0, 1, 2, 3].map((at): DescribedDisk => ({
    name: `nvme${at}n1`,
    kind: 'nvme',
    bytes: 960 * GiB,
    model: 'SAMSUNG MZQL2960HCJR',
    serial: `S64HNE0R90000${at}`,
    wwid: `eui.36344830528000${at}30025384500000001`,
    ...(at < 2 ? { partitions: [1024 * MiB, 950 * GiB] } : {}),
  })),
  mappings: [
    {
      name: 'md126',
      label: 'boot',
      uuid: '5e1c7b90:2ad4f683:b07e95c1:84f62d3a',
      on: ['nvme0n1p1', 'nvme1n1p1'],
      bytes: 1023 * MiB,
    },
    {
      name: 'md127',
      label: 'root',
      uuid: '8d0f6a21:4c7be935:a1d20f86:c3b97e54',
      on: ['nvme0n1p2', 'nvme1n1p2'],
      bytes: 949 * GiB,
    },
  ],
  mounts: [
    { device: 'md127', point: '/', type: 'xfs' },
    { device: 'md126', point: '/boot', type: 'ext4' },
    { device: 'nvme2n1', point: '/retention', type: 'ext4' },
  ],
  fileSystems: {
    md127: { uuid: uuids.root },
    md126: { uuid: uuids.boot },
    nvme2n1: { uuid: uuids.retention },
  },
  files: {
    '/etc/mdadm.conf':
      'ARRAY /dev/md/root level=raid1 num-devices=2 UUID=8d0f6a21:4c7be935:a1d20f86:c3b97e54\n',
  },
});

/** Two replica disks that are copies of one template's. */
export const el9Cloned = changed(el9Vmware, {
  disks: [...el9Vmware.disks.slice(0, 3), { name: 'sdd', bytes: 100 * GiB, wwid: vmwareWwid(3) }],
});

/** `sda` … `sdz`, `sdaa` … */
export function diskName(index: number): string {
  const letter = (at: number): string => String.fromCharCode(97 + at);
  return `sd${index >= 26 ? letter(Math.floor(index / 26) - 1) : ''}${letter(index % 26)}`;
}

/** sda … sdbr: as many as a machine of vSphere can well have. */
export const el9SeventyDisks = changed(el9Vmware, {
  disks: [
    ...el9Vmware.disks.slice(0, 2),
    ...Array.from({ length: 68 }, (_, at): DescribedDisk => ({
      name: diskName(at + 2),
      bytes: 50 * GiB,
      wwid: vmwareWwid(at + 3),
    })),
  ],
});
