// Checks the pure parts of a sync: stretches of regions, holes worth skipping, hashes, and the rate.
import t from 'tap';
import { createHash } from 'node:crypto';
import { dataExtent, holeExtent } from '../../../../core/block/append-extent.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { regionBytes } from '../../../../mobility/capture/captured-disks.ts';
import { hashChunks, isZero, zeroHashes } from '../../../../mobility/sync/chunk-hashes.ts';
import { holePieces } from '../../../../mobility/sync/hole-pieces.ts';
import { regionsEnding, stretchBytes, stretchesOf } from '../../../../mobility/sync/stretches.ts';
import { SyncRate } from '../../../../mobility/sync/sync-rate.ts';
import { seededRandom } from '../../../support/random.ts';
import { hashesOf } from './sync-fixture.ts';

t.test('neighbouring regions of a disk are one stretch that ends with the disk', async (t) => {
  const regions = [0, 1, 3].map((index) => ({ disk: 0, index })).concat([{ disk: 1, index: 4 }]);
  const disks = [{ size: 3 * regionBytes + 512 }, { size: 9 * regionBytes }];
  const stretches = stretchesOf(regions, disks);
  t.same(stretches, [
    { disk: 0, start: 0, end: 2 * regionBytes },
    { disk: 0, start: 3 * regionBytes, end: 3 * regionBytes + 512 },
    { disk: 1, start: 4 * regionBytes, end: 5 * regionBytes },
  ]);
  t.equal(stretchBytes(stretches), 3 * regionBytes + 512);
});

t.test('a region is done when its end is reached, once', async (t) => {
  const stretch = { disk: 2, start: regionBytes, end: 3 * regionBytes + 512 };
  const steps = [regionBytes, 2 * regionBytes - 1, 2 * regionBytes, 3 * regionBytes, stretch.end];
  let from = stretch.start;
  const done = steps.map((to) => {
    const indexes = [...regionsEnding(stretch, from, to)].map(({ index }) => index);
    from = to;
    return indexes;
  });
  t.same(done, [[], [], [1], [2], [3]]);
});

t.test('only holes of some size, from chunk to chunk, are not read', async (t) => {
  const stored = { length: MiB, hole: false, zero: true };
  const extents = [dataExtent(4 * KiB), holeExtent(2 * MiB), stored, dataExtent(MiB), holeExtent(MiB)];
  t.same(holePieces(64 * KiB, extents), [
    { start: 64 * KiB, end: 128 * KiB, zero: false },
    { start: 128 * KiB, end: 3 * MiB + 64 * KiB, zero: true },
    { start: 3 * MiB + 64 * KiB, end: 5 * MiB + 68 * KiB, zero: false },
  ]);
  t.same(holePieces(0, [holeExtent(MiB)]), [{ start: 0, end: MiB, zero: true }]);
});

t.test('hashes are those of the chain: SHA-256, 16 bytes, each 64 KiB and what is left', async (t) => {
  const data = seededRandom(1).bytes(200 * KiB + 512);
  data.fill(0, 64 * KiB, 128 * KiB);
  t.same(await hashChunks(data), hashesOf(data, 0, data.length));
  const zeros = Buffer.alloc(128 * KiB + 512);
  t.same(await zeroHashes(zeros.length), hashesOf(zeros, 0, zeros.length));
  t.same(
    await zeroHashes(64 * KiB),
    createHash('sha256')
      .update(Buffer.alloc(64 * KiB))
      .digest()
      .subarray(0, 16),
  );
  t.ok(isZero(zeros.subarray(0, 512)));
  t.notOk(isZero(data.subarray(0, 512)));
});

t.test('the rest is reckoned by the last ten seconds', async (t) => {
  const rate = new SyncRate();
  rate.note(0, 0);
  t.equal(rate.secondsLeft(100, 10, 1000), null);
  for (let second = 1; second <= 20; second += 1) rate.note(second * 1000, second * 100);
  t.equal(rate.secondsLeft(20_000, 2000, 3000), 10);
  for (let second = 21; second <= 40; second += 1) rate.note(second * 1000, 2000 + (second - 20) * 50);
  t.equal(rate.secondsLeft(40_000, 3000, 3500), 10);
});
