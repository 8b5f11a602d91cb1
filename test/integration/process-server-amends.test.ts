// Which syncs make up for what a spool has lost, and what damage of a record that has no content means.
import fs from 'node:fs';
import t from 'tap';
import { RecordKind } from '../../core/record/record.ts';
import { until } from '../support/homeward.ts';
import {
  makeRecord,
  makeRecords,
  SpoolSite,
  type RecordParts,
  type SpoolMachine,
} from '../support/spool-site.ts';

/** Turns a byte of a record in a spool file: the last, or one of its header. */
function damage(
  site: SpoolSite,
  machine: SpoolMachine,
  lsn: number,
  parts: RecordParts = {},
  byte = -1,
): void {
  const record = makeRecord(machine, lsn, parts);
  for (const file of site.segmentsOf(machine)) {
    const content = fs.readFileSync(file);
    const at = content.indexOf(record);
    if (at < 0) continue;
    const place = byte < 0 ? at + record.length - 1 : at + byte;
    content[place] = (content[place] ?? 0) ^ 0xff;
    fs.writeFileSync(file, content);
    return;
  }
  throw new Error(`no record ${lsn}`);
}

const begin = (generation: number, note: RecordParts['note'] = {}): RecordParts => ({
  kind: RecordKind.syncBegin,
  generation,
  note,
});

t.test(
  'a tag that is damaged in the spool makes no byte of a disk unknown, and asks for no sync',
  async (t) => {
    const site = await SpoolSite.start(t);
    const machine = await site.machine('web');
    const before = await site.source(machine);
    before.send(...makeRecords(machine, 1, 19), makeRecord(machine, 20, { kind: RecordKind.tag }));
    before.send(...makeRecords(machine, 21, 30));
    await before.spooled(30);
    await site.stop();
    damage(site, machine, 20, { kind: RecordKind.tag });
    await site.restart();
    const source = await site.source(machine, { head: 30, heldFrom: 31 });
    const target = await site.target(machine);
    await target.received(30);
    t.match(target.headers[19], { lsn: 20, kind: RecordKind.zero, length: 0, payloadBytes: 0 });
    target.has(30);
    await until('the source hears of all', () => source.acked.target === 30);
    t.same(source.notes, []);
  },
);

t.test('a record that is lost before a sync that is in the spool already keeps nothing back', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const before = await site.source(machine);
  before.send(...makeRecords(machine, 1, 30), makeRecord(machine, 31, begin(2)));
  before.send(...makeRecords(machine, 32, 40, { generation: 2 }));
  await before.spooled(40);
  await site.stop();
  damage(site, machine, 20);
  await site.restart();
  // It has begun the sync at 31, so it would not begin another for record 20.
  const source = await site.source(machine, { head: 40, heldFrom: 41, generation: 2 });
  const target = await site.target(machine);
  await target.received(40);
  t.match(target.headers[19], { lsn: 20, kind: RecordKind.unknown });
  target.has(40);
  await until('the source hears of all', () => source.acked.target === 40);
});

t.test('a sync of a part of the disks makes up for nothing', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const before = await site.source(machine);
  before.send(...makeRecords(machine, 1, 30), makeRecord(machine, 31, begin(2, { part: true })));
  before.send(...makeRecords(machine, 32, 40, { generation: 2 }));
  await before.spooled(40);
  await site.stop();
  damage(site, machine, 20);
  await site.restart();
  const source = await site.source(machine, { head: 40, heldFrom: 41, generation: 2 });
  const target = await site.target(machine);
  await target.received(40);
  t.match(await source.noted('lost'), { from: 20, to: 20 });
  target.has(40);
  source.send(makeRecord(machine, 41, begin(3, { part: true })));
  await source.spooled(41);
  t.equal(source.acked.target, 19, 'the region of the lost record is kept');
  source.send(makeRecord(machine, 42, begin(4)));
  await until('the source hears of all', () => source.acked.target === 40);
});

t.test('a sync that was on its way already does not answer the wish for a full one', async (t) => {
  const site = await SpoolSite.start(t, { SPOOL_BYTES: '1M' });
  const machine = await site.machine('web');
  const [source, target] = [await site.source(machine), await site.target(machine)];
  for (let last = 100; last <= 600; last += 100) {
    source.send(...makeRecords(machine, last - 99, last));
    await target.received(last);
    target.has(last);
    await until('the source hears of it', () => source.acked.target === last);
  }
  const empty = await site.target(machine);
  t.match(await source.noted('resync'), { full: true });
  // The source asks for the place of its full sync while records of an older one still wait to be sent.
  source.connection?.sendNote({ kind: 'sync-wanted' });
  await source.noted('sync-place');
  source.send(makeRecord(machine, 601, begin(2)), makeRecord(machine, 602, { generation: 2 }));
  await source.spooled(602);
  source.send(
    makeRecord(machine, 603, begin(3, { full: true })),
    makeRecord(machine, 604, { generation: 3 }),
  );
  await empty.received(604);
  t.same(empty.lsns, [603, 604]);
});

t.test('what a source was told may be newer than spool.json: an unsaved sync covers no more', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const source = await site.source(machine);
  source.send(...makeRecords(machine, 1, 20));
  await source.spooled(20);
  await site.restart();
  const old = fs.readFileSync(`${site.spoolOf(machine)}/spool.json`);
  const [again, target] = [
    await site.source(machine, { head: 20, heldFrom: 21 }),
    await site.target(machine),
  ];
  await target.received(20);
  target.has(20);
  await until('the source hears of it', () => again.acked.target === 20);
  again.send(makeRecord(machine, 30, begin(2)), makeRecord(machine, 31, { generation: 2 }));
  await again.spooled(31);
  await site.stop();
  fs.writeFileSync(`${site.spoolOf(machine)}/spool.json`, old);
  damage(site, machine, 12, {}, 20);
  await site.restart();
  // Its journal is gone back: what it lacks had left the dirty map when the sync began.
  const back = await site.target(machine, { durable: 10 });
  await until('another sync is wanted', () => site.log.join('').includes('resync is needed'));
  t.same(back.lsns, [11]);
});

t.test(
  'differences from what a lost journal had make nobody whole: everything is asked for again',
  async (t) => {
    const site = await SpoolSite.start(t, { SPOOL_BYTES: '1M' });
    const machine = await site.machine('web');
    const [source, target] = [await site.source(machine), await site.target(machine)];
    for (let last = 100; last <= 600; last += 100) {
      source.send(...makeRecords(machine, last - 99, last));
      await target.received(last);
      target.has(last);
      await until('the source hears of it', () => source.acked.target === last);
    }
    source.send(makeRecord(machine, 601, begin(2, { full: true, checksums: true })));
    await target.received(601);
    target.has(601);
    await until('the source hears of the sync', () => source.acked.target === 601);
    const empty = await site.target(machine);
    t.match(await source.noted('resync'), { full: true });
    source.send(makeRecord(machine, 602, begin(3, { full: true, checksums: true })));
    await empty.received(602);
    t.same(empty.lsns, [602], 'not the differences from the journal that is gone');
  },
);
