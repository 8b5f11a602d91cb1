// Classes of blocks, and what is counted of a step.
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { BlockClass, classOf } from '../../../../agent/replica/signal/block-class.ts';
import { addCounts, noCounts, OldBlocks, StepCounter } from '../../../../agent/replica/signal/step-counts.ts';
import { limits } from '../../../../core/limits.ts';
import { MiB } from '../../../../core/units.ts';

const block = 4096;
/** Words without much sense; every line is another. */
const text = (bytes: number): Buffer => {
  const lines = Array.from(
    { length: Math.ceil(bytes / 20) },
    (_, n) => `line ${n} of ${(n * 7919) % 10007}\n`,
  );
  return Buffer.from(lines.join('').padEnd(bytes, '.').slice(0, bytes));
};

/** How the blocks of `content` are classed. */
function shares(content: Buffer): Record<string, number> {
  const counts: Record<string, number> = { zero: 0, structured: 0, packed: 0, random: 0, small: 0 };
  const names = Object.keys(BlockClass);
  for (let at = 0; at + block <= content.length; at += block)
    counts[names[classOf(content, at, at + block)]!]! += 1 / Math.floor(content.length / block);
  return counts;
}

t.test('text is structured, random bytes are random, what gzip makes is often neither', async (t) => {
  t.ok(shares(text(4 * MiB))['structured']! > 0.999);
  t.ok(shares(randomBytes(8 * MiB))['random']! > 0.99);
  const code = Buffer.from(
    Array.from({ length: 4 * MiB }, (_, n) => ((n * n) % 251) ^ (n % 7 === 0 ? n >> 9 : 0)),
  );
  t.ok(shares(gzipSync(Buffer.concat([text(8 * MiB), code])))['random']! < 0.9);
  t.equal(classOf(Buffer.alloc(block), 0, block), BlockClass.zero);
});

t.test('zeros behind the end of a file do not count', async (t) => {
  for (const bytes of [256, 300, 1000, 2000, 4000]) {
    const tail = Buffer.alloc(block);
    randomBytes(bytes).copy(tail);
    tail[bytes - 1] = 1;
    t.equal(classOf(tail, 0, block), BlockClass.random, `${bytes} random bytes`);
    text(bytes).copy(tail);
    t.equal(classOf(tail, 0, block), BlockClass.structured, `${bytes} bytes of text`);
  }
  const few = Buffer.alloc(block);
  randomBytes(200).copy(few);
  t.equal(classOf(few, 0, block), BlockClass.small);
});

t.test('each change of a block is counted as what it is, in LSN order', async (t) => {
  const size = 64 * MiB;
  const quarter = size / 4;
  const old = new OldBlocks();
  const content = [text(quarter), randomBytes(quarter), text(quarter)];
  for (const [index, bytes] of content.entries()) old.saw(index * quarter, bytes);
  const counter = new StepCounter(old);
  counter.wrote(9, 0, randomBytes(quarter)); // text becomes random
  counter.wrote(8, quarter, randomBytes(quarter)); // random stays so
  counter.zeroed(7, 2 * quarter, 3 * quarter); // text is dropped
  counter.wrote(10, 3 * quarter, randomBytes(quarter)); // nothing was there
  const pieces = counter.pieces();
  t.same(
    pieces.map(({ firstLsn }) => firstLsn).toSorted((a, b) => a - b),
    pieces.map((piece) => piece.firstLsn),
  );
  const sum = { ...noCounts };
  for (const piece of pieces) addCounts(sum, piece);
  const each = quarter / limits.signalStretchBytes;
  t.match(sum, { written: 3 * each, rewritten: 2 * each, zeroed: each, dropped: each, fresh: each });
  t.ok(sum.encrypted > each * 0.97 && sum.encrypted <= each, `${sum.encrypted} of ${each} were encrypted`);
  t.ok(sum.freshRandom > each * 0.97 && sum.packed <= each * 0.03);
});

t.test('pieces of any size come to the same counts as one', async (t) => {
  const content = Buffer.concat([text(3 * MiB), randomBytes(MiB)]);
  const count = (pieceBytes: number): unknown => {
    const old = new OldBlocks();
    old.saw(0, text(content.length));
    const counter = new StepCounter(old);
    for (let at = 0; at < content.length; at += pieceBytes)
      counter.wrote(1, at, content.subarray(at, at + pieceBytes));
    return counter.pieces();
  };
  t.same(count(block), count(content.length));
  t.same(count(48 * block), count(content.length));
});
