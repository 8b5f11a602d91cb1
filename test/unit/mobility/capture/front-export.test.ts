// Checks the way of a change through the front: one after the other where they overlap, numbered as the disk
// has it.
import t from 'tap';
import { delayStore } from '../../../../core/block/delay-store.ts';
import { faultStore } from '../../../../core/block/fault-store.ts';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import type { BlockStore } from '../../../../core/block/block-store.ts';
import type { StoreCall } from '../../../../core/block/wrap-store.ts';
import { FaultPlan } from '../../../../core/fault-plan.ts';
import { limits } from '../../../../core/limits.ts';
import { NbdErrno } from '../../../../core/nbd/export.ts';
import { RecordFlags, RecordKind } from '../../../../core/record/record.ts';
import { GiB, MiB } from '../../../../core/units.ts';
import { regionBytes } from '../../../../mobility/capture/captured-disks.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { contentOf, diskOf, flush, openFront, replay, turns, write, zero } from './front-fixture.ts';

const size = 8 * MiB;

/** A store whose calls of one kind wait until they are let go, in any order. */
function gated(base: BlockStore, name: StoreCall['name']) {
  const waiting: { call: StoreCall; go: () => void }[] = [];
  const store = delayStore(base, (call) =>
    call.name === name ? new Promise((go) => waiting.push({ call, go })) : Promise.resolve(),
  );
  return { store, waiting };
}

t.test('numbers of overlapping writes follow the order in which the disk got them', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const base = memoryStore(size);
  const store = delayStore(base, () => turns(random.below(4)));
  const { front, recorder } = await openFront([store]);
  const answers: Promise<NbdErrno>[] = [];
  for (let at = 0; at < 500; at += 1) {
    const offset = regionBytes - 4000 + random.below(8000);
    const length = 1 + random.below(2000);
    if (random.chance(0.2)) answers.push(zero(diskOf(front), offset, length, random.chance(0.5)));
    else answers.push(write(diskOf(front), random.bytes(length), offset));
    if (random.chance(0.3)) await turns(1);
  }
  t.ok((await Promise.all(answers)).every((errno) => errno === NbdErrno.ok));
  t.equal(recorder.records.length, 500);
  t.ok(replay(Buffer.alloc(size), recorder.changes).equals(await contentOf(base)));
  await front.close();
});

t.test('a write waits for one that it overlaps, others overtake', async (t) => {
  const { store, waiting } = gated(memoryStore(size), 'write');
  const { front, recorder } = await openFront([store]);
  const first = write(diskOf(front), Buffer.alloc(100, 1), 0);
  const second = write(diskOf(front), Buffer.alloc(100, 2), 50);
  const other = write(diskOf(front), Buffer.alloc(100, 3), 150);
  await turns(5);
  t.same(
    waiting.map(({ call }) => call.offset),
    [0, 150],
  );
  waiting[1]?.go();
  t.equal(await other, NbdErrno.ok);
  waiting[0]?.go();
  t.equal(await first, NbdErrno.ok);
  await turns(2);
  waiting[2]?.go();
  t.equal(await second, NbdErrno.ok);
  t.same(
    recorder.changes.map(({ offset }) => offset),
    [150, 0, 50],
  );
  await front.close();
});

t.test('the disk is not touched before the map is durable, nor if it cannot be', async (t) => {
  const base = memoryStore(size);
  const order: string[] = [];
  const store = delayStore(base, async (call) => void order.push(call.name));
  const { front, files, recorder } = await openFront([store]);
  order.length = 0;
  files.onCall = (name) => void order.push(`map ${name}`);
  await write(diskOf(front), Buffer.alloc(10, 1), 0);
  t.same(order, ['map write', 'map sync', 'write']);
  await write(diskOf(front), Buffer.alloc(10, 2), 100);
  t.same(order, ['map write', 'map sync', 'write', 'write'], 'a hot region pays nothing');
  files.faults.failFrom(1, 'ENOSPC');
  t.equal(await write(diskOf(front), Buffer.alloc(10, 3), regionBytes), NbdErrno.ENOSPC);
  t.equal(order.filter((name) => name === 'write').length, 2);
  t.equal(recorder.records.length, 2);
  files.faults.clear();
  t.equal(
    await write(diskOf(front), Buffer.alloc(10, 3), regionBytes),
    NbdErrno.ok,
    'the lock is free again',
  );
  await front.close();
});

t.test('a large zero becomes as many records as it takes, a discard says so', async (t) => {
  const { front, recorder } = await openFront([memoryStore(9 * GiB)]);
  const length = 2 * limits.recordZeroBytes + 512;
  t.equal(await zero(diskOf(front), 512, length, true), NbdErrno.ok);
  const { discard } = RecordFlags;
  const at = (offset: number, bytes: number) => ({ offset, length: bytes, flags: discard, payload: null });
  t.match(recorder.changes, [
    at(512, limits.recordZeroBytes),
    at(512 + limits.recordZeroBytes, limits.recordZeroBytes),
    at(512 + 2 * limits.recordZeroBytes, 512),
  ]);
  t.ok(recorder.changes.every(({ kind }) => kind === RecordKind.zero));
  await front.close();
});

t.test('a write above the limit of a record is split', async (t) => {
  const { front, recorder } = await openFront([memoryStore(40 * MiB)]);
  const payload = Buffer.alloc(limits.recordDataBytes + 1000, 7);
  t.equal(await write(diskOf(front), payload, 100), NbdErrno.ok);
  t.same(
    recorder.changes.map(({ offset, length, payload: data }) => [offset, length, data?.length]),
    [
      [100, limits.recordDataBytes, limits.recordDataBytes],
      [100 + limits.recordDataBytes, 1000, 1000],
    ],
  );
  await front.close();
});

