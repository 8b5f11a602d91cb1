// Bad networks between source, process server and master target: cut, slow, broken again and again. Nothing is lost,
// nothing comes twice, no resync is needed, and status tells where what waits is.
import t, { type Test } from 'tap';
import type { MachineStatus } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { imagesAt, Moments, reached, sameAtBothEnds } from '../support/chain-checks.ts';
import { ChainLoad } from '../support/chain-load.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { ForkedProxy } from '../support/forked-proxy.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

t.setTimeout(400_000);

const size = 32 * MiB;
const isFull = process.env['HOMEWARD_TEST'] === 'full';
const cutMs = isFull ? 60_000 : 6_000;

interface Net {
  site: ChainSite;
  proxy: ForkedProxy;
  source: Source;
  load: ChainLoad;
  moments: Moments;
  random: Random;
  /** The LSN of the first write is one above it. */
  base: number;
}

/** One write in flight, so that the LSN behind the first tag says which write it was. */
async function start(t: Test, window = 1): Promise<Net> {
  const random = seededRandom(chooseSeed(t));
  const proxy = await ForkedProxy.start(t);
  const site = await ChainSite.start(t, {
    processServer: ['--advertise', proxy.address],
    settings: { ChainCompression: 'off' },
  });
  proxy.to = /127\.0\.0\.1:\d+/.exec(site.processServer.ready)?.[0] ?? '';
  proxy.targetPid = () => site.masterTarget.pid;
  const source = await site.source('web', [{ name: 'disk', size }], '--config', site.at('drscout.conf'));
  await site.protect('web', '--consistency-interval', '24h');
  const oracle = new Oracle(0, size);
  const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window });
  const moments = new Moments(site, source);
  const base = await moments.record('before');
  t.ok(proxy.source.connections > 0 && proxy.target.connections > 0, 'both come through their network');
  return { site, proxy, source, load, moments, random, base };
}

/** All came, each once, in order: every LSN is the write that it was, and nothing was synced. */
async function checkWhole(t: Test, { site, source, load, moments, random, base }: Net): Promise<void> {
  const { oracle } = load;
  const status = await reached(site.target, 'web');
  await sameAtBothEnds(t, site.target, source, 'in the end');
  t.equal(status.headLsn, base + oracle.changes.length, 'each write is one record');
  t.equal(status.durableLsn, status.headLsn);
  for (const count of [oracle.changes.length, ...[1, 2, 3].map(() => random.below(oracle.changes.length))]) {
    const image = (await imagesAt(site.target, source, `lsn:${base + count}`)).get('disk');
    t.same(oracle.compare(image ?? Buffer.alloc(0), count), [], `exactly the first ${count} writes`);
  }
  await moments.check(t, 'in the end');
  t.same((await site.target.points('web')).gaps, [], 'no gap');
  t.equal(source.process.logged('sync-begun'), 1, 'nothing was synced but at the beginning');
  await load.close();
}

