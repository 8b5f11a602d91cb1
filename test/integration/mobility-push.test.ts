// A protected machine against a process server that breaks as a test wants: nothing is lost, nothing comes
// twice.
import fs from 'node:fs';
import t from 'tap';
import { RecordKind } from '../../core/record/record.ts';
import { KiB, MiB } from '../../core/units.ts';
import { until } from '../support/homeward.ts';
import { MobilitySite } from '../support/mobility-site.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

/** Protected, and its first copy has ended. */
async function synced(site: MobilitySite): Promise<void> {
  site.protect();
  await until('the first copy has ended', () => site.machine.protection.describe().state === 'ok');
  await sent(site);
}

/** The process server has everything. */
async function sent(site: MobilitySite): Promise<void> {
  await until('everything is sent', () => site.server.spooled === site.machine.outbox.headLsn);
}

async function writeSome(site: MobilitySite, random: Random, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const length = 512 * (1 + random.below(64));
    await site.write(512 * random.below((8 * MiB - length) / 512), random.bytes(length));
  }
}

t.test('a fresh disk is protected: the first copy, then every write', async (t) => {
  const site = await MobilitySite.open(t);
  const random = seededRandom(chooseSeed(t));
  await writeSome(site, random, 3);
  t.equal(site.machine.outbox.headLsn, 0, 'nothing is recorded before it is protected');
  await synced(site);
  t.same(
    site.server.syncs.map(({ lsn, reason }) => ({ lsn, reason })),
    [{ lsn: 1, reason: 'initial sync' }],
  );
  t.equal(site.server.generation, 1);
  await writeSome(site, random, 20);
  await sent(site);
  t.same(site.server.faults, []);
  t.ok(site.image().equals(site.content()), 'the records make the disk');
  t.equal(site.server.count(RecordKind.syncEnd), 1);
  await until('a head says so', () => {
    const head = site.server.heads.at(-1);
    return head?.lsn === site.machine.outbox.headLsn && head.state === 'ok' && head.backlogBytes === 0;
  });
});

t.test('after a clean stop it goes on without a sync, and sends nothing twice', async (t) => {
  const site = await MobilitySite.open(t);
  const random = seededRandom(chooseSeed(t));
  await synced(site);
  site.server.away = true;
  site.server.cut();
  await writeSome(site, random, 30);
  const { headLsn } = site.machine.outbox;
  await site.stop();
  site.server.away = false;
  await site.start();
  t.equal(site.machine.outbox.headLsn, headLsn);
  site.protect();
  await writeSome(site, random, 5);
  await sent(site);
  t.equal(site.server.syncs.length, 1);
  t.same(site.server.faults, []);
  t.equal(site.server.spooled, headLsn + 5, 'numbers go on where they ended');
  t.ok(site.image().equals(site.content()));
});

t.test('after a kill the next record is a sync-begin above everything that was ever given', async (t) => {
  const site = await MobilitySite.open(t);
  const random = seededRandom(chooseSeed(t));
  await synced(site);
  site.server.away = true;
  site.server.cut();
  await writeSome(site, random, 10);
  const { headLsn } = site.machine.outbox;
  await site.kill();
  site.server.away = false;
  await site.start();
  t.ok(site.machine.outbox.headLsn >= headLsn);
  t.equal(site.machine.outbox.recording, false);
  await writeSome(site, random, 5);
  site.server.hashes = (wanted) => ({ ...wanted, kind: 'hashes-failed', message: 'the test has none' });
  await synced(site);
  const [, second] = site.server.syncs;
  t.match(second, { reason: 'unclean stop', checksums: true });
  t.ok(second && second.lsn > headLsn);
  t.same(site.server.faults, []);
  t.ok(site.image().equals(site.content()));
});

t.test('whatever frame a connection breaks in, it goes on exactly there', async (t) => {
  const site = await MobilitySite.open(t);
  const random = seededRandom(chooseSeed(t));
  await synced(site);
  for (let n = 0; n < 12; n++) {
    site.server.framesUntilCut = 1 + random.below(3);
    site.server.takesCutFrame = random.chance(0.5);
    await writeSome(site, random, 4);
    await sent(site);
  }
  t.same(site.server.faults, []);
  t.equal(site.server.syncs.length, 1);
  t.ok(site.server.hellos.length > 3);
  t.ok(site.image().equals(site.content()));
});

t.test('what memory does not hold is spilled to disk, and comes back in order', async (t) => {
  const settings = { OutboxMemoryBytes: '8M' };
  const site = await MobilitySite.open(t, { settings });
  const random = seededRandom(chooseSeed(t));
  await synced(site);
  site.server.away = true;
  site.server.cut();
  const data = random.bytes(256 * KiB);
  for (let n = 0; n < 160; n++) {
    data.writeUInt32LE(n, 0);
    await site.write((n % 60) * 256 * KiB, data);
  }
  t.equal(site.machine.protection.describe().state, 'ok');
  await until('something lies on disk', () => fs.existsSync(`${site.data}/outbox`));
  t.ok(site.machine.outbox.crowded);
  await site.stop();
  site.server.away = false;
  await site.start();
  site.protect();
  await site.write(0, random.bytes(512));
  await sent(site);
  t.equal(site.server.syncs.length, 1);
  t.same(site.server.faults, []);
  t.ok(site.image().equals(site.content()));
  await until('its space is given back', () => fs.readdirSync(`${site.data}/outbox`).length === 0);
});

