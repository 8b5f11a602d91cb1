// When a machine records and when it syncs, event by event.
import t from 'tap';
import {
  decide,
  initialProtection,
  sourceState,
  type ProtectionEvent,
  type ProtectionState,
  type SyncNeed,
} from '../../../../mobility/protection-state.ts';
import { syncNeedFor, syncNeeds } from '../../../../mobility/sync-needs.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

const first: SyncNeed = { reason: 'initial sync', full: true, checksums: false };

/** What is done for each event, and the state behind all of them. */
function run(events: ProtectionEvent[], from = initialProtection(false)) {
  let state: ProtectionState = from;
  const done = events.map((event) => {
    const decision = decide(state, event);
    state = decision.state;
    return decision.actions.map((action) => action.do);
  });
  return { state, done };
}

const running = (): ProtectionState =>
  run([{ kind: 'assigned', need: first }, { kind: 'connected' }, { kind: 'filled' }, { kind: 'sync-begun' }])
    .state;
const settled = (): ProtectionState => run([{ kind: 'sync-done' }], running()).state;

t.test('the first protection: recording is allowed, and the sync begins with the stream', async (t) => {
  const { done, state } = run([{ kind: 'assigned', need: first }, { kind: 'connected' }]);
  t.same(done, [['allow-recording'], ['sync']]);
  t.equal(sourceState(state), 'waiting-for-sync');
  t.equal(sourceState(running()), 'initial-sync');
  t.equal(sourceState(settled()), 'ok');
});

t.test('without a stream, or without room, no sync begins', async (t) => {
  const waiting = run([{ kind: 'assigned', need: first }]);
  t.same(waiting.done, [['allow-recording']]);
  const full = run([{ kind: 'connected' }, { kind: 'room', state: 'full' }], settled());
  const stopped = { kind: 'stopped', overflow: true, need: syncNeeds.overflow() } as const;
  const next = run([stopped, { kind: 'room', state: 'ok' }], full.state);
  t.same(next.done, [[], ['sync']]);
  t.equal(sourceState(run([stopped], full.state).state), 'overflow');
});

t.test('a break does not end a sync; a stop of the recording does, and another follows', async (t) => {
  t.same(run([{ kind: 'disconnected' }, { kind: 'connected' }], running()).done, [[], []]);
  const { done, state } = run(
    [{ kind: 'stopped', overflow: true, need: syncNeeds.overflow() }, { kind: 'sync-failed' }],
    running(),
  );
  t.same(done, [['abort-sync'], ['sync']]);
  t.match(state.running, { reason: 'initial sync', full: false }, 'it is still the first copy');
});

t.test('a sync that failed is begun again after a rest', async (t) => {
  const { done } = run([{ kind: 'sync-failed' }, { kind: 'rested' }], running());
  t.same(done, [['rest'], ['sync']]);
});

t.test('a wish that the waiting sync will fulfil does not end it', async (t) => {
  const waiting = run([{ kind: 'assigned', need: first }, { kind: 'connected' }]).state;
  const wanted = { kind: 'wanted', need: syncNeeds.asked('lost its volume', true) } as const;
  t.same(run([wanted], waiting).done, [[]]);
  t.same(run([wanted], running()).done, [['abort-sync']], 'one that has begun does not');
});

t.test('unprotected: nothing is recorded, and a sync ends', async (t) => {
  const { done, state } = run([{ kind: 'ended' }, { kind: 'sync-failed' }], running());
  t.same(done, [['stop-recording', 'abort-sync'], []]);
  t.equal(sourceState(state), 'unprotected');
});

t.test('whatever happens: one sync at a time, none unasked, none while unprotected', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const need = (): SyncNeed => syncNeeds.asked('a reason', random.chance(0.3));
  const events: (() => ProtectionEvent)[] = [
    () => ({ kind: 'assigned', need: random.chance(0.5) ? need() : null }),
    () => ({ kind: 'ended' }),
    () => ({ kind: 'connected' }),
    () => ({ kind: 'disconnected' }),
    () => ({ kind: 'room', state: random.pick(['ok', 'slow', 'full'] as const) }),
    () => ({ kind: 'stopped', overflow: random.chance(0.5), need: need() }),
    () => ({ kind: 'wanted', need: need() }),
    () => ({ kind: 'rested' }),
  ];
  let state = initialProtection(false);
  for (let n = 0; n < 5000; n++) {
    const ends: ProtectionEvent[] = [{ kind: 'sync-begun' }, { kind: 'sync-done' }, { kind: 'sync-failed' }];
    const event = state.running !== null && random.chance(0.4) ? random.pick(ends) : random.pick(events)();
    const decision = decide(state, event);
    const began = decision.actions.some((action) => action.do === 'sync');
    const ended = event.kind === 'sync-done' || event.kind === 'sync-failed';
    if (began) {
      t.ok(state.running === null || ended, 'one at a time');
      t.ok(decision.state.active && decision.state.connected);
    }
    ({ state } = decision);
    if (state.running !== null && !state.active) t.ok(state.aborting);
    const canBegin = state.active && state.connected && state.room !== 'full' && !state.resting;
    if (canBegin && state.running === null) t.equal(state.need, null, 'what can begin has begun');
  }
});

t.test('which sync an assignment needs', async (t) => {
  const source = { target: 'mt', synced: true };
  const assignment = { masterTarget: 'mt', seeds: [] };
  const situation = { recording: true, needsSync: false, grown: [], atStart: true };
  const reason = (change: object, of: object = source, to: object = assignment): unknown =>
    syncNeedFor({ ...assignment, ...to }, { ...source, ...of }, { ...situation, ...change });
  t.equal(reason({}), null);
  t.match(reason({ recording: false }), { reason: 'unclean stop', full: false, checksums: true });
  t.match(reason({ recording: false, atStart: false }), { reason: 'protected again' });
  t.match(reason({ recording: false, grown: ['root'] }), { reason: 'disk resized' });
  t.match(reason({ needsSync: true }), { reason: 'dirty map lost' });
  const never = { target: null, synced: false };
  t.same(reason({ recording: false }, never), { reason: 'initial sync', full: true, checksums: false });
  const seeds = [{ disk: 'root', path: '/old.img', format: 'raw' }];
  t.same(reason({ recording: false }, never, { seeds }), { reason: 'seed', full: true, checksums: true });
  t.match(reason({ recording: false }, { synced: false }), { reason: 'initial sync', full: false });
  t.match(reason({}, {}, { masterTarget: 'new' }), { reason: 'another master target', full: true });
});
