// Look-ups over tables laid one upon the other, against the model.
import t from 'tap';
import fc from 'fast-check';
import { wholeMachine } from '../../../../core/extents/address.ts';
import { buildTable } from '../../../../core/extents/build.ts';
import { ExtentList } from '../../../../core/extents/extent-list.ts';
import { mergeAll } from '../../../../core/extents/merge.ts';
import { Pieces } from '../../../../core/extents/pieces.ts';
import { resolve, resolveOver } from '../../../../core/extents/resolve.ts';
import {
  anyWrite,
  blank,
  cells,
  cellsOf,
  firstOf,
  listOf,
  modelOf,
  pagedCopy,
  places,
  resolveCells,
  resolveLayerCells,
  holds,
  same,
  type Model,
} from '../../../support/extent-model.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';

const anyExtent = fc
  .tuple(fc.nat(cells), fc.nat(cells))
  .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);

for (const [name, place] of Object.entries(places)) {
  t.test(`any extent resolves as the model says, also where segments are gone, ${name}`, async (t) => {
    const anySegments = fc.array(fc.array(anyWrite, { maxLength: 12 }), { minLength: 1, maxLength: 6 });
    await holds(
      t,
      fc.property(anySegments, anyExtent, fc.nat(6), (segments, [from, to], firstLive) => {
        const model = segments.reduce((before, writes, segment) => modelOf(writes, segment, before), blank());
        const tables = segments
          .map((writes, segment) => buildTable(listOf(writes, place, segment)))
          .reverse();
        same(resolveCells(tables, place, from, to), model.slice(from, to));
        const live = model.map((cell) => (parseInt(cell) < firstLive ? '-' : cell));
        same(resolveCells(tables, place, from, to, firstLive), live.slice(from, to));
        const list = listOf(segments.at(-1) ?? [], place, segments.length - 1);
        const start = place.base + from * place.cellBytes;
        const end = place.base + to * place.cellBytes;
        const pieces = resolveOver(list, tables.slice(1), start, end, new Pieces(), 0);
        same(cellsOf(pieces, place, from, to), model.slice(from, to));
      }),
      300,
    );
  });
}

const undoFrom = 2 ** 31;

/** What each cell says when what redo says at or below the floor is not seen, nor what it hides in redo. */
function layersModel(
  redo: Model,
  undo: readonly Model[],
  floor: { segment: number; lsnDelta: number },
): Model {
  const below = firstOf(undo);
  return redo.map((cell, at) => {
    const [segment = -1, record = -1] = cell.split('/').map(Number);
    const isSeen =
      cell !== '-' && (segment > floor.segment || (segment === floor.segment && record > floor.lsnDelta));
    return isSeen ? cell : below[at]!;
  });
}

for (const [name, place] of Object.entries(places)) {
  t.test(`redo above the floor comes first, then the oldest undo, then the replica, ${name}`, async (t) => {
    const files = new SimulatedFiles({ directories: ['/d'] });
    const anySteps = fc.array(fc.array(anyWrite, { maxLength: 6 }), { maxLength: 5 });
    const anyFloor = fc.record({
      segment: fc.integer({ min: -1, max: 6 }),
      lsnDelta: fc.integer({ min: -1, max: 6 }),
    });
    await holds(
      t,
      fc.property(
        anySteps,
        anySteps,
        anyFloor,
        anyExtent,
        fc.nat(5),
        (redo, undo, floor, [from, to], merged) => {
          const redoModel = redo.reduce((before, writes, at) => modelOf(writes, at, before), blank());
          const undoModels = undo.map((writes, at) => modelOf(writes, undoFrom + at));
          const redoTables = redo.map((writes, at) => buildTable(listOf(writes, place, at)));
          const undoTables = undo.map((writes, at) => buildTable(listOf(writes, place, undoFrom + at)));
          // Some of the oldest segments are in one table, as they are in the index.
          const tables = [mergeAll(redoTables.slice(0, merged)), ...redoTables.slice(merged)].reverse();
          const wanted = layersModel(redoModel, undoModels, floor).slice(from, to);
          const memory = { redo: tables, floor, undo: undoTables };
          same(resolveLayerCells(memory, place, from, to), wanted, 'in memory');
          const paged = {
            redo: tables.map((table, at) => pagedCopy(files, `/d/redo-${at}`, table, { segments: 6 })),
            floor,
            undo: undoTables.map((table, at) => {
              return pagedCopy(files, `/d/undo-${at}`, table, { first: undoFrom, segments: 6 });
            }),
          };
          same(resolveLayerCells(paged, place, from, to), wanted, 'in files');
        },
      ),
      200,
    );
  });
}

t.test('a block that is one whole extent is one piece, and what nobody wrote is one hole', async (t) => {
  const list = new ExtentList();
  for (let at = 0; at < 100; at += 2) list.push(at * 4096, (at + 1) * 4096, 0, at, at, 1);
  const table = buildTable(list);
  const pieces = new Pieces();
  resolve([table, table], 40 * 4096, 41 * 4096, pieces);
  t.equal(pieces.count, 1);
  t.equal(pieces.columns[0]?.positions[pieces.indexes[0] ?? -1], 40);
  resolve([table, table], 1000 * 4096, 2000 * 4096, pieces);
  t.equal(pieces.count, 1);
  t.same([pieces.starts[0], pieces.ends[0], pieces.columns[0]], [1000 * 4096, 2000 * 4096, null]);
  resolve([], 0, wholeMachine.end, pieces);
  t.same([pieces.count, pieces.starts[0], pieces.ends[0]], [1, 0, wholeMachine.end]);
  resolve([table], 7, 7, pieces);
  t.equal(pieces.count, 0);
});

t.test('neighbouring extents that are gone come out as one hole', async (t) => {
  const list = new ExtentList();
  for (let at = 0; at < 10; at++) list.push(at * 512, (at + 1) * 512, 3, at, at, 1);
  const pieces = resolve([buildTable(list)], 0, 8192, new Pieces(), 4);
  t.same([pieces.count, pieces.ends[0]], [1, 8192]);
});

t.test('more pieces than the arrays had room for come out in order', async (t) => {
  const list = new ExtentList();
  for (let at = 0; at < 1000; at++) list.push(at * 1024, at * 1024 + 512, 0, at, at, 1);
  const pieces = resolve([buildTable(list)], 0, 1000 * 1024, new Pieces());
  t.equal(pieces.count, 2000);
  let at = 0;
  pieces.forEach((start, end, columns, index) => {
    t.equal(start, at * 512);
    t.equal(end, (at + 1) * 512);
    t.equal(columns?.positions[index], at % 2 === 0 ? at / 2 : undefined);
    at++;
  });
});
