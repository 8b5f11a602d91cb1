// What the watch notes as events: silence, return, a wrong clock, machines that change their state, spools.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Calls } from '../../../config-server/hosts/calls.ts';
import { HostList, type KnownHost } from '../../../config-server/hosts/host-list.ts';
import { PendingList } from '../../../config-server/hosts/pending-list.ts';
import { Presence } from '../../../config-server/hosts/presence.ts';
import { Watch } from '../../../config-server/hosts/watch.ts';
import { WorkDesk } from '../../../config-server/hosts/work-desk.ts';
import { Assignments } from '../../../config-server/machines/assignments.ts';
import { LedgerHeads } from '../../../config-server/machines/ledger-heads.ts';
import { MachineList } from '../../../config-server/machines/machine-list.ts';
import type { Registry } from '../../../config-server/registry.ts';
import { EventLog } from '../../../config-server/state/event-log.ts';
import { openState } from '../../../config-server/state/open-state.ts';
import { Turns } from '../../../config-server/state/turns.ts';
import type { MachineState, MachineStatus } from '../../../core/registration/machine-status.ts';
import { silentLog } from '../../../core/log.ts';
import { microseconds } from '../../../core/units.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const host: KnownHost = {
  id: 'h1',
  role: 'mobility',
  name: 'web',
  keyHash: 'k',
  version: '0.1.0',
  addresses: [],
  disks: [],
  firstContact: 1,
  lastContact: null,
  removedAt: null,
};

/** A registry whose clock only goes when it is told to. */
async function still(t: Test): Promise<{ registry: Registry; pass(ms: number): void; file: string }> {
  const file = path.join(temporaryDirectory(t), 'state.sqlite');
  const state = await openState(file);
  t.teardown(() => state.destroy());
  let nowMs = 1_000_000;
  const clock = { now: () => microseconds(nowMs * 1000), monotonicMs: () => nowMs };
  const desk = new WorkDesk();
  const wake = (): void => undefined;
  const sign = (): never => {
    throw new Error('nothing is signed here');
  };
  const registry: Registry = {
    ...{ version: '0.1.0', clock, log: silentLog, trusted: new Set<string>(), desk },
    hosts: await HostList.open(state),
    pending: await PendingList.open(state),
    presence: new Presence(clock),
    machines: await MachineList.open(state),
    assignments: await Assignments.open({ state, sign, now: () => nowMs, wake }),
    ledgers: await LedgerHeads.open(state, clock),
    events: await EventLog.open(state, clock, silentLog),
    calls: new Calls(wake),
    turns: new Turns(),
  };
  return { registry, pass: (ms) => void (nowMs += ms), file };
}

t.test('silence, loss and return are noted once each, and a clock that goes wrong', async (t) => {
  const { registry, pass } = await still(t);
  const watch = new Watch(registry);
  await registry.hosts.put(host);
  const said = { version: '0.1.0', addresses: [], disks: [] };
  const beat = (skewMs = 0): void => {
    registry.presence.note('h1', { ...said, time: registry.clock.now() + skewMs * 1000 }, '10.0.0.1');
  };
  const kinds = async (): Promise<string[]> =>
    (await registry.events.list({ after: null, limit: 100 })).map(
      ({ kind, severity }) => `${kind} ${severity}`,
    );
  await watch.look();
  beat();
  await watch.look();
  pass(31_000);
  await watch.look();
  await watch.look();
  pass(15 * 60_000);
  await watch.look();
  beat(-120_000);
  await watch.look();
  await watch.look();
  t.same(await kinds(), [
    'host-silent warning',
    'host-lost critical',
    'host-back info',
    'clock-skew warning',
  ]);
  await watch.stop();
  t.equal(registry.hosts.get('h1')?.lastContact, registry.clock.now());
  const [, second] = await registry.events.list({ after: null, limit: 100 });
  t.match(await registry.events.list({ after: second?.id ?? 0, limit: 1 }), [{ kind: 'host-back' }]);
});

