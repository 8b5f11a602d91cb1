// `verify` of a machine that comes over the chain names what the newest moment lacks and the command that has
// its source send just that again; after it both ends are equal, and older moments stay as they were.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
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
} from '../support/chain-facts.ts';
import { ChainSite } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.setTimeout(300_000);

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

t.test('damaged bytes of a replica are sent again by the command that verify offers', async (t) => {
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
  const then = fs.readFileSync(file);
  for (let at = 0; at < 40; at += 1) await writer.change(oracle.add('write', at * 1000 + 4, 8));
  await writer.flush();
  await writer.close();
  await caughtUp(site, 'web');
  await nothingDirty(site, 'web');
  await applied(site);
  t.match(await verified(site, 0), { ok: true, offer: null, resync: null, unknown: [] });

  const [status] = (await site.target.status()).machines;
  const replica = status?.disks[0]?.replica ?? '';
  // Written by the first copy alone.
  const places = [5 * MiB + 100 * KiB + 7, 13 * MiB + 17, 13 * MiB + 5 * KiB];
  for (const place of places) damage(replica, place);
  const undo = path.join(site.at('mt', 'retention', status?.id ?? '', 'undo'));
  const [step = ''] = fs.readdirSync(undo).toSorted().slice(-1);
  damage(path.join(undo, step), Math.floor(fs.statSync(path.join(undo, step)).size / 2));

  const report = await verified(site, 1);
  const blocks = places.map((place) => place - (place % 4096));
  const found = report.damaged.filter((one) => one.in === 'replica');
  t.same(
    found.map(({ disk, start }) => [disk, start]),
    [
      ['disk', blocks[0]],
      ['disk', blocks[1]],
    ],
    'neighbours are one extent',
  );
  t.ok(report.damaged.some((one) => one.in === 'undo' && one.offer === null), 'no source has older content');
  t.match(report.offer, /^homeward resync web --extent disk:\d+-\d+ --extent disk:\d+-\d+$/);
  const text = await site.run('verify', 'web');
  t.equal(text.status, 1);
  t.ok(text.out.includes(`from the source: ${report.offer}\n`), text.out);
  t.same((await site.ask<{ extents: unknown[] }>('resync', 'web', '--damaged')).extents.length, 2, 'the same');
  await until('the sync to end', () => typeof syncsOf(source).at(-1)?.dataBytes === 'number');

  const before = syncsOf(source).length;
  const asked = await site.run(...(report.offer ?? '').split(' ').slice(1));
  t.equal(asked.status, 0, asked.err);
  t.match(asked.out, /2 regions of 4 MiB, 8 MiB; what differs is sent/);
  await until('the next one to end', () => {
    const syncs = syncsOf(source);
    return syncs.length > before && typeof syncs.at(-1)?.dataBytes === 'number';
  });
  const [sync] = syncsOf(source).slice(before - 1);
  t.match(sync, { reason: 'damaged at the master target', bytes: 8 * MiB });
  t.ok((sync?.dataBytes ?? Infinity) <= 2 * 64 * KiB, `${sync?.dataBytes} bytes were sent: just that`);
  await sameAtBothEnds(t, site, source);
  await applied(site);

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
  for (const at of unreadable) image.fill(0, at, at + 4 * KiB);
  for (const at of unreadable) then.fill(0, at, at + 4 * KiB);
  t.same(differences(image, then), [], 'and nothing else is wrong there');
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
  const alone = await site.run('resync', 'web', '--damaged', '--control', site.at('mt', 'control.sock'));
  t.equal(alone.status, 7, 'only a configuration server reaches the source');
  await site.ask('unprotect', 'web');
  t.match(await refused('web', '--extent', 'disk:0-4096'), { code: 'not-assigned' });
});
