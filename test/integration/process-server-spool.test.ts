// What a spool does when room is short, when files are damaged or gone, and when a journal is gone.
import fs from 'node:fs';
import t from 'tap';
import { RecordKind } from '../../core/record/record.ts';
import { KiB } from '../../core/units.ts';
import { until } from '../support/homeward.ts';
import { damageRecord, makeHead, makeRecord, makeRecords, range, SpoolSite } from '../support/spool-site.ts';

t.test('what the master target has goes when room is needed, and nothing else', async (t) => {
  const site = await SpoolSite.start(t, { SPOOL_BYTES: '1M' });
  const machine = await site.machine('web');
  const [source, target] = [await site.source(machine), await site.target(machine)];
  for (let last = 100; last <= 1000; last += 100) {
    source.send(...makeRecords(machine, last - 99, last));
    await target.received(last);
    target.has(last);
  }
  await source.spooled(1000);
  t.same(target.lsns, range(1, 1000));
  t.ok(site.segmentsOf(machine).length * 64 * KiB <= 1024 * KiB);
  const again = await site.source(machine);
  t.ok((again.welcomed?.oldest ?? 0) > 700);
});

t.test('without room sources are told to keep their records, and go on once there is some', async (t) => {
  const site = await SpoolSite.start(t, { SPOOL_BYTES: '1M' });
  const machine = await site.machine('web');
  const source = await site.source(machine);
  let sent = 0;
  await until('full', () => {
    if (sent < 500 && sent - source.acked.spooled < 20) {
      source.send(...makeRecords(machine, sent + 1, sent + 10));
      sent += 10;
    }
    return source.notes.some((note) => note.kind === 'room' && note.state === 'full');
  });
  t.ok(sent < 260, `${sent} records of 4 KiB were sent`);
  source.send(...makeRecords(machine, sent + 1, sent + 40));
  const target = await site.target(machine);
  await target.received(source.acked.spooled);
  t.ok((target.lsns.at(-1) ?? 0) < sent + 40, 'not everything was taken');
  await until('ok', () => {
    target.has(target.lsns.at(-1) ?? 0);
    const last = source.notes.findLast(({ kind }) => kind === 'room');
    return last?.kind === 'room' && last.state === 'ok' && source.acked.spooled >= sent + 40;
  });
  await target.received(sent + 40);
  t.same(target.lsns, range(1, sent + 40));
});

t.test('a machine that keeps little is served while another has filled the spool', async (t) => {
  const site = await SpoolSite.start(t, { SPOOL_BYTES: '2M' });
  const [hog, modest] = [await site.machine('hog'), await site.machine('modest')];
  const [first, second] = [await site.source(hog), await site.source(modest)];
  let sent = 0;
  await until('full', () => {
    if (sent - first.acked.spooled < 20) {
      first.send(...makeRecords(hog, sent + 1, sent + 10));
      sent += 10;
    }
    return first.notes.some((note) => note.kind === 'room' && note.state === 'full');
  });
  second.send(...makeRecords(modest, 1, 10));
  await second.spooled(10);
  t.notOk(second.notes.some((note) => note.kind === 'room' && note.state === 'full'));
});

t.test(
  'a record whose content is damaged goes on as unknown, and a sync of the source is asked for',
  async (t) => {
    const site = await SpoolSite.start(t);
    const machine = await site.machine('web');
    const before = await site.source(machine);
    before.send(...makeRecords(machine, 1, 50));
    await before.spooled(50);
    await site.stop();
    damageRecord(site, machine, 20, 'data');
    await site.restart();
    const target = await site.target(machine);
    await target.received(50);
    t.same(target.lsns, range(1, 50));
    t.match(target.headers[19], {
      lsn: 20,
      kind: RecordKind.unknown,
      length: 4096,
      offset: 20 * 65_536,
      payloadBytes: 0,
    });
    target.has(50);
    await site.killAndRestart();
    const source = await site.source(machine, { head: 50, heldFrom: 51 });
    t.match(await source.noted('lost'), { from: 20, to: 20 });
    await site.target(machine, { durable: 50 });
    await until('the source hears of the target', () => source.acked.target > 0);
    t.equal(source.acked.target, 19, 'it keeps the region of the lost record dirty');
    source.send(makeRecord(machine, 51, { kind: RecordKind.syncBegin, generation: 2 }));
    await until('the source hears of all', () => source.acked.target === 50);
    t.match(
      (await site.source(machine)).notes.filter(({ kind }) => kind === 'lost'),
      [],
    );
  },
);

