// kill -9 of anybody in the middle of a first copy, while a workload writes: the copy goes on where it
// stopped, and what comes out is the disk.
import { randomFillSync } from 'node:crypto';
import fs from 'node:fs';
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { ChainLoad } from '../support/chain-load.ts';
import { reached, sameAtBothEnds } from '../support/chain-checks.ts';
import { ChainSite } from '../support/chain-site.ts';
import type { DaemonProcess } from '../support/daemon-process.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { NetworkProxy } from '../support/network-proxy.ts';
import { Oracle } from '../support/oracle.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const rounds = Number(process.env['HOMEWARD_ROUNDS'] ?? 4);
const size = 48 * MiB;

t.setTimeout(120_000 + rounds * 40_000);

const options = { skip: skipUnless({ full: true }) };
t.test('whoever is killed during a first copy: it ends, and both ends are the same', options, async (t) => {
  const random = seededRandom(chooseSeed(t));
  const proxy = await NetworkProxy.start(t);
  const site = await ChainSite.start(t, { processServer: ['--advertise', proxy.address] });
  proxy.to = /127\.0\.0\.1:\d+/.exec(site.processServer.ready)?.[0] ?? '';
  proxy.bytesPerSecond = 12 * MiB;
  for (let round = 1; round <= rounds; round += 1) {
    const name = `m${round}`;
    const path = site.at(`${name}.img`);
    fs.writeFileSync(path, randomFillSync(Buffer.alloc(size)));
    const source = await site.source(name, [{ name: 'disk', path }]);
    // Its own part of the disk, at the beginning, which the copy reaches first.
    const oracle = new Oracle(0, size / 4);
    const load = new ChainLoad({ socket: source.socket, disk: 'disk', oracle, random, window: 16 });
    await site.protectOnly(name, '--consistency-interval', '24h');
    await load.writeMore(20);
    const from = random.below(size / 2);
    await until(`the copy of ${name} to have got ahead`, async () => {
      const done = (await site.status(name))?.source?.sync?.doneBytes ?? 0;
      return done > from || source.process.logged('sync-ended') > 0;
    });
    const everybody = [source.process, site.processServer, site.masterTarget, site.configServer];
    const victim = everybody[(round - 1) % 4] as DaemonProcess;
    const writing = load.write(() => oracle.changes.length >= 400);
    await victim.kill();
    if (!(await writing)) t.equal(victim, source.process, 'only its own source ends the workload');
    await victim.start();
    if (victim === source.process) await load.resume();
    await load.writeMore(100);
    await reached(site.target, name);
    await sameAtBothEnds(t, site.target, source, `${victim.what} was killed`);
    const begun = source.process.logged('sync-begun');
    t.equal(begun, victim === source.process ? 2 : 1, `${begun} syncs`);
    await load.close();
    t.equal(await source.process.stop(), 0);
  }
});
