// The disk of a source has another size than before: larger goes on with it, smaller is refused and nothing
// is lost.
import fs from 'node:fs';
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { targetStatus } from '../support/chain-checks.ts';
import { caughtUp, sameAtBothEnds, syncsOf } from '../support/chain-facts.ts';
import { ChainSite } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(600_000);

const size = 16 * MiB;
/** No whole number of regions. */
const larger = 25 * MiB + 512;
const skip = skipUnless({ full: true });

t.test('larger at the next start, and larger once more; smaller is refused', { skip }, async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await ChainSite.start(t);
  const source = await site.source('web', [{ name: 'disk', size }]);
  const file = source.files.get('disk') ?? '';
  await site.protect('web');
  const writeOn = async (bytes: number): Promise<void> => {
    const oracle = new Oracle(0, bytes);
    const writer = await OracleWriter.connect(source.socket, 'disk', { oracle, random });
    await writer.change(oracle.add('write', bytes / 512 - 8, 8));
    await writer.writeMore(300);
    await writer.flush();
    await writer.close();
  };
  await writeOn(size);
  const first = await caughtUp(site, 'web');
  const atFirst = fs.readFileSync(file);
  await source.process.stop();
  fs.truncateSync(file, larger);
  await source.process.start();
  await until(
    'the larger disk to be known',
    async () => (await site.status('web'))?.disks[0]?.size === larger,
  );
  await sameAtBothEnds(t, site, source);
  t.match(syncsOf(source)[1], { reason: 'disk resized' });
  t.ok((syncsOf(source)[1]?.bytes ?? 0) <= larger);

  await writeOn(larger);
  await sameAtBothEnds(t, site, source);
  const second = await caughtUp(site, 'web');
  const atSecond = fs.readFileSync(file);
  // The second time after a crash, and with the master target away.
  await site.masterTarget.kill();
  await source.process.kill();
  fs.truncateSync(file, 2 * larger);
  await source.process.start();
  await writeOn(2 * larger);
  await site.masterTarget.start();
  await until(
    'the larger disk to be known',
    async () => (await site.status('web'))?.disks[0]?.size === 2 * larger,
  );
  await sameAtBothEnds(t, site, source);

  for (const [lsn, image] of [
    [first, atFirst],
    [second, atSecond],
  ] as const) {
    const directory = site.at(`at-${lsn}`);
    await site.ask('recover', 'web', '--at', `lsn:${lsn}`, '--to', `raw:${directory}`);
    const recovered = fs.readFileSync(`${directory}/disk.raw`);
    t.equal(recovered.length, image.length, 'a point before keeps its size');
    t.ok(recovered.equals(image), 'and its content');
  }
});

t.test('a smaller one is refused, nothing is changed, and the right one goes on', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await ChainSite.start(t);
  const source = await site.source('web', [{ name: 'disk', size }]);
  const file = source.files.get('disk') ?? '';
  await site.protect('web');
  const oracle = new Oracle(0, size);
  const writer = await OracleWriter.connect(source.socket, 'disk', { oracle, random });
  await writer.writeMore(300);
  await writer.flush();
  await writer.close();
  // Some of it waits at the source when it is stopped.
  const lsn = await caughtUp(site, 'web');
  await source.process.stop();
  fs.renameSync(file, `${file}.kept`);
  fs.writeFileSync(file, Buffer.alloc(size / 2));
  await t.rejects(source.process.start(), /machine-differs/);
  t.ok(fs.readFileSync(file).equals(Buffer.alloc(size / 2)), 'the smaller file was not touched');
  t.match(await targetStatus(site.target, 'web'), { headLsn: lsn });
  fs.renameSync(`${file}.kept`, file);
  await source.process.start();
  await sameAtBothEnds(t, site, source);
  t.equal(syncsOf(source).length, 1, 'as if nothing had been: no sync');
});
