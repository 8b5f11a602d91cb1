// What every block store must do, whatever it is made of; run against each of them and against stacks of
// them.
import type { Test } from 'tap';
import type { BlockStore } from '../../core/block/block-store.ts';
import { chooseSeed, seededRandom, type Random } from './random.ts';

export interface StoreUnderTest {
  store: BlockStore;
  /** Opens the same disk again after it was closed; left out for stores that forget. */
  reopen?: () => BlockStore;
}

export type OpenStore = (t: Test) => Promise<StoreUnderTest>;

/** Runs the whole suite; `open` makes a new store each time, of some 100 KiB or more, with any content. */
export async function blockStoreConformance(t: Test, open: OpenStore): Promise<void> {
  await t.test('random calls at any alignment agree with a plain buffer', async (t) => {
    const { store, reopen } = await open(t);
    const random = seededRandom(chooseSeed(t));
    const model = await readAll(store);
    for (let call = 0; call < 400; call += 1) await randomCall(t, { store, model, random });
    await agrees(t, store, model, 'at the end');
    await store.flush();
    await store.close();
    if (!reopen) return;
    const again = reopen();
    await agrees(t, again, model, 'opened again');
    await again.close();
  });
  await t.test('calls outside the disk are refused and change nothing', async (t) => {
    const { store } = await open(t);
    await refusesOutside(t, store);
    await store.close();
  });
  await t.test('the last byte can be written, and calls of no length do nothing', async (t) => {
    const { store } = await open(t);
    const model = await readAll(store);
    model[store.size - 1] = 77;
    await store.write(Buffer.from([77]), store.size - 1);
    await store.write(Buffer.alloc(0), store.size);
    await store.zero(store.size, 0, { punch: true });
    await store.read(Buffer.alloc(0), store.size);
    t.same(await store.extents(store.size, 0), []);
    await agrees(t, store, model, 'afterwards');
    await store.close();
  });
  await t.test('writes in flight at once into one block all arrive', async (t) => {
    const { store } = await open(t);
    const model = await readAll(store);
    const pieces = Array.from({ length: 64 }, (_, index) => ({
      at: index * 100 + 30,
      bytes: Buffer.alloc(70, index + 1),
    }));
    await Promise.all(pieces.map(({ at, bytes }) => store.write(bytes, at)));
    for (const { at, bytes } of pieces) model.set(bytes, at);
    await agrees(t, store, model, 'afterwards');
    await store.close();
  });
  await t.test('the whole disk can be zeroed, with and without holes', async (t) => {
    const { store } = await open(t);
    for (const punch of [false, true]) {
      await store.write(Buffer.alloc(5000, 5), 1234);
      await store.zero(0, store.size, { punch });
      await agrees(t, store, Buffer.alloc(store.size), punch ? 'punched' : 'zeroed');
    }
    await store.close();
  });
}

interface Trial {
  store: BlockStore;
  model: Buffer;
  random: Random;
}

async function randomCall(t: Test, trial: Trial): Promise<void> {
  const { store, model, random } = trial;
  const { offset, length } = randomRange(random, store.size);
  const kind = random.pick(['read', 'write', 'write', 'write', 'zero', 'punch', 'extents', 'flush'] as const);
  if (kind === 'write') {
    const bytes = random.bytes(length);
    await store.write(bytes, offset);
    model.set(bytes, offset);
  } else if (kind === 'zero' || kind === 'punch') {
    await store.zero(offset, length, kind === 'punch' ? { punch: true } : undefined);
    model.fill(0, offset, offset + length);
  } else if (kind === 'read') {
    const target = Buffer.alloc(length, 0xee);
    await store.read(target, offset);
    const same = target.equals(model.subarray(offset, offset + length));
    if (!same) t.fail(`read of ${length} at ${offset} differs`);
  } else if (kind === 'extents') {
    await extentsAreTrue(t, trial, offset, length);
  } else {
    await store.flush();
  }
}

/** Sometimes aligned, sometimes tiny, sometimes up to the end. */
function randomRange(random: Random, size: number): { offset: number; length: number } {
  const unit = random.pick([1, 1, 512, 4096]);
  const offset = Math.floor(random.below(size) / unit) * unit;
  const longest = Math.min(size - offset, random.pick([16, 5000, 70_000]));
  if (random.chance(0.05)) return { offset: size - longest, length: longest };
  return { offset, length: Math.floor(random.below(longest + 1) / unit) * unit };
}

async function extentsAreTrue(t: Test, trial: Trial, offset: number, length: number): Promise<void> {
  const { store, model } = trial;
  let at = offset;
  for (const extent of await store.extents(offset, length)) {
    if (extent.length <= 0) t.fail('an extent has no length');
    if (extent.hole && !extent.zero) t.fail('a hole does not read as zeros');
    if (extent.zero && model.subarray(at, at + extent.length).some((byte) => byte !== 0)) {
      t.fail(`${extent.length} at ${at} are said to be zeros and are not`);
    }
    at += extent.length;
  }
  if (at !== offset + length) t.fail(`extents of ${length} at ${offset} end at ${at}`);
}

async function refusesOutside(t: Test, store: BlockStore): Promise<void> {
  const model = await readAll(store);
  const { size } = store;
  const outside = [
    [-1, 1],
    [size, 1],
    [size - 1, 2],
    [0, size + 1],
    [0.5, 1],
    [NaN, 1],
    [2 ** 60, 1],
  ];
  for (const [offset = 0, length = 0] of outside) {
    const what = `${length} at ${offset}`;
    await t.rejects(store.read(Buffer.alloc(length), offset), { name: 'RangeError' }, `read ${what}`);
    await t.rejects(store.write(Buffer.alloc(length, 9), offset), { name: 'RangeError' }, `write ${what}`);
    await t.rejects(store.zero(offset, length), { name: 'RangeError' }, `zero ${what}`);
    await t.rejects(store.extents(offset, length), { name: 'RangeError' }, `extents ${what}`);
  }
  await t.rejects(store.zero(0, -1), { name: 'RangeError' }, 'a negative length');
  await agrees(t, store, model, 'afterwards');
}

async function readAll(store: BlockStore): Promise<Buffer> {
  const bytes = Buffer.alloc(store.size);
  await store.read(bytes, 0);
  return bytes;
}

async function agrees(t: Test, store: BlockStore, model: Buffer, when: string): Promise<void> {
  const bytes = await readAll(store);
  const same = bytes.equals(model);
  const first = same ? -1 : bytes.findIndex((byte, at) => byte !== model[at]);
  t.ok(same, same ? `the same ${when}` : `${when}: byte ${first} differs`);
}
