// The index of the segment being written.
import t from 'tap';
import fc from 'fast-check';
import { Pieces } from '../../../../core/extents/pieces.ts';
import { resolveOver } from '../../../../core/extents/resolve.ts';
import { TailIndex } from '../../../../core/extents/tail-index.ts';
import {
  anyWrite,
  blank,
  cells,
  cellsOf,
  checkTable,
  places,
  positionOf,
  resolveCells,
  holds,
  same,
  writeModel,
} from '../../../support/extent-model.ts';

for (const [name, place] of Object.entries(places)) {
  t.test(`reads between inserts see every insert, and sealing changes no answer, ${name}`, async (t) => {
    const anyThen = fc.constantFrom('', '', '', 'read', 'sort');
    const anyWork = fc.array(fc.tuple(anyWrite, anyThen), { maxLength: 40 });
    await holds(
      t,
      fc.property(anyWork, fc.integer({ min: 1, max: 40 }), (work, repeats) => {
        const tail = new TailIndex();
        const model = blank();
        const pieces = new Pieces();
        const read = (): string[] => {
          const end = place.base + cells * place.cellBytes;
          return cellsOf(resolveOver(tail.list, tail.tables, place.base, end, pieces, 0), place);
        };
        let record = 0;
        // Repeated, because tables are only made every 256 records.
        for (let repeat = 0; repeat < repeats; repeat++) {
          for (const [write, then] of work) {
            const start = place.base + write.from * place.cellBytes;
            const end = place.base + write.to * place.cellBytes;
            tail.insert(start, end, 0, positionOf(record), record, write.kind);
            writeModel(model, write, 0, record++);
            if (then === 'sort') tail.sortList();
            if (then === 'read' && repeat % 7 === 0) same(read(), model);
          }
        }
        same(read(), model);
        const sealed = tail.seal();
        checkTable(sealed);
        same(resolveCells([sealed], place), model);
        same(read(), blank());
      }),
      40,
    );
  });
}

t.test('the number of tables grows with the logarithm of the records', async (t) => {
  const tail = new TailIndex();
  for (let at = 0; at < 256 * 63; at++) tail.insert(at * 512, (at + 1) * 512, 0, at, at, 1);
  t.equal(tail.tables.length, 6);
  t.equal(tail.seal().count, 256 * 63);
  t.equal(tail.tables.length, 0);
});

t.test('a very full segment is not merged in one insert, and is one table when sealed', async (t) => {
  const tail = new TailIndex();
  for (let at = 0; at < 300_000; at++) tail.insert(at * 512, (at + 1) * 512, 0, at, at, 1);
  t.ok(tail.tables.every(({ count }) => count <= 65_536));
  t.equal(tail.seal().count, 300_000);
});

t.test('the pieces of a look-up stay what they were while the tail goes on', async (t) => {
  const tail = new TailIndex();
  tail.insert(0, 512, 0, 1111, 1, 1);
  const pieces = resolveOver(tail.list, tail.tables, 0, 512, new Pieces(), 0);
  for (let at = 0; at < 1000; at++) tail.insert(0, 512, 0, at, at, 1);
  t.equal(pieces.columns[0]?.positions[pieces.indexes[0] ?? -1], 1111);
});
