// The first copy of a disk: no points inside, its redo goes as it is applied, and its end is the first point.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import t, { type Test } from 'tap';
import type { IngestReport, PointsReport, SeededReport } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { MasterTarget, nbdUri, runOk, until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter, readExport } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const size = 48 * MiB;

t.setTimeout(240_000);

/** A disk image to be copied: data, with holes between. */
function makeImage(target: MasterTarget): { file: string; oracle: Oracle } {
  const oracle = new Oracle(0, size);
  const image = Buffer.alloc(size);
  for (const [from, megabytes] of [
    [0, 10],
    [14, 20],
    [40, 7],
  ] as const) {
    const change = oracle.add('write', (from * MiB) / 512, (megabytes * MiB) / 512);
    oracle.data(change).copy(image, from * MiB);
  }
  const file = target.inDirectory('image.raw');
  fs.writeFileSync(file, image);
  return { file, oracle };
}

async function startSeeding(
  t: Test,
): Promise<{ target: MasterTarget; socket: string; file: string; oracle: Oracle }> {
  const target = await MasterTarget.start(t, { SegmentBytes: '2M' });
  const socket = await target.ingest('box', [`disk=${size}`], '--seeding');
  return { target, socket, ...makeImage(target) };
}

async function pointIsImage(t: Test, target: MasterTarget, lsn: number, oracle: Oracle): Promise<void> {
  const view = await target.view('box', `lsn:${lsn}`);
  t.same(oracle.compare(await readExport(view.socket, 'disk', size), 3), [], `lsn:${lsn} is the image`);
  await target.closeView(view.id);
}

t.test(
  'a copied disk has no point until it is seeded; then its first point is the image',
  {
    skip: skipUnless({ commands: ['nbdcopy'] }),
  },
  async (t) => {
    const { target, socket, file, oracle } = await startSeeding(t);
    await runOk('nbdcopy', ['--flush', file, nbdUri(socket, 'disk')]);
    t.match(await target.status('box'), { state: 'seeding', oldestLsn: null });
    t.match(await target.ask<PointsReport>('points', 'box'), { window: null });
    const listen = `unix:${target.inDirectory('none.sock')}`;
    for (const when of ['latest', 'lsn:1', '2020-01-01T00:00:00Z']) {
      const refused = await target.refused('view', 'box', '--at', when, '--listen', listen);
      t.match(refused, { status: 4, code: 'no-points' }, `${when} is refused`);
    }
    t.match(await target.refused('tag', 'box', '--name', 'early'), { status: 4 }, 'a tag would be no point');
    const again = await target.ask<IngestReport>(
      'ingest',
      'open',
      'box',
      '--disk',
      `disk=${size}`,
      '--listen',
      `unix:${socket}`,
      '--seeding',
    );
    t.match(again, { changed: false, seeding: true }, 'the same call again changes nothing');

    const { redoBytes, appliedLsn } = await target.status('box');
    await until(
      'the redo to go as it is applied',
      async () => (await target.status('box')).redoBytes <= 4 * MiB,
    );
    t.comment(`redo ${redoBytes} bytes at first, applied up to ${appliedLsn}`);

    const { lsn } = await target.ask<SeededReport>('ingest', 'seeded', 'box');
    t.equal((await target.status('box')).oldestLsn, lsn, 'the first point is the end of the copy');
    await pointIsImage(t, target, lsn, oracle);
    t.match(await target.refused('ingest', 'seeded', 'box'), { status: 5 }, 'it cannot end twice');
    const open = ['ingest', 'open', 'box', '--disk', `disk=${size}`, '--seeding', '--listen'];
    t.match(await target.ask<IngestReport>(...open, `unix:${socket}`), { changed: false, seeding: false });
    t.match(
      await target.refused(...open, listen),
      { status: 5, code: 'conflict' },
      'another copy is another call',
    );

    const writer = await OracleWriter.connect(socket, 'disk', {
      oracle,
      random: seededRandom(chooseSeed(t)),
    });
    await writer.writeMore(50);
    await pointIsImage(t, target, lsn, oracle);
    const latest = await target.view('box', 'latest');
    t.equal(latest.lsn, lsn + 50, 'from here on every write is a point');
    t.same(oracle.compare(await readExport(latest.socket, 'disk', size), 53), []);
    t.match(await target.refused('view', 'box', '--at', `lsn:${lsn - 1}`, '--listen', listen), { status: 4 });
  },
);

t.test(
  'kill -9 in the middle of the copy: it is still seeding, and copying again ends well',
  {
    skip: skipUnless({ commands: ['nbdcopy'] }),
  },
  async (t) => {
    const { target, socket, file, oracle } = await startSeeding(t);
    for (const part of [8, 24]) {
      const copy = spawn('nbdcopy', ['--requests=2', '--connections=1', file, nbdUri(socket, 'disk')], {
        stdio: 'ignore',
      });
      const ended = once(copy, 'exit');
      await until(
        'a part to be copied',
        async () => (await target.status('box')).headLsn * 256 * 1024 >= part * MiB || copy.exitCode !== null,
      );
      await target.kill();
      await ended;
      await target.restart();
      t.match(await target.status('box'), { state: 'seeding', oldestLsn: null, listen: `unix:${socket}` });
    }
    await runOk('nbdcopy', ['--flush', file, nbdUri(socket, 'disk')]);
    const { lsn } = await target.ask<SeededReport>('ingest', 'seeded', 'box');
    await target.kill();
    await target.restart();
    t.match(await target.status('box'), { state: 'ok', oldestLsn: lsn }, 'and it stays seeded');
    await pointIsImage(t, target, lsn, oracle);
  },
);

t.test('qemu-img can write the first copy', { skip: skipUnless({ commands: ['qemu-img'] }) }, async (t) => {
  const { target, socket, file } = await startSeeding(t);
  await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', file, nbdUri(socket, 'disk')]);
  await target.ask('ingest', 'seeded', 'box');
  const view = await target.view('box', 'latest');
  const same = await runOk('qemu-img', [
    'compare',
    '-f',
    'raw',
    '-F',
    'raw',
    file,
    nbdUri(view.socket, 'disk'),
  ]);
  t.match(same, 'identical');
});
