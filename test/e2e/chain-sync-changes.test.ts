// Protection that changes while a workload writes: other options, another process server, an end and a new
// beginning.
import t from 'tap';
import type { ProtectReport } from '../../config-server/client.ts';
import { MiB } from '../../core/units.ts';
import { imagesAt, Moments, reached, sameAtBothEnds } from '../support/chain-checks.ts';
import { ChainLoad } from '../support/chain-load.ts';
import { ChainSite } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { Oracle } from '../support/oracle.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(240_000);

const size = 32 * MiB;

t.test('other options: all goes on; another process server: a short gap, and nothing is lost', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await ChainSite.start(t);
  const source = await site.source('web', [{ name: 'disk', size }]);
  await site.protect('web', '--consistency-interval', '24h');
  const moments = new Moments(site, source);
  const base = await moments.record('before');
  const oracle = new Oracle(0, size);
  const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 1 });
  await load.writeMore(100);

  const changed = await site.ask<ProtectReport>('protect', 'web', '--window', '2h');
  t.match(changed, { epoch: 2, changed: true, windowMs: 7_200_000, consistencyIntervalMs: 86_400_000 });
  const same = await site.ask<ProtectReport>('protect', 'web', '--window', '2h');
  t.match(same, { epoch: 2, changed: false }, 'the same again changes nothing');
  await load.writeMore(100);
  await reached(site.target, 'web');

  const other = await site.otherProcessServer('ps2');
  const moving = site.ask<ProtectReport>('protect', 'web', '--process-server', other.id);
  await load.write(() => other.process.logged('source-connected') > 0);
  t.match(await moving, { epoch: 3, changed: true, processServer: { id: other.id } });
  await load.writeMore(100);
  t.equal(await site.processServer.stop(), 0, 'the old one can go');
  await reached(site.target, 'web');
  await sameAtBothEnds(t, site.target, source, 'over the other process server');
  const { gaps } = await site.target.points('web');
  t.match(gaps, [{ reason: 'another process server', to: Number }]);
  t.equal(source.process.logged('sync-begun'), 2, 'what the old one may have kept is compared');
  const last = (gaps[0]?.from ?? 0) - 1 - base;
  t.ok(last >= 200, `the first ${last} writes were points before`);
  for (const count of [1, last, random.below(last)]) {
    const image = (await imagesAt(site.target, source, `lsn:${base + count}`)).get('disk');
    t.same(oracle.compare(image ?? Buffer.alloc(0), count), [], `exactly the first ${count} writes`);
  }
  await moments.check(t, 'in the end');
  await load.close();
});

t.test(
  'unprotected: points stay and can be recovered; protected again: what changed is synced',
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    const site = await ChainSite.start(t);
    const source = await site.source('web', [{ name: 'disk', size }]);
    await site.protect('web', '--consistency-interval', '24h');
    const oracle = new Oracle(0, 4 * MiB);
    const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 8 });
    const moments = new Moments(site, source);
    await load.writeMore(200);
    await moments.record('kept');
    const { headLsn } = await reached(site.target, 'web');
    const dirty = async (): Promise<number> => (await site.status('web'))?.source?.dirtyBytes ?? Infinity;
    await until('the first copy to have left the dirty map', async () => (await dirty()) <= 8 * MiB);

    await site.ask('unprotect', 'web');
    await until('the source to hear of it', () =>
      source.process.lineOf('protection-state').includes('unprot'),
    );
    await load.writeMore(200);
    await until('status to say so', async () => {
      const status = await site.status('web');
      return status?.state === 'idle' && status.headLsn === headLsn && status.durableLsn === headLsn;
    });
    t.match(await site.status('web'), { detail: 'not protected any more' });
    t.match(await site.refused('tag', 'web', '--name', 'no'), {
      code: /^(not-assigned|conflict|in-gap)$/,
    });
    await moments.check(t, 'while it is not protected');
    await site.ask('recover', 'web', '--at', 'tag:kept', '--to', `raw:${site.at('recovered')}`);

    t.match(await site.ask('protect', 'web'), { epoch: 3, changed: true });
    await load.writeMore(100);
    await reached(site.target, 'web');
    await sameAtBothEnds(t, site.target, source, 'protected again');
    await moments.check(t, 'protected again');
    const line = source.process.lineOf('sync-begun');
    t.match(line, 'reason="protected again"');
    t.ok(Number(/bytes=(\d+)/.exec(line)?.[1]) <= 8 * MiB, 'the dirty map, not the whole disk');
    const { gaps } = await site.target.points('web');
    t.equal(gaps.length, 1, 'one gap');
    t.match(gaps[0], { reason: /protected again/, from: Number });
    t.ok((gaps[0]?.from ?? 0) > headLsn, 'behind the last point');
    await load.close();
  },
);
