// A protected machine as its host sees it: disks that changed, tags, several disks, and what is refused.
import fs from 'node:fs';
import t from 'tap';
import { RecordKind } from '../../core/record/record.ts';
import { MiB } from '../../core/units.ts';
import { tagCalls } from '../../mobility/tags/tag-calls.ts';
import { until } from '../support/homeward.ts';
import { MobilitySite } from '../support/mobility-site.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const noHashes = (site: MobilitySite): void => {
  site.server.hashes = (wanted) => ({ ...wanted, kind: 'hashes-failed', message: 'the test has none' });
};

async function ok(site: MobilitySite): Promise<void> {
  await until('it is in order', () => site.machine.protection.describe().state === 'ok');
  await until('everything is sent', () => site.server.spooled === site.machine.outbox.headLsn);
}

t.test('a disk that has grown is synced with its new size, and one that is new with it', async (t) => {
  const site = await MobilitySite.open(t);
  const random = seededRandom(chooseSeed(t));
  site.protect();
  await ok(site);
  await site.write(0, random.bytes(4096));
  await ok(site);
  await site.stop();
  fs.truncateSync(site.disk('root'), 24 * MiB);
  fs.writeFileSync(site.disk('data'), random.bytes(4 * MiB));
  await site.start(['data', 'root']);
  noHashes(site);
  site.protect();
  await ok(site);
  const disks = [
    { name: 'root', size: 24 * MiB },
    { name: 'data', size: 4 * MiB },
  ];
  t.match(site.server.syncs.at(-1), { reason: 'disk resized', disks });
  t.ok(site.image('root', 24 * MiB).equals(site.content('root')));
  t.ok(site.image('data', 4 * MiB).equals(site.content('data')));
  await site.stop();
  await site.start(['root', 'data']);
  site.protect();
  await ok(site);
  t.equal(site.server.syncs.length, 2, 'which is known from then on');
  t.same(site.server.faults, []);
});

t.test('a disk that is smaller or missing is refused, and nothing is changed by that', async (t) => {
  const site = await MobilitySite.open(t, { disks: { root: 16 * MiB, data: 4 * MiB } });
  site.protect();
  await ok(site);
  await site.stop();
  await t.rejects(site.start(['root']), { code: 'machine-differs', message: /disk data of 4 MiB/ });
  fs.truncateSync(site.disk('data'), 2 * MiB);
  await t.rejects(site.start(), { code: 'machine-differs', message: /2 MiB .* 4 MiB/ });
  fs.truncateSync(site.disk('data'), 4 * MiB);
  await site.start();
  site.protect();
  await ok(site);
  t.equal(site.server.syncs.length, 1, 'the clean stop still counts');
});

t.test('a tag on demand is durable and at the master target when it is answered', async (t) => {
  const site = await MobilitySite.open(t);
  const { machine } = site;
  const serve = tagCalls({
    tagger: machine.tagger,
    id: machine.id,
    name: 'shop',
    spooledMs: 5000,
    targetMs: 5000,
  });
  const call = { id: '1', method: 'POST', path: '/v1/machines/shop/tags', body: '{"name":"noon"}' } as const;
  await t.rejects(serve(call), { code: 'not-assigned' });
  site.server.ahead = 2;
  site.protect();
  await until('it waits for its place', () => site.server.notes.some(({ kind }) => kind === 'sync-wanted'));
  await t.rejects(serve(call), { code: 'no-points' });
  t.match(machine.protection.describe(), { state: 'waiting-for-sync' });
  site.server.note({ kind: 'sync-place', ahead: 0 });
  await ok(site);
  await site.write(0, Buffer.alloc(512, 1));
  const { body } = await serve(call);
  t.match(JSON.parse(body), { machine: 'shop', name: 'noon', consistency: 'user' });
  t.same(
    site.server.tags.map(({ name }) => name),
    ['noon'],
  );
  t.equal(site.server.target, site.server.tags[0]?.lsn);
});

t.test('each interval with writes gets a tag by itself', async (t) => {
  const site = await MobilitySite.open(t);
  site.protect({ consistencyIntervalMs: 100 });
  await ok(site);
  await site.write(0, Buffer.alloc(512, 1));
  await until('a tag has come', () => site.server.tags.length > 0);
  t.match(site.server.tags[0]?.name, /^auto-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
});

t.test('writes to several disks are one sequence', async (t) => {
  const site = await MobilitySite.open(t, { disks: { root: 8 * MiB, data: 8 * MiB } });
  const random = seededRandom(chooseSeed(t));
  site.protect();
  await ok(site);
  for (let n = 0; n < 40; n++)
    await site.write(random.below(1000) * 4096, random.bytes(4096), random.pick(['root', 'data']));
  await ok(site);
  const writes = site.server.records.filter(({ kind }) => kind === RecordKind.write);
  t.equal(new Set(writes.map(({ disk }) => disk)).size, 2);
  t.ok(site.image('root').equals(site.content('root')));
  t.ok(site.image('data').equals(site.content('data')));
  t.ok(writes.every(({ time }, at) => at === 0 || time >= (writes[at - 1]?.time ?? 0)));
});

t.test('a heartbeat says how it stands', async (t) => {
  const site = await MobilitySite.open(t);
  t.match(site.machine.report(), { name: 'shop', connected: false, head: { state: 'unprotected' } });
  site.server.away = true;
  site.protect();
  await until('the trouble is known', () => site.machine.report().problem !== null);
  t.match(site.machine.report(), {
    disks: [{ name: 'root', size: 16 * MiB, kind: 'front' }],
    problem: { code: 'connection-refused' },
    head: { state: 'waiting-for-sync', dirtyBytes: 16 * MiB },
  });
  site.server.away = false;
  await ok(site);
  t.match(site.machine.report(), { connected: true, problem: null, head: { state: 'ok', backlogBytes: 0 } });
});

t.test('one name, one data directory', async (t) => {
  const site = await MobilitySite.open(t);
  await site.stop();
  await t.rejects(site.start(['root'], 'other'), {
    code: 'machine-differs',
    message: /belongs to the machine shop/,
  });
});
