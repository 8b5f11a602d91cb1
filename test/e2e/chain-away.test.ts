// One of the chain is away or elsewhere: without the configuration server everything that was protected goes
// on, also through restarts; a process server that moves is found again.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { MiB } from '../../core/units.ts';
import { imagesAt, Moments, reached, sameAtBothEnds, targetStatus } from '../support/chain-checks.ts';
import { ChainLoad } from '../support/chain-load.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { homeward } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

t.setTimeout(240_000);

const size = 24 * MiB;

interface Away {
  site: ChainSite;
  source: Source;
  load: ChainLoad;
  random: Random;
}

async function start(t: Test): Promise<Away> {
  const random = seededRandom(chooseSeed(t));
  const site = await ChainSite.start(t);
  const source = await site.source('web', [{ name: 'disk', size }]);
  await site.protect('web', '--consistency-interval', '24h');
  const oracle = new Oracle(0, size);
  const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 1 });
  return { site, source, load, random };
}

const options = { skip: skipUnless({ full: true }) };
t.test('the configuration server is gone: replication, restarts and recovery go on', options, async (t) => {
  const { site, source, load } = await start(t);
  const { oracle } = load;
  const moments = new Moments(site, source);
  await load.writeMore(200);
  const base = (await moments.record('before')) - 200;
  await site.configServer.kill();

  await load.writeMore(200);
  await reached(site.target, 'web');
  await sameAtBothEnds(t, site.target, source, 'without the configuration server');
  for (const daemon of [site.processServer, site.masterTarget]) {
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const writing = load.writeMore(100);
      await daemon.end(signal);
      await daemon.start();
      await writing;
      const { state, headLsn } = await reached(site.target, 'web');
      t.equal(state, 'ok', `${daemon.what} after ${signal}`);
      t.equal(headLsn, base + oracle.changes.length, 'no write and no record more');
    }
  }
  t.equal(source.process.logged('sync-begun'), 1, 'nothing was synced so far');

  await restartSource(t, { site, source, load });
  // All three at a time.
  const three = [site.processServer, site.masterTarget, source.process];
  await Promise.all(three.map((daemon) => daemon.kill()));
  await Promise.all(three.map((daemon) => daemon.start()));
  await load.resume();
  await load.writeMore(50);
  const status = await reached(site.target, 'web');
  await sameAtBothEnds(t, site.target, source, 'after all three at a time');
  t.match(status, { path: 'chain', backlog: { source: 0, processServer: 0 } });
  await moments.check(t, 'at last');
  await recoverByControl(t, site, oracle);
  const { configServer } = await site.target.status();
  t.match(configServer, { contactSeconds: null, hostId: /-/ }, 'it has not been heard since the start');

  await site.configServer.start();
  await site.settled('web');
  t.equal((await site.server.control.tag('web', 'after')).name, 'after', 'it is back, and takes part again');
  await load.close();
});

async function recoverByControl(t: Test, site: ChainSite, oracle: Oracle): Promise<void> {
  const control = ['--control', site.at('mt', 'control.sock'), '--json'];
  const to = `raw:${site.at('recovered')}`;
  const { status, err } = await homeward(['recover', 'web', '--at', 'tag:before', '--to', to, ...control]);
  t.equal(status, 0, err);
  t.same(
    oracle.compare(fs.readFileSync(site.at('recovered', 'disk.raw')), 200),
    [],
    'recovered by --control',
  );
}

/** After a clean stop it goes on, after a kill it syncs its map. */
async function restartSource(t: Test, { site, source, load }: Omit<Away, 'random'>): Promise<void> {
  await load.close();
  t.equal(await source.process.stop(), 0);
  await source.process.start();
  await load.writeMore(50);
  await reached(site.target, 'web');
  t.equal(source.process.logged('sync-begun'), 1, 'a clean stop needs no sync');
  await sameAtBothEnds(t, site.target, source, 'after a clean stop of the source');
  await source.process.kill();
  await source.process.start();
  await load.resume();
  await load.writeMore(50);
  await reached(site.target, 'web');
  t.equal(source.process.logged('sync-begun'), 2);
  await sameAtBothEnds(t, site.target, source, 'after a killed source');
}

t.test('a process server that stops and comes back elsewhere is found', async (t) => {
  const { site, source, load, random } = await start(t);
  const { oracle } = load;
  const before = await targetStatus(site.target, 'web');
  await load.writeMore(200);
  const old = site.processServer.ready;
  for (const how of ['SIGTERM', 'SIGKILL'] as const) {
    const writing = load.writeMore(300);
    await site.processServer.end(how);
    site.processServer.args = site.processServer.args.map((arg, at, all) =>
      all[at - 1] === '--listen' ? '127.0.0.1:0' : arg,
    );
    await site.processServer.start();
    await writing;
    t.not(site.processServer.ready, old, 'it is at another port');
    await load.writeMore(100);
    await reached(site.target, 'web');
    await sameAtBothEnds(t, site.target, source, `elsewhere after ${how}`);
  }
  const { headLsn } = await targetStatus(site.target, 'web');
  t.equal(headLsn, before.headLsn + oracle.changes.length, 'each write came once');
  const count = random.below(oracle.changes.length);
  const image = (await imagesAt(site.target, source, `lsn:${before.headLsn + count}`)).get('disk');
  t.same(oracle.compare(image ?? Buffer.alloc(0), count), [], `exactly the first ${count} writes`);
  t.equal(source.process.logged('sync-begun'), 1, 'nothing was synced but at the beginning');
  t.same((await site.target.points('web')).gaps, []);
  await load.close();
});
