// Replicas that go by a name this host uses itself: each kind of name, from each place that uses it.
import t from 'tap';
import { emptyContext, type Finding, type ReplicaAt } from '../../../../agent/prerequisites/check.ts';
import { fsIdentityUnique } from '../../../../agent/prerequisites/fs-identity-unique.ts';
import { bootNamesIn, readNamesInUse } from '../../../../agent/prerequisites/names-in-use.ts';
import {
  el9LvmCryptRetention,
  el9LvmRoot,
  el9Nvme,
  el9Vmware,
} from '../../../recorded-hosts/enterprise-linux.ts';
import { lvmGroup, uuids } from '../../../recorded-hosts/enterprise-linux.ts';
import * as images from '../../../support/disk-images.ts';
import { changed, described, type DescribedHost } from '../../../support/record-host.ts';

const MiB = 1024 ** 2;
const path = '/replicas/web/root.raw';
const replica: ReplicaAt = { machine: 'web', disk: 'root', kind: 'file', path };
const unlike = '00000000-1111-4222-8333-444444444444';
const id = 'Kq8LmZ-4nPs-7RwX-d1Gf-J3Eu-AiHc-5TbV2y';

async function look(
  host: DescribedHost,
  pieces: readonly (readonly [number, Buffer])[],
  replicas: ReplicaAt[] = [replica],
): Promise<Finding> {
  const context = { ...emptyContext('master-target', '0.1.0', '/data'), replicas };
  const files = { [path]: images.diskImage(4 * MiB, pieces) };
  return fsIdentityUnique.run(described(changed(host, { files })), context);
}

const ext = (uuid: string, label = ''): [number, Buffer][] => [[1024, images.extSuperblock(uuid, label)]];
const withFiles = (files: Record<string, string>): DescribedHost => changed(el9Vmware, { files });

const clashes: Record<string, [host: DescribedHost, pieces: [number, Buffer][], found: RegExp]> = {
  'the UUID of / in fstab': [
    el9Vmware,
    ext(uuids.root.toUpperCase()),
    /the replica of web root \(ext\) has UUID 0e9d4c71\S+, used by \/etc\/fstab line 2 \(\/\)/,
  ],
  'a UUID in a partition': [
    el9Vmware,
    [
      [0, images.gpt(4 * MiB, [{ start: MiB, bytes: MiB, uuid: unlike }])],
      [MiB + 1024, images.extSuperblock(uuids.boot)],
    ],
    /the replica of web root, partition 1 \(ext\) has UUID 5b3f6d2a\S+, used by/,
  ],
  'a PARTUUID of a mounted partition': [
    el9Vmware,
    [[0, images.gpt(4 * MiB, [{ start: MiB, bytes: MiB, uuid: 'd1c5b8e0-3333-4a6f-8a34-1f5b0c7e2d91' }])]],
    /has PARTUUID d1c5b8e0-3333\S+, used by \/, which is mounted/,
  ],
  'a LABEL that fstab names': [
    withFiles({ '/etc/fstab': 'LABEL=data /srv ext4 defaults 0 0\n' }),
    ext(unlike, 'data'),
    /has LABEL data, used by \/etc\/fstab line 1 \(\/srv\)/,
  ],
  'a UUID that crypttab names': [
    el9LvmCryptRetention,
    [[0, images.luksHeader(2, '3d81c0f5-a279-4be6-9c07-18e5d4f3b6a2')]],
    /\(luks\) has UUID 3d81c0f5\S+, used by \/etc\/crypttab line 1 \(luks-retention\)/,
  ],
  'a group of the same name as that of /': [
    el9LvmRoot,
    [[0, images.physicalVolume(id, { name: 'rl', id: 'aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg' })]],
    /\(LVM\) has VG rl, used by \/etc\/fstab line 2 \(\/\), \/proc\/cmdline/,
  ],
  'the very group': [
    el9LvmRoot,
    [[0, images.physicalVolume(id, { name: 'other', id: lvmGroup.spelled })]],
    /has VG UUID Xk3pQ9-vTzR-1mWc-7YhL-s2Bd-Fg5N-jE8uAo, used by \/, which is mounted/,
  ],
  'an array of mdadm.conf': [
    withFiles({ '/etc/mdadm.conf': 'ARRAY /dev/md/root UUID=8d0f6a21:4c7be935:a1d20f86:c3b97e54\n' }),
    [[4096, images.mdSuperblock('8d0f6a21-4c7b-e935-a1d2-0f86c3b97e54', 'x:root')]],
    /\(MD\) has MD UUID 8d0f6a21:\S+, used by \/etc\/mdadm\.conf/,
  ],
  'an array under a mount, which no file names': [
    el9Nvme,
    [[4096, images.mdSuperblock('5e1c7b90-2ad4-f683-b07e-95c184f62d3a', 'x:0')]],
    /has MD UUID 5e1c7b90:\S+, used by \/boot, which is mounted/,
  ],
  'an array by the name that fstab has': [
    withFiles({ '/etc/fstab': '/dev/md/home /home xfs defaults\n', '/etc/hostname': 'mt1.example.com\n' }),
    [[4096, images.mdSuperblock('5e1c7b90-2ad4-f683-b07e-95c184f62d3a', 'mt1:home')]],
    /has MD mt1:home, used by \/etc\/fstab line 1 \(\/home\)/,
  ],
};

