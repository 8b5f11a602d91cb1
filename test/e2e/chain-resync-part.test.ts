// `verify` of a machine that comes over the chain names what the newest moment lacks and the command that has
// its source send just that again; after it both ends are equal, and older moments stay as they were.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { VerifyReport } from '../../agent/control/client.ts';
import { KiB, MiB } from '../../core/units.ts';
import {
  caughtUp,
  damage,
  differences,
  nothingDirty,
  readPoint,
  sameAtBothEnds,
  syncsOf,
  type ToldSync,
} from '../support/chain-facts.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { homeward, until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(300_000);

const skip = skipUnless({ full: true });
const size = 24 * MiB;

/** The replica is as new as everything that is durable. */
async function applied(site: ChainSite): Promise<void> {
  await until('the cursor to be at the end', async () => {
    const [machine] = (await site.target.status()).machines;
    return machine !== undefined && machine.appliedLsn === machine.durableLsn;
  });
}

async function verified(site: ChainSite, status: number): Promise<VerifyReport> {
  const ended = await site.run('verify', 'web', '--json');
  if (ended.status !== status) throw new Error(`verify ended with ${ended.status}: ${ended.out}${ended.err}`);
  const [last = ''] = ended.out.trimEnd().split('\n').slice(-1);
  return (JSON.parse(last) as { result: VerifyReport }).result;
}

interface Begun {
  site: ChainSite;
  source: Source;
  /** A point, what the disk was there, and the replica, which is as new as can be. */
  point: number;
  before: Buffer;
  replica: string;
  undo: string;
}

/** A disk of random bytes, written to before and behind a point. */
async function begun(t: Test): Promise<Begun> {
  const site = await ChainSite.start(t, { settings: { ReplicaLag: '0', WindowHours: '24' } });
  const file = site.at('web-disk.img');
  const random = seededRandom(chooseSeed(t));
  fs.writeFileSync(file, random.bytes(size));
  const source = await site.source('web', [{ name: 'disk', path: file }]);
  await site.protect('web');
  const oracle = new Oracle(0, size);
  const writer = await OracleWriter.connect(source.socket, 'disk', { oracle, random });
  for (let at = 0; at < 40; at += 1) await writer.change(oracle.add('write', at * 1000, 8));
  await writer.flush();
  const point = await caughtUp(site, 'web');
  const before = fs.readFileSync(file);
  for (let at = 0; at < 40; at += 1) await writer.change(oracle.add('write', at * 1000 + 4, 8));
  await writer.flush();
  await writer.close();
  await caughtUp(site, 'web');
  await nothingDirty(site, 'web');
  await applied(site);
  const [status] = (await site.target.status()).machines;
  const undo = site.at('mt', 'retention', status?.id ?? '', 'undo');
  return { site, source, point, before, replica: status?.disks[0]?.replica ?? '', undo };
}

/** Written by the first copy alone; the last two are neighbours. */
const places = [5 * MiB + 100 * KiB + 7, 13 * MiB + 17, 13 * MiB + 5 * KiB];
const blocks = places.map((place) => place - (place % (4 * KiB)));

/** Verify finds it, and names the command for the newest moment alone. */
async function foundAndOffered(t: Test, site: ChainSite): Promise<string> {
  const report = await verified(site, 1);
  const found = report.damaged.filter((one) => one.in === 'replica');
  t.same(
    found.map(({ disk, start }) => [disk, start]),
    [
      ['disk', blocks[0]],
      ['disk', blocks[1]],
    ],
    'neighbours are one extent',
  );
  t.ok(
    report.damaged.some((one) => one.in === 'undo' && one.offer === null),
    'no source has older content',
  );
  const offer = report.offer ?? '';
  t.match(offer, /^homeward resync web --extent disk:\d+-\d+ --extent disk:\d+-\d+$/);
  const { extents } = await site.server.control.damage('web');
  t.equal(extents.length, 2, 'it is remembered, for `resync --damaged`');
  const text = await site.run('verify', 'web');
  t.equal(text.status, 1);
  t.ok(text.out.includes(`from the source: ${offer}\n`), text.out);
  return offer;
}

/** Of the newest moment all is right; the point from before is as it was, but for what was damaged. */
async function mended(t: Test, { site, source, point, before }: Begun): Promise<void> {
  const after = await verified(site, 1);
  t.same(
    after.damaged.filter((one) => one.in !== 'undo'),
    [],
    'of the newest moment nothing is damaged',
  );
  t.match(after, { offer: null, unknown: [] });
  t.match((await site.run('resync', 'web', '--damaged')).out, /^Nothing is known that web lacks/);
  await sameAtBothEnds(t, site, source);
  const { image, unreadable } = await readPoint(site, 'web', `lsn:${point}`, 'disk');
  t.ok(
    blocks.every((block) => unreadable.includes(block)),
    `what was damaged then stays unknown at that point: ${unreadable.join(' ')}`,
  );
  for (const one of [image, before]) for (const at of unreadable) one.fill(0, at, at + 4 * KiB);
  t.same(differences(image, before), [], 'and nothing else is wrong there');
}

t.test('damaged bytes of a replica are sent again by the command that verify offers', { skip }, async (t) => {
  const all = await begun(t);
  const { site, source, replica, undo } = all;
  t.match(await verified(site, 0), { ok: true, offer: null, resync: null, unknown: [] });
  for (const place of places) damage(replica, place);
  const step = path.join(undo, fs.readdirSync(undo).toSorted().at(-1) ?? '');
  damage(step, Math.floor(fs.statSync(step).size / 2));
  const offer = await foundAndOffered(t, site);
  const before = syncsOf(source).length;
  const asked = await site.run(...offer.split(' ').slice(1));
  t.equal(asked.status, 0, asked.err);
  t.match(asked.out, /2 regions of 4 MiB, 8 MiB; what differs is sent/);
  const sync = (): ToldSync | undefined => syncsOf(source)[before];
  await until('the sync to end', () => typeof sync()?.dataBytes === 'number');
  t.match(sync(), { reason: 'damaged at the master target', bytes: 8 * MiB });
  t.ok((sync()?.dataBytes ?? Infinity) <= 2 * 64 * KiB, `${sync()?.dataBytes} bytes were sent: just that`);
  await caughtUp(site, 'web');
  await applied(site);
  await mended(t, all);
});

t.test('what cannot be sent again is refused in words', async (t) => {
  const site = await ChainSite.start(t);
  await site.source('web', [{ name: 'disk', size: 8 * MiB }]);
  await site.protect('web');
  const refused = (...args: string[]) => site.refused('resync', ...args);
  t.match(await refused('web'), { status: 2, code: 'usage', message: /--extent/ });
  t.match(await refused('web', '--extent', 'disk:5'), { status: 2, message: /no extent/ });
  t.match(await refused('web', '--extent', 'root:0-4096'), { code: 'no-such-disk', message: /but disk$/ });
  t.match(await refused('web', '--extent', `disk:0-${9 * MiB}`), { code: 'usage', message: /has 8388608/ });
  t.match(await refused('nobody', '--extent', 'disk:0-4096'), { code: 'no-such-machine' });
  const control = ['--control', site.at('mt', 'control.sock')];
  const alone = await homeward(['resync', 'web', '--damaged', ...control], { env: { HOME: site.directory } });
  t.equal(alone.status, 7, 'only a configuration server reaches the source');
  await site.ask('unprotect', 'web');
  t.match(await refused('web', '--extent', 'disk:0-4096'), { code: 'not-assigned' });
});
