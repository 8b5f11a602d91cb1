// The checks of disks on recorded hosts: what each finds on each, and what it tells people to do.
import t from 'tap';
import { emptyContext, type CheckContext } from '../../../../agent/prerequisites/check.ts';
import { diskChecks } from '../../../../agent/prerequisites/disk-checks.ts';
import { runChecks, type CheckReport } from '../../../../agent/prerequisites/run-checks.ts';
import { targetName } from '../../../../agent/replica/target-name.ts';
import { recordedHosts, retentionOf, type RecordedHostName } from '../../../recorded-hosts/all.ts';
import { changed, described, type DescribedHost } from '../../../support/record-host.ts';
import { el9Vmware, uuids, vmwareWwid } from '../../../recorded-hosts/enterprise-linux.ts';

const base = emptyContext('master-target', '0.1.0', '/var/lib/homeward/master-target');

async function check(host: DescribedHost, context: Partial<CheckContext> = {}): Promise<CheckReport> {
  return runChecks(diskChecks, described(host), { ...base, retention: '/retention', ...context });
}

const itemOf = (report: CheckReport, id: string): CheckReport['checks'][number] => {
  const item = report.checks.find((one) => one.id === id);
  if (item === undefined) throw new Error(`no check ${id}`);
  return item;
};

/** What is not named passes; `at-rest` and `fs-identity-unique` have tables of their own. */
const expected: Record<RecordedHostName, Record<string, [result: string, found: RegExp]>> = {
  'el8-vmware': {},
  'el8-vmware-without-uuid': {
    'scsi-uuid': ['fail', /^3 of 3 disks show no identity .*: \/dev\/sda, \/dev\/sdb, \/dev\/sdc$/],
    'uuid-unique': ['skipped', /no disk shows an identity/],
  },
  'el9-vmware': {},
  'el9-vmware-without-uuid': {
    'scsi-uuid': ['fail', /^3 of 3 disks/],
    'uuid-unique': ['skipped', /no disk shows an identity/],
  },
  'el9-lvm-root': {
    'root-not-lvm': ['fail', /^\/ lies on \/dev\/mapper\/rl-root \(LVM\) on \/dev\/sda3 on \/dev\/sda$/],
  },
  'el9-lvm-crypt-retention': {
    'retention-not-lvm': [
      'fail',
      /vg_keep-history--1 \(LVM\) on \S+luks-retention \(encrypted\) on \/dev\/sdb1 on \/dev\/sdb$/,
    ],
  },
  'el8-multipath': {
    'disk-count': ['pass', /^4 disks are attached: mpatha \(200 GiB, 2 paths\), .*, sda \(40 GiB, system\)$/],
    'retention-not-lvm': ['pass', /mpatha1 on \/dev\/mapper\/mpatha \(multipath\) over 2 devices/],
  },
  'el8-multipath-off': {
    'disk-count': ['pass', /^7 disks/],
    'uuid-unique': ['fail', /^\/dev\/sdb, \/dev\/sdc show naa\.624a\S+; \/dev\/sdd, /],
  },
  'el9-nvme': {
    'root-not-lvm': ['pass', /\/dev\/md127 \(RAID\) over 2 devices on \/dev\/nvme0n1p2 on \/dev\/nvme0n1$/],
    'scsi-uuid': ['pass', /nvme0n1 eui\.3634/],
  },
  'el9-cloned': { 'uuid-unique': ['fail', /^\/dev\/sdc, \/dev\/sdd show naa\.6000c29\S+003$/] },
  'el9-seventy-disks': {
    'disk-count': ['pass', /^70 disks are attached: sda .*, 62 more$/],
    'uuid-unique': ['pass', /^70 disks, 70 identities$/],
  },
  debian12: {
    'scsi-uuid': ['pass', /sda t10\.QEMU .* vda virtio-replica-1/],
    'retention-volume': ['pass', /^\/srv\/retention: ext4 on \/dev\/sdb, 60 GiB of 63 GiB free$/],
  },
};

for (const [name, findings] of Object.entries(expected) as [
  RecordedHostName,
  (typeof expected)['debian12'],
][]) {
  t.test(`on ${name} each check finds what is there`, async (t) => {
    const report = await check(recordedHosts[name], { retention: retentionOf(name) });
    for (const { id, result, found, action, blocks } of report.checks) {
      if (id === 'at-rest' || id === 'fs-identity-unique') continue;
      const [wanted, text] = findings[id] ?? ['pass', /./];
      t.equal(result, wanted, `${id}: ${found}`);
      t.match(found, text, id);
      t.equal(blocks, result === 'fail', `${id} keeps the service from starting when it fails`);
      t.equal(action === null, result !== 'fail', `${id} says what to do when it fails`);
    }
  });
}

