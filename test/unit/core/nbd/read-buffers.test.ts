// Buffers of large replies: used again, bounded, and none for what is small.
import t from 'tap';
import { ReadBuffers } from '../../../../core/nbd/read-buffers.ts';
import { KiB, MiB } from '../../../../core/units.ts';

t.test('a buffer given back is the next one of about its size', async (t) => {
  const buffers = new ReadBuffers();
  const first = buffers.take(MiB + 28);
  t.equal(first?.length, MiB + 64 * KiB);
  if (first) buffers.give(first);
  t.not(buffers.take(64 * KiB), first);
  t.not(buffers.take(2 * MiB), first);
  t.equal(buffers.take(MiB - 64 * KiB), first);
  t.equal(buffers.keptBytes, 0);
});

t.test('small ones and the largest are not worth keeping, and no more than 16 MiB is kept', async (t) => {
  const buffers = new ReadBuffers();
  t.equal(buffers.take(4 * KiB), null);
  t.equal(buffers.take(32 * MiB), null);
  const many = Array.from({ length: 20 }, () => buffers.take(MiB));
  for (const buffer of many) if (buffer) buffers.give(buffer);
  t.equal(buffers.keptBytes, 16 * MiB);
});
