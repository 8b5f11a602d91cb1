// Checks what the thin wrappers add: faults, delays and counts.
import t from 'tap';
import { delayStore } from '../../../../core/block/delay-store.ts';
import { faultStore } from '../../../../core/block/fault-store.ts';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { statsStore } from '../../../../core/block/stats-store.ts';
import type { StoreCall } from '../../../../core/block/wrap-store.ts';
import { FaultPlan } from '../../../../core/fault-plan.ts';

t.test('chosen calls fail, once or from there on, and do not reach the disk', async (t) => {
  const faults = new FaultPlan<StoreCall['name']>();
  const disk = statsStore(memoryStore(8192));
  const store = statsStore(faultStore(disk, faults));
  faults.failAt(2, 'ENOSPC', ['write']);
  await store.write(Buffer.alloc(10), 0);
  await store.read(Buffer.alloc(10), 0);
  await t.rejects(store.write(Buffer.alloc(20), 0), { code: 'ENOSPC', errno: -28, syscall: 'write' });
  await store.write(Buffer.alloc(30), 0);
  faults.failFrom(1, 'EIO');
  await t.rejects(store.flush(), { code: 'EIO' });
  await t.rejects(store.zero(0, 5), { code: 'EIO' });
  await t.rejects(store.extents(0, 8), { code: 'EIO' });
  t.equal(faults.injected, 4);
  faults.clear();
  await store.flush();
  t.same(store.stats.write, { calls: 3, bytes: 60, failures: 1 });
  t.same(disk.stats.write, { calls: 2, bytes: 40, failures: 0 });
  t.same(store.stats.flush, { calls: 2, bytes: 0, failures: 1 });
});

t.test('a delayed call does not reach the disk before its time', async (t) => {
  const gate = Promise.withResolvers<void>();
  const disk = statsStore(memoryStore(8192));
  const store = delayStore(disk, (call) => (call.name === 'write' ? gate.promise : Promise.resolve()));
  const writing = store.write(Buffer.alloc(10, 1), 0);
  await store.read(Buffer.alloc(10), 0);
  t.equal(disk.stats.write.calls, 0);
  gate.resolve();
  await writing;
  t.equal(disk.stats.write.calls, 1);
});
