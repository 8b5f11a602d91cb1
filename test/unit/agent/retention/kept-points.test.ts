// Marks and kept points as tables: which boundary stays, why, and how long.
import t from 'tap';
import { keptPoints, type Candidate, type KeepPolicy } from '../../../../agent/retention/kept-points.ts';
import { marksIn, nextMarkTime } from '../../../../agent/retention/marks.ts';
import { parseKeepRules } from '../../../../core/keep-rules.ts';

const at = (text: string): number => Date.parse(text) * 1000;
const spell = (time: number): string => new Date(time / 1000).toISOString().slice(0, 16);
const rules = parseKeepRules('hourly=7d,daily=4w');

t.test('the next mark is that of the finest rule; weeks begin on Monday, all in UTC', async (t) => {
  const next = (text: string, spelled: string): string | null => {
    const mark = nextMarkTime(at(text), parseKeepRules(spelled));
    return mark === null ? null : spell(mark);
  };
  t.equal(next('2026-03-04T13:20Z', 'hourly=7d,daily=4w'), '2026-03-04T14:00');
  t.equal(next('2026-03-04T14:00Z', 'hourly=7d'), '2026-03-04T15:00', 'after, not at');
  t.equal(next('2026-03-04T13:20Z', 'daily=4w,weekly=6m'), '2026-03-05T00:00');
  t.equal(next('2026-03-04T13:20Z', 'weekly=6m'), '2026-03-09T00:00');
  t.equal(new Date(at(`${next('2026-03-04T13:20Z', 'weekly=6m')}Z`) / 1000).getUTCDay(), 1);
  t.equal(next('2026-12-04T13:20Z', 'monthly=1y'), '2027-01-01T00:00');
  t.equal(next('2026-03-04T13:20Z', 'yearly=5y'), '2027-01-01T00:00');
  t.equal(next('2026-03-04T13:20Z', 'tags=4w'), null);
});

t.test('marks in a step are those that are still live', async (t) => {
  const now = at('2026-03-10T12:00Z');
  const marks = (from: string, to: string): string[] => marksIn(at(from), at(to), rules, now).map(spell);
  t.same(marks('2026-03-10T08:59Z', '2026-03-10T11:00Z'), ['2026-03-10T09:00', '2026-03-10T10:00']);
  t.same(
    marks('2026-02-27T20:00Z', '2026-03-02T01:30Z'),
    ['2026-02-28T00:00', '2026-03-01T00:00', '2026-03-02T00:00'],
    'hours of ten days ago are gone, days are not',
  );
  t.same(marks('2025-01-01T00:00Z', '2025-02-01T00:00Z'), []);
  const jumped = marksIn(0, at('2090-01-01T00:00Z'), rules, now);
  t.ok(jumped.length <= 10_000, 'a clock that jumped costs no more than that');
});

/** One point every 20 minutes from `from`, LSN 10, 20 …. */
function every20(from: string, count: number): Candidate[] {
  return Array.from({ length: count }, (_, index) => ({
    lsn: (index + 1) * 10,
    time: at(from) + index * 20 * 60e6,
    point: true,
    tag: null,
  }));
}

const keep = (candidates: Candidate[], change: Partial<KeepPolicy> & { now: number }): [number, string][] =>
  keptPoints(candidates, { rules, locks: [], windowMs: 0, ...change }).map(({ lsn, reasons }) => [
    lsn,
    reasons.join(),
  ]);

t.test('the last point before each full hour stays, and longer the last of the day', async (t) => {
  // 21:10 21:30 21:50 · 22:10 … · 23:50 · 00:10
  const points = every20('2026-03-03T21:10Z', 10);
  t.same(keep(points, { now: at('2026-03-04T00:20Z') }), [
    [30, 'hourly'],
    [60, 'hourly'],
    [90, 'hourly,daily'],
  ]);
  t.same(keep(points, { now: at('2026-03-10T23:59Z') }).slice(0, 2), [
    [30, 'hourly'],
    [60, 'hourly'],
  ]);
  t.same(
    keep(points, { now: at('2026-03-12T00:00Z') }).filter(([lsn]) => lsn < 100),
    [[90, 'daily']],
    'all hours of a day end with it',
  );
});

