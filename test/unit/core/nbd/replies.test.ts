// NBD replies, byte for byte.
import t from 'tap';
import { NbdErrno } from '../../../../core/nbd/export.ts';
import {
  beginDataReply,
  blockStatusReply,
  dataStart,
  errorChunk,
  ReplyBatch,
} from '../../../../core/nbd/replies.ts';

const cookie = [0x01020304, 0xf5f6f7f8] as const;
const cookieHex = '01020304f5f6f7f8';

t.test('simple replies of one turn are one buffer, in order', async (t) => {
  const batch = new ReplyBatch();
  t.ok(batch.empty);
  batch.simple(...cookie, NbdErrno.ok);
  batch.simple(...cookie, NbdErrno.ENOSPC);
  t.equal(batch.bytes, 32);
  const { buffers } = batch.take();
  t.equal(buffers.length, 1);
  t.equal(buffers[0]?.toString('hex'), `6744669800000000${cookieHex}674466980000001c${cookieHex}`);
  t.ok(batch.empty);
  t.same(batch.take(), { buffers: [], borrowed: [] });
});

t.test('any number of simple replies fits, and those sent are not overwritten by later ones', async (t) => {
  const batch = new ReplyBatch();
  for (let i = 0; i < 1000; i++) batch.simple(0, i, NbdErrno.ok);
  batch.add(errorChunk(...cookie, NbdErrno.EIO));
  batch.simple(0, 1000, NbdErrno.ok);
  const all = Buffer.concat(batch.take().buffers);
  batch.simple(0, 7, NbdErrno.EIO);
  t.equal(all.length, 1001 * 16 + 26);
  for (let i = 0; i < 1000; i++) {
    if (all.readUInt32BE(16 * i + 12) !== i) t.fail(`reply ${i} is another's`);
  }
  t.equal(all.readUInt32BE(16_000), 0x668e33ef, 'the order is kept across kinds');
});

t.test('a READ is answered in one piece, simple or structured', async (t) => {
  const simple = Buffer.alloc(dataStart(false) + 4);
  beginDataReply(simple, false, ...cookie, 512);
  simple.write('data', dataStart(false));
  t.equal(simple.toString('hex'), `6744669800000000${cookieHex}64617461`);
  const chunk = Buffer.alloc(dataStart(true) + 4);
  beginDataReply(chunk, true, ...cookie, 2 ** 45);
  chunk.write('data', dataStart(true));
  t.equal(chunk.toString('hex'), `668e33ef00010001${cookieHex}0000000c000020000000000064617461`);
});

t.test('an error chunk ends its reply', async (t) => {
  t.equal(
    errorChunk(...cookie, NbdErrno.EINVAL).toString('hex'),
    `668e33ef00018001${cookieHex}00000006000000160000`,
  );
});

t.test(
  'block status merges neighbours that are alike, and says one piece when one is asked for',
  async (t) => {
    const data = { length: 10, hole: false, zero: false };
    const hole = { length: 20, hole: true, zero: true };
    const zero = { length: 30, hole: false, zero: true };
    const extents = [data, data, hole, zero, zero];
    t.equal(
      blockStatusReply(...cookie, extents, false).toString('hex', 8),
      `${cookieHex}0000001c00000001` + '0000001400000000' + '0000001400000003' + '0000003c00000002',
    );
    t.equal(
      blockStatusReply(...cookie, extents, true).toString('hex', 8),
      `${cookieHex}0000000c00000001` + '0000001400000000',
    );
  },
);
