// What a sync says of itself: whether it makes up for everything, for what is dirty, or for nothing.
import t from 'tap';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { MiB } from '../../../../core/units.ts';
import { Syncs, type SyncPart } from '../../../../mobility/sync/sync.ts';
import { createLog } from '../../../../core/log.ts';
import { openFront, type Front } from '../capture/front-fixture.ts';

const never = new AbortController().signal;

/** Other disks, of which nothing is sent. */
const part = (isFull: boolean): SyncPart => ({
  isFull,
  wantsHashes: false,
  prepare: () => Promise.resolve(),
  copy: () => Promise.resolve(),
  ended: () => Promise.resolve(),
  release: () => Promise.resolve(),
});

const syncsOf = ({ front, recorder, clock }: Front, other: SyncPart | null): Syncs =>
  new Syncs({
    captured: front,
    recorder,
    places: { request: () => Promise.resolve(), done: () => undefined },
    hashes: () => Promise.reject(new Error('nobody is asked')),
    clock,
    log: createLog('error', () => undefined),
    part: other,
  });

t.test('one that has every region, and all of the other disks, is full', async (t) => {
  for (const [isFull, expected] of [
    [null, { full: true }],
    [true, { full: true }],
    [false, { full: undefined }],
  ] as const) {
    const parts = await openFront([memoryStore(9 * MiB)], { dirty: true });
    await syncsOf(parts, isFull === null ? null : part(isFull)).run(
      { reason: 'test', checksums: false },
      never,
    );
    t.match(parts.recorder.records[0]?.note, { reason: 'test', ...expected, part: undefined });
    await parts.front.close();
  }
});

t.test(
  'one of the other disks alone makes up for nothing that is dirty, and records nothing anew',
  async (t) => {
    const parts = await openFront([memoryStore(9 * MiB)], { dirty: true });
    const order = { reason: 'scan', checksums: false, partOnly: true };
    parts.recorder.recording = true;
    await syncsOf(parts, part(true)).run(order, never);
    t.match(parts.recorder.records[0]?.note, { part: true, full: undefined });
    parts.recorder.recording = false;
    t.match(await syncsOf(parts, part(true)).run(order, never), { state: 'not-recorded' });
    t.notOk(parts.recorder.recording, 'regions whose records are gone would leave the map');
    await parts.front.close();
  },
);
