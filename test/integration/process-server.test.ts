// A process server between a source and a master target: what it takes, keeps, gives on and acknowledges.
import t from 'tap';
import { RecordKind } from '../../core/record/record.ts';
import { until } from '../support/homeward.ts';
import { makeHead, makeRecord, makeRecords, SpoolSite } from '../support/spool-site.ts';

t.test(
  'what a source sends is acknowledged once it is durable, and a master target gets the same bytes',
  async (t) => {
    const site = await SpoolSite.start(t);
    const machine = await site.machine('web');
    const source = await site.source(machine);
    t.same(source.welcomed, { compress: true, generation: 0, spooled: 0, target: 0, applied: 0, oldest: 1 });
    const sent = makeRecords(machine, 1, 100);
    source.send(...sent);
    await source.spooled(100);
    t.match(source.acked, { spooled: 100, target: 0, applied: 0 });
    const target = await site.target(machine);
    t.match(target.welcomed, { spooled: 100, generation: 1, oldest: 1 });
    await target.received(100);
    t.ok(target.bytes.equals(Buffer.concat(sent)));
    source.send(...makeRecords(machine, 101, 110));
    await target.received(110);
    target.has(105, 90);
    await until('the source hears of it', () => source.acked.target === 105);
    t.same(source.acked, { spooled: 110, target: 105, applied: 90 });
  },
);

t.test(
  'everything acknowledged is there after a kill, and both go on exactly where they stopped',
  async (t) => {
    const site = await SpoolSite.start(t);
    const machine = await site.machine('web');
    const source = await site.source(machine);
    source.send(...makeRecords(machine, 1, 200));
    await source.spooled(200);
    const before = await site.target(machine);
    await before.received(200);
    before.has(120);
    await until('the source hears of it', () => source.acked.target === 120);
    await site.killAndRestart();
    const again = await site.source(machine, { head: 210, heldFrom: 201 });
    t.match(again.welcomed, { spooled: 200, generation: 1 });
    const target = await site.target(machine, { durable: 120, applied: 100 });
    await target.received(200);
    again.send(...makeRecords(machine, 201, 210));
    await target.received(210);
    t.same(
      target.lsns,
      Array.from({ length: 90 }, (_, index) => 121 + index),
    );
  },
);

t.test(
  'records come in order: duplicates are left out, a hole and an older generation end the stream',
  async (t) => {
    const site = await SpoolSite.start(t);
    const machine = await site.machine('web');
    const first = await site.source(machine);
    first.send(...makeRecords(machine, 1, 10, { generation: 3 }));
    await first.spooled(10);
    first.send(...makeRecords(machine, 5, 12, { generation: 3 }));
    await first.spooled(12);
    // Nothing of this is new, so it is durable when it arrives.
    first.send(...makeRecords(machine, 5, 12, { generation: 3 }));
    first.send(makeRecord(machine, 14, { generation: 3 }));
    await until('the end', () => first.ended !== undefined);
    t.match(first.ended, { code: 'chain-broken' });
    const second = await site.source(machine);
    second.send(makeRecord(machine, 13, { generation: 2 }));
    await until('the end', () => second.ended !== undefined);
    t.match(second.ended, { code: 'fenced' });
    const third = await site.source(machine);
    third.send(makeRecord(machine, 20, { kind: RecordKind.syncBegin, generation: 3 }));
    await until('the end', () => third.ended !== undefined);
    t.match(third.ended, { code: 'chain-broken' }, 'a sync that skips has a higher generation');
    const fourth = await site.source(machine);
    fourth.send(makeRecord(machine, 20, { kind: RecordKind.syncBegin, generation: 4 }));
    fourth.send(makeRecord(machine, 21, { generation: 4 }));
    await fourth.spooled(21);
    const target = await site.target(machine);
    await target.received(21);
    t.same(target.lsns, [...Array.from({ length: 12 }, (_, index) => index + 1), 20, 21]);
  },
);