t.test('on VMware the way to an identity is spelled out; elsewhere it is named among others', async (t) => {
  const vmware = itemOf(await check(recordedHosts['el9-vmware-without-uuid']), 'scsi-uuid');
  t.match(vmware.action, /Edit Settings.*disk\.EnableUUID.*\.vmx/);
  const other = changed(el9Vmware, {
    disks: [...el9Vmware.disks.slice(0, 2), { name: 'vda', kind: 'virtio', bytes: 2 ** 30 }],
  });
  const kvm = itemOf(await check(other), 'scsi-uuid');
  t.match(kvm, { result: 'fail', found: /^1 of 3 .*: \/dev\/vda$/, action: /serial number or a WWN/ });
});

t.test('an identity that only VPD page 83 or only udev shows counts', async (t) => {
  const [sda, sdb, sdc] = el9Vmware.disks as [never, never, never];
  const vpd = { ...(sdc as object), name: 'sdc', bytes: 2 ** 30, wwid: vmwareWwid(9), onlyInVpd: true };
  const inVpd = itemOf(await check(changed(el9Vmware, { disks: [sda, sdb, vpd] })), 'scsi-uuid');
  t.match(inVpd, { result: 'pass', found: /sdc naa\.6000c29\S+009/ });
  const plain = { name: 'sdc', bytes: 2 ** 30, names: [] };
  const udev = changed(el9Vmware, {
    disks: [sda, sdb, plain],
    files: { '/run/udev/data/b8:32': 'I:1\nE:ID_WWN=0x5000c50015ea71ac\n' },
  });
  t.match(itemOf(await check(udev), 'scsi-uuid'), { result: 'pass', found: /sdc naa\.5000c50015ea71ac/ });
});

t.test('a disk alone is not enough, and media that come out are no disks', async (t) => {
  const one = changed(el9Vmware, {
    disks: [el9Vmware.disks[0]!, el9Vmware.disks[3]!, { name: 'sdb', bytes: 2 ** 30, removable: true }],
  });
  const found = itemOf(await check(one), 'disk-count');
  t.match(found, { result: 'fail', found: '1 disk is attached: sda (40 GiB, system)', blocks: true });
  const mirror = changed(recordedHosts['el9-nvme'], { disks: recordedHosts['el9-nvme'].disks.slice(0, 2) });
  t.match(itemOf(await check(mirror), 'disk-count'), {
    result: 'fail',
    found: /; all of them are the system's$/,
  });
});

t.test('the hidden paths of NVMe multipath are no disks of their own', async (t) => {
  const at = '/sys/class/block/nvme3c0n1';
  const wwid = 'eui.36344830528000330025384500000001\n';
  const host = changed(recordedHosts['el9-nvme'], {
    files: {
      [`${at}/dev`]: '259:99\n',
      [`${at}/hidden`]: '1\n',
      [`${at}/size`]: '8\n',
      [`${at}/wwid`]: wwid,
    },
  });
  const report = await check(host);
  t.match(itemOf(report, 'disk-count'), { result: 'pass', found: /^4 disks/ });
  t.match(itemOf(report, 'uuid-unique'), { result: 'pass' });
  t.equal(targetName(described(host), '/dev/nvme3n1'), 'nvme-eui.36344830528000330025384500000001');
});

t.test('what lsblk has otherwise than /sys is said', async (t) => {
  const lsblk = (devices: unknown[]): DescribedHost =>
    changed(el9Vmware, {
      commands: {
        'lsblk --json --bytes --output NAME,TYPE,SIZE': JSON.stringify({ blockdevices: devices }),
      },
    });
  const GiB = 2 ** 30;
  const disk = (name: string, size: number | string): unknown => ({ name, type: 'disk', size });
  const all = [disk('sda', 40 * GiB), disk('sdb', `${200 * GiB}`), disk('sdc', 100 * GiB)];
  const rom = { name: 'sr0', type: 'rom', size: 1048576 };
  t.match(itemOf(await check(lsblk([...all, rom])), 'disk-count'), { result: 'pass' });
  t.match(itemOf(await check(lsblk([...all.slice(1), disk('sdx', GiB)])), 'disk-count'), {
    result: 'warn',
    found: /lsblk says otherwise: it does not list sda; it lists sdx, which \/sys does not have/,
  });
});

