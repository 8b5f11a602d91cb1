// Checks reads that no write overlaps: again while there are writes, in the end the writes wait.
import t from 'tap';
import { delayStore } from '../../../../core/block/delay-store.ts';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { statsStore } from '../../../../core/block/stats-store.ts';
import { limits } from '../../../../core/limits.ts';
import { MiB } from '../../../../core/units.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { diskOf, openFront, replay, turns, write } from './front-fixture.ts';

const size = 8 * MiB;

t.test('a chunk that is written while it is read is read again, and then holds up the writes', async (t) => {
  const base = statsStore(memoryStore(size));
  const reading: (() => void)[] = [];
  const store = delayStore(base, (call) =>
    call.name === 'read' ? new Promise((go) => reading.push(go)) : Promise.resolve(),
  );
  const { front, recorder } = await openFront([store]);
  const seen: number[] = [];
  const stable = front.readStable(0, 4096, Buffer.alloc(4096), (data) => {
    seen.push(data[0] ?? -1, recorder.headLsn);
  });
  for (let tries = 1; tries <= limits.stableReadTries; tries += 1) {
    while (reading.length < tries) await turns(1);
    await write(diskOf(front), Buffer.alloc(1, tries), 4096);
    reading[tries - 1]?.();
  }
  while (reading.length <= limits.stableReadTries) await turns(1);
  let written = false;
  const late = write(diskOf(front), Buffer.alloc(1, 99), 4096).then(() => {
    written = true;
  });
  const beside = write(diskOf(front), Buffer.alloc(1, 98), 4095);
  await beside;
  t.equal(written, false, 'the last read has the extent for itself');
  reading[limits.stableReadTries]?.();
  await stable;
  await late;
  t.same(seen, [limits.stableReadTries, limits.stableReadTries + 1], 'used before the write was numbered');
  await front.close();
});

t.test('a write in flight when the read begins is waited for', async (t) => {
  const gate = Promise.withResolvers<void>();
  const store = delayStore(memoryStore(size), (call) =>
    call.name === 'write' ? gate.promise : Promise.resolve(),
  );
  const { front } = await openFront([store]);
  const writing = write(diskOf(front), Buffer.alloc(10, 7), 0);
  let used = -1;
  const stable = front.readStable(0, 0, Buffer.alloc(512), (data) => {
    used = data[9] ?? -1;
  });
  await turns(5);
  t.equal(used, -1);
  gate.resolve();
  await Promise.all([stable, writing]);
  t.equal(used, 7);
  await front.close();
});

t.test('an error of the disk or of the user goes out, and nothing stays locked', async (t) => {
  const { front } = await openFront([memoryStore(size)]);
  const refuse = (): void => {
    throw new Error('no');
  };
  await t.rejects(front.readStable(0, 0, Buffer.alloc(512), refuse), { message: 'no' });
  t.throws(() => front.readStable(1, 0, Buffer.alloc(512), refuse), { code: 'bug' });
  await write(diskOf(front), Buffer.alloc(512), 0);
  await front.close();
});

t.test('a hole is used only while it is one', async (t) => {
  const base = memoryStore(size);
  const { front } = await openFront([base]);
  let used = 0;
  const use = (): void => {
    used += 1;
  };
  t.equal(await front.zeroStable(0, 0, size, use), true);
  const looked = front.zeroStable(0, 0, size, use);
  const writing = write(diskOf(front), Buffer.alloc(10, 1), 0);
  t.equal(await looked, false, 'a write began');
  await writing;
  t.equal(await front.zeroStable(0, 0, size, use), false, 'there is data');
  t.equal(await front.zeroStable(0, 4 * MiB, MiB, use), true);
  t.equal(used, 2);
  await front.close();
});

t.test('copies by stable reads among random writes leave what the disk has', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const base = memoryStore(size);
  const store = delayStore(base, () => turns(random.below(3)));
  const { front, recorder } = await openFront([store]);
  const span = 64 * 1024;
  const writes: Promise<unknown>[] = [];
  const buffer = Buffer.alloc(16 * 1024);
  for (let offset = 0; offset < span; offset += buffer.length) {
    for (let at = 0; at < 20; at += 1) {
      writes.push(write(diskOf(front), random.bytes(1 + random.below(3000)), random.below(span - 3000)));
    }
    await front.readStable(0, offset, buffer, (data) => {
      recorder.record({ kind: 1, flags: 0, disk: 0, offset, length: data.length, payload: data });
    });
  }
  await Promise.all(writes);
  const content = Buffer.alloc(span);
  await base.read(content, 0);
  t.ok(replay(Buffer.alloc(span, 0xee), recorder.changes).equals(content));
  await front.close();
});
