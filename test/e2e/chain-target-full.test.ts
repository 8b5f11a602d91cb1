// The master target's disk is full: writers at the source never fail, the backlog stays at the process
// server, and all of it drains when room was made.
import fs from 'node:fs';
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { caughtUp, sameAtBothEnds, syncsOf } from '../support/chain-facts.ts';
import { ChainSite } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { mountInPlace } from '../support/volumes.ts';

t.setTimeout(600_000);

const size = 16 * MiB;
const skip = skipUnless({ root: true, full: true, commands: ['mkfs.ext4', 'mount'] });

t.test('a retention volume that is full for a while', { skip }, async (t) => {
  const settings = { SegmentBytes: '1M', RetentionReserveBytes: '8M' };
  const site = await ChainSite.start(t, { settings });
  await site.masterTarget.stop();
  const retention = site.at('mt', 'retention');
  mountInPlace(t, retention, 96, () => site.masterTarget.kill());
  const ballast = `${retention}/ballast`;
  fs.writeFileSync(ballast, Buffer.alloc(66 * MiB, 1));
  await site.masterTarget.start();
  const source = await site.source('web', [{ name: 'disk', size }]);
  await site.protect('web');
  const oracle = new Oracle(0, size);
  const random = seededRandom(chooseSeed(t));
  const writer = await OracleWriter.connect(source.socket, 'disk', { oracle, random });
  let slowest = 0;
  const write = async (count: number): Promise<void> => {
    const begun = performance.now();
    if (!(await writer.writeMore(count))) throw new Error('the front went away');
    slowest = Math.max(slowest, performance.now() - begun);
  };
  for (let round = 0; round < 40; round += 1) await write(50);
  await until('the master target to say so', async () => (await site.status('web'))?.state === 'no-space');
  for (let round = 0; round < 10; round += 1) await write(50);
  t.ok(slowest < 5000, `the workload never stopped: 50 writes took ${Math.round(slowest)} ms at the most`);
  await until('the backlog at the process server', async () => {
    const status = await site.status('web');
    return (status?.backlog.processServer ?? 0) > MiB && status?.backlog.source === 0;
  });
  await until('status to say what waits', async () => {
    const full = await site.status('web');
    return full?.state === 'no-space' && full.headLsn > full.durableLsn;
  });
  await until('an event that says so', async () =>
    (await site.server.events({ limit: 100 })).some(
      ({ severity, message }) => severity === 'critical' && message.includes('no-space'),
    ),
  );
  // What is there can be recovered all the same, and the process dying changes nothing.
  const view = await site.view('web', 'latest');
  t.ok(view.lsn > 0);
  await site.target.closeViews({ id: view.id });
  await site.masterTarget.kill();
  await write(50);
  await site.masterTarget.start();

  await writer.flush();
  fs.rmSync(ballast);
  const lsn = await caughtUp(site, 'web');
  t.ok(lsn > oracle.changes.length, 'every write has come');
  await sameAtBothEnds(t, site, source);
  t.equal(syncsOf(source).length, 1, 'no sync was needed: nothing was lost');
  t.match(await site.points('web'), { gaps: [] });
  await write(50);
  await writer.close();
  await sameAtBothEnds(t, site, source);
});