for (const [name, [host, pieces, found]] of Object.entries(clashes)) {
  t.test(`${name} is a clash, and both are named`, async (t) => {
    const finding = await look(host, pieces);
    t.equal(finding.result, 'fail', finding.found);
    t.match(finding.found, found);
    t.match(finding.action, /new names/);
  });
}

t.test('other names are none of our business', async (t) => {
  t.match(await look(el9LvmRoot, ext(unlike, 'root')), {
    result: 'pass',
    found: '1 replica, no name shared',
  });
  const group = { name: 'data', id: 'aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg' };
  t.match(await look(el9LvmRoot, [[0, images.physicalVolume(id, group)]]), { result: 'pass' });
  t.match(await look(el9Vmware, []), { result: 'pass' });
  // A label counts only where something goes by it.
  const labelled = changed(el9Vmware, { fileSystems: { sda3: { uuid: uuids.root, label: 'system' } } });
  t.match(await look(labelled, ext(unlike, 'system')), { result: 'pass' });
});

t.test('a replica that cannot be read is said, and hides no clash of another', async (t) => {
  const gone = { ...replica, machine: 'db', path: '/replicas/db/root.raw' };
  t.match(await look(el9Vmware, [], [replica, gone]), { result: 'warn', found: /db\/root\.raw/ });
  t.match(await look(el9Vmware, ext(uuids.root), [replica, gone]), { result: 'fail', found: /of web root/ });
  t.match(await look(el9Vmware, [], []), { result: 'skipped' });
});

t.test('boot parameters and boot loaders name what they start from', async (t) => {
  const spell = (text: string): string[] =>
    bootNamesIn(text, 'x').map(({ field, value }) => `${field}=${value}`);
  t.same(spell(`root=UUID=${uuids.root} ro resume=UUID=${uuids.swap}`), [
    `UUID=${uuids.root}`,
    `UUID=${uuids.swap}`,
  ]);
  t.same(spell('root=LABEL=root rw'), ['LABEL=root']);
  t.same(spell('kernelopts=root=/dev/mapper/rl_a--b-root ro rd.lvm.lv=rl_a-b/root'), ['VG=rl_a-b']);
  t.same(spell(`rd.luks.uuid=luks-${uuids.root} rd.md.uuid=8d0f6a21:4c7be935:a1d20f86:c3b97e54`), [
    `UUID=${uuids.root}`,
    'MD UUID=8d0f6a21:4c7be935:a1d20f86:c3b97e54',
  ]);
  t.same(spell(`search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 ${uuids.boot}\n`), [
    `UUID=${uuids.boot}`,
  ]);
  t.same(spell(`search --no-floppy --fs-uuid --set=dev 7A21-4C0E\n`), ['UUID=7A21-4C0E']);
  t.same(spell('GRUB_CMDLINE_LINUX="crashkernel=1G root=PARTUUID=0badcafe-01 quiet"'), [
    'PARTUUID=0badcafe-01',
  ]);
  t.same(spell('quiet splash rooting=UUID=x'), []);
});

t.test('a copy that somebody looks into over a loop device is not the system', async (t) => {
  const host = changed(el9Vmware, {
    mounts: [...el9Vmware.mounts, { device: 'loop0', point: '/mnt/look', type: 'ext4' }],
    files: { '/sys/class/block/loop0/dev': '7:0\n', '/sys/class/block/loop0/size': '8\n' },
    links: { '/dev/disk/by-uuid/00000000-1111-4222-8333-444444444444': '../../loop0' },
  });
  const names = readNamesInUse(described({ ...host, files: { ...host.files, '/dev/loop0': '' } }));
  t.notOk(names.some(({ value }) => value === unlike));
  t.ok(names.some(({ value, by }) => value === uuids.root && by.startsWith('/, which')));
});
