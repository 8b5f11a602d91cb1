// Names read from disks: those that mkfs made, and bytes laid out by the formats' papers; blkid agrees.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { readCarriedNames, type CarriedName } from '../../../../agent/prerequisites/superblocks.ts';
import * as images from '../../../support/disk-images.ts';
import { skipUnless } from '../../../support/needs.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const MiB = 1024 ** 2;
const uuid = '3d81c0f5-a279-4be6-9c07-18e5d4f3b6a2';
const other = '7f2b9d04-6c1e-4a83-b5d8-e90f31a7c264';
const lvmId = 'Kq8LmZ-4nPs-7RwX-d1Gf-J3Eu-AiHc-5TbV2y';
const group = { name: 'rl', id: 'Xk3pQ9-vTzR-1mWc-7YhL-s2Bd-Fg5N-jE8uAo' };

const namesIn = (disk: Uint8Array): CarriedName[] =>
  readCarriedNames((offset, length) =>
    offset > disk.length ? null : disk.subarray(offset, offset + length),
  );
const spell = (disk: Uint8Array): string[] =>
  namesIn(disk).map(({ partition, kind, field, value }) => `${partition ?? '-'} ${kind} ${field}=${value}`);

/** What blkid says of a file, by its own fields. */
function blkid(file: string): Record<string, string> {
  const { stdout } = spawnSync('blkid', ['-p', '-o', 'export', file], { encoding: 'utf8', env: environment });
  return Object.fromEntries(
    stdout.split('\n').flatMap((line) => (line.includes('=') ? [line.split('=')] : [])),
  );
}
const environment = {
  ...process.env,
  PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
  LC_ALL: 'C.UTF-8',
};

const made: [kind: string, bytes: number, command: string[]][] = [
  ['ext', 8 * MiB, ['mkfs.ext4', '-q', '-F', '-L', 'retention']],
  ['xfs', 320 * MiB, ['mkfs.xfs', '-q', '-L', 'retention']],
  ['swap', 2 * MiB, ['mkswap', '-L', 'swapfile']],
];
for (const [kind, bytes, [program = '', ...args]] of made) {
  t.test(
    `${kind} as ${program} makes it is read as blkid reads it`,
    { skip: skipUnless({ commands: [program, 'blkid'] }) },
    async (t) => {
      const file = path.join(temporaryDirectory(t), 'disk');
      fs.writeFileSync(file, '');
      fs.truncateSync(file, bytes);
      execFileSync(program, [...args, file], { stdio: 'ignore', env: environment });
      const found = blkid(file);
      const names = namesIn(fs.readFileSync(file));
      t.same(
        names.map(({ field, value }) => [field, value]),
        [
          ['UUID', found['UUID']],
          ['LABEL', found['LABEL']],
        ],
      );
      t.ok(names.every((name) => name.kind === kind && name.partition === null));
    },
  );
}

