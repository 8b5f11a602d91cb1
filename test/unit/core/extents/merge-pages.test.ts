// Many tables into one, page by page, against the model.
import t from 'tap';
import fc from 'fast-check';
import { buildTable } from '../../../../core/extents/build.ts';
import { DerivedDamaged } from '../../../../core/extents/derived-damaged.ts';
import { ExtentList } from '../../../../core/extents/extent-list.ts';
import { mergeAll } from '../../../../core/extents/merge.ts';
import { mergePages, mergeTableFiles, PagesMerge } from '../../../../core/extents/merge-pages.ts';
import { PagedTable } from '../../../../core/extents/paged-table.ts';
import type { ExtentPages } from '../../../../core/extents/extent-pages.ts';
import { ExtentTable } from '../../../../core/extents/extent-table.ts';
import { writeTableFile } from '../../../../core/extents/table-file-writer.ts';
import { limits } from '../../../../core/limits.ts';
import {
  anyWrite,
  checkTable,
  firstOf,
  holds,
  listOf,
  longTable,
  modelOf,
  pagedCopy,
  places,
  positionOf,
  resolveCells,
  same,
  sourcesOf,
} from '../../../support/extent-model.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';

const anyTables = fc.array(fc.array(anyWrite, { maxLength: 12 }), { maxLength: 9 });

/** What a merge emits, as a table. */
function collect(tables: readonly ExtentPages[], steps = Infinity): ExtentTable {
  const list = new ExtentList();
  const merge = new PagesMerge(tables, (start, end, columns, index) => {
    const { segment, position, lsnDelta, kind } = columns.extent(index);
    list.push(start, end, segment, position, lsnDelta, kind);
  });
  while (!merge.run(steps));
  return ExtentTable.copyOf(list.columns, list.count);
}

for (const [name, place] of Object.entries(places)) {
  t.test(`of each address the first table that has it wins, ${name}`, async (t) => {
    await holds(
      t,
      fc.property(anyTables, fc.integer({ min: 1, max: 4 }), (steps, slice) => {
        const tables = steps.map((writes, at) => buildTable(listOf(writes, place, at)));
        const merged = collect(tables);
        checkTable(merged);
        same(resolveCells([merged], place), firstOf(steps.map((writes, at) => modelOf(writes, at))));
        same([...collect(tables, slice).extents()], [...merged.extents()], 'in slices');
        // The merge in memory, which is given the oldest and so the last first.
        same([...merged.extents()], [...mergeAll(tables.reverse()).extents()], 'as in memory');
      }),
      200,
    );
  });
}

t.test('long tables merge page by page as they do in memory', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const files = new SimulatedFiles({ directories: ['/d'] });
  const tables = [3000, 10, 1500, 513, 512].map((count, at) => longTable(random, count, at));
  const paged = tables.map((table, at) => pagedCopy(files, `/d/${at}`, table, { segments: 5 }));
  t.strictSame([...collect(paged).extents()], [...mergeAll(tables.reverse()).extents()]);
});

t.test('pieces of a record that another table cut join over the end of a page', async (t) => {
  const list = new ExtentList();
  const count = limits.tablePageExtents + 2;
  // One record in pieces that touch; each second one belongs to a table of its own.
  const cut = [new ExtentList(), new ExtentList()];
  for (let at = 0; at < count; at++) cut[at % 2]!.push(at * 512, at * 512 + 512, 3, positionOf(1), 1, 1);
  list.push(0, count * 512, 3, positionOf(1), 1, 1);
  t.strictSame([...collect(cut.map((half) => buildTable(half))).extents()], [...buildTable(list).extents()]);
  t.equal(collect([]).count, 0);
  mergePages([ExtentTable.empty], () => t.fail('there is nothing in it'));
});

/** Files of tables, each of a source of its own, and their descriptors. */
function inputs(files: SimulatedFiles, tables: readonly ExtentTable[]): number[] {
  return tables.map((table, at) => {
    const meta = { sources: sourcesOf(tables.length).slice(at, at + 1), step: at };
    writeTableFile(files, `/d/in-${at}`, table, meta, () => 0);
    return files.open(`/d/in-${at}`);
  });
}

t.test('files merge into a file with the sources of all of them, and files of files', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const files = new SimulatedFiles({ directories: ['/d'] });
  const tables = Array.from({ length: 6 }, (_, at) => longTable(random, 600 + at * 100, at));
  const fds = inputs(files, tables);
  const wanted = [...mergeAll(tables.toReversed()).extents()];
  const meta = mergeTableFiles(files, fds, '/d/all', { run: 8 });
  t.strictSame(meta, { run: 8, sources: sourcesOf(6) });
  const all = PagedTable.tryOpen(files, files.open('/d/all'), [0, 1, 2, 3, 4, 5]);
  t.strictSame(all?.meta, meta);
  t.strictSame([...(all?.load().extents() ?? [])], wanted);

  mergeTableFiles(files, fds.slice(0, 3), '/d/first');
  mergeTableFiles(files, fds.slice(3), '/d/last');
  mergeTableFiles(files, [files.open('/d/first'), files.open('/d/last')], '/d/twice');
  const twice = PagedTable.tryOpen(files, files.open('/d/twice'), [0, 1, 2, 3, 4, 5]);
  t.strictSame(twice?.meta.sources, sourcesOf(6));
  t.strictSame([...(twice?.load().extents() ?? [])], wanted);
});

t.test('of a damaged file nothing is merged', async (t) => {
  const files = new SimulatedFiles({ directories: ['/d'] });
  const tables = [1, 2].map((seed) => longTable(seededRandom(seed), 1200));
  const fds = inputs(files, tables);
  const [, second = -1] = fds;
  const before = files.list('/d');
  const damage = (at: number): void => files.write(second, [Buffer.from([0xee])], at);
  damage(files.size(second) - 24 - 3 * 20 - 1000);
  t.throws(() => mergeTableFiles(files, fds, '/d/all'), DerivedDamaged);
  damage(files.size(second) - 1);
  t.equal(mergeTableFiles(files, fds, '/d/all'), null);
  t.same(files.list('/d'), before);
});
