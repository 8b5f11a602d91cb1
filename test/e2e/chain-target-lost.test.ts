// What the master target has of a machine is lost: it is served again by the process server where that still
// has everything, else everything is copied anew.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { recordHeaderBytes, RecordKind } from '../../core/record/record.ts';
import { MiB } from '../../core/units.ts';
import {
  caughtUp,
  damage,
  nothingDirty,
  recordsIn,
  sameAtBothEnds,
  spoolOf,
  syncsOf,
} from '../support/chain-facts.ts';
import { reached } from '../support/chain-checks.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter, readExport } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(600_000);

const size = 16 * MiB;
const skip = skipUnless({ full: true });

async function writeOn(source: Source, oracle: Oracle, seed: number, count: number): Promise<void> {
  const random = seededRandom(seed);
  const writer = await OracleWriter.connect(source.socket, 'disk', { oracle, random, window: 1 });
  await writer.writeMore(count);
  await writer.flush();
  await writer.close();
}

/** The replica, the redo and everything else that the master target has of the machine. */
async function loseMachine(t: Test, site: ChainSite): Promise<void> {
  const id = (await site.status('web'))?.id ?? '';
  await site.masterTarget.kill();
  const places = [site.at('mt', 'retention', id), site.at('mt', 'replicas', id)];
  for (const place of places) {
    t.ok(fs.existsSync(place), place);
    fs.rmSync(place, { recursive: true });
  }
}

t.test('the spool still holds everything: all of it is served again, every point with it', async (t) => {
  const seed = chooseSeed(t);
  const site = await ChainSite.start(t);
  const source = await site.source('web', [{ name: 'disk', size }]);
  await site.protect('web');
  const oracle = new Oracle(0, size);
  const from = (await site.status('web'))?.headLsn ?? 0;
  await writeOn(source, oracle, seed, 200);
  await caughtUp(site, 'web');
  await loseMachine(t, site);
  await site.masterTarget.start();
  await sameAtBothEnds(t, site, source);
  t.equal(syncsOf(source).length, 1, 'no sync was needed');
  for (const count of [0, 100, 200]) {
    const view = await site.view('web', `lsn:${from + count}`);
    const image = await readExport(view.socket, 'disk', size);
    t.same(oracle.compare(image, count), [], `the point after ${count} writes is there again`);
    await site.target.closeViews({ id: view.id });
  }
});

t.test(
  'the spool does not hold everything any more: all of the disk is copied again',
  { skip },
  async (t) => {
    const seed = chooseSeed(t);
    const site = await ChainSite.start(t, { processServer: ['--spool-size', '4M'] });
    const source = await site.source('web', [{ name: 'disk', size }]);
    await site.protect('web');
    const oracle = new Oracle(0, size);
    // More than the spool may keep: what the master target has goes from it.
    for (let round = 0; round < 4; round += 1) {
      await writeOn(source, oracle, seed + round, 200);
      await caughtUp(site, 'web');
    }
    await loseMachine(t, site);
    await site.masterTarget.start();
    await until('the sync to end', () => typeof syncsOf(source)[1]?.dataBytes === 'number');
    await sameAtBothEnds(t, site, source);
    t.match(syncsOf(source)[1], { bytes: size }, 'all of the disk');
    await writeOn(source, oracle, seed + 9, 50);
    await sameAtBothEnds(t, site, source);
    t.equal(syncsOf(source).length, 2, 'once');
    const { window } = await site.points('web');
    t.ok(
      window !== null && window.from.lsn >= (syncsOf(source)[1]?.lsn ?? Infinity),
      'no point before it is shown',
    );
  },
);

t.test(
  'the spool holds everything, but a record in it is damaged: copied again, once',
  { skip },
  async (t) => {
    const seed = chooseSeed(t);
    const site = await ChainSite.start(t);
    const source = await site.source('web', [{ name: 'disk', size }]);
    await site.protect('web');
    const oracle = new Oracle(0, size);
    await writeOn(source, oracle, seed, 200);
    await caughtUp(site, 'web');
    // The source has been told that all of it is safe, so its dirty map does not have it any more.
    await nothingDirty(site, 'web');
    const records = recordsIn(await spoolOf(site, 'web'));
    const written = records.filter(({ header }) => header.kind === RecordKind.write)[100];
    await loseMachine(t, site);
    if (written !== undefined) damage(written.file, written.position + recordHeaderBytes + 5);
    await site.masterTarget.start();
    await until('the sync to end', () => typeof syncsOf(source)[1]?.dataBytes === 'number');
    await sameAtBothEnds(t, site, source);
    t.match(syncsOf(source)[1], { bytes: size }, 'all of the disk');
    await reached(site.target, 'web');

    // Once more, and now the very first record cannot be read. The sync that is in the spool has only what
    // differed from the copy that is lost: to go on with that would show zeros where the disk has data.
    await writeOn(source, oracle, seed + 1, 100);
    await caughtUp(site, 'web');
    await loseMachine(t, site);
    const [first] = records;
    if (first !== undefined) damage(first.file, first.position + 17);
    await site.masterTarget.start();
    await until('the second sync to end', () => typeof syncsOf(source)[2]?.dataBytes === 'number');
    await sameAtBothEnds(t, site, source);
    t.match(syncsOf(source)[2], { bytes: size }, 'all of the disk, once more');
    t.equal(syncsOf(source).length, 3, 'and no further one');
  },
);