t.test('a point at the very mark is the one of that mark', async (t) => {
  const points = every20('2026-03-03T21:00Z', 4);
  t.same(keep(points, { now: at('2026-03-03T22:05Z') }), [
    [10, 'hourly'],
    [40, 'hourly'],
  ]);
});

t.test('what a machine was before it fell idle stands for all the time since', async (t) => {
  const [old, next] = every20('2026-03-01T10:10Z', 2);
  const points = [old, { ...next, time: at('2026-03-20T10:10Z') }] as Candidate[];
  t.same(keep(points, { now: at('2026-03-20T12:00Z') }), [
    [10, 'hourly,daily'],
    [20, 'hourly'],
  ]);
  t.same(keep(points, { now: at('2026-04-10T12:00Z') })[0], [10, 'daily'], 'as of a day on which it was so');
});

t.test('tags by their rule, locks until their date, gaps never', async (t) => {
  const points = every20('2026-03-03T21:10Z', 4);
  const tagged = points.map((point) => (point.lsn === 20 ? { ...point, tag: { name: 'x' } } : point));
  const now = at('2026-03-03T21:55Z');
  const tags = parseKeepRules('tags=2h');
  t.same(keep(tagged.slice(0, 3), { now, rules: tags }), [[20, 'tag']]);
  t.same(keep(tagged.slice(0, 3), { now: now + 2 * 3600e6, rules: tags }), []);
  const locks = [{ lsn: 10, until: now + 1 }];
  t.same(keep(points.slice(0, 3), { now, rules: {}, locks }), [[10, 'locked']]);
  t.same(keep(points.slice(0, 3), { now: now + 1, rules: {}, locks }), []);
  const gap = points.map((point) => (point.lsn === 30 ? { ...point, point: false } : point));
  t.same(keep(gap, { now: at('2026-03-03T22:20Z') }), [[20, 'hourly']], 'the point before the gap instead');
  const [kept] = keptPoints(points, { rules, locks: [], windowMs: 0, now: at('2026-03-03T22:20Z') });
  t.equal(spell(kept?.until ?? 0), '2026-03-11T00:00', 'and it says until when');
});

t.test('a tag within the window stays without any rule, other ends of steps do not', async (t) => {
  const points = every20('2026-03-03T21:10Z', 4);
  const tagged = points.map((point) => (point.lsn === 20 ? { ...point, tag: { name: 'x' } } : point));
  const now = at('2026-03-03T22:12Z');
  const windowMs = 3600e3;
  const of = (minutes: number, change: Partial<KeepPolicy> = {}): [number, string][] =>
    keep(tagged, { now, windowMs, rules: { tags: minutes * 60e3 }, ...change });
  t.same(of(0), [[20, 'window']], 'the others within the window are thinned');
  t.same(of(0, { windowMs: 0 }), []);
  t.same(of(0, { now: at('2026-03-03T22:30Z') }), [], 'at its end');
  t.same(of(30), [[20, 'window']], 'a rule that is shorter has ended');
  t.same(of(50), [[20, 'tag,window']]);
  t.same(of(120), [[20, 'tag']], 'the longer rule says it all');
  const inGap = tagged.map((point) => ({ ...point, point: point.lsn !== 20 }));
  t.same(keep(inGap, { now, windowMs, rules: {} }), [], 'in a gap no tag is a point');
  const [kept] = keptPoints(tagged, { rules: { tags: 50 * 60e3 }, locks: [], windowMs, now });
  t.equal(spell(kept?.until ?? 0), '2026-03-03T22:30');
});

t.test('a window made longer keeps the tags that a rule no longer names', async (t) => {
  const now = at('2026-03-03T22:00Z');
  const tag = { name: 'x' };
  const points = [{ lsn: 10, time: at('2026-03-03T21:52Z'), point: true, tag }];
  const before = { now, rules: parseKeepRules('tags=1h'), windowMs: 30_000 };
  t.same(keep(points, before), [[10, 'tag']]);
  t.same(keep(points, { ...before, rules: {} }), [], 'the short window alone does not keep it');
  t.same(keep(points, { ...before, rules: {}, windowMs: 48 * 3600e3 }), [[10, 'window']]);
});
