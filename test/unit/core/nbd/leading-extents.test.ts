// What block status says of disks whose data begins and ends anywhere.
import assert from 'node:assert/strict';
import t from 'tap';
import fc from 'fast-check';
import { appendExtent } from '../../../../core/block/append-extent.ts';
import type { BlockExtent } from '../../../../core/block/block-store.ts';
import { leadingExtents, type ExtentSource } from '../../../../core/nbd/leading-extents.ts';
import { blockSizes } from '../../../../core/nbd/option-replies.ts';
import { GiB, KiB, MiB, TiB } from '../../../../core/units.ts';
import { holds } from '../../../support/extent-model.ts';

const block = blockSizes.preferred;

/** What a byte is: nothing written, data, zeros that take space. */
const Kind = { hole: 0, data: 1, zero: 2 } as const;

/** A disk that knows each byte; it says exactly what it knows, as views of the journal do. */
class ByteModel implements ExtentSource {
  readonly size: number;
  readonly kinds: Uint8Array;

  constructor(size: number) {
    this.size = size;
    this.kinds = new Uint8Array(size);
  }

  async extents(offset: number, length: number): Promise<BlockExtent[]> {
    assert(offset >= 0 && length > 0 && offset + length <= this.size, 'asked within the disk');
    const extents: BlockExtent[] = [];
    for (let at = offset, end = at; at < offset + length; at = end) {
      const kind = this.kinds[at];
      while (end < offset + length && this.kinds[end] === kind) end += 1;
      appendExtent(extents, { length: end - at, hole: kind === Kind.hole, zero: kind !== Kind.data });
    }
    return extents;
  }
}

/** Throws where an answer could mislead a client. */
function check(model: ByteModel, offset: number, length: number, found: readonly BlockExtent[]): void {
  assert(found.length > 0, 'there is an answer');
  let at = offset;
  for (const extent of found) {
    assert(extent.length > 0, 'each extent covers something');
    if (at !== offset) assert.equal(at % block, 0, `${at} is the beginning of a block`);
    const kinds = model.kinds.subarray(at, at + extent.length);
    if (extent.zero) assert(!kinds.includes(Kind.data), `no data in [${at}, +${extent.length})`);
    if (extent.hole)
      assert(
        kinds.every((kind) => kind === Kind.hole),
        'a hole is one',
      );
    at += extent.length;
  }
  const end = offset + length;
  assert(at <= end, 'no more than was asked for');
  assert(at === end || at % block === 0, 'it ends where a block ends');
}

const sizeMost = 1 * MiB + 3 * block;
const anyWrite = fc.record({
  at: fc.nat(sizeMost),
  // Around the end of the first window more often than chance has it.
  near: fc.option(fc.integer({ min: -6000, max: 6000 })),
  length: fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 3 * block })),
  kind: fc.constantFrom(...Object.values(Kind)),
});

t.test('what is told to be zero is zero, in whole blocks and without gaps', async (t) => {
  const anyDisk = fc.record({
    size: fc.oneof(fc.integer({ min: 1, max: 3 * block }), fc.integer({ min: MiB - block, max: sizeMost })),
    writes: fc.array(anyWrite, { maxLength: 6 }),
    offset: fc.nat(sizeMost),
    length: fc.oneof(fc.integer({ min: 1, max: 2 * block }), fc.integer({ min: 1, max: sizeMost })),
  });
  await holds(
    t,
    fc.asyncProperty(anyDisk, async ({ size, writes, offset, length }) => {
      const model = new ByteModel(size);
      for (const write of writes) {
        const at = write.near === null ? write.at % size : Math.max(0, MiB + write.near);
        model.kinds.fill(write.kind, at, at + write.length);
      }
      const from = offset % size;
      const asked = Math.min(length, size - from);
      check(model, from, asked, await leadingExtents(model, from, asked));
    }),
    150,
  );
});

t.test('a few bytes of data make their block data, and the rest stays a hole', async (t) => {
  const model = new ByteModel(8 * block);
  model.kinds.fill(Kind.data, block + 300, block + 400);
  const hole = { hole: true, zero: true };
  const data = { hole: false, zero: false };
  t.strictSame(await leadingExtents(model, 0, model.size), [
    { length: block, ...hole },
    { length: block, ...data },
    { length: 6 * block, ...hole },
  ]);
  t.strictSame(await leadingExtents(model, block + 1000, 512), [{ length: 512, ...data }]);
  t.strictSame(await leadingExtents(model, block - 10, 20), [
    { length: 10, ...hole },
    { length: 10, ...data },
  ]);
  model.kinds.fill(Kind.zero, 0, 100);
  t.strictSame(await leadingExtents(model, 0, block), [{ length: block, hole: false, zero: true }]);
});

t.test('the last block of a disk may be short', async (t) => {
  const model = new ByteModel(2 * block + 700);
  model.kinds.fill(Kind.data, 2 * block + 699);
  t.strictSame(await leadingExtents(model, 100, model.size - 100), [
    { length: 2 * block - 100, hole: true, zero: true },
    { length: 700, hole: false, zero: false },
  ]);
});

t.test('a sparse disk of 64 TiB takes few looks for each 4 GiB', async (t) => {
  const size = 64 * TiB;
  let looks = 0;
  const source: ExtentSource = {
    size,
    extents: async (offset, length) => {
      looks += 1;
      const holeBytes = Math.min(length, size - 1 - offset);
      const extents: BlockExtent[] = [];
      appendExtent(extents, { length: holeBytes, hole: true, zero: true });
      appendExtent(extents, { length: length - holeBytes, hole: false, zero: false });
      return extents;
    },
  };
  const most = 4 * GiB - 1;
  let answers = 0;
  let zeroBytes = 0;
  for (let at = 0; at < size; answers++) {
    for (const { length, zero } of await leadingExtents(source, at, Math.min(most, size - at))) {
      at += length;
      if (zero) zeroBytes += length;
    }
  }
  t.ok(looks <= 8 * answers && answers < 17_000, `${looks} looks for ${answers} answers`);
  t.equal(zeroBytes, size - block);
});

t.test('a disk in crumbs that are all data to us is answered in parts', async (t) => {
  const crumbs = (length: number): BlockExtent[] =>
    Array.from({ length: length / KiB }, (_, i) => ({ length: KiB, hole: i % 2 === 0, zero: i % 2 === 0 }));
  let looked = 0;
  const source: ExtentSource = {
    size: TiB,
    extents: async (_offset, length) => {
      looked += length;
      return crumbs(length);
    },
  };
  const found = await leadingExtents(source, 0, 4 * GiB - 1);
  t.strictSame(found, [{ length: looked, hole: false, zero: false }]);
  t.ok(looked <= 16 * MiB, `looked at ${looked} bytes`);
});
