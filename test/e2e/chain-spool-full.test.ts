// The process server's disk is full: the source is slowed, then keeps its own backlog; nothing is lost, no
// workload stops, and when the master target is back everything drains.
import fs from 'node:fs';
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { caughtUp, sameAtBothEnds, settingsFile, syncsOf, type ToldSync } from '../support/chain-facts.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { mountInPlace } from '../support/volumes.ts';

t.setTimeout(600_000);

const size = 16 * MiB;
const skip = skipUnless({ full: true });

/** What the files of all spools take. */
const spoolBytes = (site: ChainSite): number =>
  fs
    .readdirSync(site.at('ps', 'spool'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => fs.statSync(`${entry.parentPath}/${entry.name}`, { throwIfNoEntry: false }))
    .reduce((sum, stat) => sum + (stat?.size ?? 0), 0);

/**
 * Writes until there is no room at the process server, and somewhat longer; slower from `slowlyFrom` bytes
 * in the spool on, so that nothing of how that comes is jumped over. Gives back how long 40 writes took at
 * the most.
 */
async function writeUntilFull(
  site: ChainSite,
  writer: OracleWriter,
  { slowlyFrom = Infinity, more = 0 },
): Promise<number> {
  let slowest = 0;
  const write = async (count: number): Promise<void> => {
    const begun = performance.now();
    if (!(await writer.writeMore(count))) throw new Error('the front went away');
    slowest = Math.max(slowest, performance.now() - begun);
  };
  const isFull = (): boolean => / event=spool-room .*room=full/.test(site.processServer.log);
  for (let rounds = 0; !isFull() && rounds < 2000; rounds += 1) {
    const isNear = spoolBytes(site) > slowlyFrom;
    await write(isNear ? 4 : 40);
    if (isNear) await site.status('web');
  }
  if (!isFull()) throw new Error('the spool did not get full');
  for (let rounds = 0; rounds < more; rounds += 1) await write(40);
  return slowest;
}

const resyncs = (source: Source): ToldSync[] =>
  syncsOf(source).filter(({ reason }) => reason !== 'initial sync');

async function writerOn(source: Source, seed: number): Promise<{ oracle: Oracle; writer: OracleWriter }> {
  const oracle = new Oracle(0, size);
  const random = seededRandom(seed);
  return {
    oracle,
    writer: await OracleWriter.connect(source.socket, 'disk', { oracle, random, window: 16 }),
  };
}

t.test('a spool that may not grow: the source keeps what has no room there', { skip }, async (t) => {
  const site = await ChainSite.start(t, { processServer: ['--spool-size', '32M'] });
  const config = settingsFile(t, { OutboxMemoryBytes: '8M', OutboxBytes: '256M' });
  const source = await site.source('web', [{ name: 'disk', size }], '--config', config);
  await site.protect('web');
  const { oracle, writer } = await writerOn(source, chooseSeed(t));
  await site.masterTarget.kill();
  const durable = (await site.status('web'))?.durableLsn ?? 0;
  const slowest = await writeUntilFull(site, writer, { slowlyFrom: 29 * MiB, more: 40 });
  t.ok(slowest < 5000, `the workload went on: 40 writes took ${Math.round(slowest)} ms at the most`);
  t.match(site.processServer.log, / event=spool-room .*room=slow/, 'it was slowed before');
  await until('the backlog at both to be told', async () => {
    const { backlog } = (await site.status('web')) ?? { backlog: { source: 0, processServer: 0 } };
    return backlog.source > 8 * MiB && backlog.processServer > 16 * MiB;
  });
  t.ok(fs.readdirSync(`${source.data}/outbox`).length > 0, 'the backlog of the source lies on its disk');
  await until('an event that says so', async () =>
    (await site.server.events({ limit: 100 })).some(({ kind }) => kind === 'spool-full'),
  );
  // It stops taking records when it sees what it took; a frame more may have come by then.
  const used = spoolBytes(site);
  t.ok(used <= 36 * MiB, `the spool takes ${used} bytes`);

  await writer.flush();
  await site.masterTarget.start();
  const lsn = await caughtUp(site, 'web');
  t.same(resyncs(source), [], 'no sync was needed: nothing was lost');
  t.ok(lsn > durable + oracle.changes.length, 'every write has come');
  t.match(await site.points('web'), { gaps: [] }, 'and is a point');
  await sameAtBothEnds(t, site, source);
  t.ok(await writer.writeMore(10), 'the workload was never stopped');
  await writer.close();
  await sameAtBothEnds(t, site, source);
});

t.test(
  'when the source cannot keep its backlog either, exactly the dirty map is synced',
  { skip },
  async (t) => {
    const site = await ChainSite.start(t, { processServer: ['--spool-size', '4M'] });
    const config = settingsFile(t, { OutboxMemoryBytes: '8M', OutboxBytes: '16M' });
    const file = site.at('web-disk.img');
    fs.writeFileSync(file, Buffer.alloc(4 * size, 7));
    const source = await site.source('web', [{ name: 'disk', path: file }], '--config', config);
    await site.protect('web');
    const { writer } = await writerOn(source, chooseSeed(t));
    await until('a clean map', async () => (await site.status('web'))?.source?.dirtyBytes === 0);
    await site.masterTarget.kill();
    await writeUntilFull(site, writer, {});
    const overflow = (): boolean => source.process.log.includes('reason=overflow');
    for (let rounds = 0; !overflow() && rounds < 400; rounds += 1) t.ok(await writer.writeMore(100));
    t.ok(overflow(), 'the outbox overflows');
    t.ok(await writer.writeMore(200), 'and the workload goes on');
    await until(
      'the overflow to be told',
      async () => (await site.status('web'))?.source?.state === 'overflow',
    );
    await writer.flush();
    await site.masterTarget.start();
    await sameAtBothEnds(t, site, source);
    const [sync, ...others] = resyncs(source);
    t.match(sync, { reason: 'outbox overflow', bytes: size }, 'the regions that were written, not the disk');
    t.ok((sync?.dataBytes ?? Infinity) <= size, `${sync?.dataBytes} bytes were sent`);
    t.same(others, []);
    t.match(await site.points('web'), { gaps: [{ reason: 'outbox overflow' }] });
    t.ok(await writer.writeMore(50));
    await writer.close();
    await sameAtBothEnds(t, site, source);
  },
);

t.test(
  'a volume that fills up under the spool does the same',
  { skip: skipUnless({ root: true, full: true, commands: ['mkfs.ext4', 'mount'] }) },
  async (t) => {
    const settings = settingsFile(t, { SpoolReserveBytes: '2M' });
    const site = await ChainSite.start(t, { processServer: ['--config', settings, '--spool-size', '1G'] });
    await site.processServer.stop();
    mountInPlace(t, site.at('ps'), 32, () => site.processServer.kill());
    await site.processServer.start();
    const source = await site.source('web', [{ name: 'disk', size }]);
    await site.protect('web');
    const { writer } = await writerOn(source, chooseSeed(t));
    await site.masterTarget.kill();
    await writeUntilFull(site, writer, { more: 60 });
    // Somebody else takes what is left, down to the last byte.
    t.throws(() => fs.writeFileSync(site.at('ps', 'ballast'), Buffer.alloc(64 * MiB)), { code: 'ENOSPC' });
    t.ok(await writer.writeMore(100), 'the workload goes on');
    await writer.flush();
    await site.masterTarget.start();
    await sameAtBothEnds(t, site, source);
    t.same(resyncs(source), [], 'no sync was needed: nothing was lost');
    await writer.close();
  },
);