t.test('a record that was damaged on the way is not taken', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const source = await site.source(machine);
  const record = makeRecord(machine, 1);
  record[100] = (record[100] ?? 0) ^ 1;
  source.send(record);
  await until('the end', () => source.ended !== undefined);
  t.match(source.ended, { code: 'damaged-record' });
  t.match((await site.source(machine)).welcomed, { spooled: 0 });
});

t.test('a head follows the records it speaks of, and relays pass between both sides', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const source = await site.source(machine);
  const target = await site.target(machine);
  source.send(...makeRecords(machine, 1, 50));
  source.connection?.sendHead(makeHead(50));
  await until('the head', () => target.heads.length > 0);
  t.equal(target.order.at(-1), 'head 50');
  t.equal(target.order.at(-2), 'record 50');
  t.ok((target.heads[0]?.processServerBytes ?? 0) >= 50 * 4096);
  target.has(50);
  await until('the source hears of it', () => source.acked.target === 50);
  source.connection?.sendHead(makeHead(50));
  await until('the second head', () => target.heads.length === 2);
  t.equal(target.heads[1]?.processServerBytes, 0);
  const asked = { kind: 'hashes-wanted', sync: 1, disk: 0, start: 0, end: 65_536 } as const;
  source.connection?.sendRelay(asked);
  await until('the question', () => target.relays.length === 1);
  t.same(target.relays, [asked]);
  const failed = { ...asked, kind: 'hashes-failed', message: 'no' } as const;
  target.connection?.sendRelay(failed);
  await until('the answer', () => source.relays.length === 1);
  t.same(source.relays, [failed]);
});

t.test(
  'a second connection of the same host replaces the first; other hosts are refused with the reason',
  async (t) => {
    const site = await SpoolSite.start(t);
    const machine = await site.machine('web');
    const other = await site.machine('db');
    const first = await site.source(machine);
    const second = await site.source(machine);
    await until('the first ends', () => first.ended !== undefined);
    t.match(first.ended, { code: 'chain-broken', message: /taken over/ });
    second.send(makeRecord(machine, 1));
    await second.spooled(1);
    for (const identity of [other.source, machine.masterTarget]) {
      const stranger = await site.source(machine, {}, identity);
      t.match(stranger.ended, { code: 'not-assigned', message: machine.assignment.source });
      t.match(stranger.ended, { message: identity.hostId });
    }
    const target = await site.target(machine);
    const wrong = await site.target(machine, {}, other.masterTarget);
    t.match(wrong.ended, { code: 'not-assigned', message: machine.assignment.masterTarget });
    t.equal(target.ended, undefined, 'the right one stays');
    const again = await site.target(machine);
    await until('the first target ends', () => target.ended !== undefined);
    t.equal(again.ended, undefined);
  },
);

t.test(
  'an assignment to another host ends the streams of the one before, and old ones count no more',
  async (t) => {
    const site = await SpoolSite.start(t);
    const machine = await site.machine('web');
    const target = await site.target(machine);
    const next = await site.identities.host('master-target');
    const moved = { ...machine, assignment: { ...machine.assignment, epoch: 2, masterTarget: next.hostId } };
    const source = await site.source(moved);
    await until('the old target ends', () => target.ended !== undefined);
    t.match(target.ended, { code: 'not-assigned' });
    t.match((await site.target(machine)).ended, { code: 'not-assigned', message: /epoch/ });
    const taken = await site.target(moved, {}, next);
    t.not(taken.welcomed, null);
    const gone = { ...moved, assignment: { ...moved.assignment, epoch: 3, ended: true } };
    t.match((await site.source(gone)).ended, { code: 'not-assigned', message: /not protected/ });
    await until('the source ends', () => source.ended !== undefined);
  },
);

t.test('two machines are served side by side', async (t) => {
  const site = await SpoolSite.start(t);
  const machines = [await site.machine('web'), await site.machine('db')] as const;
  const sources = await Promise.all(machines.map((machine) => site.source(machine)));
  const targets = await Promise.all(machines.map((machine) => site.target(machine)));
  for (const [index, machine] of machines.entries()) sources[index]?.send(...makeRecords(machine, 1, 300));
  await Promise.all(targets.map((target) => target.received(300)));
  await Promise.all(sources.map((source) => source.spooled(300)));
  t.pass();
});
