// Checks the sync: what it sends, that it yields, waits, fails when it must, and what is left for the next
// one.
import t from 'tap';
import type { BlockStore } from '../../../../core/block/block-store.ts';
import { delayStore } from '../../../../core/block/delay-store.ts';
import { faultStore } from '../../../../core/block/fault-store.ts';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { statsStore } from '../../../../core/block/stats-store.ts';
import type { StoreCall } from '../../../../core/block/wrap-store.ts';
import type { SyncProgress } from '../../../../core/chain/messages.ts';
import { HomewardError } from '../../../../core/errors.ts';
import { FaultPlan } from '../../../../core/fault-plan.ts';
import { limits } from '../../../../core/limits.ts';
import { createLog } from '../../../../core/log.ts';
import { RecordKind } from '../../../../core/record/record.ts';
import { GiB, KiB, MiB } from '../../../../core/units.ts';
import { regionBytes } from '../../../../mobility/capture/captured-disks.ts';
import type { Change } from '../../../../mobility/outbox/recorder.ts';
import type { AskHashes } from '../../../../mobility/sync/sync-compare.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { until } from '../../../support/homeward.ts';
import { contentOf, diskOf, openFront, replay, turns, write, type Front } from '../capture/front-fixture.ts';
import { acknowledgeAll, hashesOf, syncsOver } from './sync-fixture.ts';

const initial = { reason: 'initial sync', checksums: false };
const never = new AbortController().signal;

const extentsOf = (changes: Change[]) =>
  changes.map(({ kind, offset, length }) => [
    kind === RecordKind.zero ? 'zero' : 'write',
    offset / KiB,
    length / KiB,
  ]);

/** Filled with bytes that repeat nowhere near. */
async function filled(store: BlockStore, offset: number, length: number): Promise<void> {
  const random = seededRandom(offset + 1);
  const piece = random.bytes(64 * KiB);
  for (let at = 0; at < length; at += piece.length) {
    piece.writeUInt32LE(((offset + at) / 512) | 1);
    await store.write(piece.subarray(0, Math.min(piece.length, length - at)), offset + at);
  }
}

async function startFront(store: BlockStore): Promise<Front> {
  return await openFront([store], { dirty: true });
}

t.test('an initial sync sends data as data, and zeros and holes as few zeros', async (t) => {
  const size = 5 * GiB + 4096;
  const base = memoryStore(size);
  await filled(base, 0, 2 * MiB);
  await base.write(Buffer.alloc(128 * KiB), 512 * KiB);
  await filled(base, size - 4096, 4096);
  const parts = await startFront(base);
  acknowledgeAll(parts);
  const outcome = await syncsOver(parts).run(initial, never);
  const { recorder, front } = parts;
  t.same(extentsOf(recorder.changes), [
    ['write', 0, 512],
    ['zero', 512, 128],
    ['write', 640, 384],
    ['write', 1024, 1024],
    ['zero', 2048, 4 * MiB - 2048],
    ['zero', 4 * MiB, MiB],
    ['write', size / KiB - 4, 4],
  ]);
  t.match(recorder.records[0]?.note, {
    reason: 'initial sync',
    disks: [{ name: 'disk0', size }],
    checksums: undefined,
  });
  t.equal(recorder.records.at(-1)?.note, 'sync-end');
  t.match(outcome, { state: 'done', beginLsn: 101, endLsn: recorder.headLsn, zeroBytes: Number });
  t.notOk(front.needsSync);
  await front.close();
});

