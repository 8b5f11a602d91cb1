// The source's power fails with an outbox full of writes that nobody else has: exactly the dirty map is
// resynced.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { KiB, MiB } from '../../core/units.ts';
import {
  caughtUp,
  nothingDirty,
  readPoint,
  sameAtBothEnds,
  settingsFile,
  syncsOf,
} from '../support/chain-facts.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(600_000);

const size = 48 * MiB;
const region = 4 * MiB;
const skip = skipUnless({ full: true });

async function protectedSource(t: Test): Promise<{ site: ChainSite; source: Source; file: string }> {
  const site = await ChainSite.start(t);
  const file = site.at('web-disk.img');
  fs.writeFileSync(file, Buffer.alloc(size, 7));
  const config = settingsFile(t, { OutboxMemoryBytes: '8M', OutboxBytes: '64M' });
  const source = await site.source('web', [{ name: 'disk', path: file }], '--config', config);
  await site.protect('web');
  await nothingDirty(site, 'web');
  return { site, source, file };
}

/** Random writes within the 2 MiB from each of `places` on; nothing of it has to be on stable storage. */
async function writeAround(
  source: Source,
  seed: number,
  places: readonly number[],
  each: number,
): Promise<void> {
  const random = seededRandom(seed);
  const oracle = new Oracle(0, size);
  const writer = await OracleWriter.connect(source.socket, 'disk', { oracle, random });
  for (const place of places)
    for (let count = 0; count < each; count += 1) {
      const kind = random.chance(0.9) ? 'write' : 'zero';
      await writer.change(oracle.add(kind, place / 512 + random.below(4000), 1 + random.below(96)));
    }
  await writer.close();
}

t.test('many writes that were never sent, in two regions', async (t) => {
  const { site, source, file } = await protectedSource(t);
  const point = await caughtUp(site, 'web');
  const before = fs.readFileSync(file);
  await site.processServer.kill();
  await writeAround(source, chooseSeed(t), [region, 5 * region], 400);
  t.ok(fs.existsSync(`${source.data}/outbox`), 'memory did not hold them');
  await source.process.kill();
  const after = fs.readFileSync(file);
  await Promise.all([site.processServer.start(), source.process.start()]);
  await until('the sync to end', () => typeof syncsOf(source)[1]?.dataBytes === 'number');
  await sameAtBothEnds(t, site, source);
  t.ok(fs.readFileSync(file).equals(after), 'nobody has changed the disk meanwhile');
  const [, resync, ...more] = syncsOf(source);
  t.match(resync, { reason: 'unclean stop', bytes: 2 * region }, 'two regions were compared');
  t.ok((resync?.dataBytes ?? Infinity) <= 4 * MiB + 128 * KiB, `${resync?.dataBytes} bytes were sent`);
  t.same(more, [], 'once');
  const { image } = await readPoint(site, 'web', `lsn:${point}`, 'disk');
  t.ok(image.equals(before), 'the point before is as it was');
  t.match(await site.points('web'), { gaps: [{ reason: 'unclean stop' }] });
});

t.test('again and again, also during the resync, and with nothing written at all', { skip }, async (t) => {
  const { site, source } = await protectedSource(t);
  const seed = chooseSeed(t);
  await site.processServer.kill();
  await writeAround(source, seed, [0, 2 * region, 11 * region], 100);
  await source.process.kill();
  await source.process.start();
  await writeAround(source, seed + 1, [7 * region], 30);
  await source.process.kill();
  await Promise.all([site.processServer.start(), source.process.start()]);
  await until('the sync to begin', () => syncsOf(source).length > 1);
  await source.process.kill();
  await source.process.start();
  await until('a sync to end', () => typeof syncsOf(source).at(-1)?.dataBytes === 'number');
  await sameAtBothEnds(t, site, source);
  t.ok(
    syncsOf(source)
      .slice(1)
      .every(({ bytes }) => bytes <= 4 * region),
    'never more than the four regions that were written',
  );
  await nothingDirty(site, 'web');
  const count = syncsOf(source).length;
  await source.process.kill();
  await source.process.start();
  await until('the next sync to end', () => typeof syncsOf(source)[count]?.dataBytes === 'number');
  t.match(syncsOf(source)[count], { reason: 'unclean stop', bytes: 0, dataBytes: 0 }, 'nothing to compare');
  await sameAtBothEnds(t, site, source);
});
