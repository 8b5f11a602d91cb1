// Syncs on the way of a pulled machine: no point lies inside one, those before stay, and what is seen
// outlives a restart.
import t, { type Test } from 'tap';
import { until } from '../support/homeward.ts';
import { PullSite, type PlayedSource } from '../support/pull-site.ts';

const kib = (count: number, fill: string): Buffer => Buffer.alloc(count * 1024, fill);

/** A machine with points: `a` in its first 64 KiB. */
async function protectedMachine(site: PullSite, windowMs = 3_600_000): Promise<PlayedSource> {
  const web = site.assign('web', undefined, { windowMs });
  web.syncBegin();
  web.write(0, 0, kib(64, 'a'));
  web.syncEnd();
  await site.startTarget();
  await site.settled(web);
  return web;
}

t.test('while a resync goes on, the newest point is the one before it, and RPO ages', async (t) => {
  const site = await PullSite.start(t);
  const web = await protectedMachine(site);
  const first = web.lsn;
  const begin = web.syncBegin({ reason: 'lost spool' });
  web.write(0, 0, kib(32, 'b'));
  web.tag('inside');
  await site.settled(web);
  site.sendHead(web, { state: 'resync', time: Date.now() * 1000 + 60e6 });
  await until('the gap to show', async () => (await site.status('web')).state === 'gap');
  const status = await site.status('web');
  t.match(status.detail, /lost spool/);
  t.ok((status.rpoSeconds ?? 0) > 0, 'the head of the sync makes no point newer');
  t.equal(status.oldestLsn, first, 'the first point has not moved');
  await t.rejects(site.recovered('web', `lsn:${begin}`), { code: 'in-gap' });
  await t.rejects(site.recovered('web', 'tag:inside'), { code: 'in-gap' });
  t.ok((await site.recovered('web', 'latest')).subarray(0, 65536).equals(kib(64, 'a')));

  await site.restartTarget();
  await site.settled(web);
  t.equal((await site.client.points('web')).gaps[0]?.to, null);
  t.ok(((await site.status('web')).rpoSeconds ?? -1) >= 0);
  const end = web.syncEnd();
  await site.settled(web);
  t.match((await site.client.points('web')).gaps, [{ from: begin, to: end, reason: 'lost spool' }]);
  const now = await site.recovered('web', 'latest');
  t.ok(now.subarray(0, 65536).equals(Buffer.concat([kib(32, 'b'), kib(32, 'a')])));
  t.equal((await site.status('web')).oldestLsn, first);
});

t.test('a source whose clock is ahead does not make its points look new', async (t) => {
  const site = await PullSite.start(t);
  const web = await protectedMachine(site);
  site.sendHead(web, { time: Date.now() * 1000 + 3600e6 });
  await until('a head', async () => (await site.status('web')).state === 'ok');
  await until('RPO ages', async () => ((await site.status('web')).rpoSeconds ?? 0) > 0.05);
  t.ok(((await site.status('web')).rpoSeconds ?? 0) < 60);
});

t.test('LSNs that a sync skipped are no points, and stay skipped after a restart', async (t) => {
  const site = await PullSite.start(t);
  const web = await protectedMachine(site);
  const before = web.lsn;
  web.syncBegin({ reason: 'overflow' }, 1000);
  web.write(0, 0, kib(1, 'c'));
  web.syncEnd();
  web.write(0, 1024, kib(1, 'd'));
  await site.settled(web);
  for (const round of ['at once', 'after a restart']) {
    await t.rejects(site.recovered('web', `lsn:${before + 500}`), { code: 'in-gap' }, round);
    t.ok((await site.recovered('web', `lsn:${before}`)).subarray(0, 65536).equals(kib(64, 'a')), round);
    const latest = (await site.recovered('web', 'latest')).subarray(0, 4096);
    t.ok(latest.equals(Buffer.concat([kib(1, 'c'), kib(1, 'd'), kib(2, 'a')])), round);
    await site.restartTarget();
    await until('the stream', () => site.streamOf(web) !== null);
    t.equal(site.streamOf(web)?.hello.durable, web.lsn, round);
  }
});

/** `settings` say whether the cursor waits before the gap, or goes into it and undo leads back. */
async function throughGap(t: Test, settings: Record<string, string>): Promise<void> {
  const site = await PullSite.start(t, settings);
  const waits = settings['KEEP_RULES'] === 'none';
  const web = await protectedMachine(site, 1);
  const before = web.write(0, 0, kib(40, 'b'));
  const begin = web.syncBegin({ reason: 'resync' });
  for (let count = 0; count < 8; count++) web.write(0, count * 1024, kib(40, 'c'));
  await site.settled(web);
  const isThere = async (): Promise<boolean> => {
    const { appliedLsn } = await site.status('web');
    return waits ? appliedLsn === before : appliedLsn > begin;
  };
  await until('apply to come to the gap', isThere);
  const newest = Buffer.concat([kib(40, 'b'), kib(24, 'a')]);
  const check = async (about: string): Promise<void> => {
    t.ok((await site.recovered('web', 'latest')).subarray(0, 65536).equals(newest), `latest ${about}`);
    await t.rejects(site.recovered('web', `lsn:${begin}`), { code: 'in-gap' });
  };
  await check('is the point before it, however old');
  await site.restartTarget();
  await site.settled(web);
  await until('apply to come to the gap', isThere);
  await check('after a restart');

  const end = web.syncEnd();
  for (let count = 0; count < 4; count++) web.write(0, 0, kib(40, 'd'));
  await site.settled(web);
  await until('apply to pass the gap', async () => (await site.status('web')).appliedLsn >= end);
  await until('the old point to go', async () => ((await site.status('web')).oldestLsn ?? 0) >= end);
  t.ok((await site.recovered('web', 'latest')).subarray(0, 40 * 1024).equals(kib(40, 'd')));
}

t.test('without undo the cursor stays before an open gap, and passes it as a whole', async (t) => {
  await throughGap(t, { KEEP_RULES: 'none' });
});

t.test('with undo the cursor goes into an open gap, and the point before stays', async (t) => {
  await throughGap(t, { KEEP_RULES: 'tags=1d', REPLICA_LAG: '0s' });
});
