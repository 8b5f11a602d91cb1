// The shared receive memory: its bound, its queue, and blocks that come back.
import t from 'tap';
import { ReceivePool, type ReceiveBlock } from '../../../../core/nbd/receive-pool.ts';

t.test('a block comes back with its last release and is used again', async (t) => {
  const pool = new ReceivePool(1000, 100);
  const block = pool.tryTake(60);
  t.equal(block?.bytes.length, 100, 'whole blocks are given');
  block?.retain();
  block?.release();
  t.equal(pool.heldBytes, 100, 'somebody still has it');
  block?.release();
  t.equal(pool.heldBytes, 0);
  t.equal(pool.idleBytes, 100);
  t.equal(pool.tryTake(100), block);
});

t.test('large requests get several blocks in one, and nothing exceeds the bound', async (t) => {
  const pool = new ReceivePool(1000, 100);
  t.equal(pool.tryTake(450)?.bytes.length, 500);
  t.equal(pool.tryTake(501), null);
  t.equal(pool.tryTake(500)?.bytes.length, 500);
  t.equal(pool.tryTake(1), null);
  t.equal(pool.heldBytes, 1000);
});

t.test('idle memory is kept in moderation', async (t) => {
  const pool = new ReceivePool(1000, 100);
  const blocks = Array.from({ length: 10 }, () => pool.tryTake(100));
  for (const block of blocks) block?.release();
  t.equal(pool.idleBytes, 500);
  t.ok(pool.tryTake(900));
  t.equal(pool.idleBytes + pool.heldBytes <= 1000, true, 'idle blocks make way');
});

t.test('waiters are served in order: a small request does not pass a large one', async (t) => {
  const pool = new ReceivePool(300, 100);
  const held = [pool.tryTake(100), pool.tryTake(100), pool.tryTake(100)];
  const served: string[] = [];
  const taken: ReceiveBlock[] = [];
  const note =
    (name: string) =>
    (block: ReceiveBlock): void => {
      served.push(name);
      taken.push(block);
    };
  pool.wait(200, note('large'));
  pool.wait(100, note('small'));
  const leave = pool.wait(100, note('gone'));
  pool.wait(100, note('last'));
  held[0]?.release();
  t.same(served, [], 'room for the small one, but the large one is first');
  t.equal(pool.tryTake(100), null, 'and nobody passes them');
  held[1]?.release();
  t.same(served, ['large']);
  leave();
  held[2]?.release();
  t.same(served, ['large', 'small']);
  taken[0]?.release();
  t.same(served, ['large', 'small', 'last']);
  t.notOk(pool.waiting);
});

t.test('a waiter that leaves lets the next one through', async (t) => {
  const pool = new ReceivePool(200, 100);
  const held = pool.tryTake(100);
  let served = false;
  const leave = pool.wait(200, () => t.fail('it left'));
  pool.wait(100, () => {
    served = true;
  });
  t.notOk(served);
  leave();
  t.ok(served);
  held?.release();
});

t.test('holders are asked for what they can do without as soon as somebody waits', async (t) => {
  const pool = new ReceivePool(100, 100);
  const block = pool.tryTake(100);
  pool.addHolder({
    giveBack() {
      block?.release();
      return true;
    },
  });
  let served = false;
  pool.wait(100, () => {
    served = true;
  });
  t.ok(served);
});
