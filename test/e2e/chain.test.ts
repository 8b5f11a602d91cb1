// The whole chain as processes: what a workload writes at the source is recoverable at the master target,
// write by
// write, and status says how far behind it is.
import fs from 'node:fs';
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { ChainSite } from '../support/chain-site.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter, readExport } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(240_000);

const size = 16 * MiB;

t.test('every write of a protected machine is a point to go back to', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await ChainSite.start(t);
  const source = await site.source('web', [{ name: 'disk', size }]);
  await site.protect('web');
  const before = (await site.status('web'))?.headLsn ?? -1;
  t.ok(before >= 2, 'the first copy took LSNs of its own');

  const oracle = new Oracle(0, size);
  const writer = await OracleWriter.connect(source.socket, 'disk', { oracle, random, window: 1 });
  t.ok(await writer.writeMore(200));
  const tag = await site.ask<{ lsn: number; name: string }>('tag', 'web', '--name', 'middle');
  t.equal(tag.lsn, before + 201, 'a tag is the next LSN');
  t.match(
    (await site.points('web')).tags.map(({ name }) => name),
    ['middle'],
    'and it is listed when the command returns',
  );
  t.match(await site.refused('tag', 'web', '--name', 'middle'), { status: 5, code: 'tag-exists' });
  t.match(await site.refused('protect', 'web', '--window', '0s'), { status: 2, code: 'usage' });
  t.ok(await writer.writeMore(200));
  await writer.flush();
  await writer.close();

  const status = await site.settled('web');
  t.match(status, { state: 'ok', path: 'chain', headLsn: before + 401, durableLsn: before + 401 });
  t.ok((status.rpoSeconds ?? 99) < 5, `RPO ${status.rpoSeconds} s`);
  for (const count of [0, 1, 200, 400, ...Array.from({ length: 4 }, () => random.below(400))]) {
    const lsn = before + count + (count > 200 ? 1 : 0);
    const view = await site.view('web', `lsn:${lsn}`);
    t.same(
      oracle.compare(await readExport(view.socket, 'disk', size), count),
      [],
      `lsn:${lsn} is exactly the first ${count} writes`,
    );
    await site.ask('view', 'close', view.id);
  }
  await site.ask('recover', 'web', '--at', 'tag:middle', '--to', `raw:${site.at('recovered')}`);
  t.same(oracle.compare(fs.readFileSync(site.at('recovered', 'disk.raw')), 200), []);
  t.equal(await site.processServer.stop(), 0);
  t.equal(await site.masterTarget.stop(), 0);
  t.equal(await site.configServer.stop(), 0);
  t.equal(await source.process.stop(), 0);
});

t.test('many writes in flight, several disks: what arrives is what the disks hold', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await ChainSite.start(t);
  const source = await site.source('db', [
    { name: 'system', size },
    { name: 'data', size: 2 * size },
  ]);
  await site.protect('db');
  for (const [disk, bytes] of [
    ['system', size],
    ['data', 2 * size],
  ] as const) {
    const oracle = new Oracle(disk === 'data' ? 1 : 0, bytes);
    const writer = await OracleWriter.connect(source.socket, disk, { oracle, random, window: 64 });
    t.ok(await writer.writeMore(1500));
    await writer.flush();
    await writer.close();
    const image = fs.readFileSync(source.files.get(disk) ?? '');
    t.same(oracle.compare(image, oracle.changes.length), [], 'overlapping writes took their order');
  }
  await site.settled('db');
  const view = await site.view('db', 'latest');
  for (const [disk, file] of source.files) {
    const image = await readExport(view.socket, disk, fs.statSync(file).size);
    t.ok(image.equals(fs.readFileSync(file)), `${disk} is the same at both ends`);
  }
});
