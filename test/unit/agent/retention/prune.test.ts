// Pruning as a table: up to which boundary redo may go, and what is split off before.
import t from 'tap';
import {
  planPrune,
  type PruneDemand,
  type PruneFacts,
  type PrunePolicy,
} from '../../../../agent/retention/prune.ts';
import { parseKeepRules } from '../../../../core/keep-rules.ts';

const hour = 3600 * 1e6;
const now = 1000 * hour;

/** Segments of ten LSNs that ended 40, 30, 20 and 10 hours ago; a boundary every five, the cursor at 40. */
function facts(change: Partial<PruneFacts> = {}): PruneFacts {
  const ages = [40, 30, 20, 10];
  const timeOf = (lsn: number): number => now - (50 - lsn) * hour;
  return {
    segments: ages.map((age, at) => ({
      firstLsn: at * 10 + 1,
      lastLsn: at * 10 + 10,
      lastTime: now - age * hour,
      lastArrival: now - age * hour,
      bytes: 64,
    })),
    boundaries: [0, 5, 10, 15, 20, 25, 30, 35, 40].map((lsn) => ({ lsn, time: timeOf(lsn) })),
    prunedLsn: 0,
    cursorLsn: 40,
    bytes: 256,
    firstPoint: 0,
    shown: [],
    gaps: [],
    tags: [],
    lsnAtTime: (time) => Math.floor(50 - (now - time) / hour),
    ...change,
  };
}

const day: PrunePolicy = { windowMs: 24 * 3600e3, maxBytes: 0, floorMs: 4 * 3600e3, keep: {} };
const wide: PrunePolicy = { ...day, windowMs: 1000 * 3600e3 };

const to = (change: Partial<PruneFacts>, policy = day, demand: Partial<PruneDemand> = {}): number =>
  planPrune(facts(change), policy, { locks: [], freeBytes: 0, now, ...demand }).to;
const splits = (change: Partial<PruneFacts>, policy = day, demand: Partial<PruneDemand> = {}): number[] =>
  planPrune(facts(change), policy, { locks: [], freeBytes: 0, now, ...demand }).splits;

t.test('redo older than the window goes, up to a boundary at or below the cursor', async (t) => {
  t.equal(to({}), 20);
  t.equal(to({}, wide), 0);
  t.equal(to({ cursorLsn: 10, boundaries: facts().boundaries.slice(0, 3) }), 10);
  t.equal(to({ cursorLsn: 0, boundaries: facts().boundaries.slice(0, 1) }), 0);
  t.equal(to({ prunedLsn: 20 }), 20, 'never back');
  const odd = [0, 8, 18, 28, 38].map((lsn) => ({ lsn, time: lsn }));
  t.equal(to({ boundaries: odd, cursorLsn: 38 }), 18, 'the window is whole, and no file of 18 and more goes');
  t.equal(to({ boundaries: [0, 3, 6, 9].map((lsn) => ({ lsn, time: lsn })) }), 0, 'for no file nothing goes');
  const late = facts().segments.map((each) => ({ ...each, lastTime: 0 }));
  t.equal(to({ segments: late }), 20, 'what has just come is not old');
  const ahead = facts().segments.map((each) => ({ ...each, lastTime: now + 9000 * hour }));
  t.equal(to({ segments: ahead }), 20, 'stamps of a clock that is far ahead keep nothing for ever');
});

t.test('the size bound and want of room shorten it, want of room only to the floor', async (t) => {
  t.equal(to({}, { ...wide, maxBytes: 256 }), 0);
  t.equal(to({}, { ...wide, maxBytes: 130 }), 20);
  t.equal(to({ bytes: 400 }, { ...wide, maxBytes: 256 }), 30, 'undo counts');
  t.equal(to({}, wide, { freeBytes: 1 }), 10);
  t.equal(to({}, wide, { freeBytes: 65 }), 20);
  t.equal(to({}, { ...wide, floorMs: 15 * 3600e3 }, { freeBytes: 1e9 }), 30);
});

t.test('a step that ends in the segment that still takes records holds nothing up', async (t) => {
  const boundaries = [0, 43].map((lsn) => ({ lsn, time: now - (50 - lsn) * hour }));
  const wideStep = { boundaries, cursorLsn: 43 };
  const newest = { lastLsn: 43, lastTime: now - 5 * hour, lastArrival: now - 5 * hour };
  t.equal(to({ ...wideStep, newest }, wide, { freeBytes: 1e9 }), 43);
  t.equal(to({ ...wideStep, newest }, { ...wide, floorMs: 6 * 3600e3 }, { freeBytes: 1e9 }), 0, 'the floor');
  t.equal(to({ ...wideStep, newest }), 0, 'the window');
  t.equal(to({ newest, cursorLsn: 40 }, wide, { freeBytes: 1e9 }), 40);
});

t.test('what a view shows stays, and a view at a boundary holds nothing up', async (t) => {
  t.equal(to({ shown: [12] }), 10);
  t.equal(to({ shown: [10] }), 20);
  t.equal(to({ shown: [3] }), 0);
  t.equal(to({ shown: [3], prunedLsn: 10 }), 20, 'also below what is pruned');
});

t.test('redo without points goes once it is applied, but only from the old end', async (t) => {
  t.equal(to({ firstPoint: null }, wide), 40);
  t.equal(to({ firstPoint: 20 }, wide), 20);
  t.equal(to({ gaps: [{ from: 1, to: 25 }] }, wide), 20);
  t.equal(to({ gaps: [{ from: 1, to: null }] }, wide), 40);
  t.equal(to({ gaps: [{ from: 11, to: 35 }] }, wide), 0, 'points before it hold it');
  t.equal(to({ gaps: [{ from: 11, to: 35 }], prunedLsn: 10 }, wide), 30);
});

t.test('tags, locks and marks inside are split off before', async (t) => {
  const tags = [3, 10, 17, 33].map((lsn) => ({ lsn, time: now - 30 * hour }));
  t.same(splits({ tags }), []);
  t.same(splits({ tags }, { ...day, keep: parseKeepRules('tags=2d') }), [3, 17], '10 is a boundary already');
  const young = tags.map((tag) => ({ ...tag, time: now - 10 * hour }));
  t.same(splits({ tags: young }), [3, 17], 'within the window without a rule');
  const locks = [
    { lsn: 7, until: now + 1 },
    { lsn: 8, until: now },
    { lsn: 31, until: now + 1 },
  ];
  t.same(splits({}, day, { locks }), [7]);
  const hourly: PrunePolicy = { ...day, keep: parseKeepRules('hourly=7d') };
  t.same(splits({}, hourly).slice(0, 5), [1, 2, 3, 4, 6]);
  t.same(splits({}, hourly).at(-1), 19);
  const gaps = [{ from: 7, to: 15 }];
  t.same(splits({ gaps }, hourly), [1, 2, 3, 4, 6, 16, 17, 18, 19], 'none in a gap, but the point before it');
  t.same(splits({ firstPoint: 12 }, hourly), [12, 13, 14, 16, 17, 18, 19]);
  t.same(splits({}, { ...hourly, windowMs: 1000 * 3600e3 }), [], 'where nothing goes nothing is split');
});
