// Checks that short transfers are carried on and that more buffers than one call takes all arrive.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { readFully, readFullySync, writeAllSync, writeFully, writeFullySync } from '../../../core/full-io.ts';
import { seededRandom } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('a write that gets only a few bytes at a time arrives whole', (t) => {
  const random = seededRandom(1);
  const buffers = [random.bytes(10), Buffer.alloc(0), random.bytes(1), random.bytes(300), Buffer.alloc(0)];
  const disk = Buffer.alloc(400);
  writeAllSync(
    (some, at) => {
      const bytes = Buffer.concat(some);
      const written = Math.min(bytes.length, 1 + random.below(12));
      disk.set(bytes.subarray(0, written), at);
      return written;
    },
    buffers,
    20,
  );
  t.same(disk.subarray(20, 331), Buffer.concat(buffers));
  t.end();
});

t.test('a write that does not get on is an error, not an endless loop', (t) => {
  t.throws(() => writeAllSync(() => 0, [Buffer.alloc(1)], 0), { code: 'EIO' });
  t.end();
});

t.test('five thousand buffers are written and read back', async (t) => {
  const fd = fs.openSync(path.join(temporaryDirectory(t), 'file'), 'w+');
  const random = seededRandom(2);
  const buffers = Array.from({ length: 5000 }, () => random.bytes(random.below(9)));
  const whole = Buffer.concat(buffers);
  writeFullySync(fd, buffers, 3);
  const target = Buffer.alloc(whole.length + 10);
  t.equal(readFullySync(fd, target, 3), whole.length, 'short at the end of the file');
  t.ok(target.subarray(0, whole.length).equals(whole));
  await writeFully(fd, Buffer.from('tail'), 3 + whole.length);
  const tail = Buffer.alloc(8);
  t.equal(await readFully(fd, tail, 3 + whole.length), 4);
  t.equal(tail.toString('latin1', 0, 4), 'tail');
  fs.closeSync(fd);
});
