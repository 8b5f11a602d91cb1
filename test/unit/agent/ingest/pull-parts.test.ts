// The pure parts of a pull: up to when everything is here, how much memory is taken, how a machine is doing.
import t from 'tap';
import { chainRpoSeconds, chainState, type ChainFacts } from '../../../../agent/chain-status.ts';
import { adoptedDisks } from '../../../../agent/chain-machine.ts';
import type { PullReport } from '../../../../agent/ingest/pull/pulled-machine.ts';
import { ReachedTime } from '../../../../agent/ingest/pull/reached.ts';
import { ReceiveBudget } from '../../../../agent/ingest/pull/receive-budget.ts';
import type { Head } from '../../../../core/chain/messages.ts';
import { HomewardError } from '../../../../core/errors.ts';
import { GiB } from '../../../../core/units.ts';

t.test('the time that is reached is that of the newest head whose records are durable', async (t) => {
  const reached = new ReachedTime();
  t.equal(reached.time, null);
  reached.head({ lsn: 10, time: 100 }, 5, null);
  reached.head({ lsn: 12, time: 200 }, 5, null);
  t.equal(reached.time, null);
  reached.advance(11, null);
  t.equal(reached.time, 100);
  reached.head({ lsn: 12, time: 300 }, 12, null);
  t.equal(reached.time, 300, 'nothing was written, and it is up to date');
  reached.head({ lsn: 20, time: 400 }, 20, 13);
  t.equal(reached.time, 300, 'it stands still in a gap');
  reached.advance(20, null);
  t.equal(reached.time, 400);
  for (let lsn = 21; lsn < 1000; lsn++) reached.head({ lsn, time: lsn * 10 }, 20, null);
  reached.advance(999, null);
  t.equal(reached.time, 9990, 'the newest is kept however many wait');
});

t.test('a stream is full when its share or the whole is taken, and hears when there is room', async (t) => {
  const budget = new ReceiveBudget(100, 60);
  let changes = 0;
  const one = budget.share(() => (changes += 1));
  const other = budget.share(() => undefined);
  one.take(500);
  t.ok(one.full);
  t.notOk(other.full, 'one that has nothing may always take one');
  other.take(1);
  t.ok(other.full);
  one.give(500);
  t.notOk(other.full);
  other.end();
  t.equal(changes, 2);
  one.take(60);
  t.ok(one.full);
});

const head: Head = { lsn: 1, time: 1, state: 'ok', backlogBytes: 0, dirtyBytes: 0, sync: null };
const pull: PullReport = {
  ...{ connected: true, head, headAgeMs: 500, ageMs: 60_000, reachedTime: 1 },
  ...{ problem: null, preparing: null, damagedRecords: 0 },
};
const state = (change: Partial<ChainFacts>): { state: string; detail: string | null } =>
  chainState({ pull, assignment: null, hasPoints: true, openGap: null, ...change });
const sync = {
  ...({ reason: 'initial sync', phase: 'copying', doneBytes: 37 * GiB, totalBytes: 100 * GiB } as const),
  ...{ differentBytes: null, secondsLeft: 90, ahead: null },
};

t.test('the state of a machine says what its users have to know', async (t) => {
  t.same(state({}), { state: 'ok', detail: null });
  t.match(state({ pull: null }), { state: 'idle' });
  t.match(state({ pull: null, assignment: { ended: true } }), { state: 'idle', detail: /has ended/ });
  t.match(state({ hasPoints: false, pull: { ...pull, head: { ...head, sync } } }), {
    state: 'initial-sync',
    detail: 'initial sync: 37 % (37 GiB of 100 GiB), copying, about 90 s left',
  });
  t.match(state({ pull: { ...pull, head: { ...head, sync } } }), { state: 'resync', detail: /37 %/ });
  const waiting = { ...sync, phase: 'waiting', ahead: 2 } as const;
  t.match(state({ pull: { ...pull, head: { ...head, sync: waiting } } }), { detail: /waiting, 2 before it/ });
  t.match(state({ openGap: { reason: 'overflow' } }), { state: 'gap', detail: /overflow/ });
  t.match(state({ pull: { ...pull, head: { ...head, state: 'paused' } } }), { state: 'paused' });
  t.match(state({ pull: { ...pull, head: { ...head, state: 'overflow' } } }), { state: 'gap' });
  t.match(state({ pull: { ...pull, head: { ...head, state: 'scan' } } }), { state: 'ok', detail: null });
  t.match(state({ pull: { ...pull, head: null, headAgeMs: null, ageMs: 100 } }), { state: 'waiting' });
  const problem = new HomewardError('connection-refused', 'nobody listens');
  t.match(state({ pull: { ...pull, connected: false, headAgeMs: 20_000, problem } }), {
    state: 'disconnected',
    detail: 'no word of the process server for 20 s: nobody listens (connection-refused)',
  });
  t.match(state({ pull: { ...pull, headAgeMs: 20_000 } }), {
    state: 'disconnected',
    detail: 'the process server has not heard the source for 20 s',
  });
  t.match(state({ pull: { ...pull, preparing: 'the seed is being copied' } }), { state: 'waiting' });
});

t.test('RPO is the age of the newest point', async (t) => {
  t.equal(chainRpoSeconds({ now: 10e6, reachedTime: 7e6, newestPointTime: 1 }), 3);
  t.equal(chainRpoSeconds({ now: 10e6, reachedTime: null, newestPointTime: 4e6 }), 6);
  t.equal(chainRpoSeconds({ now: 10e6, reachedTime: 11e6, newestPointTime: 0 }), 0, 'clocks may be apart');
});

t.test('a source may add disks and change their sizes, nothing else', async (t) => {
  const root = { name: 'root', size: 512, replica: { kind: 'file' } } as const;
  t.equal(adoptedDisks('web', [root], [{ name: 'root', size: 512 }]), null);
  t.equal(adoptedDisks('web', [root], []), null, 'a list that cannot be read changes nothing');
  const twice = ['root', 'data', 'data'].map((name) => ({ name, size: 512 }));
  t.throws(() => adoptedDisks('web', [root], twice), { code: 'machine-differs', message: /twice/ });
  const many = Array.from({ length: 129 }, (_each, at) => ({
    name: at === 0 ? 'root' : `d${at}`,
    size: 512,
  }));
  t.throws(() => adoptedDisks('web', [root], many), { code: 'machine-differs', message: /129 disks/ });
  t.same(
    adoptedDisks(
      'web',
      [root],
      [
        { name: 'root', size: 1024 },
        { name: 'data', size: 512 },
      ],
    ),
    [
      { ...root, size: 1024 },
      { name: 'data', size: 512, replica: { kind: 'file' } },
    ],
  );
  t.throws(() => adoptedDisks('web', [root], [{ name: 'data', size: 512 }]), { code: 'machine-differs' });
});
