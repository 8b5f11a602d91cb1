// Rescue of several disks from a retention volume that is mounted for reading only.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { RecoverReport } from '../../agent/control/client.ts';
import type { Rescuable } from '../../agent/recovery/rescue/client.ts';
import { MiB } from '../../core/units.ts';
import { homeward, MasterTarget, nbdUri, runOk } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { mountInPlace, snapshot } from '../support/volumes.ts';

const skip = skipUnless({
  root: true,
  commands: ['mkfs.ext4', 'nbdcopy', 'qemu-io'],
  files: ['/dev/loop-control'],
});
t.setTimeout(120_000);

const sizes = { root: 8 * MiB, data: 16 * MiB };
const names = ['root', 'data'] as const;

t.test('all disks of every moment come back, and nothing is written there', { skip }, async (t) => {
  const random = seededRandom(chooseSeed(t));
  const settings = { SegmentBytes: '4M', ReplicaLag: '0s', RetentionReserveBytes: '0' };
  const target = await MasterTarget.start(t, settings);
  const disks = names.map((name) => `${name}=${sizes[name]}`);
  const socket = await target.ingest('box', disks);
  t.equal(await target.stop(), 0);
  const retention = target.inData('retention');
  const volume = mountInPlace(t, retention, 200, () => target.kill());
  await target.restart();
  const images = new Map<string, Buffer>();
  for (const name of names) {
    const image = random.bytes(sizes[name]);
    fs.writeFileSync(target.inDirectory(`${name}.raw`), image);
    images.set(name, image);
    await runOk('nbdcopy', [target.inDirectory(`${name}.raw`), nbdUri(socket, name)]);
  }
  await target.ask('tag', 'box', '--name', 'before');
  const later = Buffer.from(images.get('data') ?? []).fill(7, MiB, 3 * MiB);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 7 1M 2M', '-c', 'flush', nbdUri(socket, 'data')]);
  await target.kill();
  volume.remount('ro');
  t.throws(() => fs.writeFileSync(path.join(retention, 'mine'), ''), { code: 'EROFS' });
  const before = snapshot(retention);

  const places = ['rescue', retention, '--replicas', target.inData('replicas')];
  const listed = await homeward([...places, '--json']);
  t.equal(listed.status, 0, listed.err);
  const { machines } = JSON.parse(listed.out) as { machines: Rescuable[] };
  t.match(machines, [
    { machine: 'box', damaged: [], disks: names.map((name) => ({ name, size: sizes[name] })) },
  ]);
  const { out: shown } = await homeward(places);
  const command = `recover it: homeward rescue ${retention} box --replicas ${target.inData('replicas')} --at`;
  t.ok(shown.includes(command), shown);
  const recovered = async (at: string): Promise<Buffer[]> => {
    const out = target.inDirectory(`out-${at.replace(':', '-')}`);
    const args = [
      ...places.slice(0, 2),
      'box',
      ...places.slice(2),
      '--at',
      at,
      '--to',
      `raw:${out}`,
      '--json',
    ];
    const { status, out: said, err } = await homeward(args);
    t.equal(status, 0, err);
    const { result } = JSON.parse(said.trimEnd().split('\n').at(-1) ?? '') as { result: RecoverReport };
    return result.disks.map(({ to }) => fs.readFileSync(to));
  };
  const [root, data] = await recovered('tag:before');
  t.ok(root?.equals(images.get('root') ?? Buffer.alloc(0)), 'root at the tag');
  t.ok(data?.equals(images.get('data') ?? Buffer.alloc(0)), 'data at the tag');
  const [rootNow, dataNow] = await recovered('latest');
  t.ok(rootNow?.equals(images.get('root') ?? Buffer.alloc(0)), 'root as it was last');
  t.ok(dataNow?.equals(later), 'data as it was last');
  t.same(snapshot(retention), before);
});
