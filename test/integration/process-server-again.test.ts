// A master target asks for records once more: it gets what the spool still has, and its stream goes on.
import t from 'tap';
import { pullAgain } from '../../agent/ingest/pull/pull-again.ts';
import type { HostIdentity } from '../../core/identity/host-identity.ts';
import { silentLog } from '../../core/log.ts';
import { machineMark } from '../../core/record/record.ts';
import {
  damageRecord,
  makeRecord,
  makeRecords,
  range,
  SpoolSite,
  type SpoolMachine,
} from '../support/spool-site.ts';

function again(
  site: SpoolSite,
  machine: SpoolMachine,
  [from, to]: [number, number],
  { as = machine.masterTarget, isWanted = () => true, mostBytes = Infinity }: Asked = {},
): Promise<Map<number, Buffer>> {
  const { assignment } = machine;
  return pullAgain({
    assignment: { processServer: { hostId: site.hostId, addresses: [`127.0.0.1:${site.port}`] } },
    signed: site.sign(assignment),
    identity: as,
    generation: 1,
    mark: machineMark(Buffer.from(assignment.machine.replaceAll('-', ''), 'hex')),
    ...{ from, to, isWanted, mostBytes },
    log: silentLog,
    signal: new AbortController().signal,
  });
}

interface Asked {
  as?: HostIdentity;
  isWanted?(lsn: number): boolean;
  mostBytes?: number;
}

t.test('what it has is given as it is, beside the stream, which notices nothing', async (t) => {
  const site = await SpoolSite.start(t);
  const machine = await site.machine('web');
  const [source, target] = [await site.source(machine), await site.target(machine)];
  source.send(...makeRecords(machine, 1, 60));
  await target.received(60);
  target.has(60);
  const records = await again(site, machine, [10, 40]);
  t.same([...records.keys()], range(10, 40));
  for (const [lsn, bytes] of records)
    if (!bytes.equals(makeRecord(machine, lsn))) t.fail(`record ${lsn} is another`);
  const some = await again(site, machine, [10, 40], { isWanted: (lsn) => lsn % 10 === 0 });
  t.same([...some.keys()], [10, 20, 30, 40]);
  t.same([...(await again(site, machine, [50, 900])).keys()], range(50, 60), 'there are no more');
  const first = [...(await again(site, machine, [10, 60], { mostBytes: 1 })).keys()];
  t.same(first, range(10, 9 + first.length), 'the oldest, as much as comes at a time');
  source.send(...makeRecords(machine, 61, 70));
  await target.received(70);
  t.same(target.lsns, range(1, 70), 'the stream stands');
  const next = await site.target(machine, { durable: 70 });
  t.equal(next.welcomed?.target, 70, 'what is known of the master target is what its stream said');
});

t.test('what is damaged here too, or gone, is left out', async (t) => {
  const site = await SpoolSite.start(t, { SPOOL_BYTES: '1M' });
  const machine = await site.machine('web');
  const [source, target] = [await site.source(machine), await site.target(machine)];
  for (let last = 100; last <= 600; last += 100) {
    source.send(...makeRecords(machine, last - 99, last));
    await target.received(last);
    target.has(last);
  }
  await source.spooled(600);
  const [header, data] = [560, 580];
  damageRecord(site, machine, header, 'header');
  damageRecord(site, machine, data, 'data');
  const lsns = [...(await again(site, machine, [1, 600])).keys()];
  const oldest = lsns[0] ?? 0;
  t.ok(oldest > 300, `the oldest is ${oldest}`);
  t.same(
    lsns,
    range(oldest, 600).filter((lsn) => lsn !== header && lsn !== data),
  );
  t.same([...(await again(site, machine, [1, 100])).keys()], [], 'all of that is gone');
});

t.test('nobody but the master target of the machine is given anything', async (t) => {
  const site = await SpoolSite.start(t);
  const [machine, other] = [await site.machine('web'), await site.machine('db')];
  const source = await site.source(machine);
  source.send(...makeRecords(machine, 1, 10));
  await source.spooled(10);
  await t.rejects(again(site, machine, [1, 10], { as: other.masterTarget }), { code: 'not-assigned' });
  await t.rejects(again(site, machine, [1, 10], { as: machine.source }), { code: 'not-assigned' });
});
