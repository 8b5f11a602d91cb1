// A record is damaged in the spool: it is found, goes on without its content, and its extent is synced;
// nobody is ever shown other bytes in its place.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { recordHeaderBytes, RecordKind } from '../../core/record/record.ts';
import { KiB, MiB } from '../../core/units.ts';
import {
  caughtUp,
  damage,
  differences,
  nothingDirty,
  readPoint,
  recordsIn,
  sameAtBothEnds,
  spoolOf,
  syncsOf,
  type SpoolPlace,
  type ToldSync,
} from '../support/chain-facts.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { seededRandom } from '../support/random.ts';

t.setTimeout(600_000);

const size = 24 * MiB;
const skip = skipUnless({ full: true });
const sector = 4 * KiB;

interface Begun {
  site: ChainSite;
  source: Source;
  writer: OracleWriter;
  oracle: Oracle;
  /** What the spool has that the master target has not. */
  held: SpoolPlace[];
}

/** 16 writes of 4 KiB each, one behind the other, wait in the spool; the master target is down. */
async function sixteenInTheSpool(t: Test, { isDown = true } = {}): Promise<Begun> {
  const site = await ChainSite.start(t);
  const file = site.at('web-disk.img');
  fs.writeFileSync(file, Buffer.alloc(size, 7));
  const source = await site.source('web', [{ name: 'disk', path: file }]);
  await site.protect('web');
  await nothingDirty(site, 'web');
  const from = await caughtUp(site, 'web');
  await site.masterTarget.stop();
  const oracle = new Oracle(0, size);
  const writer = await OracleWriter.connect(source.socket, 'disk', {
    oracle,
    random: seededRandom(1),
    window: 1,
  });
  for (let at = 0; at < 16; at += 1) await writer.change(oracle.add('write', at * 8, 8));
  await writer.flush();
  const spool = await spoolOf(site, 'web');
  const writes = (): SpoolPlace[] =>
    recordsIn(spool).filter(({ header }) => header.lsn > from && header.kind === RecordKind.write);
  await until('all of them to be there', () => writes().length === 16);
  if (isDown) await site.processServer.stop();
  return { site, source, writer, oracle, held: writes() };
}

/** Brings both back, and looks at all points that there are while the source goes on. */
async function mended(t: Test, { site, source }: Begun, { most = 1 } = {}): Promise<void> {
  if (!site.processServer.running) await site.processServer.start();
  await site.masterTarget.start();
  // The last of them: one that is under way gives way to what is asked for later.
  const resyncs = (): ToldSync[] => syncsOf(source).slice(1);
  await until('the sync to end', () => typeof resyncs().at(-1)?.dataBytes === 'number');
  await sameAtBothEnds(t, site, source);
  const resync = resyncs().at(-1);
  t.match(resync, { bytes: 4 * MiB }, 'what is dirty was compared');
  t.ok((resync?.dataBytes ?? Infinity) <= 128 * KiB, `and what differs was sent: ${resync?.dataBytes}`);
  t.ok(resyncs().length <= most, `not more than needed: ${JSON.stringify(resyncs())}`);
}

/** Every point from the first of the 16 writes up to the gap is right, but for what cannot be read. */
async function pointsAreRight(t: Test, begun: Begun, lost: readonly number[]): Promise<void> {
  const { site, oracle, held } = begun;
  const points = await site.points('web');
  for (const [index, { header }] of held.entries()) {
    if (points.gaps.some(({ from, to }) => from <= header.lsn && header.lsn < (to ?? Infinity))) continue;
    const { image, unreadable } = await readPoint(site, 'web', `lsn:${header.lsn}`, 'disk');
    const bad = lost.filter((at) => at <= index).map((at) => at * sector);
    t.same(unreadable, bad, `after write ${index} what cannot be read is exactly what was lost`);
    const expected = Buffer.alloc(size, 7);
    for (let at = 0; at <= index; at += 1) {
      const change = oracle.changes[at];
      if (change !== undefined) oracle.data(change).copy(expected, at * sector);
    }
    for (const at of bad) expected.fill(0, at, at + sector);
    t.same(differences(image, expected), [], `and the rest is right`);
  }
}

t.test(
  'a byte of content: the point has a hole, no wrong bytes, and a sync mends what follows',
  async (t) => {
    const begun = await sixteenInTheSpool(t);
    const { site, held } = begun;
    const [place] = held.slice(7);
    t.ok(place);
    if (place !== undefined) damage(place.file, place.position + recordHeaderBytes + 1000);
    await mended(t, begun);
    await pointsAreRight(t, begun, [7]);
    await until('an event that says so', async () =>
      (await site.server.events({ limit: 200 })).some(
        ({ kind, message }) =>
          kind === 'spool-problem' && message.includes(`record ${place?.header.lsn} is lost`),
      ),
    );
    t.match(
      (await site.points('web')).gaps.map(({ reason }) => reason),
      ['process server lost records'],
      'the sync is in the points',
    );
    const verified = await site.run('verify', 'web', '--json');
    t.equal(verified.status, 0, `nothing is damaged at the master target: ${verified.out}`);
    t.equal((await site.status('web'))?.state, 'ok');
    await begun.writer.close();
  },
);

t.test(
  'a byte of a header: what cannot be named is not passed on, a sync makes up for it',
  { skip },
  async (t) => {
    const begun = await sixteenInTheSpool(t);
    const { site, source, held, writer, oracle } = begun;
    const [place] = held.slice(7);
    t.ok(place);
    if (place !== undefined) damage(place.file, place.position + 17);
    await mended(t, begun);
    await pointsAreRight(t, begun, []);
    const { gaps } = await site.points('web');
    t.equal(gaps.length, 1);
    t.ok((gaps[0]?.from ?? Infinity) <= (place?.header.lsn ?? 0), 'no point lies in what was lost');
    t.equal((await site.run('verify', 'web')).status, 0);
    await writer.change(oracle.add('write', 3, 100));
    await sameAtBothEnds(t, site, source);
    await writer.close();
  },
);

t.test('both at a time, found while it runs', { skip }, async (t) => {
  const begun = await sixteenInTheSpool(t, { isDown: false });
  const { site, held } = begun;
  const [content, header] = [held[7], held[12]];
  if (content !== undefined) damage(content.file, content.position + recordHeaderBytes + 1);
  if (header !== undefined) damage(header.file, header.position + 60);
  await mended(t, begun, { most: 2 });
  await pointsAreRight(t, begun, [7]);
  const { gaps } = await site.points('web');
  t.ok(
    gaps.some(({ from, to }) => from <= (header?.header.lsn ?? 0) && (header?.header.lsn ?? 0) < (to ?? 0)),
    'the record without a header lies in a gap',
  );
  t.equal((await site.run('verify', 'web')).status, 0);
  await begun.writer.close();
});

t.test('spool.json damaged, or gone: the records say where it stands', { skip }, async (t) => {
  const begun = await sixteenInTheSpool(t);
  const { site, source, held } = begun;
  const state = path.join(path.dirname(held[0]?.file ?? ''), 'spool.json');
  damage(state, 20);
  await site.processServer.start();
  await site.masterTarget.start();
  await sameAtBothEnds(t, site, source);
  await pointsAreRight(t, begun, []);
  await site.processServer.stop();
  fs.rmSync(state);
  await site.processServer.start();
  await sameAtBothEnds(t, site, source);
  t.equal(syncsOf(source).length, 1, 'nothing was lost, nothing had to be synced');
  await begun.writer.close();
});
