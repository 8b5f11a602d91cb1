// Locks: a date only moves away, and a lock goes only when it has passed.
import t from 'tap';
import {
  activeLocks,
  lockPoint,
  parseUntil,
  refuseGivingUp,
  unlockPoint,
} from '../../../../agent/retention/locks.ts';

const now = Date.parse('2026-01-31T00:00:00Z') * 1000;
const day = 86_400e6;
const change = { lsn: 12, time: now - day, until: now + 10 * day, name: 'audit' };
const locks = lockPoint([], change, now);

t.test('a lock is made once, and its date moves away only', async (t) => {
  t.same(locks, [
    {
      lsn: 12,
      until: '2026-02-10T00:00:00.000000Z',
      since: '2026-01-31T00:00:00.000000Z',
      time: '2026-01-30T00:00:00.000000Z',
      name: 'audit',
    },
  ]);
  t.equal(lockPoint(locks, change, now), locks, 'the same again changes nothing');
  t.equal(lockPoint(locks, { ...change, name: null }, now + 1), locks);
  const longer = lockPoint(locks, { ...change, name: null, until: now + 20 * day }, now + day);
  t.match(longer, [{ until: '2026-02-20T00:00:00.000000Z', since: locks[0]?.since, name: 'audit' }]);
  t.throws(() => lockPoint(locks, { ...change, until: now + 9 * day }, now), {
    code: 'locked',
    message: 'lsn:12 is locked until 2026-02-10T00:00:00.000000Z: no earlier date is taken',
  });
  t.throws(() => lockPoint([], { ...change, until: now }, now), { code: 'usage', message: /has passed/ });
  t.throws(() => lockPoint([], { ...change, until: now + 4000 * day }, now), { message: /too far away/ });
  t.same(
    lockPoint(locks, { ...change, lsn: 7 }, now).map(({ lsn }) => lsn),
    [7, 12],
  );
  t.same(
    lockPoint(locks, { ...change, lsn: 7, until: now + 30 * day }, now + 11 * day).map(({ lsn }) => lsn),
    [7],
  );
});

t.test('there are only so many', async (t) => {
  const many = Array.from({ length: 1000 }, (_, lsn) => ({ lsn: lsn + 100, until: '2099-01-01T00:00:00Z' }));
  t.throws(() => lockPoint(many, change, now), { code: 'conflict' });
});

t.test('unlocking is refused before the date', async (t) => {
  t.throws(() => unlockPoint(locks, 12, now + 10 * day - 1), { code: 'locked' });
  t.same(unlockPoint(locks, 12, now + 10 * day), []);
  t.throws(() => unlockPoint(locks, 13, now), { code: 'no-such-lock' });
  t.same(activeLocks(locks, now), [{ lsn: 12, until: now + 10 * day }]);
  t.same(activeLocks(locks, now + 10 * day), []);
});

t.test('nothing newer than a moment is given up while a point of it is locked', async (t) => {
  t.throws(() => refuseGivingUp('web', locks, 11, now), {
    code: 'locked',
    message: /^lsn:12 of web is locked until/,
  });
  refuseGivingUp('web', locks, 12, now);
  refuseGivingUp('web', locks, 0, now + 10 * day);
});

t.test('--until is a time or how long', async (t) => {
  t.equal(parseUntil('2026-02-10T00:00:00Z', now), now + 10 * day);
  t.equal(parseUntil('90d', now), now + 90 * day);
  t.throws(() => parseUntil('soon', now), { code: 'usage', message: /neither a time nor a duration/ });
});
