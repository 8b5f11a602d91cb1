// What a target disk is remembered by, and what its identity is read from.
import t from 'tap';
import { parseDesignators, readDiskIdentity } from '../../../../agent/replica/disk-identity.ts';
import { targetName } from '../../../../agent/replica/target-name.ts';
import { readHostDisks } from '../../../../agent/registration/host-disks.ts';
import { recordedHosts, type RecordedHostName } from '../../../recorded-hosts/all.ts';
import { changed, described } from '../../../support/record-host.ts';

const cases: [host: RecordedHostName, given: string, name: string][] = [
  ['el9-vmware', '/dev/sdc', 'wwn-0x6000c29a3f8d19c2b40e75d6a01f3003'],
  [
    'el9-vmware',
    '/dev/disk/by-id/scsi-36000c29a3f8d19c2b40e75d6a01f3003',
    '/dev/disk/by-id/scsi-36000c29a3f8d19c2b40e75d6a01f3003',
  ],
  ['el9-vmware', 'wwn-0x6000c29a3f8d19c2b40e75d6a01f3003', 'wwn-0x6000c29a3f8d19c2b40e75d6a01f3003'],
  ['el9-vmware', '/dev/sdz', '/dev/sdz'],
  ['el9-vmware', '/dev/loop3', '/dev/loop3'],
  ['el9-vmware', '/dev/sdb1', 'wwn-0x6000c29a3f8d19c2b40e75d6a01f3002-part1'],
  ['el9-nvme', '/dev/nvme3n1', 'nvme-eui.36344830528000330025384500000001'],
  ['el8-multipath', '/dev/mapper/mpathb', 'wwn-0x624a9370c0ffee000001100000000002'],
  ['el8-multipath', '/dev/dm-1', 'wwn-0x624a9370c0ffee000001100000000002'],
  // In use by the multipath device: left as it is, for the refusal to say so.
  ['el8-multipath', '/dev/sdd', '/dev/sdd'],
  ['debian12', '/dev/vda', 'virtio-replica-1'],
];

for (const [host, given, name] of cases) {
  t.test(`on ${host} ${given} is remembered as ${name}`, async (t) => {
    t.equal(targetName(described(recordedHosts[host]), given), name);
  });
}

t.test('a disk without a name of its own is refused, with the way to one', async (t) => {
  const refusal = (host: RecordedHostName, given: string): unknown => {
    try {
      return targetName(described(recordedHosts[host]), given);
    } catch (error) {
      return error;
    }
  };
  t.match(refusal('el9-vmware-without-uuid', '/dev/sdc'), {
    code: 'target-nameless',
    message: /^\/dev\/sdc shows no identity/,
    hint: /disk\.EnableUUID/,
  });
  t.match(refusal('el9-cloned', '/dev/sdd'), {
    code: 'target-nameless',
    message: /^\/dev\/sdd shows the WWID naa\.6000c29\S+003, as sdc does$/,
    hint: /uuid-unique/,
  });
  const unlinked = changed(recordedHosts['el9-vmware'], {
    disks: [{ name: 'sdc', bytes: 512, wwid: 'naa.5000c50015ea71ac', isPath: true }],
  });
  t.throws(() => targetName(described(unlinked), '/dev/sdc'), {
    code: 'target-nameless',
    message: /has the WWID naa\.5000c50015ea71ac, but no link/,
    hint: /udevadm trigger/,
  });
});

t.test('by-path and by-uuid links name a place or a content, not the disk', async (t) => {
  const host = changed(recordedHosts['el9-vmware'], {
    links: { '/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:2:0': '../../sdc' },
  });
  t.equal(
    targetName(described(host), '/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:2:0'),
    'wwn-0x6000c29a3f8d19c2b40e75d6a01f3003',
  );
});

t.test('the best designator of the logical unit is its identity', async (t) => {
  const page = (...designators: [code: number, type: number, data: Buffer][]): Buffer => {
    const body = designators.map(([code, type, data]) =>
      Buffer.concat([Buffer.from([code, type, 0, data.length]), data]),
    );
    const length = body.reduce((sum, one) => sum + one.length, 0);
    return Buffer.concat([Buffer.from([0, 0x83, length >> 8, length & 255]), ...body]);
  };
  const naa = Buffer.from('6000c29a3f8d19c2b40e75d6a01f3c4b', 'hex');
  const short = Buffer.from('5000c50015ea71ac', 'hex');
  const t10 = Buffer.from('QEMU    QEMU HARDDISK   one\0');
  t.equal(parseDesignators(page([2, 1, t10], [1, 3, short], [1, 3, naa])), `naa.${naa.toString('hex')}`);
  t.equal(parseDesignators(page([2, 1, t10], [1, 2, short])), 'eui.5000c50015ea71ac');
  t.equal(parseDesignators(page([2, 1, t10])), 't10.QEMU    QEMU HARDDISK   one');
  t.equal(parseDesignators(page([3, 8, Buffer.from('iqn.2001-04.example:x\0\0')])), 'iqn.2001-04.example:x');
  t.equal(parseDesignators(page([1, 0x13, naa], [1, 0x23, naa])), null, 'of a port, of a target');
  t.equal(parseDesignators(page()), null);
  for (let length = 0; length < 60; length += 1)
    t.doesNotThrow(() => parseDesignators(page([2, 1, t10], [1, 3, naa]).subarray(0, length)));
  t.equal(parseDesignators(Buffer.from([0, 0x83, 255, 255, 1, 3, 0, 200, 1])), 'naa.01');
});

t.test('a partition has no identity but its disk, and is told from it', async (t) => {
  const host = described(recordedHosts['el9-vmware']);
  t.match(readDiskIdentity(host, 'sdb'), { wwid: /002$/, names: [/^wwn-0x\S+002$/, /^scsi-3\S+002$/] });
  t.match(readDiskIdentity(host, 'sdb1'), { wwid: null, names: [/-part1$/, /-part1$/] });
});

t.test('the list of disks that a host reports says by what name each can be chosen', async (t) => {
  const host = described(recordedHosts['el9-vmware-without-uuid']);
  t.match(
    readHostDisks('/sys/class/block', host).find(({ name }) => name === 'sdc'),
    { path: '/dev/sdc', wwid: null, byId: null, size: 100 * 2 ** 30 },
  );
  const named = described(recordedHosts['el9-vmware']);
  t.match(
    readHostDisks('/sys/class/block', named).find(({ name }) => name === 'sdc'),
    { wwid: 'naa.6000c29a3f8d19c2b40e75d6a01f3003', byId: 'wwn-0x6000c29a3f8d19c2b40e75d6a01f3003' },
  );
});