t.test('what the workload writes meanwhile is sent once more or not, never lost', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const size = 12 * MiB;
  const base = memoryStore(size);
  await filled(base, 0, 6 * MiB);
  const parts = await startFront(delayStore(base, () => turns(random.below(3))));
  acknowledgeAll(parts);
  const running = syncsOver(parts).run(initial, never);
  let ended = false;
  void running.finally(() => {
    ended = true;
  });
  const writes: Promise<unknown>[] = [];
  while (!ended) {
    writes.push(write(diskOf(parts.front), random.bytes(1 + random.below(9000)), random.below(size - 9000)));
    await turns(1 + random.below(3));
  }
  await Promise.all(writes);
  t.match(await running, { state: 'done' });
  const copy = replay(Buffer.alloc(size, 0xee), parts.recorder.changes);
  t.ok(copy.equals(await contentOf(base)));
  await parts.front.close();
});

t.test('only the regions of the map are sent, and leave it when they are at the target', async (t) => {
  const base = memoryStore(10 * regionBytes + 512);
  await filled(base, 0, base.size);
  const parts = await openFront([base]);
  const { front, recorder, clock } = parts;
  for (const region of [2, 3, 10]) await write(diskOf(front), Buffer.alloc(512, 1), region * regionBytes);
  recorder.overflow();
  await write(diskOf(front), Buffer.alloc(512, 2), 5 * regionBytes);
  acknowledgeAll(parts);
  t.match(await syncsOver(parts).run({ reason: 'overflow', checksums: false }, never), { state: 'done' });
  const places = recorder.changes.map(({ offset }) => Math.floor(offset / regionBytes));
  t.same(new Set(places), new Set([2, 3, 5, 10]));
  recorder.acknowledge();
  clock.ms += 1e6;
  t.equal(await front.sweep(), 4);
  await front.close();
});

t.test(
  'it waits while much of it is unsent or the outbox is crowded, less while the workload writes',
  async (t) => {
    const size = 64 * MiB;
    const base = memoryStore(size);
    await filled(base, 0, size);
    const parts = await startFront(base);
    const { front, recorder, clock } = parts;
    const sent = (): number => recorder.changes.reduce((sum, { length }) => sum + length, 0);
    const settledAt = async (bytes: number, what: string): Promise<void> => {
      await until(what, () => sent() >= bytes);
      await turns(50);
      t.equal(sent(), bytes, what);
    };
    const syncs = syncsOver(parts);
    const running = syncs.run(initial, never);
    await settledAt(12 * MiB, 'a window of it');
    recorder.crowded = true;
    recorder.acknowledge();
    await settledAt(12 * MiB, 'none while crowded');
    recorder.crowded = false;
    const writing = setInterval(() => void write(diskOf(front), Buffer.alloc(1), 0), 1);
    await until('the workload writes', () => front.changedBytes > 0);
    const written = (): number => recorder.changes.filter(({ length }) => length === 1).length;
    recorder.acknowledge();
    await until('it goes on', () => sent() - written() > 12 * MiB);
    await until('a smaller window', () => sent() - written() === 16 * MiB);
    clearInterval(writing);
    t.match(syncs.progress, { phase: 'copying', totalBytes: size });
    const done = syncs.progress?.doneBytes ?? 0;
    t.ok(done <= 12 * MiB && done > 11.9 * MiB, 'what is numbered and not sent is not done');
    clock.ms += 2000;
    t.match(syncs.progress, { secondsLeft: 9 });
    const isEnded = (): boolean => recorder.records.at(-1)?.note === 'sync-end';
    recorder.onRecord = () => setImmediate(() => isEnded() || recorder.acknowledge());
    recorder.acknowledge();
    t.match(await running, { state: 'done' });
    t.match(syncs.progress, { phase: 'ending', totalBytes: size }, 'its end is not sent yet');
    recorder.acknowledge();
    t.equal(syncs.progress, null);
    await front.close();
  },
);

