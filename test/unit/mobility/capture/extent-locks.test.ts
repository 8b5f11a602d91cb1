// Checks that requests that overlap go one by one in order, and that the others do not meet.
import t from 'tap';
import { extentLock, ExtentLocks } from '../../../../mobility/capture/extent-locks.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

t.test('what does not overlap goes at once, byte by byte', async (t) => {
  const locks = new ExtentLocks();
  const none = (): void => {
    t.fail('nobody waits');
  };
  const first = extentLock(0, 512, none);
  t.ok(locks.take(first));
  t.ok(locks.take(extentLock(512, 513, none)));
  t.ok(locks.take(extentLock(513, 4096, none)));
  t.equal(locks.count, 3);
  locks.release(first);
  t.ok(locks.take(extentLock(0, 512, none)));
});

t.test('those that overlap follow in the order in which they came, also behind one that waits', async (t) => {
  const locks = new ExtentLocks();
  const order: string[] = [];
  const named = (name: string, start: number, end: number) => extentLock(start, end, () => order.push(name));
  const a = named('a', 0, 10);
  const b = named('b', 5, 20);
  const c = named('c', 15, 30);
  t.equal(locks.take(a), true);
  t.equal(locks.take(b), false);
  t.equal(locks.take(c), false, 'c overlaps only b, which waits');
  locks.release(a);
  t.same(order, ['b']);
  locks.release(b);
  t.same(order, ['b', 'c']);
  locks.release(c);
  t.equal(locks.count, 0);
});

t.test('a watch is disturbed by what is in flight and by what begins, nothing else', async (t) => {
  const locks = new ExtentLocks();
  const before = extentLock(0, 10, () => undefined);
  locks.take(before);
  t.equal(locks.watch(9, 20).disturbed, true);
  const watch = locks.watch(10, 20);
  locks.release(before);
  locks.take(extentLock(20, 30, () => undefined));
  t.equal(watch.disturbed, false);
  locks.take(extentLock(19, 20, () => undefined));
  t.equal(watch.disturbed, true);
  const ended = locks.watch(40, 50);
  locks.unwatch(ended);
  locks.take(extentLock(40, 50, () => undefined));
  t.equal(ended.disturbed, false);
});

t.test('settled waits for what is in flight now, and nobody waits for it', async (t) => {
  const locks = new ExtentLocks();
  const first = extentLock(0, 10, () => undefined);
  locks.take(first);
  let settled = false;
  locks.settled(0, 5, () => {
    settled = true;
  });
  t.equal(settled, false);
  let granted = false;
  const second = extentLock(0, 10, () => {
    granted = true;
  });
  t.notOk(locks.take(second));
  locks.release(first);
  t.ok(settled && granted);
  locks.settled(20, 30, () => t.pass('at once when nothing is in flight'));
});

t.test('at no time do two hold the same byte, and everybody gets a turn', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const locks = new ExtentLocks();
  const held = new Set<ReturnType<typeof extentLock>>();
  let granted = 0;
  for (let at = 0; at < 2000; at += 1) {
    const start = random.below(100);
    const lock = extentLock(start, start + 1 + random.below(20), () => hold());
    const hold = (): void => {
      for (const other of held) {
        if (other.start < lock.end && lock.start < other.end) throw new Error('two hold the same byte');
      }
      held.add(lock);
      granted += 1;
    };
    if (locks.take(lock)) hold();
    while (held.size > 0 && (held.size > 3 || random.chance(0.5))) {
      const ends = random.pick([...held]);
      held.delete(ends);
      locks.release(ends);
    }
  }
  while (held.size > 0) {
    const ends = random.pick([...held]);
    held.delete(ends);
    locks.release(ends);
  }
  t.equal(granted, 2000);
  t.equal(locks.count, 0);
});
