// Redo rots at a master target or goes, while it runs and while it is down: the process server's spool has it
// still, and every moment is exact again. Without the spool it is an error, and the source sends what is
// missing.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { recordHeaderBytes, RecordKind } from '../../core/record/record.ts';
import { KiB, MiB } from '../../core/units.ts';
import {
  caughtUp,
  damage,
  differences,
  readPoint,
  recordsIn,
  sameAtBothEnds,
  segmentsIn,
  spoolOf,
  syncsOf,
  type SpoolPlace,
} from '../support/chain-facts.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { seededRandom } from '../support/random.ts';

t.setTimeout(600_000);

const skip = skipUnless({ full: true });
const size = 8 * MiB;
const sector = 4 * KiB;

interface Begun {
  site: ChainSite;
  source: Source;
  redo: string;
  id: string;
  oracle: Oracle;
  /** One of 4 KiB each, behind each other on the disk. */
  writes: SpoolPlace[];
}

/** 64 writes in several segments of redo, which is not applied for the time being. */
async function begun(t: Test): Promise<Begun> {
  const site = await ChainSite.start(t, { settings: { ReplicaLag: '24h', SegmentBytes: '64K' } });
  const file = site.at('web-disk.img');
  fs.writeFileSync(file, Buffer.alloc(size, 7));
  const source = await site.source('web', [{ name: 'disk', path: file }]);
  await site.protect('web');
  const from = await caughtUp(site, 'web');
  const oracle = new Oracle(0, size);
  const options = { oracle, random: seededRandom(1), window: 1 };
  const writer = await OracleWriter.connect(source.socket, 'disk', options);
  for (let at = 0; at < 64; at += 1) await writer.change(oracle.add('write', at * 8, 8));
  await writer.flush();
  await writer.close();
  await caughtUp(site, 'web');
  const id = (await site.status('web'))?.id ?? '';
  const redo = site.at('mt', 'retention', id, 'redo');
  const writes = recordsIn(redo, id).filter(
    ({ header }) => header.lsn > from && header.kind === RecordKind.write,
  );
  t.equal(writes.length, 64);
  t.ok(segmentsIn(redo).length > 1, 'in several segments');
  return { site, source, redo, id, oracle, writes };
}

/** The disk after the write `at`. */
function imageAfter({ oracle }: Begun, at: number): Buffer {
  const image = Buffer.alloc(size, 7);
  for (let index = 0; index <= at; index += 1) {
    const change = oracle.changes[index];
    if (change !== undefined) oracle.data(change).copy(image, index * sector);
  }
  return image;
}

async function isExact(t: Test, all: Begun, ...which: number[]): Promise<void> {
  for (const at of which) {
    const lsn = all.writes[at]?.header.lsn;
    const { image, unreadable } = await readPoint(all.site, 'web', `lsn:${lsn}`, 'disk');
    t.same(unreadable, [], `all can be read after write ${at}`);
    t.same(differences(image, imageAfter(all, at)), [], `and is right`);
  }
}

/** From its next start on. */
function applyAtOnce(site: ChainSite): void {
  const config = site.at('drscout.conf');
  fs.writeFileSync(config, fs.readFileSync(config, 'utf8').replace('ReplicaLag = 24h', 'ReplicaLag = 0'));
}

async function applied(site: ChainSite): Promise<void> {
  await until('all of it to be applied', async () => {
    const [machine] = (await site.target.status()).machines;
    return machine !== undefined && machine.appliedLsn === machine.durableLsn;
  });
}

const rotInContent = (place: SpoolPlace | undefined): void => {
  if (place !== undefined) damage(place.file, place.position + recordHeaderBytes + 1000);
};
const rotInHeader = (place: SpoolPlace | undefined): void => {
  if (place !== undefined) damage(place.file, place.position + 20);
};

t.test('the spool has what rots while the master target runs, and while it is down', { skip }, async (t) => {
  const all = await begun(t);
  const { site, source, writes } = all;
  rotInContent(writes[10]);
  rotInHeader(writes[30]);
  const healed = await site.run('verify', 'web');
  t.equal(healed.status, 0, healed.out);
  t.match(healed.out, /Healed record \d+ of .*the process server still had that/);
  await isExact(t, all, 9, 10, 30, 63);

  await whatIsReadIsHealed(t, all);

  await site.masterTarget.stop();
  rotInContent(writes[20]);
  rotInHeader(writes[40]);
  applyAtOnce(site);
  await site.masterTarget.start();
  await applied(site);
  await sameAtBothEnds(t, site, source);
  await isExact(t, all, 19, 20, 39, 40, 63);
  t.equal((await site.run('verify', 'web')).status, 0);
  t.same(syncsOf(source).slice(1), [], 'the source was not asked for anything');
});

