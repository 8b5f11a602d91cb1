// Undo that has gone without us: what it led to is missed for as long as a rule or a lock may want it.
import t from 'tap';
import type { KeepPolicy } from '../../../../agent/retention/kept-points.ts';
import { lostPoints, type LostFacts } from '../../../../agent/retention/lost-points.ts';

const hour = 3600e6;
const day = 24 * hour;
const tags = { tags: 7 * 24 * 3600e3 };
/** A whole hour, so that marks are where they seem to be. */
const start = 400_000 * hour;

interface Known {
  from: number;
  to: number;
  tag?: string;
  point?: boolean;
}

/** Ten LSNs an hour. */
const timeOf = (lsn: number): number => start + (lsn * hour) / 10;

function lost(
  expected: [number, number][],
  known: readonly Known[],
  policy: Partial<KeepPolicy> & Partial<Pick<LostFacts, 'isPoint' | 'pruned'>>,
): [number, string][] {
  const { isPoint = () => true, pruned = 60, ...rest } = policy;
  const steps = known.map(({ from, to, tag, point = true }) => ({
    ...{ from, to, toTime: timeOf(to), point },
    tag: tag === undefined ? null : { name: tag, consistency: 'crash' as const },
  }));
  const boundaries = [...steps.map(({ from }) => from), 100].map((lsn) => ({ lsn, time: timeOf(lsn) }));
  const facts = {
    expected: expected.map(([from, to]) => ({ from, to })),
    steps,
    boundaries,
    pruned,
    isPoint,
  };
  const keep = { rules: {}, locks: [], windowMs: 0, now: timeOf(100), ...rest };
  return lostPoints(facts, keep).map(({ lsn, reasons }) => [lsn, reasons.join()]);
}

const above: Known[] = [
  { from: 10, to: 20 },
  { from: 20, to: 60 },
];

t.test('what the oldest file led to counts as a tag until the next known time is too old', async (t) => {
  t.same(lost([[0, 10]], above, { rules: tags }), [[0, 'tag']]);
  t.same(lost([[0, 10]], above, { rules: tags, now: timeOf(10) + 7 * day - 1 }), [[0, 'tag']]);
  t.same(lost([[0, 10]], above, { rules: tags, now: timeOf(10) + 7 * day }), []);
  t.same(lost([[0, 10]], above, {}), [], 'no rule wants it');
});

t.test('it counts as the last point before each mark, however long before', async (t) => {
  const hourly = { hourly: 24 * 3600e3 };
  t.same(lost([[0, 10]], above, { rules: hourly }), [[0, 'hourly']]);
  t.same(lost([[0, 10]], above, { rules: hourly, now: timeOf(10) + 4 * day }), []);
});

t.test('a lock keeps it whatever its time was', async (t) => {
  const now = timeOf(100) + 400 * day;
  const until = now + 1;
  t.same(lost([[0, 10]], above, { now, locks: [{ lsn: 0, until }] }), [[0, 'locked']]);
  t.same(lost([[0, 10]], above, { now: until, locks: [{ lsn: 0, until }] }), []);
  t.same(lost([[0, 10]], above, { now, locks: [{ lsn: 10, until }] }), [], 'another is locked');
});

t.test('of neighbours that are gone each is judged by what is known above', async (t) => {
  const both: [number, number][] = [
    [0, 5],
    [5, 10],
  ];
  const told = [
    [0, 'tag'],
    [5, 'tag'],
  ];
  t.same(lost(both, above, { rules: tags }), told);
  t.same(lost(both, above, { rules: tags, now: timeOf(10) + 7 * day }), []);
});

t.test('where older undo ends there, time and tag are known', async (t) => {
  const gone: [number, number][] = [[10, 20]];
  const around = (below: Partial<Known>): Known[] => [
    { from: 0, to: 10, ...below },
    { from: 20, to: 60 },
  ];
  t.same(lost(gone, around({}), { rules: tags }), [], 'no tag was there');
  t.same(lost(gone, around({ tag: 'release' }), { rules: tags }), [[10, 'tag']]);
  t.same(lost(gone, around({ tag: 'release' }), { rules: tags, now: timeOf(10) + 7 * day }), []);
  t.same(lost(gone, around({ tag: 'release', point: false }), { rules: tags }), [], 'inside a gap');
});

t.test('nothing is missed that is there, was no point, or has redo still', async (t) => {
  t.same(lost([[10, 60]], above, { rules: tags }), [], 'it was split');
  t.same(lost([[10, 20]], above, { rules: tags }), []);
  t.same(lost([[0, 10]], above, { rules: tags, isPoint: (lsn) => lsn >= 10 }), []);
  t.same(lost([[0, 10]], above, { rules: tags, pruned: 0 }), []);
});
