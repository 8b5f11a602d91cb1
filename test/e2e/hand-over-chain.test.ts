// A machine that comes over the chain is handed over while its source goes on: it runs here from the pinned
// moment, and nothing that the source sends gets in any more.
import fs from 'node:fs';
import t from 'tap';
import type { HandOverRequest } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { imagesAt, reached, targetStatus } from '../support/chain-checks.ts';
import { ChainLoad } from '../support/chain-load.ts';
import { ChainSite } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter, readExport } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const size = 8 * MiB;

t.setTimeout(180_000);

t.test('the source of a machine that was handed over is shut out at both hosts', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await ChainSite.start(t, { settings: { SegmentBytes: '1M', ReplicaLag: '0s' } });
  const source = await site.source('web', [{ name: 'disk', size }]);
  await site.protect('web', '--consistency-interval', '24h');
  const oracle = new Oracle(0, size);
  const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 8 });
  await load.writeMore(150);
  await reached(site.target, 'web');
  const tag = await site.server.control.tag('web', 'noon');
  const image = fs.readFileSync(source.files.get('disk') ?? '');
  await load.writeMore(150);
  await reached(site.target, 'web');
  const { headLsn } = await targetStatus(site.target, 'web');
  const signal = new AbortController().signal;
  const ignore = (): void => undefined;
  const inPlace = { machine: 'web', at: 'tag:noon', target: { kind: 'in-place' }, overwrite: [] } as const;
  await site.target.recover({ ...inPlace, overwrite: [] }, ignore, signal);
  const socket = site.at('here.sock');
  const request: HandOverRequest = { machine: 'web', to: { kind: 'run', listen: `unix:${socket}` } };
  t.match(await site.target.planHandOver(request), {
    lsn: tag.lsn,
    source: { path: 'chain', connected: true, fencedBy: /homeward unprotect web/ },
  });
  await t.rejects(site.target.handOver(request, ignore, signal), { code: 'source-connected' });
  const before = await imagesAt(site.target, source, `lsn:${headLsn}`);
  const run = ['hand-over', 'web', '--run', `unix:${socket}`];
  t.match(await site.ask(...run, '--plan'), { lsn: tag.lsn }, 'an operator may be anywhere');
  t.match(await site.ask(...run, '--yes', '--source-is-off'), { result: { changed: true } });
  t.ok((await readExport(socket, 'disk', size)).equals(image), 'it goes on from noon');

  await load.writeMore(60);
  await until('the source to hear of it', () => /code=fenced/.test(source.process.log));
  const here = await OracleWriter.connect(socket, 'disk', { oracle: new Oracle(0, size), random });
  await here.change({ kind: 'zero', sequence: 1, first: 0, count: size / 1024 });
  await here.flush();
  await here.close();
  image.fill(0, 0, size / 2);
  for (const when of ['at once', 'after a restart']) {
    t.ok((await readExport(socket, 'disk', size)).equals(image), `${when}: only what is written here counts`);
    t.same(await imagesAt(site.target, source, `lsn:${headLsn}`), before, `${when}: old points stay`);
    t.ok((await imagesAt(site.target, source, 'latest')).get('disk')?.equals(image), `${when}: the newest`);
    const status = await targetStatus(site.target, 'web');
    t.match(status, {
      path: 'ingest',
      state: 'ok',
      detail: /its old source is refused: homeward unprotect web/,
    });
    if (when === 'after a restart') break;
    await site.masterTarget.kill();
    await site.masterTarget.start();
  }
  await until('the server to hear of it', async () => (await site.status('web'))?.path === 'ingest');
  t.match(await site.server.control.tag('web', 'after'), { machine: 'web', name: 'after' });
  t.match((await site.target.points('web')).tags, [{ name: 'noon' }, { name: 'after' }]);
  t.match(await site.refused('resync', 'web', '--extent', 'disk:0-4096'), { code: 'not-assigned' });
  t.match(site.masterTarget.log, /event=source-shut-out/);
  t.notMatch(site.masterTarget.log, /level=error/);
  await load.close().catch(ignore);
});
