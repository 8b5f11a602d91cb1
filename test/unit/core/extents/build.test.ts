// Tables of records in LSN order, against the model.
import t from 'tap';
import fc from 'fast-check';
import { buildTable } from '../../../../core/extents/build.ts';
import { ExtentList } from '../../../../core/extents/extent-list.ts';
import {
  anyWrite,
  checkTable,
  listOf,
  modelOf,
  places,
  resolveCells,
  holds,
  same,
} from '../../../support/extent-model.ts';

for (const [name, place] of Object.entries(places)) {
  t.test(`a table says of every cell who wrote it last, ${name}`, async (t) => {
    await holds(
      t,
      fc.property(fc.array(anyWrite, { maxLength: 600 }), (writes) => {
        const table = buildTable(listOf(writes, place));
        checkTable(table);
        same(resolveCells([table], place), modelOf(writes));
      }),
      100,
    );
  });
}

t.test('sequential records stay one run, and records that touch stay apart', async (t) => {
  const list = new ExtentList();
  for (let at = 0; at < 5000; at++) list.push(at * 512, (at + 1) * 512, 0, at, at, 1);
  t.same([...buildTable(list).columns.positions.subarray(0, 3)], [0, 1, 2]);
  t.equal(buildTable(list).count, 5000);
});

t.test('pieces of one record that touch again become one', async (t) => {
  const list = new ExtentList();
  // Unaligned, so that it goes through the merge: 0 is cut by 1, which 2 then hides together with a part of
  // 0.
  list.push(1, 100, 0, 0, 0, 1);
  list.push(40, 50, 0, 1, 1, 1);
  list.push(40, 60, 0, 2, 2, 1);
  t.same(
    [...buildTable(list).extents()].map(({ start, end, lsnDelta }) => [start, end, lsnDelta]),
    [
      [1, 40, 0],
      [40, 60, 2],
      [60, 100, 0],
    ],
  );
});

t.test('the same extent written over and over is one extent', async (t) => {
  const list = new ExtentList();
  for (let at = 0; at < 1000; at++) list.push(4096, 8192, 0, at, at, 1);
  t.same(
    [...buildTable(list).extents()].map(({ lsnDelta }) => lsnDelta),
    [999],
  );
});

t.test('an extent without length is refused', async (t) => {
  const list = new ExtentList();
  t.throws(() => list.push(5, 5, 0, 0, 0, 1), RangeError);
  t.throws(() => list.push(5, NaN, 0, 0, 0, 1), RangeError);
  t.equal(buildTable(list).count, 0);
});
