// Payload checks: what fits, and that any flipped bit of data or table does not.
import t from 'tap';
import { limits } from '../../../../core/limits.ts';
import { blocksFit, checkPayload, checkTableBytes, payloadFits } from '../../../../core/record/payload.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

const block = limits.checkBlockBytes;

const payloadOf = (data: Buffer): { payload: Buffer; crc: number } => {
  const { table, crc } = checkPayload(data);
  return { payload: table === null ? data : Buffer.concat([table, data]), crc };
};

t.test('up to 64 KiB stands alone, more is preceded by a table of one CRC per 64 KiB', async (t) => {
  t.equal(checkTableBytes(0), 0);
  t.equal(checkTableBytes(block), 0);
  t.equal(checkTableBytes(block + 1), 8);
  t.equal(checkTableBytes(2 * block), 8);
  t.equal(checkTableBytes(2 * block + 1), 12);
  t.equal(checkTableBytes(limits.recordDataBytes), 2048);
  t.same(checkPayload(Buffer.alloc(0)), { table: null, crc: 0 });
});

t.test(
  'a payload fits its CRC at any length, and with any byte changed or missing it does not',
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    for (const length of [1, 511, 512, block - 1, block, block + 1, 2 * block, 3 * block + 7]) {
      const { payload, crc } = payloadOf(random.bytes(length));
      t.equal(payload.length, length + checkTableBytes(length));
      t.ok(payloadFits(payload, crc, length), `${length} bytes`);
      t.notOk(payloadFits(payload.subarray(1), crc, length), 'one byte short');
      t.notOk(payloadFits(Buffer.concat([payload, Buffer.alloc(1)]), crc, length), 'one byte more');
      for (const at of [0, 3, 4, 7, 11, length >> 1, payload.length - 1, random.below(payload.length)]) {
        if (at >= payload.length) continue;
        const flipped = Buffer.from(payload);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
        t.notOk(payloadFits(flipped, crc, length), `byte ${at} of ${payload.length}`);
      }
    }
  },
);

t.test('one block is checked by the table alone', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const data = random.bytes(3 * block + 100);
  const { table } = checkPayload(data);
  if (table === null) return void t.fail('there is a table');
  t.ok(blocksFit(data.subarray(block, 2 * block), table, 1));
  t.ok(blocksFit(data.subarray(2 * block), table, 2), 'the last block is shorter');
  t.notOk(blocksFit(data.subarray(block, 2 * block), table, 0), 'of another place');
  const flipped = Buffer.from(data.subarray(block, 2 * block));
  flipped[5] = (flipped[5] ?? 0) ^ 1;
  t.notOk(blocksFit(flipped, table, 1));
});
