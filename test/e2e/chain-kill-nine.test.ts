// kill -9 of anybody in the chain, again and again while a workload writes: everything comes back by itself,
// the newest point is the source's disk, and what was a point stays one.
import t, { type Test } from 'tap';
import { MiB } from '../../core/units.ts';
import { ChainLoad } from '../support/chain-load.ts';
import { dirtyOnDisk, imagesAt, Moments, reached, sameAtBothEnds } from '../support/chain-checks.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import type { DaemonProcess } from '../support/daemon-process.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

const rounds = Number(process.env['HOMEWARD_ROUNDS'] ?? 6);
const size = 48 * MiB;

t.setTimeout(120_000 + rounds * 40_000);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test(
  'whoever is killed, whenever: both ends are the same again, and every tag is as it was',
  { skip: skipUnless({ full: true }) },
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    const site = await ChainSite.start(t, { settings: { SegmentBytes: '2M', SyncIntervalMs: '20ms' } });
    const source = await site.source('web', [{ name: 'disk', size }]);
    await site.protect('web', '--consistency-interval', '24h');
    const oracle = new Oracle(0, size);
    const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 32 });
    const moments = new Moments(site, source);
    const everybody = [site.configServer, site.processServer, site.masterTarget, source.process];
    for (let round = 1; round <= rounds; round += 1) {
      // Everybody gets a turn; in every third round two at a time.
      const first = everybody[(round - 1) % 4] as DaemonProcess;
      const others = everybody.filter((daemon) => daemon !== first);
      const victims = round % 3 === 0 ? [first, random.pick(others)] : [first];
      const names = victims.map(({ what }) => what).join(' and ');
      await killWhileWriting({ load, random, victims, source });
      await reached(site.target, 'web');
      await sameAtBothEnds(t, site.target, source, `round ${round}, ${names}`);
      t.same(oracle.compare(await newest(site, source), oracle.changes.length), [], 'which is the oracle’s');
      await recordSoon(moments, `round-${round}`);
      await moments.check(t, `round ${round}`);
    }
    await load.close();
  },
);

const newest = async (site: ChainSite, source: Source): Promise<Buffer> =>
  (await imagesAt(site.target, source, 'latest')).get('disk') ?? Buffer.alloc(0);

/** The configuration server may have to hear of the source again. */
async function recordSoon(moments: Moments, name: string): Promise<void> {
  await until(`the tag ${name}`, async () => {
    try {
      await moments.record(name);
      return true;
    } catch (error) {
      if (/host-not-connected|in-gap/.test((error as { code?: string }).code ?? '')) return false;
      throw error;
    }
  });
}

interface Killing {
  load: ChainLoad;
  random: Random;
  victims: readonly DaemonProcess[];
  source: Source;
}

async function killWhileWriting({ load, random, victims, source }: Killing): Promise<void> {
  const killAt = load.oracle.changes.length + 1 + random.below(800);
  const downMs = random.below(1500);
  const kills: Promise<unknown>[] = [];
  let back = false;
  const kill = async (): Promise<void> => {
    await Promise.all(victims.map((victim) => victim.kill()));
    await pause(downMs);
    await Promise.all(victims.map((victim) => victim.start()));
    back = true;
  };
  const isDone = (): boolean => {
    if (load.oracle.changes.length >= killAt) kills[0] ??= kill();
    return back || load.oracle.changes.length >= killAt + 3000;
  };
  const whole = await load.write(isDone);
  await Promise.all(kills);
  if (victims.includes(source.process)) await load.resume();
  else if (!whole) throw new Error('the workload was cut off, though its source lives');
  await load.writeMore(random.below(300));
}

t.test('after a killed source exactly its dirty map is synced, and points before stay exact', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await ChainSite.start(t);
  const source = await site.source('web', [{ name: 'disk', size }]);
  await site.protect('web', '--consistency-interval', '24h');
  const moments = new Moments(site, source);
  // The first eighth of the disk only: the other regions leave the map after the first copy.
  const oracle = new Oracle(0, size / 8);
  const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 1 });
  const base = await moments.record('before');
  await until(
    'the first copy to leave the dirty map',
    async () => ((await site.status('web'))?.source?.dirtyBytes ?? Infinity) === 0,
  );
  const kills: Promise<void>[] = [];
  await load.write(() => {
    if (oracle.changes.length >= 400) kills[0] ??= source.process.kill();
    return false;
  });
  await Promise.all(kills);
  const dirty = dirtyOnDisk(source);
  t.ok(dirty > 0 && dirty <= size / 4, `${dirty} bytes are dirty of ${size}`);
  await source.process.start();
  await load.resume();
  await reached(site.target, 'web');
  await sameAtBothEnds(t, site.target, source, 'after the resync');
  await checkResync(t, site, source, dirty);

  const gap = (await site.target.points('web')).gaps.at(-1);
  const last = gap?.from ?? 0;
  t.ok(last > base, 'writes arrived before the gap');
  for (const lsn of [base, last - 1, base + random.below(last - base)]) {
    const image = (await imagesAt(site.target, source, `lsn:${lsn}`)).get('disk') ?? Buffer.alloc(0);
    const wrong = oracle.compare(image.subarray(0, size / 8), lsn - base);
    t.same(wrong, [], `lsn:${lsn} is exactly the first ${lsn - base} writes`);
  }
  await moments.check(t, 'after the gap');
  await load.close();
});

async function checkResync(
  t: Test,
  site: ChainSite,
  { process: daemon }: Source,
  dirty: number,
): Promise<void> {
  const line = daemon.lineOf('sync-begun');
  t.match(line, `bytes=${dirty} `, 'the dirty map and nothing else was compared');
  t.match(line, 'reason="unclean stop"');
  const { gaps } = await site.target.points('web');
  t.equal(gaps.length, 1, 'one gap');
  t.match(gaps.at(-1)?.reason, /unclean stop/, 'with its reason');
  t.not(gaps.at(-1)?.to ?? null, null, 'which has ended');
}
