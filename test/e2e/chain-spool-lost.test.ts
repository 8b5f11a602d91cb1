// A spool is deleted, or its newest segment is, while the process server is down: what the master target
// missed is synced from the dirty map, not the whole disk.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { RecordKind } from '../../core/record/record.ts';
import { KiB, MiB } from '../../core/units.ts';
import {
  caughtUp,
  nothingDirty,
  readPoint,
  recordsIn,
  sameAtBothEnds,
  segmentsIn,
  spoolOf,
  syncsOf,
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

interface Begun {
  site: ChainSite;
  source: Source;
  /** The directory of the machine's spool. */
  spool: string;
  /** The newest point before the writes, and what the disk was there. */
  point: number;
  before: Buffer;
}

/**
 * Writes in the first and the fourth region of 4 MiB, in two segments, wait in the spool; the process server
 * and the master target are down.
 */
async function waitingInTheSpool(t: Test): Promise<Begun> {
  const site = await ChainSite.start(t);
  const file = site.at('web-disk.img');
  fs.writeFileSync(file, Buffer.alloc(size, 7));
  const source = await site.source('web', [{ name: 'disk', path: file }]);
  await site.protect('web');
  await nothingDirty(site, 'web');
  const point = await caughtUp(site, 'web');
  const before = fs.readFileSync(file);
  await site.masterTarget.stop();
  const spool = await spoolOf(site, 'web');
  const oracle = new Oracle(0, size);
  const writer = await OracleWriter.connect(source.socket, 'disk', { oracle, random: seededRandom(1) });
  for (const [round, region] of [0, 3].entries()) {
    for (let at = 0; at < 20; at += 1) await writer.change(oracle.add('write', region * 8192 + at * 16, 16));
    await writer.flush();
    const isHere = (): boolean =>
      recordsIn(spool).filter(({ header: { lsn, kind } }) => lsn > point && kind === RecordKind.write)
        .length ===
      20 * (round + 1);
    await until('the writes to be in the spool', isHere);
    // Each start begins a segment.
    await site.processServer.stop();
    if (round === 0) await site.processServer.start();
  }
  await writer.close();
  return { site, source, spool, point, before };
}

async function synced(t: Test, { site, source, point, before }: Begun, bytes: number): Promise<void> {
  await site.processServer.start();
  await site.masterTarget.start();
  await until('the sync to end', () => typeof syncsOf(source)[1]?.dataBytes === 'number');
  await sameAtBothEnds(t, site, source);
  const [, resync, ...more] = syncsOf(source);
  t.match(resync, { bytes }, 'the dirty map was compared, not the disk');
  t.ok((resync?.dataBytes ?? Infinity) <= 7 * 64 * KiB, `what differs was sent: ${resync?.dataBytes}`);
  t.same(more, [], 'once');
  const { image } = await readPoint(site, 'web', `lsn:${point}`, 'disk');
  t.ok(image.equals(before), 'the point before is as it was');
  t.equal((await site.points('web')).gaps.length, 1);
}

t.test('the whole spool', async (t) => {
  const begun = await waitingInTheSpool(t);
  fs.rmSync(begun.spool, { recursive: true });
  await synced(t, begun, 8 * MiB);
});

t.test('only its newest segment with records', { skip }, async (t) => {
  const begun = await waitingInTheSpool(t);
  const newest = recordsIn(begun.spool).at(-1)?.file ?? '';
  t.ok(segmentsIn(begun.spool).indexOf(newest) > 0, 'it is not the only one');
  for (const file of segmentsIn(begun.spool)) if (file >= newest) fs.rmSync(file);
  await synced(t, begun, 8 * MiB);
});

t.test('its directory with everything in it, but the records had all been pulled', { skip }, async (t) => {
  const begun = await waitingInTheSpool(t);
  const { site, source, spool } = begun;
  await site.processServer.start();
  await site.masterTarget.start();
  await caughtUp(site, 'web');
  await nothingDirty(site, 'web');
  await site.processServer.kill();
  fs.rmSync(path.dirname(spool), { recursive: true });
  await site.processServer.start();
  await sameAtBothEnds(t, site, source);
  const [, ...resyncs] = syncsOf(source);
  const bytes = resyncs.reduce((sum, sync) => sum + sync.bytes, 0);
  t.equal(bytes, 0, 'nothing had to be compared');
});
