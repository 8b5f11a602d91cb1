// Checksums of blocks that come out of a larger check: they are what the bytes say, or not known.
import { crc32 } from 'node:zlib';
import t from 'tap';
import { KnownSums } from '../../../../agent/replica/known-sums.ts';
import { checkPayload } from '../../../../core/record/payload.ts';
import { limits } from '../../../../core/limits.ts';
import { KiB } from '../../../../core/units.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { fastBytes } from './step-rig.ts';

const block = 4 * KiB;

t.test('a check of any length at any place is that of its bytes, and its blocks are known', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const content = fastBytes(random, 1024 * KiB);
  const known = new KnownSums();
  for (let turn = 0; turn < 500; turn++) {
    const unit = random.pick([1, 512, block]);
    const start = random.below(content.length / unit) * unit;
    const most = Math.min(content.length - start, random.pick([64, 200]) * KiB);
    const data = content.subarray(start, start + 1 + random.below(most));
    const base = random.below(3) * limits.diskBytes;
    t.ok(known.fits(data, base + start, crc32(data)), `${data.length} bytes at ${start}`);
    for (let at = start; start % block === 0 && at + block <= start + data.length; at += block)
      if (known.at(base + at) !== crc32(content.subarray(at, at + block))) t.fail(`the block at ${at}`);
    t.equal(known.at(base + start + Math.ceil(data.length / block) * block), -1, 'nothing behind it');
    t.equal(known.at(base + start + 1), -1, 'nothing inside a block');
    if (!random.chance(0.2)) continue;
    t.notOk(known.fits(data, base + start, crc32(data) ^ 1), 'another sum does not fit');
    t.equal(known.at(base + start), -1, 'and then nothing is known');
  }
});

t.test('check blocks behind each other are one run, as far as they fit', async (t) => {
  const content = fastBytes(seededRandom(chooseSeed(t)), 300 * KiB + 512);
  const { table } = checkPayload(content);
  if (table === null) throw new Error('so much has a table');
  const known = new KnownSums();
  t.ok(known.blocksFit(content.subarray(0, 128 * KiB), 0, table, 0));
  t.ok(known.blocksFit(content.subarray(128 * KiB), 128 * KiB, table, 2));
  for (let at = 0; at + block <= content.length; at += block)
    t.equal(known.at(at), crc32(content.subarray(at, at + block)));
  t.equal(known.at(300 * KiB), -1, 'what ends within a block is not one');
  t.notOk(known.blocksFit(content.subarray(0, 128 * KiB), 0, table, 1));
  t.equal(known.at(0), -1);
});

t.test('more than the largest record begins anew', async (t) => {
  const known = new KnownSums();
  const piece = fastBytes(seededRandom(chooseSeed(t)), 64 * KiB);
  const most = limits.recordDataBytes;
  for (let at = 0; at <= most; at += piece.length)
    if (!known.fits(piece, at, crc32(piece))) t.fail(`the piece at ${at}`);
  t.equal(known.at(0), -1);
  t.equal(known.at(most), crc32(piece.subarray(0, block)));
});
