// Mounts as the kernel lists them, and what a path lies on.
import t from 'tap';
import { readBlockGraph, byName } from '../../../../agent/prerequisites/block-graph.ts';
import * as mounts from '../../../../agent/prerequisites/mounts.ts';
import { el9Vmware } from '../../../recorded-hosts/enterprise-linux.ts';
import { debian12 } from '../../../recorded-hosts/debian.ts';
import { changed, described } from '../../../support/record-host.ts';

t.test('a line of mountinfo is taken apart, however many optional fields it has', async (t) => {
  const lines = [
    String.raw`36 35 98:0 /mnt1 /mnt\0402 rw master:1 shared:7 - ext3 /dev/ro\134ot rw,errors=continue`,
    '22 1 0:21 / /proc rw,relatime - proc proc rw',
    '',
    'not a line at all',
  ];
  t.match(mounts.parseMountinfo(lines.join('\n')), [
    { number: '98:0', root: '/mnt1', point: '/mnt 2', type: 'ext3', source: String.raw`/dev/ro\ot` },
    { number: '0:21', point: '/proc', type: 'proc', options: ['rw', 'relatime'], superOptions: ['rw'] },
  ]);
  t.equal(mounts.parseMountinfo(lines.join('\n')).length, 2);
});

t.test('fstab is read with its quotes, blanks, comments and missing fields', async (t) => {
  const text = [
    '# comment',
    '   ',
    'UUID="1-2"\t/a\\040b/  ext4 defaults,ro 0 2',
    '/dev/sda2 none swap',
    'tmpfs',
    ' LABEL=x / xfs',
  ].join('\n');
  t.same(mounts.parseFstab(text), [
    {
      device: 'UUID=1-2',
      point: '/a b',
      type: 'ext4',
      options: ['defaults', 'ro'],
      from: '/etc/fstab line 3',
    },
    { device: '/dev/sda2', point: 'none', type: 'swap', options: ['defaults'], from: '/etc/fstab line 4' },
    { device: 'LABEL=x', point: '/', type: 'xfs', options: ['defaults'], from: '/etc/fstab line 6' },
  ]);
});

t.test(
  'a path lies on the nearest mount, the newest of several, links followed, be it there or not',
  async (t) => {
    const host = described(
      changed(el9Vmware, {
        mounts: [...el9Vmware.mounts, { device: 'sdc', point: '/boot', type: 'ext4' }],
        links: { '/data': '/retention/deep' },
        files: { '/retention/deep/x': '' },
      }),
    );
    const all = mounts.readMounts(host);
    const pointOf = (path: string): string | undefined => mounts.mountOf(host, all, path)?.point;
    t.equal(pointOf('/retention'), '/retention');
    t.equal(pointOf('/retention/not/there/yet'), '/retention');
    t.equal(pointOf('/data/new'), '/retention');
    t.equal(pointOf('/retention-other'), '/');
    t.match(mounts.mountOf(host, all, '/boot/x'), { source: '/dev/sdc' });
    t.match(mounts.mountOf(host, all, '/boot/efi'), { type: 'vfat' });
  },
);

t.test('btrfs, which has no device number of its own, is found by its source', async (t) => {
  const host = described(debian12);
  const root = mounts.mountOf(host, mounts.readMounts(host), '/var/lib');
  t.match(root, { type: 'btrfs' });
  const devices = root === null ? [] : mounts.devicesOf(host, readBlockGraph(host), root);
  t.same(
    devices.map(({ name }) => name),
    ['sda1'],
  );
});

t.test('names of disks come in the order in which people count', async (t) => {
  const names = ['sdaa', 'sdb', 'nvme10n1', 'sda10', 'sda2', 'sdz', 'nvme2n1', 'sda'];
  t.same(names.toSorted(byName), ['nvme2n1', 'nvme10n1', 'sda', 'sda2', 'sda10', 'sdb', 'sdz', 'sdaa']);
});