t.test('it waits for its place, tells how many go before, and gives the place back', async (t) => {
  const parts = await startFront(memoryStore(MiB));
  const seen: (SyncProgress | null)[] = [];
  const gate = Promise.withResolvers<void>();
  let done = 0;
  const syncs = syncsOver(parts, {
    places: {
      request: async (onAhead) => {
        onAhead(2);
        seen.push(syncs.progress);
        await gate.promise;
      },
      done: () => {
        done += 1;
      },
    },
  });
  const running = syncs.run(initial, never);
  await turns(3);
  t.match(seen, [{ phase: 'waiting', ahead: 2, totalBytes: MiB }]);
  t.equal(parts.recorder.records.length, 0);
  acknowledgeAll(parts);
  gate.resolve();
  t.match(await running, { state: 'done' });
  await until('the place to be given back, when all is sent', () => done === 1);
  await parts.front.close();
});

t.test('an overflow ends it without a sync-end; what is left is for the next one', async (t) => {
  const size = 40 * MiB;
  const base = memoryStore(size);
  await filled(base, 0, size);
  const parts = await startFront(base);
  const { recorder, front } = parts;
  const syncs = syncsOver(parts);
  const running = syncs.run(initial, never);
  await until('it waits', () => recorder.changes.length >= 12);
  recorder.overflow();
  recorder.acknowledge();
  t.same(await running, { state: 'not-recorded' });
  t.notOk(recorder.records.some(({ note }) => note === 'sync-end'));
  t.ok(front.needsSync);
  recorder.allowed = false;
  t.same(await syncs.run(initial, never), { state: 'not-recorded' });
  recorder.allowed = true;
  acknowledgeAll(parts);
  t.match(await syncs.run({ reason: 'overflow', checksums: false }, never), { state: 'done' });
  t.notOk(front.needsSync);
  await front.close();
});

t.test('an overflow also ends one that waits for acknowledgements or hashes', async (t) => {
  const base = memoryStore(40 * MiB);
  await filled(base, 0, base.size);
  const parts = await startFront(base);
  const { recorder, front } = parts;
  const asked = Promise.withResolvers<void>();
  const hashes: AskHashes = (_sync, _disk, _start, _end, signal) => {
    asked.resolve();
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('given up')));
    });
  };
  const syncs = syncsOver(parts, { hashes });
  const copying = syncs.run(initial, never);
  await until('it waits', () => recorder.changes.length >= 12);
  recorder.overflow();
  t.same(await copying, { state: 'not-recorded' });
  const waiting = syncs.run({ reason: 'resync', checksums: true }, never);
  await turns(3);
  recorder.overflow();
  t.same(await waiting, { state: 'not-recorded' });
  acknowledgeAll(parts);
  const comparing = syncs.run({ reason: 'resync', checksums: true }, never);
  await asked.promise;
  recorder.overflow();
  t.same(await comparing, { state: 'not-recorded' });
  t.ok(front.needsSync);
  await front.close();
});

t.test('a write that fails meanwhile has its region copied before the end', async (t) => {
  const size = 24 * MiB;
  const base = memoryStore(size);
  await filled(base, 0, size);
  const faults = new FaultPlan<StoreCall['name']>();
  const parts = await startFront(faultStore(base, faults));
  const { recorder, front } = parts;
  const running = syncsOver(parts).run(initial, never);
  await until('it waits', () => recorder.changes.length >= 12);
  faults.failAt(1, 'EIO', ['write']);
  await write(diskOf(front), Buffer.alloc(512), 0);
  t.ok(front.needsSync);
  acknowledgeAll(parts);
  recorder.acknowledge();
  t.match(await running, { state: 'done' });
  t.equal(recorder.changes.filter(({ offset }) => offset === 0).length, 2);
  t.notOk(front.needsSync);
  await front.close();
});

