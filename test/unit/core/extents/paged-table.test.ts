// Look-ups in table files: a page at a time, with the same answers as in memory.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { DerivedDamaged } from '../../../../core/extents/derived-damaged.ts';
import { PageCache } from '../../../../core/extents/page-cache.ts';
import { PagedTable } from '../../../../core/extents/paged-table.ts';
import { Pieces } from '../../../../core/extents/pieces.ts';
import { resolve } from '../../../../core/extents/resolve.ts';
import { writeTableFile } from '../../../../core/extents/table-file-writer.ts';
import { hostFiles } from '../../../../core/files/host-files.ts';
import { limits } from '../../../../core/limits.ts';
import { longTable, pagedCopy, sourcesOf } from '../../../support/extent-model.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const files = new SimulatedFiles({ directories: ['/d'] });
const page = limits.tablePageExtents;

/** The answer as text: where each piece is and what it is of. */
function described(pieces: Pieces): string[] {
  const lines: string[] = [];
  pieces.forEach((start, end, columns, index) => {
    const extent = columns?.extent(index);
    lines.push(
      `${start}-${end} ${extent ? [extent.segment, extent.position, extent.lsnDelta].join('/') : '-'}`,
    );
  });
  return lines;
}

for (const count of [1, page - 1, page, page + 1, 5 * page + 17]) {
  t.test(`a file of ${count} extents answers as the table in memory does`, async (t) => {
    const random = seededRandom(chooseSeed(t));
    const below = longTable(random, count, 1);
    const above = longTable(random, Math.ceil(count / 3), 2);
    const last = below.columns.ends[count - 1]!;
    const cache = new PageCache(3);
    const pagedBelow = pagedCopy(files, `/d/below-${count}`, below, { first: 1, cache });
    const pagedAbove = pagedCopy(files, `/d/above-${count}`, above, { first: 2, cache });
    const places: number[] = [0, last, last + 4096];
    // All around the ends of pages, and anywhere.
    for (let index = page - 1; index < count; index += page) {
      for (const near of [index - 1, index, index + 1]) {
        for (const shift of [-512, -1, 0, 1, 512]) {
          places.push(
            (below.columns.starts[near] ?? last) + shift,
            (below.columns.ends[near] ?? last) + shift,
          );
        }
      }
    }
    for (let at = 0; at < 300; at++) places.push(random.below(last + 8192));
    let wrong = 0;
    for (const start of places) {
      for (const length of [1, 512, 3000, 20_000, last]) {
        const end = start + length;
        const wanted = described(resolve([above, below], start, end, new Pieces()));
        const found = described(resolve([pagedAbove, pagedBelow], start, end, new Pieces()));
        if (start >= 0 && found.join() !== wanted.join()) wrong++;
        const first = below.find(start);
        const wantedPage = first === count ? pagedBelow.pageCount : Math.floor(first / page);
        if (pagedBelow.findPage(start, 0) !== wantedPage) wrong++;
      }
    }
    t.equal(wrong, 0);
    t.ok(cache.count <= 3);
  });
}

t.test('pages that were taken out of the cache stay good for who has them', async (t) => {
  const table = longTable(seededRandom(7), 10 * page);
  const cache = new PageCache(2);
  const paged = pagedCopy(files, '/d/evicted', table, { cache });
  const pieces = resolve([paged], 0, table.columns.ends[table.count - 1]!, new Pieces());
  t.equal(cache.count, 2);
  t.same(described(pieces), described(resolve([table], 0, pieces.ends[pieces.count - 1]!, new Pieces())));
});

t.test('a page that is used stays while others pass through the cache', async (t) => {
  const disk = new SimulatedFiles({ directories: ['/d'] });
  const paged = pagedCopy(disk, '/d/t', longTable(seededRandom(8), 20 * page), { cache: new PageCache(3) });
  const first = paged.page(0);
  for (let at = 1; at < 20; at++) {
    paged.page(at);
    const before = disk.calls;
    t.equal(paged.page(0), first);
    t.equal(disk.calls, before);
  }
});

t.test('tables share the cache of the thread', async (t) => {
  const cache = new PageCache(4);
  const tables = [1, 2, 3].map((seed) => {
    return pagedCopy(files, `/d/shared-${seed}`, longTable(seededRandom(seed), 3 * page), { cache });
  });
  for (let round = 0; round < 3; round++) {
    for (const table of tables) for (let at = 0; at < 3; at++) t.equal(table.page(at).count, page);
  }
  t.equal(cache.count, 4);
});

