// A chain whose process server is reached through networks that can be cut, slowed down and broken.
import type { Test } from 'tap';
import type { MachineStatus } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { imagesAt, Moments, reached, sameAtBothEnds } from './chain-checks.ts';
import { ChainLoad } from './chain-load.ts';
import { ChainSite, type Source } from './chain-site.ts';
import { ForkedProxy } from './forked-proxy.ts';
import { until } from './homeward.ts';
import { Oracle } from './oracle.ts';
import { chooseSeed, seededRandom, type Random } from './random.ts';

const size = 32 * MiB;

export interface Net {
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
export async function startNet(t: Test, window = 1): Promise<Net> {
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
export async function checkWhole(t: Test, { site, source, load, moments, random, base }: Net): Promise<void> {
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

export async function statusWhen(
  { site }: Net,
  what: string,
  holds: (status: MachineStatus) => boolean,
  timeoutMs = 90_000,
): Promise<MachineStatus> {
  let last: MachineStatus | null = null;
  const isSo = async (): Promise<boolean> => {
    last = await site.status('web');
    return last !== null && holds(last);
  };
  await until(what, isSo, timeoutMs).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last)}`);
  });
  return last as unknown as MachineStatus;
}
