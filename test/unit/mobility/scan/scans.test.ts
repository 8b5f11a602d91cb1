// Scanned disks of a machine with a process server that does as a test wants.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { RecordKind } from '../../../../core/record/record.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import type { ScanRequest } from '../../../../mobility/scan/scans.ts';
import { until } from '../../../support/homeward.ts';
import { MobilitySite } from '../../../support/mobility-site.ts';
import { hashesOf } from '../sync/sync-fixture.ts';

const hour = 3_600_000;
const quiet = { everyMs: hour, before: null, after: null };
const chunk = 64 * KiB;

function openSite(t: Test, names = ['root'], disks: Record<string, number> = { root: 17 * MiB }) {
  return MobilitySite.open(t, { disks, scan: { names, ...quiet } });
}

function put(site: MobilitySite, offset: number, byte: number, bytes = chunk, name = 'root'): void {
  const fd = fs.openSync(site.disk(name), 'r+');
  fs.writeSync(fd, Buffer.alloc(bytes, byte), 0, bytes, offset);
  fs.closeSync(fd);
}

const ok = (site: MobilitySite): boolean =>
  site.machine.protection.describe().state === 'ok' && !site.machine.protection.state.gap;
const lastTime = (site: MobilitySite) => site.machine.protection.describe().scan?.lastTime;

async function protect(site: MobilitySite): Promise<void> {
  site.protect();
  await until('the first scan', () => ok(site) && lastTime(site) !== null);
}

function take(site: MobilitySite, name: string, withinMs = 30_000) {
  const request: ScanRequest = { name, consistency: 'user' };
  const taken = site.machine.scanning?.take(request, withinMs);
  if (taken === undefined) throw new Error('nothing is scanned');
  return taken;
}

function writesFrom(site: MobilitySite, first: number): number {
  return site.server.records.slice(first).filter(({ kind }) => kind === RecordKind.write).length;
}

t.test('a scan sends what differs and nothing else', async (t) => {
  const site = await openSite(t);
  put(site, 5 * MiB, 1);
  await protect(site);
  t.ok(site.image().equals(site.content()));
  t.match(site.server.syncs, [{ reason: 'initial sync' }]);
  put(site, 16 * MiB, 2);
  put(site, 5 * MiB, 0);
  const before = site.server.records.length;
  const point = await take(site, 'second');
  t.match(point, { name: 'second', consistency: 'user', lsn: site.server.spooled });
  t.equal(writesFrom(site, before), 1);
  t.ok(site.image().equals(site.content()));
  t.match(site.server.syncs.at(-1), { reason: 'scan' });
  const { time } = site.server.heads.at(-1) ?? {};
  t.ok(Number(time) <= point.time, 'a head is as of the beginning of the scan');
  t.same(site.server.faults, []);
});

t.test('what was sent and may not have arrived is sent again', async (t) => {
  const site = await openSite(t);
  await protect(site);
  site.server.targetFollows = false;
  put(site, MiB, 1);
  await t.rejects(take(site, 'lost', 1000), { code: 'timed-out' }, 'it is not at the target');
  await site.kill();
  put(site, MiB, 0);
  site.server.targetFollows = true;
  await site.start();
  await protect(site);
  t.ok(site.image().equals(site.content()), 'also what is as it was before');
  t.match(site.server.syncs.at(-1), { reason: 'scan' });
});

t.test('without a hash file the master target is asked', async (t) => {
  const site = await openSite(t);
  put(site, 2 * MiB, 7, MiB);
  await protect(site);
  await site.stop();
  fs.rmSync(`${site.data}/scan/root.hashes`);
  const content = site.content();
  site.server.hashes = (relay) => ({
    ...relay,
    kind: 'hashes',
    hashes: hashesOf(content, relay.start, relay.end).toString('base64'),
  });
  put(site, 9 * MiB, 8);
  await site.start();
  site.protect();
  await until('it is connected', () => ok(site) && site.machine.protection.connected);
  const before = site.server.records.length;
  await take(site, 'again');
  t.equal(writesFrom(site, before), 1);
  t.match(site.server.syncs.at(-1), { reason: 'scan', checksums: true });
  t.ok(site.image().equals(site.content()));
});

t.test('served and scanned disks of one machine; one that shrinks is left out', async (t) => {
  const disks = { front: 4 * MiB, root: 2 * MiB, data: 2 * MiB };
  const site = await openSite(t, ['root', 'data'], disks);
  await protect(site);
  await site.write(0, Buffer.alloc(4096, 1), 'front');
  t.equal(site.machine.tagger.take('between', 'user').name, 'between', 'there are points between scans');
  put(site, MiB, 3, chunk, 'data');
  fs.truncateSync(site.disk('root'), MiB);
  t.equal(
    site.machine
      .report()
      .disks.map(({ kind }) => kind)
      .join(' '),
    'front scan scan',
  );
  await take(site, 'partly');
  t.ok(site.image('data').equals(site.content('data')));
  t.match(site.machine.protection.describe().scan, { problem: /machine-differs/, only: false });
  t.equal(site.server.count(RecordKind.syncEnd), 2);
  const others = await take(site, 'again');
  t.equal(others.name, 'again');
  t.ok(site.image('front').equals(site.content('front')));
});

t.test('another scan is refused while one is under way, and one before it is protected', async (t) => {
  const site = await openSite(t);
  await t.rejects(take(site, 'early'), { code: 'not-assigned' });
  await protect(site);
  const first = take(site, 'first');
  await t.rejects(take(site, 'second'), { code: 'conflict' });
  t.match(await first, { name: 'first' });
});
