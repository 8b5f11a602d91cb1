// The hosts that ApplyCustomChanges.sh is tested on: what installers leave in /etc, with replicas attached.
import type { SystemRoot } from './system-root.ts';

const groupId = 'Zb3cT1Kx9QmWvRnYpL5sDf7GhJ2aE8uC';
const replicaGroup = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa';
const pv = 'f1N2aB-34cd-EF56-gh78-IJ90-kl12-MN34op';

/** What most installers write, with comments that name the keys. */
const lvmConf = `# This is an example configuration file for the LVM2 system.
config {
	checks = 1
}

devices {

	dir = "/dev"
	scan = [ "/dev" ]

	# Configuration option devices/global_filter.
	# global_filter = [ "a|.*|" ]

	multipath_component_detection = 1
}
activation {
	udev_sync = 1
}
`;

const grub = `GRUB_TIMEOUT=5
GRUB_DISTRIBUTOR="$(sed 's, release .*$,,g' /etc/system-release)"
GRUB_CMDLINE_LINUX="crashkernel=auto rd.lvm.lv=rl/root rhgb quiet"
GRUB_DISABLE_RECOVERY="true"
`;

const tool = { 'usr/sbin/lvm': '', 'usr/sbin/mdadm': '', 'usr/sbin/multipathd': '' };

/** A replica that carries a volume group, which EL 8 has activated when the disk was added. */
const replica = {
  disk: { name: 'sdc', ids: ['wwn-0x6000c29c', 'scsi-36000c29c'], wwid: 'naa.6000c29c', pv: 'guest0-pv' },
  mapped: { name: 'dm-2', dm: 'guest-root', uuid: `LVM-${replicaGroup}LV0000000000000000000000000000ROOT` },
};

/** VMware with disk.EnableUUID, root on LVM, retention on a partition, named as a person would name it. */
export const el8: SystemRoot = {
  files: {
    ...tool,
    'etc/os-release': 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="8.10"\n',
    'etc/lvm/lvm.conf': lvmConf,
    'etc/multipath.conf': 'defaults {\n\tuser_friendly_names yes\n\tfind_multipaths yes\n}\n',
    'etc/default/grub': grub,
    'etc/fstab': `#
# /etc/fstab
/dev/mapper/rl-root     /                       xfs     defaults        0 0
UUID=0b00-aaaa /boot                   xfs     defaults        0 0
/dev/mapper/rl-swap     none                    swap    defaults        0 0
/dev/sdb1 /retention xfs defaults 0 0`,
  },
  disks: [
    {
      name: 'sda',
      ids: ['wwn-0x6000c29a', 'scsi-36000c29a'],
      wwid: 'naa.6000c29a',
      partitions: { 1: { uuid: '0b00-aaaa' }, 2: { pv } },
    },
    { name: 'sdb', ids: ['wwn-0x6000c29b'], wwid: 'naa.6000c29b', partitions: { 1: { uuid: 'feed-beef' } } },
    replica.disk,
  ],
  mapped: [
    { name: 'dm-0', dm: 'rl-root', uuid: `LVM-${groupId}${'r'.repeat(32)}`, slaves: ['sda2'] },
    { name: 'dm-1', dm: 'rl-swap', uuid: `LVM-${groupId}${'s'.repeat(32)}`, slaves: ['sda2'] },
    { ...replica.mapped, slaves: ['sdc'] },
  ],
  mounts: { '/': 'dm-0', '/boot': 'sda1', '/retention': 'sdb1' },
};

const wwid = '3600c0ff000d0e1f2';

/** EL 8 on a SAN: the root's volume group lies on a partition of a multipath device. */
export const multipathRoot: SystemRoot = {
  files: el8.files,
  disks: [
    { name: 'sda', paths: ['pci-0000:05:00.0-fc-0x1-lun-0'], wwid: 'naa.600c0ff000d0e1f2' },
    { name: 'sdb', paths: ['pci-0000:05:00.1-fc-0x1-lun-0'], wwid: 'naa.600c0ff000d0e1f2' },
    { name: 'sdc', ids: ['wwn-0x6000c29c'], pv: 'guest0-pv' },
  ],
  mapped: [
    { name: 'dm-0', dm: 'mpatha', uuid: `mpath-${wwid}`, slaves: ['sda', 'sdb'] },
    { name: 'dm-1', dm: 'mpatha2', uuid: `part2-mpath-${wwid}`, slaves: ['dm-0'] },
    { name: 'dm-2', dm: 'rl-root', uuid: `LVM-${groupId}${'r'.repeat(32)}`, slaves: ['dm-1'] },
    { name: 'dm-3', dm: 'mpathb', uuid: 'mpath-36000c29c', slaves: ['sdc'] },
  ],
  mounts: { '/': 'dm-2' },
};

