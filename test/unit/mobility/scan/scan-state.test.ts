// What scans do to the state of a machine: they wait for others, and are not missed before they have sent.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { silentLog } from '../../../../core/log.ts';
import { ScanCommands } from '../../../../mobility/scan/scan-commands.ts';
import { ScanTimes } from '../../../../mobility/scan/scan-times.ts';
import {
  decide,
  initialProtection,
  sourceState,
  type ProtectionEvent,
  type ProtectionState,
} from '../../../../mobility/protection-state.ts';
import { syncNeeds } from '../../../../mobility/sync-needs.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

function after(...events: ProtectionEvent[]): { state: ProtectionState; did: string[] } {
  let state = initialProtection(true);
  const did: string[] = [];
  for (const event of [{ kind: 'assigned', need: null }, { kind: 'connected' }, ...events] as const) {
    const decision = decide(state, event);
    ({ state } = decision);
    did.push(...decision.actions.map((action) => action.do));
  }
  return { state, did: did.filter((what) => what !== 'allow-recording') };
}

const due = { kind: 'wanted', need: syncNeeds.scan() } as const;
const overflow = { kind: 'stopped', overflow: true, need: syncNeeds.overflow() } as const;
const asked = { kind: 'wanted', need: syncNeeds.asked('failed write', false) } as const;

t.test('a scan that fails before it sends is no gap, one that fails behind that is', async (t) => {
  const early = after(due, { kind: 'sync-failed' });
  t.same(early.did, ['sync']);
  t.match(early.state, { need: null, gap: false, resting: false });
  t.equal(sourceState(early.state), 'ok');
  const late = after(due, { kind: 'sync-begun' }, { kind: 'sync-failed' });
  t.same(late.did, ['sync', 'rest']);
  t.match(late.state, { need: { scan: true }, gap: true });
  t.equal(sourceState(late.state), 'waiting-for-sync');
  t.equal(sourceState(after(due).state), 'scan');
});

t.test('a scan waits for a sync, and a sync ends a scan', async (t) => {
  const waits = after(asked, due);
  t.same(waits.did, ['sync']);
  t.match(waits.state, { running: { reason: 'failed write' }, need: { scan: true } });
  const ends = after(due, overflow);
  t.same(ends.did, ['sync', 'abort-sync']);
  t.match(after(due, overflow, { kind: 'sync-failed' }).state.running, { reason: 'outbox overflow' });
});

t.test('points are as old as the beginning of their scan', async (t) => {
  const times = new ScanTimes([50, 40]);
  t.equal(times.asOf(7), 40, 'the oldest disk counts');
  times.ended(10, 90);
  t.same([times.asOf(9), times.asOf(10), times.last], [40, 90, 40]);
  times.durable();
  t.equal(times.last, 90);
  t.equal(new ScanTimes([50, null]).last, null);
});

t.test('the command behind a scan is run by the next one when the service was killed', async (t) => {
  const directory = temporaryDirectory(t);
  const after = `echo after >> ${directory}/said`;
  const options = { before: `echo before >> ${directory}/said`, after, directory, log: silentLog };
  await new ScanCommands(options).begin();
  const next = new ScanCommands(options);
  await next.begin();
  t.ok(await next.end());
  const said = fs.readFileSync(path.join(directory, 'said'), 'utf8');
  t.equal(said, 'before\nafter\nbefore\nafter\n');
  const slow = new ScanCommands({ ...options, before: 'sleep 60', limitMs: 50 });
  await t.rejects(slow.begin(), { code: 'script-failed', message: /did not end within/ });
  t.notOk(await new ScanCommands({ ...options, after: 'false' }).end());
});