t.test('a write that the disk refuses is not numbered, and its region needs a sync', async (t) => {
  const faults = new FaultPlan<StoreCall['name']>();
  const { front, recorder, syncsNeeded } = await openFront([faultStore(memoryStore(size), faults)]);
  faults.failAt(1, 'EIO', ['write', 'zero']);
  t.equal(await write(diskOf(front), Buffer.alloc(10), regionBytes), NbdErrno.EIO);
  t.equal(recorder.records.length, 0);
  t.same(syncsNeeded, ['failed write']);
  t.ok(front.needsSync);
  t.same(front.dirtyRegions(), [{ disk: 0, index: 1 }]);
  t.equal(await write(diskOf(front), Buffer.alloc(10), regionBytes), NbdErrno.ok, 'the lock is free again');
  t.ok(front.needsSync, 'another write there does not make it known');
  t.equal(await front.close(), false, 'such a stop is not clean');
});

t.test('what is not recorded is written all the same, and waits for a sync', async (t) => {
  const base = memoryStore(size);
  const { front, recorder, clock } = await openFront([base]);
  recorder.overflow();
  t.equal(await write(diskOf(front), Buffer.alloc(10, 5), 0), NbdErrno.ok);
  t.equal((await contentOf(base))[9], 5);
  t.ok(front.needsSync);
  recorder.targetLsn = 1000;
  clock.ms += 1e6;
  t.equal(await front.sweep(), 0);
  await front.close();
});

t.test('FUA and FLUSH flush the disk; one that fails keeps every region in the map', async (t) => {
  const faults = new FaultPlan<StoreCall['name']>();
  const calls: string[] = [];
  const store = delayStore(faultStore(memoryStore(size), faults), async (call) => void calls.push(call.name));
  const { front, recorder, clock } = await openFront([store]);
  calls.length = 0;
  t.equal(await write(diskOf(front), Buffer.alloc(10), 0, true), NbdErrno.ok);
  t.equal(await flush(diskOf(front)), NbdErrno.ok);
  t.same(calls, ['write', 'flush', 'flush']);
  faults.failAt(1, 'EIO', ['flush']);
  t.equal(await write(diskOf(front), Buffer.alloc(10), 0, true), NbdErrno.EIO);
  recorder.acknowledge();
  clock.ms += 1e6;
  t.equal(await front.sweep(), 0);
  t.ok(front.needsSync);
  t.equal(await front.close(), false);
});

t.test(
  'a region leaves the map behind a flush, not when that fails, not when written meanwhile',
  async (t) => {
    const { store, waiting } = gated(memoryStore(size), 'flush');
    const { front, recorder, clock } = await openFront([store], { dirty: true });
    for (const region of front.beginSync()) front.copied(region, 0);
    const swept = front.sweep();
    await turns(1);
    t.equal(front.dirtyBytes, size);
    await write(diskOf(front), Buffer.alloc(10), 0);
    waiting[0]?.go();
    t.equal(await swept, 1);
    t.same(front.dirtyRegions(), [{ disk: 0, index: 0 }]);
    recorder.acknowledge(1, 0);
    clock.ms += 1e6;
    t.equal(await front.sweep(), 0, 'the master target does not have it');
    recorder.acknowledge(1, 1);
    recorder.keeps = false;
    const unkept = front.sweep();
    await turns(1);
    waiting[1]?.go();
    t.equal(await unkept, 0, 'how far that is has to be on disk first');
    recorder.keeps = true;
    const again = front.sweep();
    await turns(1);
    waiting[2]?.go();
    t.equal(await again, 1);
    const closed = front.close();
    await turns(1);
    waiting[3]?.go();
    t.equal(await closed, true);
  },
);

t.test('replies of writes can be held back for a moment', async (t) => {
  const { front, recorder } = await openFront([memoryStore(size), memoryStore(size)]);
  const answered: string[] = [];
  const release = front.holdReplies(1000);
  const other = front.holdReplies(1000);
  const writes = [0, 1].map((disk) =>
    write(diskOf(front, disk), Buffer.alloc(10), 0).then(() => answered.push(`disk ${disk}`)),
  );
  await turns(5);
  t.equal(recorder.records.length, 2, 'they are numbered all the same');
  await flush(diskOf(front));
  release();
  release();
  await turns(2);
  t.same(answered, []);
  other();
  await Promise.all(writes);
  t.same(answered.toSorted(), ['disk 0', 'disk 1']);
  front.holdReplies(1);
  t.equal(await write(diskOf(front), Buffer.alloc(10), 0), NbdErrno.ok, 'it ends by itself');
  await front.close();
});

t.test('a disk is not closed under a write', async (t) => {
  const { store, waiting } = gated(memoryStore(size), 'write');
  const { front, recorder } = await openFront([store]);
  const writing = write(diskOf(front), Buffer.alloc(10), 0);
  await turns(5);
  const closing = front.close();
  await turns(5);
  waiting[0]?.go();
  await writing;
  t.equal(recorder.records.length, 1);
  t.equal(await closing, true);
});

t.test('a write that does not end keeps the disk open, and the stop from being clean', async (t) => {
  const { store, waiting } = gated(memoryStore(size), 'write');
  const { front } = await openFront([store]);
  const writing = write(diskOf(front), Buffer.alloc(10), 0);
  await turns(5);
  t.equal(await front.close(1), false);
  t.ok(front.needsSync);
  waiting[0]?.go();
  t.equal(await writing, NbdErrno.ok);
  t.ok(front.needsSync);
});