t.test('records whose headers are damaged are made up for by a sync', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const before = await site.source(machine);
  before.send(...makeRecords(machine, 1, 50));
  await before.spooled(50);
  await site.stop();
  damageRecord(site, machine, 20, 'header');
  await site.restart();
  const target = await site.target(machine);
  await until('a resync is wanted', () => site.log.join('').includes('a resync is needed'));
  t.ok((target.lsns.at(-1) ?? 0) < 20);
  const source = await site.source(machine, { head: 50, heldFrom: 51 });
  t.match(await source.noted('resync'), { full: false });
  source.send(makeRecord(machine, 51, { kind: RecordKind.syncBegin, generation: 2 }));
  source.send(...makeRecords(machine, 52, 60, { generation: 2 }));
  await target.received(60);
  t.same(target.lsns.slice(target.lsns.indexOf(51)), range(51, 60));
});

t.test('a spool that is gone begins anew with a sync', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const before = await site.source(machine);
  before.send(...makeRecords(machine, 1, 50));
  await before.spooled(50);
  await site.stop();
  fs.rmSync(site.spoolOf(machine), { recursive: true });
  await site.restart();
  const source = await site.source(machine, { head: 50, heldFrom: 51, target: 30 });
  t.match(source.welcomed, { spooled: 0, oldest: 1 });
  source.send(makeRecord(machine, 51, { kind: RecordKind.syncBegin, generation: 2 }));
  await source.spooled(51);
  const target = await site.target(machine, { durable: 30, generation: 1 });
  await target.received(51);
  t.same(target.lsns, [51]);
  t.same(source.notes, [], 'what is dirty is all that is missing');
});

t.test('a master target without its journal gets all that the spool has', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const [source, target] = [await site.source(machine), await site.target(machine)];
  source.send(...makeRecords(machine, 1, 50));
  await target.received(50);
  target.has(50);
  await until('the source hears of it', () => source.acked.target === 50);
  const empty = await site.target(machine);
  await empty.received(50);
  t.same(empty.lsns, range(1, 50));
  t.same(source.notes, []);
});

t.test('one without its journal is made anew by a full sync when the spool has pruned', async (t) => {
  const site = await SpoolSite.start(t, { SPOOL_BYTES: '1M' });
  const machine = await site.machine('web');
  const [source, target] = [await site.source(machine), await site.target(machine)];
  for (let last = 100; last <= 600; last += 100) {
    source.send(...makeRecords(machine, last - 99, last));
    await target.received(last);
    target.has(last);
    await until('the source hears of it', () => source.acked.target === last);
  }
  // A sync is under way already, of little: it does not make up for everything.
  source.connection?.sendNote({ kind: 'sync-wanted' });
  await source.noted('sync-place');
  const empty = await site.target(machine);
  t.match(await source.noted('resync'), { full: true });
  source.send(makeRecord(machine, 601, { kind: RecordKind.syncBegin, generation: 2 }));
  await source.spooled(601);
  source.connection?.sendNote({ kind: 'sync-done' });
  await until('told again', () => source.notes.filter(({ kind }) => kind === 'resync').length === 2);
  t.same(empty.lsns, []);
  source.connection?.sendNote({ kind: 'sync-wanted' });
  await until('a place', () => source.notes.filter(({ kind }) => kind === 'sync-place').length === 2);
  source.send(makeRecord(machine, 602, { kind: RecordKind.syncBegin, generation: 3, note: { full: true } }));
  source.send(...makeRecords(machine, 603, 610, { generation: 3 }));
  await empty.received(610);
  t.same(empty.lsns, range(602, 610));
  const again = await site.target(machine);
  await again.received(610);
  t.same(again.lsns, range(602, 610), 'a second time it is there already');
  t.equal(source.notes.filter(({ kind }) => kind === 'resync').length, 2);
});

