// Checks the bitmap of blocks against a plain set, and that a huge empty disk is quick.
import t from 'tap';
import { BlockMap } from '../../../../core/block/block-map.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

const blocks = 100_000;

t.test('marks, counts and runs agree with a plain set', (t) => {
  const random = seededRandom(chooseSeed(t));
  const map = new BlockMap();
  const model = new Set<number>();
  for (let round = 0; round < 60; round += 1) {
    const start = random.below(blocks);
    const end = Math.min(blocks, start + random.below(random.pick([3, 500, 40_000])));
    const mark = random.chance(0.5);
    if (mark) map.mark(start, end);
    else map.clear(start, end);
    for (let block = start; block < end; block += 1)
      if (mark) model.add(block);
      else model.delete(block);
    t.equal(map.count, model.size);
    const from = random.below(blocks);
    const to = from + random.below(blocks - from);
    let at = from;
    let wrong = 0;
    let before: boolean | null = null;
    for (const run of map.runs(from, to)) {
      if (run.start !== at || run.end <= run.start || run.marked === before) wrong += 1;
      for (let block = run.start; block < run.end; block += 1) {
        if (model.has(block) !== run.marked) wrong += 1;
      }
      at = run.end;
      before = run.marked;
    }
    t.equal(at, to);
    t.equal(wrong, 0);
  }
  t.end();
});

t.test('a mark at each end of 64 TiB is found', (t) => {
  const map = new BlockMap();
  const last = 2 ** 34 - 1;
  map.mark(0, 1);
  map.mark(last, last + 1);
  t.same(
    [...map.runs(0, last + 1)].map((run) => run.start),
    [0, 1, last],
  );
  map.clear(0, last + 1);
  t.equal(map.count, 0);
  t.end();
});

t.test('pages that have changed are given out once, and make the same map again', (t) => {
  const map = new BlockMap();
  map.mark(10, 20);
  map.mark(70_000, 70_003);
  const pages = map.takeChanged();
  t.same(
    pages.map(({ index }) => index),
    [0, 2],
  );
  t.same(map.takeChanged(), []);
  map.clear(12, 14);
  t.equal(pages[0]?.bits[1], 0b1111_1100, 'a copy');
  const again = new BlockMap();
  for (const page of pages) again.load(page);
  t.equal(again.count, 13);
  t.same(again.takeChanged(), []);
  t.same(
    [...again.runs(0, 25)].filter(({ marked }) => marked),
    [{ start: 10, end: 20, marked: true }],
  );
  t.throws(() => again.load(pages[0]!), RangeError);
  t.end();
});
