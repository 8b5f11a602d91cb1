// What a master target is given: what follows, a sync that makes up for what is missing, or a new sync.
import t from 'tap';
import {
  mayFollow,
  planAround,
  planServing,
  type ServingPlace,
} from '../../../process-server/spool/serving-plan.ts';

const place = (parts: Partial<ServingPlace>): ServingPlace => ({
  position: 0,
  oldest: 1,
  spooled: 100,
  jumps: [],
  told: 0,
  ...parts,
});

t.test('what follows is served', async (t) => {
  t.same(planServing(place({})), { kind: 'serve', from: 1 });
  t.same(planServing(place({ position: 60, oldest: 61 })), { kind: 'serve', from: 61 });
  t.same(planServing(place({ position: 60, oldest: 20 })), { kind: 'serve', from: 61 });
});

t.test('with nothing newer there is nothing to do, also ahead of a spool that began anew', async (t) => {
  t.same(planServing(place({ position: 100 })), { kind: 'idle' });
  t.same(planServing(place({ position: 500 })), { kind: 'idle' });
  t.same(planServing(place({ position: 0, oldest: 1, spooled: 0 })), { kind: 'idle' });
});

t.test(
  'what is pruned is made up for by a sync that copies all that is missing, and by no other',
  async (t) => {
    const pruned = place({ position: 10, oldest: 50, told: 40 });
    t.same(planServing(pruned), { kind: 'resync', full: true });
    t.same(planServing({ ...pruned, told: 10 }), { kind: 'resync', full: false });
    t.same(planServing({ ...pruned, jumps: [{ lsn: 70, covers: 40 }] }), { kind: 'resync', full: true });
    t.same(planServing({ ...pruned, jumps: [{ lsn: 70, covers: 10 }] }), { kind: 'serve', from: 70 });
    const jumps = [
      { lsn: 45, covers: 0 },
      { lsn: 70, covers: 0 },
    ];
    t.same(
      planServing({ ...pruned, jumps }),
      { kind: 'serve', from: 70 },
      'one that is gone itself is of no use',
    );
  },
);

t.test('damage is gone around in the same way', async (t) => {
  const here = place({ position: 29, told: 20 });
  t.same(planAround(here, 30, 35), { kind: 'resync', full: false });
  t.same(planAround({ ...here, told: 32 }, 30, 35), { kind: 'resync', full: true });
  const jumps = [
    { lsn: 33, covers: 0 },
    { lsn: 60, covers: 20 },
  ];
  t.same(planAround({ ...here, jumps }, 30, 35), { kind: 'serve', from: 60 });
});

t.test('LSNs may be skipped only to a sync that makes up for them', async (t) => {
  const amends = { jumps: [{ lsn: 60, covers: 20 }], told: 20 };
  t.ok(mayFollow(amends, 59, 60));
  t.ok(mayFollow(amends, 20, 60));
  t.notOk(mayFollow(amends, 19, 60));
  t.notOk(mayFollow(amends, 40, 50));
});

t.test('a sync that sent only differences serves whoever has what it was compared with', async (t) => {
  const pruned = place({ position: 25, oldest: 50, told: 80 });
  const jumps = [{ lsn: 70, covers: 0, base: 30 }];
  t.same(planServing({ ...pruned, jumps }), { kind: 'resync', full: true });
  t.same(planServing({ ...pruned, jumps, position: 30 }), { kind: 'serve', from: 70 });
  t.same(planServing({ ...pruned, jumps: [{ lsn: 70, covers: 0, base: null }] }), {
    kind: 'serve',
    from: 70,
  });
  const first = { oldest: 1, position: 0, jumps: [{ lsn: 1, covers: 0, base: 0 }] };
  t.same(planServing(place({ ...first, told: 0 })), { kind: 'serve', from: 1 }, 'it has not compared yet');
  t.same(
    planServing(place({ ...first, told: 5 })),
    { kind: 'resync', full: true },
    'the seed may be another',
  );
});
