// The retention volume: each thing that can be wrong with it, found by its own words, on a host like EL 9.
import t from 'tap';
import { emptyContext, type CheckContext, type Finding } from '../../../../agent/prerequisites/check.ts';
import { retentionVolume } from '../../../../agent/prerequisites/retention-volume.ts';
import { el9Vmware, uuids } from '../../../recorded-hosts/enterprise-linux.ts';
import { changed, described, type DescribedHost, type DescribedMount } from '../../../support/record-host.ts';

const GiB = 2 ** 30;
const data = '/var/lib/homeward/master-target';
const base = { ...emptyContext('master-target', '0.1.0', data), retention: '/retention' };

const look = (host: DescribedHost, context: Partial<CheckContext> = {}): Promise<Finding> =>
  retentionVolume.run(described(host), { ...base, ...context });

/** EL 9 with `mount` in place of the retention volume's, or without. */
function mounted(mount: Partial<DescribedMount> | null, change: Partial<DescribedHost> = {}): DescribedHost {
  const others = el9Vmware.mounts.slice(0, -1);
  const own = { device: 'sdb1', point: '/retention', type: 'xfs', ...mount };
  return changed(el9Vmware, { mounts: mount === null ? others : [...others, own], ...change });
}

const fstab = (line: string): DescribedHost =>
  changed(el9Vmware, { files: { '/etc/fstab': `UUID=${uuids.root} / xfs defaults 0 0\n${line}\n` } });
const withFile = (name: string): DescribedHost => changed(el9Vmware, { files: { [name]: 'x' } });
const entry = `UUID=${uuids.retention} /retention xfs`;

t.test('it is not the directory of the replicas, however that is spelled', async (t) => {
  const found = /is the directory of the replicas, too/;
  t.match(await look(el9Vmware, { replicaDirectory: '/retention/' }), { result: 'fail', found });
  t.match(await look(el9Vmware, { replicaDirectory: '/replicas' }), { result: 'pass' });
});

const cases: Record<string, [host: DescribedHost, found: RegExp | null, action?: RegExp]> = {
  'a volume as it should be': [el9Vmware, null],
  'one that is not mounted': [mounted(null), /no volume of its own: it lies on \/dev\/sda3/, /not mounted\?/],
  'a tmpfs': [mounted({ device: 'tmpfs', type: 'tmpfs' }), /tmpfs: what is written there is gone/],
  NFS: [mounted({ device: 'nas:/x', type: 'nfs4' }), /nfs4 from nas:\/x, not a local block device/],
  'a partition of the system disk': [
    mounted(
      { device: 'sda1' },
      { mounts: [...el9Vmware.mounts.slice(2, 5), { device: 'sda1', point: '/retention', type: 'xfs' }] },
    ),
    /lies on \/dev\/sda, the disk that the system is on/,
  ],
  btrfs: [mounted({ type: 'btrfs' }), /is btrfs; ext4 and xfs are supported/],
  'one mounted read-only': [
    mounted({ options: 'ro,relatime' }),
    /mounted read-only$/,
    /remount,rw \/retention/,
  ],
  'one on a read-only disk': [
    mounted(
      { device: 'sdb', options: 'ro' },
      { disks: [el9Vmware.disks[0]!, { name: 'sdb', bytes: GiB, readOnly: true }] },
    ),
    /read-only, and \/dev\/sdb is read-only/,
  ],
  'one that cannot be written': [
    changed(el9Vmware, { facts: { unwritable: { '/retention': 'EIO: i/o error, fsync' } } }),
    /cannot be written: EIO: i\/o error, fsync/,
    /dmesg/,
  ],
  'foreign files': [
    withFile('/retention/backup.tar'),
    /holds what is not ours: backup\.tar/,
    /Move these away/,
  ],
  'a directory there that is missing': [mounted({ point: '/retention2' }), /no volume of its own/],
  'nothing in fstab': [
    fstab(''),
    /will not be mounted after a restart/,
    new RegExp(`UUID=${uuids.retention} /retention xfs`),
  ],
  'a path by order in fstab': [
    fstab('/dev/sdb1 /retention xfs defaults 0 0'),
    /line 2 names \/dev\/sdb1, which may/,
  ],
  'noauto in fstab': [fstab(`${entry} noauto 0 0`), /line 2 has noauto/],
  'an automount in fstab': [fstab(`${entry} noauto,x-systemd.automount 0 0`), null],
  'read-only in fstab': [fstab(`${entry} ro 0 0`), /mounts \/retention read-only/],
  'a UUID that is not there': [
    fstab('UUID=dead-beef /retention xfs defaults 0 0'),
    /names UUID=dead-beef, which is not there/,
  ],
  'the UUID of something else': [
    fstab(`UUID=${uuids.boot} /retention xfs defaults 0 0`),
    /which is \/dev\/sda2; what is mounted now is \/dev\/sdb1/,
  ],
  'two lines for one place': [
    fstab(`${entry} defaults\n${entry} defaults`),
    /line 2 and \/etc\/fstab line 3 both mount/,
  ],
  'a by-id path in fstab': [
    fstab('/dev/disk/by-id/wwn-0x6000c29a3f8d19c2b40e75d6a01f3002-part1 /retention/ xfs defaults'),
    null,
  ],
  'a quoted UUID in fstab': [fstab(`UUID="${uuids.retention}" /retention xfs defaults 0 0`), null],
};

