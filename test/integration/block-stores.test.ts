// Runs the conformance suite against every block store and against stacks of them, on real files and a real
// device.
import fs from 'node:fs';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { BlockStore } from '../../core/block/block-store.ts';
import { delayStore } from '../../core/block/delay-store.ts';
import { faultStore } from '../../core/block/fault-store.ts';
import { lentFileStore, openFileStore } from '../../core/block/file-store.ts';
import { memoryStore } from '../../core/block/memory-store.ts';
import { overlayStore } from '../../core/block/overlay-store.ts';
import { statsStore } from '../../core/block/stats-store.ts';
import { FaultPlan } from '../../core/fault-plan.ts';
import { blockStoreConformance, type StoreUnderTest } from '../support/block-store-conformance.ts';
import { loopDevice, loopDeviceMissing } from '../support/loop-device.ts';
import { seededRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const size = 300_000;

async function filled(store: BlockStore): Promise<BlockStore> {
  await store.write(seededRandom(3).bytes(store.size), 0);
  await store.zero(100_000, 70_000, { punch: true });
  return store;
}

function newFile(t: Test): BlockStore & { path: string } {
  const file = path.join(temporaryDirectory(t), 'disk');
  return Object.assign(openFileStore(file, { create: size }), { path: file });
}

/** Lets a few other calls go first. */
const slow = (store: BlockStore): BlockStore =>
  delayStore(store, async ({ offset }) => {
    for (let turn = 0; turn < offset % 3; turn += 1) await setImmediate();
  });

const stores: Record<string, (t: Test) => Promise<StoreUnderTest>> = {
  memory: async () => ({ store: memoryStore(size) }),
  'a new file': async (t) => {
    const store = newFile(t);
    return { store, reopen: () => openFileStore(store.path, { readOnly: true }) };
  },
  'a full file': async (t) => ({ store: await filled(newFile(t)) }),
  // tmpfs has no ZERO_RANGE: the way of last resort is to write.
  'a file on tmpfs': async () => {
    const directory = fs.mkdtempSync('/dev/shm/homeward-test-');
    const store = openFileStore(path.join(directory, 'disk'), { create: size });
    fs.rmSync(directory, { recursive: true });
    return { store };
  },
  'fault without faults': async () => ({ store: faultStore(memoryStore(size), new FaultPlan()) }),
  delay: async () => ({ store: slow(memoryStore(size)) }),
  stats: async () => ({ store: statsStore(memoryStore(size)) }),
  overlay: async () => ({
    store: overlayStore({ base: await filled(memoryStore(size)), changes: memoryStore(size) }),
  }),
  'overlay over a file, changes in a larger file with old content': async (t) => {
    const base = await filled(newFile(t));
    const file = path.join(temporaryDirectory(t), 'changes');
    fs.writeFileSync(file, Buffer.alloc(size + 9000, 0xaa));
    return { store: overlayStore({ base, changes: openFileStore(file) }) };
  },
  'stats over slow overlay over overlay over slow file': async (t) => {
    const lower = overlayStore({ base: slow(await filled(newFile(t))), changes: slow(memoryStore(size)) });
    return { store: statsStore(slow(overlayStore({ base: lower, changes: slow(memoryStore(size)) }))) };
  },
};

for (const [name, open] of Object.entries(stores)) {
  t.test(`a store made of ${name} conforms`, (t) => blockStoreConformance(t, open));
}

t.test('a store on a block device conforms', { skip: loopDeviceMissing() ?? false }, (t) =>
  blockStoreConformance(t, async (t) => {
    const device = loopDevice(t, 512 * 1024 + 512);
    return { store: openFileStore(device), reopen: () => openFileStore(device) };
  }),
);

t.test('a block device is claimed by who writes to it', { skip: loopDeviceMissing() ?? false }, async (t) => {
  const device = loopDevice(t, 1024 * 1024);
  const store = openFileStore(device);
  t.equal(store.kind, 'device');
  t.equal(store.size, 1024 * 1024);
  t.throws(() => openFileStore(device), { code: 'EBUSY' });
  const reader = openFileStore(device, { readOnly: true });
  t.same(await reader.extents(0, 4096), [{ length: 4096, hole: false, zero: false }]);
  await reader.close();
  await store.close();
});

t.test('a punched extent of a file is a hole, a zeroed one keeps its space', async (t) => {
  const MiB = 1024 * 1024;
  const file = path.join(temporaryDirectory(t), 'disk');
  const store = openFileStore(file, { create: 4 * MiB });
  await store.write(Buffer.alloc(4 * MiB, 1), 0);
  await store.flush();
  const full = fs.statSync(file).blocks;
  await store.zero(MiB, MiB);
  t.ok(fs.statSync(file).blocks >= full, 'zeroed');
  await store.zero(2 * MiB, MiB, { punch: true });
  t.ok(fs.statSync(file).blocks <= full - 2048 + 16, 'punched');
  t.match(await store.extents(2 * MiB, 2 * MiB), [
    { length: MiB, hole: true, zero: true },
    { length: MiB, hole: false },
  ]);
  await store.close();
});

t.test('what exists is not created again, and what is missing is not made', (t) => {
  const file = path.join(temporaryDirectory(t), 'disk');
  t.throws(() => openFileStore(file), { code: 'ENOENT' });
  fs.writeFileSync(file, 'precious');
  t.throws(() => openFileStore(file, { create: size }), { code: 'EEXIST' });
  t.throws(() => openFileStore(path.dirname(file), { readOnly: true }), { code: 'EINVAL' });
  t.equal(fs.readFileSync(file, 'utf8'), 'precious');
  t.end();
});

t.test('a read-only store refuses changes, and a lent one leaves its file open', async (t) => {
  const file = newFile(t);
  const fd = fs.openSync(file.path, 'r');
  const store = lentFileStore(fd, { readOnly: true });
  await t.rejects(store.write(Buffer.from('x'), 0), { code: 'EPERM' });
  await t.rejects(store.zero(0, 1), { code: 'EPERM' });
  await store.close();
  t.equal(fs.fstatSync(fd).size, size);
  fs.closeSync(fd);
  await file.close();
});

t.test('a file that became shorter is an I/O error, not zeros', async (t) => {
  const file = newFile(t);
  fs.truncateSync(file.path, 1000);
  await t.rejects(file.read(Buffer.alloc(10), 995), { code: 'EIO' });
  await file.close();
});
