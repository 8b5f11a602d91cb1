// Merging tables, whole and in slices, against the model.
import t from 'tap';
import fc from 'fast-check';
import { wholeMachine } from '../../../../core/extents/address.ts';
import { buildTable } from '../../../../core/extents/build.ts';
import { ExtentList } from '../../../../core/extents/extent-list.ts';
import { ExtentTable } from '../../../../core/extents/extent-table.ts';
import { beginMerge, mergeAll, mergeTables } from '../../../../core/extents/merge.ts';
import {
  anyWrite,
  blank,
  blocks,
  checkTable,
  listOf,
  modelOf,
  places,
  resolveCells,
  holds,
  same,
} from '../../../support/extent-model.ts';

const anyWrites = fc.array(anyWrite, { maxLength: 40 });

for (const [name, place] of Object.entries(places)) {
  t.test(`the newer table wins, in one go and in slices, ${name}`, async (t) => {
    await holds(
      t,
      fc.property(anyWrites, anyWrites, fc.integer({ min: 1, max: 5 }), (old, fresh, steps) => {
        const older = buildTable(listOf(old, place, 7));
        const newer = buildTable(listOf(fresh, place, 8));
        const merged = mergeTables(older, newer);
        checkTable(merged);
        const model = modelOf(fresh, 8, modelOf(old, 7));
        same(resolveCells([merged], place), model);
        same(resolveCells([newer, older], place), model);
        const sliced = beginMerge(older, newer);
        while (!sliced.run(steps));
        same([...sliced.finish().extents()], [...merged.extents()]);
        const live = model.map((cell) => (cell.startsWith('7') ? '-' : cell));
        same(resolveCells([mergeTables(older, newer, 8)], place), live);
      }),
      200,
    );
  });
}

t.test('any number of tables merge into what they say together', async (t) => {
  await holds(
    t,
    fc.property(fc.array(anyWrites, { maxLength: 7 }), (segments) => {
      const model = segments.reduce((before, writes, segment) => modelOf(writes, segment, before), blank());
      const tables = segments.map((writes, segment) => buildTable(listOf(writes, blocks, segment)));
      same(resolveCells([mergeAll(tables)], blocks), model);
    }),
    100,
  );
});

t.test('an extent of everything hides all before it, and is cut by what comes after', async (t) => {
  const list = new ExtentList();
  list.push(4096, 8192, 0, 0, 0, 1);
  list.push(wholeMachine.start, wholeMachine.end, 0, 1, 1, 3);
  list.push(wholeMachine.end - 512, wholeMachine.end, 0, 2, 2, 1);
  t.same(
    [...buildTable(list).extents()].map(({ start, end, lsnDelta }) => [start, end, lsnDelta]),
    [
      [0, wholeMachine.end - 512, 1],
      [wholeMachine.end - 512, wholeMachine.end, 2],
    ],
  );
});

t.test('extents of one place in a segment but of two kinds stay apart', async (t) => {
  const older = new ExtentList();
  older.push(0, 512, 0, 0, 0, 1);
  const newer = new ExtentList();
  newer.push(512, 1024, 0, 0, 0, 3);
  t.equal(mergeTables(buildTable(older), buildTable(newer)).count, 2);
});

t.test('a table that went through its buffer is the same table', async (t) => {
  const table = buildTable(
    listOf(
      [
        { from: 1, to: 3, kind: 1 },
        { from: 2, to: 9, kind: 2 },
      ],
      blocks,
    ),
  );
  t.strictSame([...ExtentTable.from(structuredClone(table.transferable())).extents()], [...table.extents()]);
  t.equal(table.bytes, table.count * 29);
});