t.test('a machine that changes its state is an event with the reason', async (t) => {
  const { registry } = await still(t);
  const watch = new Watch(registry);
  await registry.hosts.put({ ...host, role: 'master-target', name: 'mt' });
  const report = (state: MachineState, detail: string | null): void => {
    const machine = { ...blank, state, detail };
    const target = { retention: { path: '/r', freeBytes: 1 }, machines: [machine] };
    const said = { version: '0.1.0', time: registry.clock.now(), addresses: [], disks: [], target };
    registry.presence.note('h1', said, '10.0.0.1');
  };
  report('ok', null);
  await watch.look();
  report('no-space', 'full');
  await watch.look();
  await watch.look();
  t.match(await registry.events.list({ after: null, limit: 10 }), [
    { kind: 'machine-state', severity: 'critical', message: 'web went from ok to no-space: full' },
  ]);
});

t.test('a spool that fills up, what is wrong in it, and that there is room again are events', async (t) => {
  const { registry } = await still(t);
  const watch = new Watch(registry);
  await registry.hosts.put({ ...host, role: 'process-server', name: 'ps' });
  const report = async (room: 'ok' | 'slow' | 'full', ...problems: string[]): Promise<void> => {
    const spool = { machine: 'm1', spooled: 1, target: 1, applied: 1, backlogBytes: 0, spoolBytes: 1 };
    const spools = [{ ...spool, sourceConnected: true, targetConnected: true, room, problems }];
    const said = { version: '0.1.0', time: registry.clock.now(), addresses: [], disks: [], spools };
    registry.presence.note('h1', said, '10.0.0.1');
    await watch.look();
  };
  await report('ok');
  await report('slow', 'record 8 is lost');
  await report('full', 'record 8 is lost');
  await report('full', 'record 8 is lost', 'record 9 is lost');
  await report('ok', 'record 9 is lost');
  const events = await registry.events.list({ after: null, limit: 10 });
  t.same(
    events.map(({ kind, machine, message }) => `${kind} ${machine}: ${message}`),
    [
      'spool-problem m1: the spool of m1: record 8 is lost',
      'spool-full m1: the spool of m1 is full: its source keeps the backlog itself',
      'spool-problem m1: the spool of m1: record 9 is lost',
      'spool-room m1: the spool of m1 takes records again',
    ],
  );
});

t.test(
  'history that will fall short is an event, once when it is foreseen and once when it is so',
  async (t) => {
    const { registry, pass } = await still(t);
    const watch = new Watch(registry);
    await registry.hosts.put({ ...host, role: 'master-target', name: 'mt' });
    const report = async (text: string | null, fallsUnderAt: string | null): Promise<void> => {
      const forecast = { text, hours: 24, fallsUnderAt, machine: 'web', sustainedHours: 20 };
      const target = { retention: { path: '/r', freeBytes: 1, forecast }, machines: [] };
      const said = { version: '0.1.0', time: registry.clock.now(), addresses: [], disks: [], target };
      registry.presence.note('h1', said, '10.0.0.1');
      await watch.look();
    };
    await report(null, null);
    const at = new Date(1_000_000 + 60_000).toISOString();
    await report('history falls under 24 h at 03:20', at);
    await report('history falls under 24 h at 03:20', at);
    pass(120_000);
    await report('history is under 24 h', at);
    await report(null, null);
    const events = await registry.events.list({ after: null, limit: 10 });
    t.same(
      events.map(({ kind, severity, message }) => `${kind} ${severity}: ${message}`),
      [
        'history-falls warning: mt: history falls under 24 h at 03:20; web takes most',
        'history-short critical: mt: history is under 24 h; web takes most',
        'history-fits info: mt: 24 h of history fit again',
      ],
    );
  },
);

const blank: MachineStatus = {
  ...{ id: 'm1', name: 'web', disks: [], state: 'ok', detail: null, listen: null, rpoSeconds: 0 },
  ...{ headLsn: 1, durableLsn: 1, appliedLsn: 1, oldestLsn: 1, redoBytes: 1, undoBytes: 0 },
  backlog: { source: 0, processServer: 0, target: 0 },
};

t.test('a file that is no database of ours is refused as damaged', async (t) => {
  const file = path.join(temporaryDirectory(t), 'state.sqlite');
  fs.writeFileSync(
    file,
    'this is no database, but it is long enough to be taken for one by somebody'.repeat(20),
  );
  await t.rejects(openState(file), { code: 'damaged', message: /state\.sqlite/ });
});
