// The first copy of a disk that has a past: only what is not zero travels, status says how far it is, it
// yields to the workload, and whoever is killed in the middle of it, it goes on where it was.
import t, { type Test } from 'tap';
import type { MachineStatus } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { imagesAt, reached, sameAtBothEnds } from '../support/chain-checks.ts';
import { ChainLoad } from '../support/chain-load.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { ForkedProxy } from '../support/forked-proxy.ts';
import { until } from '../support/homeward.ts';
import { layDisk, type Laid } from '../support/laid-disk.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

t.setTimeout(240_000);

/** The workload's part of each disk: a hole at first. */
const loadBytes = 4 * MiB;

interface Net {
  site: ChainSite;
  proxy: ForkedProxy;
  source: Source;
  random: Random;
}

async function start(t: Test, size: number, laid: readonly Laid[], bytesPerSecond: number): Promise<Net> {
  const random = seededRandom(chooseSeed(t));
  const proxy = await ForkedProxy.start(t);
  const site = await ChainSite.start(t, { processServer: ['--advertise', proxy.address] });
  proxy.to = /127\.0\.0\.1:\d+/.exec(site.processServer.ready)?.[0] ?? '';
  proxy.targetPid = () => site.masterTarget.pid;
  proxy.source.bytesPerSecond = bytesPerSecond;
  const path = site.at('web.img');
  layDisk(path, size, laid, random);
  const source = await site.source('web', [{ name: 'disk', path }]);
  return { site, proxy, source, random };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until that much of the sync that is under way is done. */
async function untilDone(site: ChainSite, part: number): Promise<MachineStatus> {
  let last: MachineStatus | null = null;
  await until(`${part} of the first copy`, async () => {
    last = await site.status('web');
    const sync = last?.source?.sync;
    return sync?.phase === 'copying' && sync.doneBytes >= part * sync.totalBytes;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last)}`);
  });
  return last as unknown as MachineStatus;
}

/** Bytes that a line of the log says of a sync. */
const bytesIn = (line: string, name: string): number =>
  Number(new RegExp(` ${name}=(\\d+)`).exec(line)?.[1] ?? NaN);

t.test('only what is not zero travels, while a workload writes and is not held up', async (t) => {
  const data = 28 * MiB;
  const laid = [
    { at: 8 * MiB, length: 24 * MiB },
    { at: 36 * MiB, length: 12 * MiB, zeros: true },
    { at: 59 * MiB, length: 4 * MiB },
  ];
  const { site, proxy, source, random } = await start(t, 64 * MiB, laid, 3 * MiB);
  const oracle = new Oracle(0, loadBytes);
  const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 4 });
  await load.writeMore(20);
  const before = proxy.source.bytes;
  await site.protectOnly('web', '--consistency-interval', '24h');

  const latencies: number[] = [];
  const backlogs: number[] = [];
  const seen: MachineStatus[] = [];
  let inTheMiddle = false;
  for (let state = 'waiting'; state !== 'ok';) {
    const sent = performance.now();
    await load.writeMore(2);
    latencies.push(performance.now() - sent);
    const status = await site.status('web');
    if (status === null) break;
    ({ state } = status);
    const sync = status.source?.sync ?? null;
    if (state === 'initial-sync') seen.push(status);
    if (sync !== null) backlogs.push(status.backlog.source);
    if (!inTheMiddle && sync?.phase === 'copying' && sync.secondsLeft !== null) {
      inTheMiddle = true;
      await checkTheMiddle(t, site, source);
    }
    await pause(50);
  }
  t.ok(inTheMiddle, 'it was looked at in the middle');
  checkProgress(t, seen);
  const written = oracle.changes.reduce(
    (sum, { kind, count }) => sum + (kind === 'write' ? count * 512 : 0),
    0,
  );
  const bytes = proxy.source.bytes - before;
  t.ok(bytes >= data, `${bytes} bytes travelled for ${data} that are not zero`);
  t.ok(bytes < (data + written) * 1.04 + 2 * MiB, `${bytes} bytes, no zeros; ${written} of the workload`);
  const backlog = backlogs.toSorted((a, b) => a - b).at(backlogs.length / 2) ?? Infinity;
  t.ok(backlog < 6 * MiB, `mostly ${backlog} bytes wait at the source, before a write that comes now`);
  t.ok(Math.max(...backlogs) < 15 * MiB, `and never more than ${Math.max(...backlogs)}`);
  const slowest = Math.max(...latencies);
  t.ok(slowest < 5000, `two writes and a flush took at most ${slowest} ms`);

  const end = bytesIn(source.process.lineOf('sync-ended'), 'lsn');
  t.equal((await site.status('web'))?.oldestLsn, end, 'the first point is the end of the copy');
  await t.rejects(imagesAt(site.target, source, `lsn:${end - 1}`), { code: 'in-gap' });
  await reached(site.target, 'web');
  await sameAtBothEnds(t, site.target, source, 'after the first copy');
  await load.close();
});

/** As an operator meets it. */
async function checkTheMiddle(t: Test, site: ChainSite, source: Source): Promise<void> {
  await t.rejects(site.server.control.tag('web', 'early'), { code: 'no-points' });
  await t.rejects(imagesAt(site.target, source, 'latest'), { code: 'no-points' });
  t.equal((await site.points('web')).window, null);
  const { out } = await site.run('status');
  t.match(out, /web +\S+ +initial-sync \d+ %, \d+\S* s left/, 'percentage and estimate in `status`');
}

function checkProgress(t: Test, seen: readonly MachineStatus[]): void {
  const parts = seen.flatMap(({ source }) =>
    source?.sync?.phase === 'copying' ? [source.sync.doneBytes / source.sync.totalBytes] : [],
  );
  t.ok(parts.length > 3, `${parts.length} looks at the copying`);
  t.same(
    parts,
    parts.toSorted((a, b) => a - b),
    'it goes on and never back',
  );
  t.ok(
    seen.every(({ oldestLsn, rpoSeconds }) => oldestLsn === null && rpoSeconds === null),
    'no point and no RPO before its end',
  );
  t.match(seen.at(-1), { detail: /^initial sync: \d+ % \(.* of 64 MiB\)/ });
}

const left = skipUnless({ full: true });

t.test('killed in the middle of it, source and all, it goes on where it was', { skip: left }, async (t) => {
  const size = 48 * MiB;
  const laid = [{ at: loadBytes, length: size - loadBytes }];
  const { site, proxy, source, random } = await start(t, size, laid, 6 * MiB);
  const oracle = new Oracle(0, loadBytes);
  const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 8 });
  await site.protectOnly('web', '--consistency-interval', '24h');
  await untilDone(site, 0.25);
  await site.processServer.kill();
  await load.writeMore(20);
  await site.processServer.start();
  await untilDone(site, 0.4);
  await site.masterTarget.kill();
  await site.masterTarget.start();
  await untilDone(site, 0.6);
  t.equal(source.process.logged('sync-begun'), 1, 'the others may go and come: it is one sync');
  const travelled = proxy.source.bytes;
  t.ok(travelled < size * 1.2, `${travelled} bytes so far, no restart from zero`);

  await source.process.kill();
  const before = proxy.source.bytes;
  await source.process.start();
  await load.resume();
  await reached(site.target, 'web');
  const rest = bytesIn(source.process.lineOf('sync-begun'), 'bytes');
  t.equal(source.process.logged('sync-begun'), 2);
  t.ok(rest < size, `${rest} bytes of ${size} were left to do`);
  const bytes = proxy.source.bytes - before;
  t.ok(bytes < rest * 1.05 + 2 * MiB && bytes < size * 0.6, `${bytes} bytes travelled for them`);
  await sameAtBothEnds(t, site.target, source, 'in the end');
  t.same((await site.target.points('web')).gaps, [], 'there is no gap between points');
  await load.close();
});
