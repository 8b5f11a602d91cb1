// Checks what only an overlay does: its base stays, its space is bounded, and a failure loses nothing.
import t from 'tap';
import { faultStore } from '../../../../core/block/fault-store.ts';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { overlayStore } from '../../../../core/block/overlay-store.ts';
import { statsStore } from '../../../../core/block/stats-store.ts';
import { FaultPlan } from '../../../../core/fault-plan.ts';
import type { StoreCall } from '../../../../core/block/wrap-store.ts';

const size = 64 * 1024;

t.test('the base is never changed, and only blocks written in part are copied from it', async (t) => {
  const base = statsStore(memoryStore(size));
  await base.write(Buffer.alloc(size, 1), 0);
  const overlay = overlayStore({ base, changes: memoryStore(size) });
  await overlay.write(Buffer.alloc(8192, 2), 4096);
  t.equal(base.stats.read.calls, 0, 'whole blocks are not copied up');
  await overlay.write(Buffer.alloc(10, 3), 20_000);
  await overlay.zero(30_000, 20_000, { punch: true });
  t.match(base.stats.read, { calls: 3, bytes: 3 * 4096 });
  t.equal(base.stats.write.calls, 1);
  t.equal(base.stats.zero.calls, 0);
});

t.test('a write beyond the bound is ENOSPC and changes nothing; punching makes room', async (t) => {
  const overlay = overlayStore({ base: memoryStore(size), changes: memoryStore(size), maxBytes: 3 * 4096 });
  await overlay.write(Buffer.alloc(4096, 1), 0);
  await t.rejects(overlay.write(Buffer.alloc(8193, 2), 4096), { code: 'ENOSPC' });
  const target = Buffer.alloc(1);
  await overlay.read(target, 4096);
  t.equal(target[0], 0);
  await overlay.write(Buffer.alloc(8192, 2), 4096);
  await overlay.write(Buffer.alloc(8192, 3), 2048);
  await t.rejects(overlay.write(Buffer.from('x'), 20_000), { code: 'ENOSPC' });
  await overlay.zero(4096, size - 4096, { punch: true });
  await overlay.write(Buffer.alloc(8192, 4), 28_672);
  await t.rejects(overlay.zero(50_000, 1), { code: 'ENOSPC' }, 'a zero in part of a block takes space too');
});

t.test('after a failed write the next ones go on, and the old content is still there', async (t) => {
  const faults = new FaultPlan<StoreCall['name']>();
  const base = memoryStore(size);
  await base.write(Buffer.alloc(size, 1), 0);
  const overlay = overlayStore({ base, changes: faultStore(memoryStore(size), faults) });
  faults.failAt(2, 'EIO', ['write']);
  const [failed, next] = await Promise.allSettled([
    overlay.write(Buffer.alloc(100, 2), 50),
    overlay.write(Buffer.alloc(100, 3), 150),
  ]);
  t.match(failed, { status: 'rejected', reason: { code: 'EIO' } });
  t.equal(next.status, 'fulfilled');
  const target = Buffer.alloc(300);
  await overlay.read(target, 0);
  t.same(target, Buffer.concat([Buffer.alloc(150, 1), Buffer.alloc(100, 3), Buffer.alloc(50, 1)]));
});

t.test('a store for changes that is too small is refused', (t) => {
  t.throws(() => overlayStore({ base: memoryStore(size), changes: memoryStore(size - 1) }), RangeError);
  t.end();
});