/** What a view or a recovery meets is had again, too. */
async function whatIsReadIsHealed(t: Test, all: Begun): Promise<void> {
  const { site, writes } = all;
  rotInContent(writes[15]);
  const { lsn } = writes[63]!.header;
  await until('a view to be right', async () => {
    const { unreadable } = await readPoint(site, 'web', `lsn:${lsn}`, 'disk');
    return unreadable.length === 0;
  });
  await isExact(t, all, 15, 63);
  rotInContent(writes[25]);
  const to = site.at('recovered');
  const recovered = await site.run('recover', 'web', '--at', `lsn:${lsn}`, '--to', `raw:${to}`);
  t.equal(recovered.status, 0, recovered.out);
  t.same(differences(fs.readFileSync(`${to}/disk.raw`), imageAfter(all, 63)), [], 'the recovery went on');
}

t.test('files of redo that are gone or cut off while it is down are had again', { skip }, async (t) => {
  const all = await begun(t);
  const { site, source, writes, redo } = all;
  const files = [...new Set(writes.map(({ file }) => file))];
  t.ok(files.length > 4, `${files.length} files`);
  const [, gone = '', empty = '', half = '', cut = ''] = files;
  const newest = files.at(-1) ?? '';
  const ledger = path.join(redo, '../ledger');
  await until('the files to be in the ledger', () =>
    fs.readFileSync(ledger, 'utf8').includes(path.basename(cut)),
  );
  await site.masterTarget.stop();
  for (const file of [gone, newest]) fs.rmSync(file);
  fs.truncateSync(empty, 0);
  fs.truncateSync(half, 20_000);
  fs.truncateSync(cut, fs.readFileSync(cut).lastIndexOf('HWGROUP1', 40_000));
  await site.masterTarget.start();
  await until('verify to find all of it', async () => (await site.run('verify', 'web')).status === 0);
  await isExact(t, all, ...[...writes.keys()].filter((at) => at % 7 === 0));
  await site.masterTarget.kill();
  await site.masterTarget.start();
  const again = await site.run('verify', 'web');
  t.equal(again.status, 0, again.out);
  t.notMatch(again.out, 'Healed', 'nothing was left to do');
  t.ok(fs.existsSync(gone));
  applyAtOnce(site);
  await site.masterTarget.stop();
  await site.masterTarget.start();
  await applied(site);
  await sameAtBothEnds(t, site, source);
  t.same(syncsOf(source).slice(1), [], 'the source was not asked for anything');
});

t.test('a step waits for what a file had that is gone', { skip }, async (t) => {
  const all = await begun(t);
  const { site, source, writes } = all;
  await site.masterTarget.stop();
  await site.processServer.stop();
  fs.rmSync(writes[32]?.file ?? '');
  applyAtOnce(site);
  await site.masterTarget.start();
  await site.processServer.start();
  await applied(site);
  await sameAtBothEnds(t, site, source);
  await isExact(t, all, 0, 31, 32, 33, 63);
  t.equal((await site.run('verify', 'web')).status, 0);
  t.same(syncsOf(source).slice(1), [], 'the source was not asked for anything');
});

t.test('without the spool it is an error, and the source sends what is missing', { skip }, async (t) => {
  const all = await begun(t);
  const { site, source, writes } = all;
  const spool = await spoolOf(site, 'web');
  await site.processServer.stop();
  fs.rmSync(spool, { recursive: true });
  await site.processServer.start();
  rotInContent(writes[10]);
  const { status, out } = await site.run('verify', 'web');
  t.equal(status, 1);
  const [, offer = ''] = /from the source: (homeward resync web .*)\n/.exec(out) ?? [];
  t.equal(offer, `homeward resync web --extent disk:${10 * sector}-${11 * sector}`, out);
  for (const at of [10, 63]) {
    const lsn = writes[at]?.header.lsn;
    const { image, unreadable } = await readPoint(site, 'web', `lsn:${lsn}`, 'disk');
    t.same(unreadable, [10 * sector], 'that cannot be read');
    const right = imageAfter(all, at);
    right.fill(0, 10 * sector, 11 * sector);
    t.same(differences(image, right), [], 'and all else is right');
  }
  const ended = await site.run(...offer.split(' ').slice(1));
  t.equal(ended.status, 0, ended.err);
  await until('the sync to end', () => typeof syncsOf(source).at(-1)?.dataBytes === 'number');
  await sameAtBothEnds(t, site, source);
});