t.test('a signal or a disk that cannot be read ends it, what it has copied stays copied', async (t) => {
  const size = 40 * MiB;
  const base = memoryStore(size);
  await filled(base, 0, size);
  const faults = new FaultPlan<StoreCall['name']>();
  const store = statsStore(faultStore(base, faults));
  const parts = await startFront(store);
  const { recorder, front } = parts;
  const stop = new AbortController();
  const stopped = syncsOver(parts).run(initial, stop.signal);
  await until('it waits', () => recorder.changes.length >= 12);
  stop.abort(new Error('stopping'));
  await t.rejects(stopped, { message: 'stopping' });
  recorder.acknowledge();
  await front.sweep();
  t.equal(front.dirtyBytes, size - 3 * regionBytes, 'resumes behind that');
  faults.failAt(1, 'EIO', ['read']);
  await t.rejects(syncsOver(parts).run(initial, never), { code: 'EIO' });
  t.ok(front.needsSync);
  await front.close();
});

t.test('with checksums only what differs is sent, counted before', async (t) => {
  const size = 40 * MiB + 1536;
  const base = memoryStore(size);
  await filled(base, 0, 8 * MiB);
  await filled(base, 20 * MiB, 4 * MiB);
  await filled(base, size - 512, 512);
  const target = await contentOf(base);
  target[MiB]! ^= 1;
  target[MiB + 64 * KiB]! ^= 1;
  target[30 * MiB] = 9;
  target.fill(0, size - 512);
  const parts = await startFront(base);
  acknowledgeAll(parts);
  const asked: number[] = [];
  const seen: (SyncProgress | null)[] = [];
  const hashes: AskHashes = async (sync, disk, start, end) => {
    asked.push(sync, disk);
    t.ok(end - start <= 64 * MiB);
    seen.push(syncs.progress);
    return hashesOf(target, start, end);
  };
  const syncs = syncsOver(parts, { hashes });
  t.match(await syncs.run({ reason: 'seed', checksums: true }, never), { state: 'done' });
  const { recorder, front } = parts;
  t.same(extentsOf(recorder.changes), [
    ['write', 1024, 128],
    ['zero', 30 * 1024, 64],
    ['write', 40 * 1024, 1.5],
  ]);
  t.match(recorder.records[0]?.note, { checksums: true });
  t.same(new Set(asked), new Set([101, 0]));
  t.match(seen.at(-1), { phase: 'comparing', totalBytes: size, differentBytes: 192 * KiB });
  t.ok(replay(target, recorder.changes).equals(await contentOf(base)));
  t.notOk(front.needsSync);
  await front.close();
});

t.test('hashes are asked for again after a break; without any, everything is sent', async (t) => {
  const size = 2 * MiB;
  const base = memoryStore(size);
  await filled(base, 0, size);
  const target = await contentOf(base);
  const answers: (() => Buffer)[] = [
    () => {
      throw new HomewardError('chain-broken', 'the connection is gone');
    },
    () => hashesOf(target, 0, size),
  ];
  const parts = await startFront(base);
  acknowledgeAll(parts);
  const hashes: AskHashes = async () => {
    const answer = answers.shift();
    if (answer === undefined) throw new HomewardError('damaged', 'the replica is damaged there');
    return answer();
  };
  let log = '';
  const said = createLog('warn', (line) => {
    log += line;
  });
  const syncs = syncsOver(parts, { hashes, log: said });
  t.match(await syncs.run({ reason: 'resync', checksums: true }, never), { state: 'done', dataBytes: 0 });
  await parts.front.fillDirty();
  t.match(await syncs.run({ reason: 'resync', checksums: true }, never), { state: 'done', dataBytes: size });
  t.match(log, /sync-hashes-failed/);
  answers.push(() => Buffer.alloc(16));
  await parts.front.fillDirty();
  t.match(await syncs.run({ reason: 'resync', checksums: true }, never), { state: 'done', dataBytes: size });
  await parts.front.close();
});

t.test('the limits of a sync fit together', async (t) => {
  t.ok(limits.syncPieceBytes < limits.syncUnsentBusyBytes);
  t.ok(limits.syncPieceBytes <= limits.recordDataBytes);
  t.equal(limits.syncCompareBytes % (64 * KiB), 0);
});
