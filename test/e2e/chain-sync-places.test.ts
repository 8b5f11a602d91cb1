// `--batch-resync`: of many machines that need a first copy only so many make it at a time; the others
// show their place, and in the end all have theirs.
import t, { type Test } from 'tap';
import type { MachineStatus } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { sameAtBothEnds } from '../support/chain-checks.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { ForkedProxy } from '../support/forked-proxy.ts';
import { until } from '../support/homeward.ts';
import { layDisk } from '../support/laid-disk.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(240_000);

const size = 16 * MiB;
const names = ['one', 'two', 'three', 'four', 'five'];

const left = skipUnless({ full: true });

t.test('of five machines two sync at a time, and the others know their place', { skip: left }, async (t) => {
  const random = seededRandom(chooseSeed(t));
  const proxy = await ForkedProxy.start(t);
  const places = ['--advertise', proxy.address, '--batch-resync', '2'];
  const site = await ChainSite.start(t, { processServer: places });
  proxy.to = /127\.0\.0\.1:\d+/.exec(site.processServer.ready)?.[0] ?? '';
  proxy.targetPid = () => site.masterTarget.pid;
  proxy.source.bytesPerSecond = 2.5 * MiB;
  const sources: Source[] = [];
  for (const name of names) {
    const path = site.at(`${name}.img`);
    layDisk(path, size, [{ at: MiB, length: 15 * MiB }], random);
    sources.push(await site.source(name, [{ name: 'disk', path }]));
  }
  await Promise.all(names.map((machine) => site.protectOnly(machine)));
  await watchThem(t, site);
  for (const name of names) await site.settled(name);
  for (const source of sources) await sameAtBothEnds(t, site.target, source, source.name);
  for (const source of sources) t.equal(source.process.logged('sync-begun'), 1, `${source.name}: one sync`);
});

/** From the first place that is told to the end of the last sync. */
async function watchThem(t: Test, site: ChainSite): Promise<void> {
  let most = 0;
  let shown: number[] = [];
  const aheads = new Set<number>();
  const isOver = async (): Promise<boolean> => {
    const { machines } = await site.server.status();
    const copying = machines.filter(isCopying);
    most = Math.max(most, copying.length);
    const waiting = machines.flatMap(({ source }) => source?.sync?.ahead ?? []);
    for (const ahead of waiting) aheads.add(ahead);
    if (shown.length < 3 && waiting.length === 3) shown = placesIn((await site.run('status')).out);
    return machines.length === names.length && machines.every(({ state }) => state === 'ok');
  };
  await until('all to be ok', isOver, 120_000);
  t.equal(most, 2, 'two at a time');
  t.same(
    [...aheads].toSorted((a, b) => a - b),
    [1, 2, 3],
    'the others were told their place',
  );
  t.same(shown, [1, 2, 3], '`homeward status` shows it');
}

const placesIn = (text: string): number[] =>
  [...text.matchAll(/initial-sync, (\d) before it/g)].map(([, ahead]) => Number(ahead)).sort((a, b) => a - b);

const isCopying = ({ source }: MachineStatus): boolean =>
  source?.state === 'initial-sync' && source.sync?.phase === 'copying';