t.test('a file whose name is gone, or has become another table, is read on', async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'one.table');
  const meta = { sources: sourcesOf(1) };
  const [one, other] = [longTable(seededRandom(9), 4 * page), longTable(seededRandom(10), 4 * page)];
  writeTableFile(hostFiles, file, one, meta, () => 0);
  const fd = hostFiles.open(file);
  t.teardown(() => hostFiles.close(fd));
  const paged = PagedTable.tryOpen(hostFiles, fd, [0], new PageCache(1));
  const end = one.columns.ends[one.count - 1]!;
  const wanted = described(resolve([one], 0, end, new Pieces()));
  t.same(described(resolve([paged!], 0, end, new Pieces())), wanted);
  writeTableFile(hostFiles, file, other, meta, () => 0);
  t.same(described(resolve([paged!], 0, end, new Pieces())), wanted);
  fs.unlinkSync(file);
  t.same(described(resolve([paged!], 0, end, new Pieces())), wanted);
  t.same(fs.readdirSync(directory), []);
});

t.test(
  'a damaged page is a signal that names the table; others are read, and the next look-up',
  async (t) => {
    const disk = new SimulatedFiles({ directories: ['/d'] });
    const table = longTable(seededRandom(11), 3 * page);
    const paged = pagedCopy(disk, '/d/t', table);
    const intact = pagedCopy(disk, '/d/u', longTable(seededRandom(12), 10));
    const fd = disk.open('/d/t');
    const middle = disk.size(fd) - 24 - 3 * 20 - 2 * page * 29 + 100;
    disk.write(fd, [Buffer.from([99])], middle);
    const end = table.columns.ends[table.count - 1]!;
    const pieces = new Pieces();
    for (let twice = 0; twice < 2; twice++) {
      try {
        resolve([intact, paged], 0, end, pieces);
        t.fail('it was read');
      } catch (error) {
        t.type(error, DerivedDamaged);
        t.equal((error as DerivedDamaged).table, paged);
        t.equal((error as DerivedDamaged).page, 1);
      }
      const border = table.columns.ends[page - 1]!;
      t.same(
        described(resolve([paged], 0, border, pieces)),
        described(resolve([table], 0, border, new Pieces())),
      );
    }
    t.throws(() => paged.load(), DerivedDamaged);
  },
);

t.test('a page that the disk cannot read is a signal, a closed file a mistake of ours', async (t) => {
  const disk = new SimulatedFiles({ directories: ['/d'] });
  writeTableFile(disk, '/d/t', longTable(seededRandom(13), 10), { sources: sourcesOf(1) }, () => 0);
  const fd = disk.open('/d/t');
  const paged = PagedTable.tryOpen(disk, fd, [0], new PageCache(1));
  disk.faults.failAt(1, 'EIO', ['readSync']);
  t.throws(() => paged?.page(0), DerivedDamaged);
  t.equal(paged?.page(0).count, 10);
  const other = PagedTable.tryOpen(disk, fd, [0], new PageCache(1));
  disk.close(fd);
  t.throws(() => other?.page(0), { code: 'EBADF' });
});

t.test('ordinals may follow from the meta', async (t) => {
  writeTableFile(files, '/d/meta', longTable(seededRandom(14), 5), { sources: sourcesOf(3) }, () => 2);
  const paged = PagedTable.tryOpen(files, files.open('/d/meta'), ({ sources }) =>
    sources.map(({ to }) => to),
  );
  t.same(
    [...(paged?.page(0).columns.segments ?? [])],
    Array.from({ length: 5 }, () => 299),
  );
});

t.test('a table of another number of sources than was thought is not there', async (t) => {
  writeTableFile(files, '/d/sources', longTable(seededRandom(15), 5), { sources: sourcesOf(2) }, () => 0);
  const fd = files.open('/d/sources');
  for (const ordinals of [[], [1], [1, 2, 3]]) t.equal(PagedTable.tryOpen(files, fd, ordinals), null);
  t.equal(PagedTable.tryOpen(files, fd, [1, 2])?.count, 5);
});