async function statusWhen(
  { site }: Net,
  what: string,
  holds: (status: MachineStatus) => boolean,
): Promise<MachineStatus> {
  let last: MachineStatus | null = null;
  const isSo = async (): Promise<boolean> => {
    last = await site.status('web');
    return last !== null && holds(last);
  };
  await until(what, isSo, cutMs + 60_000).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last)}`);
  });
  return last as unknown as MachineStatus;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test('the network between source and process server is cut for a while', async (t) => {
  const net = await start(t);
  await net.load.writeMore(200);
  net.proxy.source.cut();
  const cutAt = performance.now();
  await net.load.writeMore(300);
  const early = await statusWhen(net, 'the source to have a backlog', ({ backlog }) => backlog.source > MiB);
  await net.load.writeMore(300);
  const later = await statusWhen(
    net,
    'it to grow, and the RPO with it',
    ({ backlog, rpoSeconds }) =>
      backlog.source > early.backlog.source && (rpoSeconds ?? 0) > (early.rpoSeconds ?? 0) + 2,
  );
  t.equal(later.backlog.processServer, 0, 'nothing waits at the process server');
  await pause(cutMs - (performance.now() - cutAt));
  if (isFull) t.match(await net.site.status('web'), { state: 'disconnected', source: { connected: false } });
  net.proxy.source.restore();
  await statusWhen(
    net,
    'the backlog to go, and the RPO',
    ({ backlog, rpoSeconds }) => backlog.source === 0 && (rpoSeconds ?? 99) < 5,
  );
  await checkWhole(t, net);
});

t.test('the network between process server and master target is cut for a while', async (t) => {
  const net = await start(t);
  await net.load.writeMore(200);
  net.proxy.target.cut();
  const cutAt = performance.now();
  await net.load.writeMore(300);
  const early = await statusWhen(
    net,
    'the process server to have a backlog',
    ({ backlog }) => backlog.processServer > MiB,
  );
  await net.load.writeMore(300);
  const later = await statusWhen(
    net,
    'it to grow, and the RPO with it',
    ({ backlog, rpoSeconds }) =>
      backlog.processServer > early.backlog.processServer && (rpoSeconds ?? 0) > (early.rpoSeconds ?? 0) + 2,
  );
  t.equal(later.backlog.source, 0, 'nothing waits at the source');
  t.equal(later.backlog.target, early.backlog.target, 'and nothing new comes to the target');
  await pause(cutMs - (performance.now() - cutAt));
  if (isFull) t.equal((await net.site.status('web'))?.state, 'disconnected');
  net.proxy.target.restore();
  const after = await statusWhen(
    net,
    'the backlog to go, and the RPO',
    ({ backlog, rpoSeconds }) => backlog.processServer === 0 && (rpoSeconds ?? 99) < 5,
  );
  t.ok(after.backlog.target > later.backlog.target, 'it is at the target now');
  await checkWhole(t, net);
});

t.test('a cable that is out for a moment breaks nothing at all', async (t) => {
  const net = await start(t);
  const { source, target } = net.proxy;
  await net.load.writeMore(100);
  const before = [source.connections, target.connections];
  for (const side of [source, target]) {
    side.cut();
    await net.load.writeMore(150);
    await pause(1500);
    side.mend();
  }
  await checkWhole(t, net);
  t.same([source.connections, target.connections], before, 'no connection was made anew');
});

t.test('slow networks: what waits is seen, and comes', { skip: skipUnless({ full: true }) }, async (t) => {
  for (const side of ['source', 'target'] as const) {
    await t.test(`between ${side} and process server`, async (t) => {
      const net = await start(t);
      // Only the process server compresses, and what an oracle writes shrinks to a tenth.
      net.proxy[side].bytesPerSecond = side === 'source' ? MiB : MiB / 16;
      const writing = net.load.writeMore(1200);
      const where = side === 'source' ? 'source' : 'processServer';
      const other = side === 'source' ? 'processServer' : 'source';
      const early = await statusWhen(net, 'a backlog', ({ backlog }) => backlog[where] > MiB);
      t.ok(early.backlog[other] < 2 * MiB, `little waits elsewhere: ${early.backlog[other]} bytes`);
      await writing;
      await statusWhen(net, 'an RPO that says so', ({ rpoSeconds }) => (rpoSeconds ?? 0) > 3);
      await checkWhole(t, net);
    });
  }
});

t.test('connections that are closed again and again', { skip: skipUnless({ full: true }) }, async (t) => {
  const net = await start(t);
  const { source, target } = net.proxy;
  for (const afterBytes of [MiB / 2, 2 * MiB, 8 * MiB]) {
    source.closeAfterBytes = afterBytes;
    target.closeAfterBytes = afterBytes / 16; // what the process server compresses is small
    await net.load.writeMore(600);
    await reached(net.site.target, 'web', 180_000);
    await sameAtBothEnds(t, net.site.target, net.source, `closed after each ${afterBytes} bytes`);
  }
  t.ok(source.connections > 8 && target.connections > 8, `${source.connections} and ${target.connections}`);
  await checkWhole(t, net);
});