for (const [name, [host, found, action]] of Object.entries(cases)) {
  t.test(`${name}: ${found === null ? 'passes' : 'fails and says so'}`, async (t) => {
    const finding = await look(host);
    t.equal(finding.result, found === null ? 'pass' : 'fail', finding.found);
    if (found !== null) t.match(finding.found, found);
    if (action !== undefined) t.match(finding.action, action);
  });
}

t.test('what lies on it of ours is not foreign', async (t) => {
  const host = changed(el9Vmware, {
    files: {
      '/retention/history/homeward-volume.json': '{}',
      '/retention/replicas/web/root.raw': '',
      '/retention/lock': '',
    },
  });
  const finding = await look(host, {
    retention: '/retention/history',
    replicaDirectory: '/retention/replicas',
  });
  t.equal(finding.result, 'pass', finding.found);
  t.match(await look(host), { result: 'fail', found: /not ours: history, replicas/ });
});

t.test('little room, and a volume that is soon full, are said but stop nothing', async (t) => {
  const space = (free: number): DescribedHost =>
    changed(el9Vmware, { facts: { space: { '/retention': { total: 200 * GiB, free } } } });
  t.match(await look(space(2 * GiB)), { result: 'warn', found: /only 2 GiB of 200 GiB are free/ });
  t.match(await look(space(50 * GiB), { growthBytesPerDay: 20 * GiB }), {
    result: 'warn',
    found: /50 GiB free will be full in 2\.5 days at 20 GiB a day/,
  });
  t.match(await look(space(50 * GiB), { growthBytesPerDay: GiB }), { result: 'pass' });
});

t.test('a neighbour on the same disk is said', async (t) => {
  const host = changed(el9Vmware, {
    disks: [
      el9Vmware.disks[0]!,
      { name: 'sdb', bytes: 200 * GiB, wwid: 'naa.1', partitions: [100 * GiB, 99 * GiB] },
    ],
    mounts: [...el9Vmware.mounts, { device: 'sdb2', point: '/srv/backup', type: 'xfs' }],
  });
  t.match(await look(host), { result: 'warn', found: /shares its disk with \/srv\/backup/ });
});

t.test('a mount unit is as good as a line in fstab', async (t) => {
  const host = (what: string): DescribedHost =>
    changed(el9Vmware, {
      files: {
        '/etc/fstab': '',
        '/etc/systemd/system/retention.mount': `[Mount]\nWhat=${what}\nWhere=/retention\nType=xfs\n`,
      },
    });
  t.match(await look(host(`/dev/disk/by-uuid/${uuids.retention}`)), { result: 'pass' });
  t.match(await look(host('/dev/sdb1')), { result: 'fail', found: /retention\.mount names \/dev\/sdb1/ });
});

t.test('without a path, or with one that is no directory, there is nothing to rely on', async (t) => {
  t.match(await look(el9Vmware, { retention: null }), {
    result: 'fail',
    found: 'no retention volume is set',
  });
  t.match(await look(el9Vmware, { retention: '/nowhere' }), { result: 'fail', found: /does not exist/ });
  t.match(await look(el9Vmware, { retention: '/etc/fstab' }), { result: 'fail', found: /is no directory/ });
});

t.test('of several faults all are named, each with what to do', async (t) => {
  const host = changed(el9Vmware, {
    files: { '/etc/fstab': '', '/retention/old.iso': '' },
    facts: { space: { '/retention': { total: 200 * GiB, free: GiB } } },
  });
  const { found, action } = await look(host);
  t.match(found, /not ours: old\.iso; .*will not be mounted after a restart$/);
  t.match(action, /Move these away.*\/etc\/fstab/);
});
