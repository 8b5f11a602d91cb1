// The receive buffers under requests of all sizes: payloads stay as they came, memory stays in its bound.
import fc from 'fast-check';
import t from 'tap';
import { limits } from '../../../../core/limits.ts';
import { Command } from '../../../../core/nbd/protocol.ts';
import { ReceivePool } from '../../../../core/nbd/receive-pool.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { Harness, Keeper, request, turn } from '../../../support/nbd-harness.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

t.test(
  'requests in any pieces arrive whole, once and in order, and their payloads stay as they came',
  async (t) => {
    const seed = chooseSeed(t);
    const lengths = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 1, max: 9000 }) },
      { weight: 2, arbitrary: fc.integer({ min: 60 * KiB, max: 70 * KiB }) },
      { weight: 2, arbitrary: fc.integer({ min: 200 * KiB, max: 5 * MiB }) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(lengths, { minLength: 1, maxLength: 60 }),
        fc.constantFrom(1 * KiB + 7, 64 * KiB, 200 * KiB, Infinity),
        fc.nat(),
        async (sizes, piece, fill) => {
          const random = seededRandom(fill);
          const keeper = new Keeper();
          const pool = new ReceivePool(32 * MiB);
          const harness = new Harness(keeper, pool);
          let damaged = 0;
          let seen = 0;
          for (const [i, size] of sizes.entries()) {
            const payload = Buffer.alloc(size, random.below(256));
            payload.writeUInt8(i & 255, size - 1);
            const delivered = harness.deliver(
              Buffer.concat([request(Command.write, i, i * 512, size), payload]),
              piece,
            );
            if (random.chance(0.2) || pool.waiting) {
              seen += keeper.writes.length;
              damaged += keeper.letGo();
            }
            let done = false;
            void delivered.then(() => {
              done = true;
            });
            while (!done) {
              await turn();
              if (!harness.reading) {
                seen += keeper.writes.length;
                damaged += keeper.letGo();
              }
            }
            const last = keeper.writes.at(-1);
            if (last !== undefined && (last.offset !== i * 512 || !last.payload.equals(payload)))
              throw new Error('wrong bytes');
            if (pool.heldBytes > 32 * MiB) throw new Error('more than the bound');
          }
          seen += keeper.writes.length;
          damaged += keeper.letGo();
          if (damaged > 0) throw new Error(`${damaged} payloads changed while they were kept`);
          if (seen !== sizes.length) throw new Error(`${seen} of ${sizes.length} arrived`);
          if (harness.errnos().size !== sizes.length) throw new Error('not all were answered');
          harness.inbox.close();
          if (pool.heldBytes !== 0) throw new Error(`${pool.heldBytes} bytes were not given back`);
        },
      ),
      { numRuns: 40, seed },
    );
  },
);

t.test('many connections on little memory all go on, large and small requests alike', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const pool = new ReceivePool(48 * MiB);
  const keeper = new Keeper();
  const harnesses = Array.from({ length: 24 }, () => new Harness(keeper, pool));
  let written = 0;
  const work = harnesses.map(async (harness, i) => {
    for (let n = 0; n < 12; n++) {
      const size = random.chance(0.2) ? 20 * MiB + n : random.chance(0.5) ? 1 * MiB : 4 * KiB;
      await harness.deliver(
        Buffer.concat([request(Command.write, n, 0, size), Buffer.alloc(size, i)]),
        208 * KiB,
      );
      written += 1;
    }
  });
  let over = false;
  const all = Promise.all(work).then(() => {
    over = true;
  });
  let damaged = 0;
  for (let turns = 0; !over; turns++) {
    await turn();
    // As a journal: everything so far is durable, now and then.
    if (turns % 3 === 0) damaged += keeper.letGo();
    if (pool.heldBytes > 48 * MiB) throw new Error('more than the bound');
  }
  await all;
  t.equal(written, 24 * 12);
  t.equal(damaged + keeper.letGo(), 0);
  for (const harness of harnesses) harness.inbox.close();
  t.equal(pool.heldBytes, 0);
});

t.test('a connection that became idle gives its block to one that needs it', async (t) => {
  const pool = new ReceivePool(6 * MiB, 4 * MiB);
  const keeper = new Keeper();
  const [idle, busy] = [new Harness(keeper, pool), new Harness(keeper, pool)];
  const megabyte = Buffer.concat([request(Command.write, 1, 0, 1 * MiB), Buffer.alloc(1 * MiB, 1)]);
  await idle.deliver(megabyte);
  keeper.letGo();
  t.equal(pool.heldBytes, 4 * MiB + 2 * limits.nbdHomeBytes, 'it keeps the block it was busy with');
  await busy.deliver(megabyte);
  t.same([...busy.errnos().keys()], [1]);
  await idle.deliver(request(Command.flush, 2, 0, 0));
  t.same([...idle.errnos().keys()], [1, 2], 'and goes on at home');
  keeper.letGo();
});