const laidOut: Record<string, [disk: Buffer, names: string[], blkid: Record<string, string> | null]> = {
  LVM: [
    images.diskImage(64 * MiB, [[0, images.physicalVolume(lvmId, group)]]),
    [`- LVM UUID=${lvmId}`, '- LVM VG=rl', `- LVM VG UUID=${group.id}`],
    { TYPE: 'LVM2_member', UUID: lvmId },
  ],
  'LVM whose metadata wraps': [
    images.diskImage(64 * MiB, [[0, images.physicalVolume(lvmId, group, { isWrapped: true })]]),
    [`- LVM UUID=${lvmId}`, '- LVM VG=rl', `- LVM VG UUID=${group.id}`],
    { TYPE: 'LVM2_member' },
  ],
  'MD 1.2': [
    images.diskImage(4 * MiB, [[4096, images.mdSuperblock(uuid, 'host1:root')]]),
    ['- MD MD UUID=3d81c0f5:a2794be6:9c0718e5:d4f3b6a2', '- MD MD=host1:root'],
    { TYPE: 'linux_raid_member', UUID: uuid, LABEL: 'host1:root' },
  ],
  'LUKS 1': [
    images.diskImage(4 * MiB, [[0, images.luksHeader(1, uuid)]]),
    [`- luks UUID=${uuid}`],
    { UUID: uuid },
  ],
  'LUKS 2': [
    images.diskImage(4 * MiB, [[0, images.luksHeader(2, uuid, 'safe')]]),
    [`- luks UUID=${uuid}`, '- luks LABEL=safe'],
    { UUID: uuid, LABEL: 'safe' },
  ],
  btrfs: [
    images.diskImage(MiB, [[65_536, images.btrfsSuperblock(uuid, 'pool')]]),
    [`- btrfs UUID=${uuid}`, '- btrfs LABEL=pool'],
    null,
  ],
  vfat: [
    images.diskImage(MiB, [[0, images.vfatBootSector(0x7a214c0e, 'EFI')]]),
    ['- vfat UUID=7A21-4C0E', '- vfat LABEL=EFI'],
    null,
  ],
  'a GPT disk': [
    images.diskImage(16 * MiB, [
      [
        0,
        images.gpt(16 * MiB, [
          { start: MiB, bytes: 2 * MiB, uuid, label: 'EFI System' },
          { start: 3 * MiB, bytes: 2 * MiB, uuid: other },
        ]),
      ],
      [MiB, images.vfatBootSector(0x7a214c0e, 'NO NAME')],
      [3 * MiB + 1024, images.extSuperblock(other, 'root')],
    ]),
    [
      `1 GPT PARTUUID=${uuid}`,
      '1 GPT PARTLABEL=EFI System',
      '1 vfat UUID=7A21-4C0E',
      `2 GPT PARTUUID=${other}`,
      `2 ext UUID=${other}`,
      '2 ext LABEL=root',
    ],
    { PTTYPE: 'gpt', PTUUID: '11111111-2222-3333-4444-555555555555' },
  ],
  'a DOS disk with logical partitions': [
    images.diskImage(16 * MiB, [
      [
        0,
        images.dosTable(0x0badcafe, [
          { type: 0x83, start: MiB, bytes: MiB },
          { type: 0x0f, start: 4 * MiB, bytes: 12 * MiB },
        ]),
      ],
      [MiB + 1024, images.extSuperblock(uuid)],
      [
        4 * MiB,
        images.dosTable(0, [
          { type: 0x83, start: MiB, bytes: MiB },
          { type: 0x05, start: 4 * MiB, bytes: 4 * MiB },
        ]),
      ],
      [8 * MiB, images.dosTable(0, [{ type: 0x8e, start: MiB, bytes: 2 * MiB }])],
      [9 * MiB, images.physicalVolume(lvmId, group)],
    ]),
    [
      '1 DOS partitions PARTUUID=0badcafe-01',
      `1 ext UUID=${uuid}`,
      '5 DOS partitions PARTUUID=0badcafe-05',
      '6 DOS partitions PARTUUID=0badcafe-06',
      `6 LVM UUID=${lvmId}`,
      '6 LVM VG=rl',
      `6 LVM VG UUID=${group.id}`,
    ],
    { PTTYPE: 'dos', PTUUID: '0badcafe' },
  ],
  'MD 1.0 and 0.90 at the ends of partitions': [
    images.diskImage(16 * MiB, [
      [
        0,
        images.dosTable(0x0badcafe, [
          { type: 0xfd, start: MiB, bytes: 2 * MiB },
          { type: 0xfd, start: 4 * MiB, bytes: 2 * MiB },
        ]),
      ],
      [3 * MiB - 8192, images.mdSuperblock(uuid, '', 2 * MiB - 8192)],
      [6 * MiB - 65_536, images.oldMdSuperblock([1, 2, 3, 0xabcdef01])],
    ]),
    [
      '1 DOS partitions PARTUUID=0badcafe-01',
      '1 MD MD UUID=3d81c0f5:a2794be6:9c0718e5:d4f3b6a2',
      '2 DOS partitions PARTUUID=0badcafe-02',
      '2 MD MD UUID=00000001:00000002:00000003:abcdef01',
    ],
    { PTTYPE: 'dos' },
  ],
  'a blank disk': [Buffer.alloc(MiB), [], {}],
};

for (const [name, [disk, names, known]] of Object.entries(laidOut)) {
  t.test(`${name} says its names`, async (t) => {
    t.same(spell(disk), names);
    if (known === null || skipUnless({ commands: ['blkid'] }) !== false) return;
    const file = path.join(temporaryDirectory(t), 'disk');
    fs.writeFileSync(file, disk);
    t.match(blkid(file), known, 'and blkid takes it for the same');
  });
}

t.test('a disk that is cut short, or damaged anywhere, is read without a throw', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (const [name, [disk]] of Object.entries(laidOut)) {
    const head = disk.subarray(0, Math.min(disk.length, 5 * MiB));
    for (const length of [0, 1, 8, 100, 511, 512, 600, 1100, 4200, 70_000])
      t.doesNotThrow(() => namesIn(head.subarray(0, length)), `${name}, ${length} bytes`);
    for (let round = 0; round < 50; round += 1) {
      const damaged = Buffer.from(head.subarray(0, 128 * 1024));
      for (let count = 0; count < 200; count += 1) damaged[random.below(damaged.length)] = random.below(256);
      // Where the fields lie that say how much is to be read.
      for (let at = 446; at < 1200; at += 1 + random.below(16)) damaged[at] = random.below(256);
      t.doesNotThrow(() => namesIn(damaged), name);
    }
  }
});
