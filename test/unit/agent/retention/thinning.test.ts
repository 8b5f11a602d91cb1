// Thinning as a table: which steps become one, which go, and which points are given up for room.
import t from 'tap';
import { planThinning, type ThinFacts, type ThinStep } from '../../../../agent/retention/thinning.ts';

/** Steps of ten LSNs from 0, of `bytes` each; a number in `sizes` for those that differ. */
function steps(count: number, sizes: Record<number, number> = {}): ThinStep[] {
  return Array.from({ length: count }, (_, at) => ({
    from: at * 10,
    to: at * 10 + 10,
    toTime: at * 1000,
    bytes: sizes[at] ?? 100,
  }));
}

const kept = (...lsns: number[]): ThinFacts['kept'] =>
  lsns.map((lsn) => ({ lsn, time: lsn * 100, reasons: ['hourly'] }));

function plan(change: Partial<ThinFacts>): ReturnType<typeof planThinning> {
  const none = { kept: [], needed: [], freeBytes: 0, floorTime: Infinity, roomBytes: 1e9 };
  return planThinning({ steps: steps(6), ...none, ...change });
}

t.test('without anything that is wanted all goes', async (t) => {
  t.same(plan({}), { dropBelow: 60, merges: [], givenUp: [] });
  t.same(plan({ steps: [] }), { dropBelow: 0, merges: [], givenUp: [] });
});

t.test(
  'steps between two wanted boundaries become one in one pass; a run without an end waits',
  async (t) => {
    t.same(plan({ kept: kept(0, 40) }), { dropBelow: 0, merges: [{ from: 0, to: 40 }], givenUp: [] });
    t.same(plan({ kept: kept(10, 40) }).dropBelow, 10, 'what is below the first goes');
    t.same(plan({ kept: kept(0, 40), needed: [20] }).merges, [
      { from: 0, to: 20 },
      { from: 20, to: 40 },
    ]);
    t.same(plan({ kept: kept(0, 10, 20, 60) }).merges, [{ from: 20, to: 60 }]);
    t.same(plan({ kept: [], needed: [30] }), { dropBelow: 30, merges: [], givenUp: [] });
    const behind = [{ from: 30, to: 60 }];
    t.same(plan({ needed: [30], freeBytes: 1 }).merges, behind, 'unless room is short');
  },
);

t.test('a step larger than all others of its run is not written again', async (t) => {
  t.same(plan({ steps: steps(6, { 0: 1000 }), kept: kept(0, 60) }).merges, [{ from: 10, to: 60 }]);
  t.same(plan({ steps: steps(6, { 2: 1000 }), kept: kept(0, 60) }).merges, [
    { from: 0, to: 20 },
    { from: 30, to: 60 },
  ]);
  t.same(plan({ steps: steps(2, { 0: 1000 }), kept: kept(0, 20) }).merges, []);
});

t.test('runs are bounded in steps and in the room they need', async (t) => {
  const many = plan({ steps: steps(600), kept: kept(0, 6000) }).merges;
  t.same(many, [
    { from: 0, to: 2000 },
    { from: 2000, to: 4000 },
    { from: 4000, to: 6000 },
  ]);
  t.same(plan({ kept: kept(0, 60), roomBytes: 350 }).merges, [
    { from: 0, to: 30 },
    { from: 30, to: 60 },
  ]);
  t.same(plan({ kept: kept(0, 60), roomBytes: 50 }).merges, []);
  const first = { steps: steps(3, { 0: 1000 }), kept: kept(0, 30), roomBytes: 350 };
  t.same(plan(first).merges, [{ from: 10, to: 30 }], 'what fits is merged beside what does not');
  t.ok(plan({ steps: steps(600), kept: kept(0) }).merges.length > 0, 'a very long one without an end, too');
});

t.test('where nothing else moves the two smallest become one, however unequal', async (t) => {
  const unequal = { steps: steps(4, { 0: 1000, 1: 900 }), kept: kept(0, 40), floorTime: -1, freeBytes: 1 };
  const tight = { ...unequal, steps: steps(3, { 0: 1000, 1: 10 }), kept: kept(0, 30) };
  t.same(plan({ ...unequal, stuck: true, roomBytes: 1000 }).merges, [{ from: 20, to: 40 }]);
  t.same(plan(tight).merges, []);
  t.same(plan({ ...tight, stuck: true }).merges, [{ from: 10, to: 30 }]);
  t.same(plan({ ...tight, stuck: true, roomBytes: 100 }).merges, [], 'where they fit');
});

t.test('for want of room the oldest kept points go, but not locked, needed, or in the floor', async (t) => {
  t.same(plan({ kept: kept(10, 30, 50), freeBytes: 50 }).givenUp, [], 'what no rule keeps is enough');
  t.same(plan({ kept: kept(10, 30, 50), freeBytes: 250 }), {
    dropBelow: 30,
    merges: [{ from: 30, to: 50 }],
    givenUp: [10],
  });
  t.same(plan({ kept: kept(10, 30, 50), freeBytes: 1e6 }).givenUp, [10, 30, 50]);
  t.same(plan({ kept: kept(10, 30, 50), freeBytes: 1e6, floorTime: 3000 }).givenUp, [10, 30]);
  t.same(plan({ kept: kept(10, 30, 50), freeBytes: 1e6, needed: [30] }).givenUp, [10, 50]);
  const locked = kept(0, 20, 40, 50).map((point) =>
    point.lsn === 0 ? { ...point, reasons: ['locked' as const] } : point,
  );
  t.same(plan({ kept: locked, freeBytes: 90 }), {
    dropBelow: 0,
    merges: [{ from: 0, to: 40 }],
    givenUp: [20],
  });
});

t.test('a point whose undo is lost holds what lies behind it, until it is given up for room', async (t) => {
  const above = steps(6).slice(1);
  t.same(plan({ steps: above, lost: kept(0) }), { dropBelow: 0, merges: [], givenUp: [] });
  t.same(plan({ steps: above, lost: kept(0), kept: kept(40) }), {
    dropBelow: 0,
    merges: [{ from: 10, to: 40 }],
    givenUp: [],
  });
  t.same(plan({ steps: above, kept: kept(40) }).dropBelow, 40, 'once no rule wants it, it is not missed');
  t.match(plan({ steps: above, lost: kept(0), kept: kept(40), freeBytes: 250 }), {
    dropBelow: 40,
    givenUp: [0],
  });
  const locked = kept(0).map((point) => ({ ...point, reasons: ['locked' as const] }));
  t.match(plan({ steps: above, lost: locked, kept: kept(40), freeBytes: 250 }), {
    dropBelow: 0,
    givenUp: [40],
  });
});

t.test('nothing is merged over lost undo, and the point behind it stays', async (t) => {
  const holed = steps(6).toSpliced(2, 1);
  t.same(plan({ steps: holed, kept: kept(0, 60) }).merges, [
    { from: 0, to: 20 },
    { from: 30, to: 60 },
  ]);
  t.equal(plan({ steps: holed, kept: kept(30) }).dropBelow, 30);
  t.same(plan({ steps: holed, kept: kept(60), lost: kept(20) }), {
    dropBelow: 20,
    merges: [{ from: 30, to: 60 }],
    givenUp: [],
  });
});
