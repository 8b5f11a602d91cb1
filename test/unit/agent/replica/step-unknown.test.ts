// What is unknown behind a step, against a list of bytes.
import t from 'tap';
import { UnknownCutter, UnknownWalk } from '../../../../agent/replica/step-unknown.ts';
import { limits } from '../../../../core/limits.ts';
import { chooseSeed, seededRandom, type Random } from '../../../support/random.ts';

const bytes = 60;

/** Sorted, disjoint [start, end). */
function randomExtents(random: Random): [number, number][] {
  const ends = Array.from({ length: random.below(12) }, () => random.below(bytes));
  const sorted = [...new Set(ends)].toSorted((a, b) => a - b);
  return sorted.flatMap((start, at) =>
    at % 2 === 0 && at + 1 < sorted.length ? [[start, sorted[at + 1]!] as [number, number]] : [],
  );
}

const markOf = (extents: readonly [number, number][]): boolean[] =>
  Array.from({ length: bytes }, (_, at) => extents.some(([start, end]) => start <= at && at < end));

t.test('what was unknown stays so but where it is written, and what is lost is added', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let round = 0; round < 500; round++) {
    const before = randomExtents(random);
    const expected = markOf(before);
    const walk = new UnknownWalk(before);
    for (const [start, end] of randomExtents(random)) {
      const isUnknown = random.chance(0.4);
      walk.change(start, end, isUnknown);
      expected.fill(isUnknown, start, end);
    }
    const after = walk.end();
    t.same(markOf(after), expected);
    t.ok(
      after.every(([start], at) => at === 0 || after[at - 1]![1] < start),
      'in order, joined where they touch',
    );
  }
});

t.test('extents are cut where they are unknown', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let round = 0; round < 500; round++) {
    const unknown = randomExtents(random);
    const known = markOf(unknown);
    const cutter = new UnknownCutter(unknown);
    for (const [start, end] of randomExtents(random)) {
      let at = start;
      for (const part of cutter.cut(start, end)) {
        t.equal(part.start, at);
        for (; at < part.end; at++) t.equal(part.isUnknown, known[at]);
      }
      t.equal(at, end);
    }
  }
});

t.test('the list is bounded: too many places become one that holds them all', async (t) => {
  const walk = new UnknownWalk([]);
  for (let at = 0; at < limits.unknownExtents + 5; at++) walk.change(at * 10, at * 10 + 5, true);
  const list = walk.end();
  t.equal(list.length, limits.unknownExtents);
  t.same(list.at(-1), [(limits.unknownExtents - 1) * 10, (limits.unknownExtents + 4) * 10 + 5]);
});