t.test('so many sources sync at a time, the others are told their place', async (t) => {
  const site = await SpoolSite.start(t, { BATCH_RESYNC: '1' });
  const machines = [await site.machine('a'), await site.machine('b'), await site.machine('c')] as const;
  const [a, b, c] = await Promise.all([
    site.source(machines[0]),
    site.source(machines[1]),
    site.source(machines[2]),
  ]);
  for (const source of [a, b, c]) {
    source.connection?.sendNote({ kind: 'sync-wanted' });
    await source.noted('sync-place');
  }
  const places = (source: typeof a): number[] =>
    source.notes.flatMap((note) => (note.kind === 'sync-place' ? [note.ahead] : []));
  t.same([a, b, c].map(places), [[0], [1], [2]]);
  a.connection?.sendNote({ kind: 'sync-done' });
  await until('c moves up', () => places(c).length === 2);
  t.same([a, b, c].map(places), [[0], [1, 0], [2, 1]]);
  await b.end();
  await until('c begins', () => places(c).length === 3);
  t.equal(places(c).at(-1), 0);
});

t.test('heads go on behind what a restart left in the spool', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const source = await site.source(machine);
  source.send(...makeRecords(machine, 1, 50));
  source.connection?.sendHead(makeHead(50));
  await source.spooled(50);
  const target = await site.target(machine);
  await until('the head', () => target.heads.length === 1);
  t.equal(target.order.at(-1), 'head 50');
});

t.test('the newest records are gone although they were acknowledged: a sync makes up for them', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const before = await site.source(machine);
  before.send(...makeRecords(machine, 1, 15));
  await before.spooled(15);
  before.send(...makeRecords(machine, 16, 50));
  await before.spooled(50);
  await site.stop();
  for (const file of site.segmentsOf(machine).slice(1)) fs.rmSync(file);
  await site.restart();
  const source = await site.source(machine, { head: 50, heldFrom: 51 });
  t.match(source.welcomed, { spooled: 50 });
  const target = await site.target(machine);
  t.match(await source.noted('resync'), { full: false });
  t.ok((target.lsns.at(-1) ?? 0) < 50);
  source.send(makeRecord(machine, 51, { kind: RecordKind.syncBegin, generation: 2 }));
  await target.received(51);
  t.equal(target.lsns.at(-2), target.lsns.length - 1, 'what was left came before');
});

t.test('a spool whose spool.json is damaged keeps its records', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const before = await site.source(machine);
  before.send(...makeRecords(machine, 1, 50));
  await before.spooled(50);
  await site.stop();
  fs.writeFileSync(`${site.spoolOf(machine)}/spool.json`, '{}');
  await site.restart();
  t.match(site.log.join(''), 'event=spool-state-damaged');
  const target = await site.target(machine);
  await target.received(50);
  t.same(target.lsns, range(1, 50));
});

t.test('a spool with files of another machine is refused, the others are served', async (t) => {
  const site = await SpoolSite.start(t);
  const machines = [await site.machine('web'), await site.machine('db')] as const;
  for (const machine of machines) {
    const source = await site.source(machine);
    source.send(...makeRecords(machine, 1, 10));
    await source.spooled(10);
  }
  await site.stop();
  fs.rmSync(site.spoolOf(machines[0]), { recursive: true });
  fs.cpSync(site.spoolOf(machines[1]), site.spoolOf(machines[0]), { recursive: true });
  await site.restart();
  t.match((await site.source(machines[0])).ended, { code: 'foreign-segment' });
  t.match((await site.source(machines[1])).welcomed, { spooled: 10 });
});