t.test('LVM is found at any depth, and only under what is asked', async (t) => {
  // A mirror of LVM below an encrypted volume below a partition.
  const deep = changed(el9Vmware, {
    mappings: [
      { name: 'dm-0', label: 'vg-a', uuid: `LVM-${'a'.repeat(64)}`, on: ['sdb1'], bytes: 2 ** 30 },
      { name: 'dm-1', label: 'vg-b', uuid: `LVM-${'b'.repeat(64)}`, on: ['sdc'], bytes: 2 ** 30 },
      { name: 'md5', label: 'mirror', uuid: 'a:b', on: ['dm-0', 'dm-1'], bytes: 2 ** 30 },
      { name: 'dm-2', label: 'open', uuid: 'CRYPT-LUKS2-1-open', on: ['md5'], bytes: 2 ** 30 },
      { name: 'dm-3', label: 'part', uuid: 'part1-mpath-1', on: ['dm-2'], bytes: 2 ** 30 },
    ],
    mounts: [...el9Vmware.mounts.slice(0, -1), { device: 'dm-3', point: '/retention', type: 'xfs' }],
    fileSystems: { sdb1: { uuid: 'none' }, 'dm-3': { uuid: uuids.retention } },
  });
  const report = await check(deep);
  t.match(itemOf(report, 'retention-not-lvm'), { result: 'fail', found: /vg-a \(LVM\) on \/dev\/sdb1/ });
  t.match(itemOf(report, 'root-not-lvm'), { result: 'pass' });
});

t.test(
  'a failed check that was accepted does not keep the service from starting; a hard one does',
  async (t) => {
    const accepted = [
      { id: 'root-not-lvm', because: 'the default of the installer', since: '2026-01-01T00:00:00Z' },
      { id: 'uuid-unique', because: 'never mind', since: '2026-01-01T00:00:00Z' },
    ];
    const lvm = await check(recordedHosts['el9-lvm-root'], { accepted });
    t.match(itemOf(lvm, 'root-not-lvm'), { result: 'fail', blocks: false, accepted: { because: /default/ } });
    t.match(lvm, { ok: true, blocked: false });
    const cloned = await check(recordedHosts['el9-cloned'], { accepted });
    t.match(itemOf(cloned, 'uuid-unique'), { result: 'fail', blocks: true, accepted: null });
    t.match(cloned, { ok: false, blocked: true });
  },
);

t.test('where /sys is not to be seen nothing is said to be well', async (t) => {
  const blind = { disks: [], mounts: el9Vmware.mounts };
  const report = await check(blind);
  for (const id of ['disk-count', 'root-not-lvm', 'scsi-uuid', 'uuid-unique', 'retention-volume'])
    t.match(itemOf(report, id), { result: 'fail', found: /could not be looked at/, blocks: true }, id);
});

t.test('encryption counts only when every way down has it', async (t) => {
  const rest = async (host: DescribedHost, context: Partial<CheckContext> = {}): Promise<unknown> =>
    itemOf(await check(host, context), 'at-rest');
  t.match(await rest(recordedHosts['el9-lvm-crypt-retention']), { result: 'pass', found: /retention/ });
  t.match(await rest(recordedHosts['el9-lvm-crypt-retention'], { spool: '/var/spool/homeward' }), {
    result: 'warn',
    found: /not encrypted .*: spool \(\/var\/spool\/homeward\); encrypted: retention/,
    blocks: false,
  });
  const half = changed(el9Vmware, {
    mappings: [
      { name: 'dm-0', label: 'open', uuid: 'CRYPT-LUKS2-1-open', on: ['sdb1'], bytes: 2 ** 30 },
      { name: 'md5', label: 'half', uuid: 'a:b', on: ['dm-0', 'sdc'], bytes: 2 ** 30 },
    ],
    mounts: [...el9Vmware.mounts.slice(0, -1), { device: 'md5', point: '/retention', type: 'xfs' }],
  });
  t.match(await rest(half), { result: 'warn' });
  const replica = {
    machine: 'web',
    disk: 'root',
    kind: 'device',
    path: '/dev/disk/by-id/dm-name-open',
  } as const;
  t.match(await rest(half, { retention: null, replicas: [replica] }), {
    result: 'pass',
    found: /replica of web root/,
  });
});