/** The same with LVM's devices file, which the installer has made; mdadm has its own line of EL. */
export const el9: SystemRoot = {
  files: {
    ...tool,
    'usr/sbin/lvmdevices': '',
    'etc/os-release': 'NAME="AlmaLinux"\nID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n',
    'etc/lvm/lvm.conf': lvmConf.replace('\tdir = "/dev"\n', '\tdir = "/dev"\n\tuse_devicesfile = 0\n'),
    'etc/lvm/devices/system.devices': `# LVM uses devices listed in this file.
# Created by LVM command lvmdevices pid 1501 at Mon Jun  3 10:00:00 2024
VERSION=1.1.1
IDTYPE=sys_wwid IDNAME=naa.6000c29a DEVNAME=/dev/sda2 PVID=${pv.replaceAll('-', '')} PART=2
`,
    'etc/mdadm.conf': 'MAILADDR root\nAUTO +imsm +1.x -all\n',
    'etc/default/grub': grub + 'GRUB_DISABLE_OS_PROBER=false\n',
    'etc/fstab': el8.files['etc/fstab'] ?? '',
  },
  disks: el8.disks,
  ...(el8.mapped === undefined ? {} : { mapped: el8.mapped.slice(0, 2) }),
  mounts: el8.mounts,
};

/** Debian 11. No LVM for the root; retention on a mirror; a volume group of its own on a virtio disk. */
export const debian: SystemRoot = {
  files: {
    'sbin/lvm': '',
    'sbin/mdadm': '',
    'etc/os-release': 'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nVERSION_ID="11"\nID=debian\n',
    'etc/lvm/lvm.conf': lvmConf.replace(
      '\tscan = [ "/dev" ]\n',
      '\tscan = [ "/dev" ]\n\tglobal_filter = [\n\t\t"r|^/dev/fd[0-9]|",\n\t\t"a|.*|"\n\t]\n',
    ),
    'etc/mdadm/mdadm.conf': 'HOMEHOST <system>\nMAILADDR root\n',
    'etc/default/grub': 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\n#GRUB_DISABLE_OS_PROBER=false\n',
    'etc/fstab': `UUID=1111-2222 / ext4 errors=remount-ro 0 1
/dev/md127 /retention ext4 defaults 0 2
/dev/datavg/datalv /data xfs noauto 0 0
/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0
`,
    'etc/crypttab': 'data /dev/vda3 none luks\n',
  },
  disks: [
    {
      name: 'vda',
      paths: ['pci-0000:04:00.0'],
      partitions: { 1: { uuid: '1111-2222' }, 3: { uuid: 'c0de-c0de' } },
    },
    { name: 'sda', ids: ['wwn-0x5000a'] },
    { name: 'sdb', ids: ['wwn-0x5000b'] },
    { name: 'vdb', paths: ['pci-0000:05:00.0'], pv: 'own000-pv' },
    { name: 'sdc', ids: ['wwn-0x5000c'], pv: 'guest0-pv' },
  ],
  mapped: [{ name: 'dm-0', dm: 'datavg-datalv', uuid: `LVM-${groupId}${'d'.repeat(32)}`, slaves: ['vdb'] }],
  arrays: [{ name: 'md127', uuid: '0a1b2c3d:4e5f6071:8293a4b5:c6d7e8f9', slaves: ['sda', 'sdb'] }],
  mounts: { '/': 'vda1', '/retention': 'md127', '/data': 'dm-0' },
};

/** Its LVM looks at devices while udev still works on them, and has a devices file that nobody uses yet. */
export const debian12: SystemRoot = {
  ...debian,
  files: {
    ...debian.files,
    'etc/os-release': 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n',
    'usr/lib/udev/rules.d/69-lvm.rules':
      'IMPORT{program}="/sbin/lvm pvscan --cache --listvg --checkcomplete --vgonline $env{DEVNAME}"\n',
  },
};