t.test('more than the outbox holds: recording stops, and a sync takes it up', async (t) => {
  const settings = { OutboxMemoryBytes: '8M', OutboxBytes: '0' };
  const site = await MobilitySite.open(t, { settings });
  const random = seededRandom(chooseSeed(t));
  await synced(site);
  site.server.away = true;
  site.server.cut();
  const data = random.bytes(256 * KiB);
  for (let n = 0; n < 60; n++) await site.write(n * 256 * KiB, data);
  t.equal(site.machine.protection.describe().state, 'overflow');
  t.equal(site.machine.outbox.backlogBytes, 0);
  site.server.hashes = (wanted) => ({ ...wanted, kind: 'hashes-failed', message: 'the test has none' });
  site.server.away = false;
  await synced(site);
  t.same(
    site.server.syncs.map(({ reason }) => reason),
    ['initial sync', 'outbox overflow'],
  );
  t.same(site.server.faults, []);
  t.ok(site.image().equals(site.content()));
});

t.test('a process server that lost records gets a sync of what they changed', async (t) => {
  const site = await MobilitySite.open(t);
  const random = seededRandom(chooseSeed(t));
  await synced(site);
  site.server.targetFollows = false;
  await writeSome(site, random, 10);
  await sent(site);
  site.server.cut();
  site.server.records.splice(-4);
  site.server.spooled -= 4;
  site.server.targetFollows = true;
  site.server.hashes = (wanted) => ({ ...wanted, kind: 'hashes-failed', message: 'the test has none' });
  await until('a second sync', () => site.server.syncs.length === 2);
  await synced(site);
  t.equal(site.server.syncs[1]?.reason, 'process server lost records');
  t.same(site.server.faults, []);
  t.ok(site.image().equals(site.content()));
});

t.test('a source that was put back from a copy gives no number twice, and copies everything', async (t) => {
  const site = await MobilitySite.open(t);
  const random = seededRandom(chooseSeed(t));
  await synced(site);
  await site.stop();
  fs.cpSync(site.data, `${site.data}.copy`, { recursive: true });
  await site.start();
  site.protect();
  await writeSome(site, random, 10);
  await sent(site);
  const { spooled } = site.server;
  await site.stop();
  fs.rmSync(site.data, { recursive: true });
  fs.renameSync(`${site.data}.copy`, site.data);
  await site.start();
  site.server.hashes = (wanted) => ({ ...wanted, kind: 'hashes-failed', message: 'the test has none' });
  site.protect();
  await until('a second sync', () => site.server.syncs.length === 2);
  await synced(site);
  t.match(site.server.syncs.at(-1), { reason: 'source put back from a copy' });
  t.ok((site.server.syncs.at(-1)?.lsn ?? 0) > spooled);
  t.same(site.server.faults, []);
  t.ok(site.image().equals(site.content()));
});

t.test('full means nothing is sent until there is room, and a wish for a sync is granted', async (t) => {
  const site = await MobilitySite.open(t);
  const random = seededRandom(chooseSeed(t));
  await synced(site);
  site.server.note({ kind: 'room', state: 'full' });
  await until('the source knows', () => site.machine.outbox.slowed);
  const { spooled } = site.server;
  await writeSome(site, random, 10);
  t.equal(site.server.spooled, spooled);
  site.server.note({ kind: 'room', state: 'ok' });
  await sent(site);
  site.server.note({ kind: 'resync', reason: 'the target lost its volume', full: true });
  await until('a second sync', () => site.server.syncs.length === 2);
  site.server.hashes = (wanted) => ({ ...wanted, kind: 'hashes-failed', message: 'the test has none' });
  await synced(site);
  t.equal(site.server.syncs[1]?.reason, 'the target lost its volume');
  t.same(site.server.faults, []);
});

t.test('a machine that is not protected any more records nothing, and is served on', async (t) => {
  const site = await MobilitySite.open(t);
  const random = seededRandom(chooseSeed(t));
  await synced(site);
  site.protect({ ended: true });
  await until('the stream has ended', () => !site.server.connected);
  const { headLsn } = site.machine.outbox;
  await writeSome(site, random, 5);
  t.equal(site.machine.outbox.headLsn, headLsn);
  t.equal(site.machine.protection.describe().state, 'unprotected');
  site.server.hashes = (wanted) => ({ ...wanted, kind: 'hashes-failed', message: 'the test has none' });
  await synced(site);
  t.equal(site.server.syncs.at(-1)?.reason, 'protected again');
  t.ok(site.image().equals(site.content()));
});
