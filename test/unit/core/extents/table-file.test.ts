// Tables as files: what is damaged is not there, or says so, and never says anything else.
import { crc32 } from 'node:zlib';
import t from 'tap';
import fc from 'fast-check';
import { wholeMachine } from '../../../../core/extents/address.ts';
import { buildTable } from '../../../../core/extents/build.ts';
import { DerivedDamaged } from '../../../../core/extents/derived-damaged.ts';
import { ExtentColumns } from '../../../../core/extents/extent-columns.ts';
import { ExtentList } from '../../../../core/extents/extent-list.ts';
import { ExtentTable } from '../../../../core/extents/extent-table.ts';
import { PagedTable } from '../../../../core/extents/paged-table.ts';
import {
  createTableFile,
  TableFileWriter,
  writeTableFile,
} from '../../../../core/extents/table-file-writer.ts';
import {
  encodeTableFooter,
  encodeTableHeader,
  tryReadTableMeta,
  type TableMeta,
} from '../../../../core/extents/table-file.ts';
import { limits } from '../../../../core/limits.ts';
import {
  anyWrite,
  holds,
  listOf,
  longTable,
  pagedCopy,
  places,
  same,
  sourcesOf,
} from '../../../support/extent-model.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';

const files = new SimulatedFiles({ directories: ['/d'] });

/** A file of these bytes. */
function fileOf(bytes: Uint8Array, path = '/d/damaged'): number {
  if (files.list('/d').includes(path.slice(3))) files.unlink(path);
  const fd = files.create(path);
  files.write(fd, [bytes], 0);
  return fd;
}

function bytesOf(path: string): Buffer {
  const fd = files.open(path);
  const bytes = Buffer.alloc(files.size(fd));
  files.readSync(fd, bytes, 0);
  files.close(fd);
  return bytes;
}

t.test('a table comes back as it was, with its meta, under new ordinals', async (t) => {
  const anyPlace = fc.constantFrom(...Object.values(places));
  await holds(
    t,
    fc.property(fc.array(anyWrite), anyPlace, fc.nat(9), (writes, place, source) => {
      const table = buildTable(listOf(writes, place, 2 ** 32 - 1));
      const meta = { sources: sourcesOf(10), lastLsn: 2 ** 52 + 1, who: 'größe' };
      const bytes = writeTableFile(files, '/d/table', table, meta, () => source);
      const fd = files.open('/d/table');
      same(files.size(fd), bytes);
      same(tryReadTableMeta(files, fd), meta);
      const ordinals = meta.sources.map((_, at) => 2 ** 31 + at);
      const paged = PagedTable.tryOpen(files, fd, ordinals);
      same(paged?.meta, meta);
      const wanted = [...table.extents()].map((extent) => ({ ...extent, segment: 2 ** 31 + source }));
      same([...(paged?.load().extents() ?? [])], wanted);
      same(paged?.count, table.count);
      files.close(fd);
    }),
    100,
  );
});

t.test('an empty table and an extent of everything come back', async (t) => {
  const empty = pagedCopy(files, '/d/empty', ExtentTable.empty);
  t.same([empty.count, empty.pageCount, empty.findPage(0, 0), empty.load().count], [0, 0, 0, 0]);
  const list = new ExtentList();
  list.push(wholeMachine.start, wholeMachine.end, 9, 2 ** 32 - 1, 2 ** 32 - 1, 3);
  const everything = pagedCopy(files, '/d/everything', buildTable(list), { first: 9 });
  t.strictSame(
    [...everything.page(0).extents()],
    [{ start: 0, end: wholeMachine.end, segment: 9, position: 2 ** 32 - 1, lsnDelta: 2 ** 32 - 1, kind: 3 }],
  );
});

t.test('meta that is longer than the first read comes back, one that is too long is refused', async (t) => {
  const meta = { sources: sourcesOf(1000) };
  writeTableFile(files, '/d/meta', ExtentTable.empty, meta, () => 0);
  const fd = files.open('/d/meta');
  t.same(tryReadTableMeta(files, fd), meta);
  const long = { sources: [], text: 'x'.repeat(limits.tableMetaBytes) };
  t.throws(() => writeTableFile(files, '/d/long', ExtentTable.empty, long, () => 0), RangeError);
  t.notOk(files.list('/d').some((name) => name.startsWith('long')));
});

/** What of the file's extents can be had; 'not there' or 'signal' when it says that it is damaged. */
function readAll(disk: SimulatedFiles, fd: number): string {
  try {
    const paged = PagedTable.tryOpen(disk, fd, [7]);
    if (paged === null) return 'not there';
    return JSON.stringify([paged.meta, [...paged.load().extents()]]);
  } catch (error) {
    if (error instanceof DerivedDamaged) return 'signal';
    throw error;
  }
}

function whatIsThere(bytes: Uint8Array): string {
  const fd = fileOf(bytes);
  const found = readAll(files, fd);
  files.close(fd);
  return found;
}

t.test('every flipped byte, every cut and every added byte is found', async (t) => {
  const table = longTable(seededRandom(1), limits.tablePageExtents + 40);
  pagedCopy(files, '/d/whole', table);
  const whole = bytesOf('/d/whole');
  const right = whatIsThere(whole);
  t.equal(JSON.parse(right)[1].length, table.count);
  const pages = table.count * 29;
  const pagesAt = whole.length - 24 - 2 * 20 - pages;
  const seen = new Set<string>();
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at] = whole[at]! ^ (1 << (at % 8));
    const found = whatIsThere(damaged);
    const wanted = at >= pagesAt && at < pagesAt + pages ? 'signal' : 'not there';
    if (found !== wanted) t.fail(`byte ${at}: ${found}`);
    seen.add(found);
  }
  t.same([...seen].sort(), ['not there', 'signal']);
  for (let length = 0; length < whole.length; length++) {
    const found = whatIsThere(whole.subarray(0, length));
    if (found !== 'not there') t.fail(`cut at ${length}: ${found}`);
  }
  t.equal(whatIsThere(Buffer.concat([whole, Buffer.alloc(1)])), 'not there');
  t.equal(whatIsThere(Buffer.alloc(whole.length)), 'not there');
});

t.test('parts of another table of the same size in their place are found', async (t) => {
  pagedCopy(files, '/d/one', longTable(seededRandom(2), 700));
  pagedCopy(files, '/d/other', longTable(seededRandom(3), 700));
  const [one, other] = [bytesOf('/d/one'), bytesOf('/d/other')];
  t.equal(one.length, other.length);
  const right = [whatIsThere(one), whatIsThere(other)];
  // As blocks that were written back in part, in front and behind.
  for (let at = 8; at < one.length; at += 8) {
    const found = whatIsThere(Buffer.concat([one.subarray(0, at), other.subarray(at)]));
    if (found !== 'not there' && found !== 'signal' && !right.includes(found)) t.fail(`at ${at}`);
  }
});

t.test('after a power cut there is the table, or the older one, or none', async (t) => {
  const seed = chooseSeed(t);
  const disk = new SimulatedFiles({ directories: ['/e'] });
  const write = (table: ExtentTable): string => {
    writeTableFile(disk, '/e/t', table, { sources: sourcesOf(1) }, () => 0);
    return readAll(disk, disk.open('/e/t'));
  };
  const older = write(longTable(seededRandom(seed), 600));
  await disk.sync(disk.open('/e/t'));
  await disk.syncDirectory('/e');
  const newer = write(longTable(seededRandom(seed + 1), 900));
  const seen = new Set<string>();
  for (let cut = 0; cut < 300; cut++) {
    const after = disk.crash({ seed: seed + cut });
    const found = after.list('/e').includes('t') ? readAll(after, after.open('/e/t')) : 'not there';
    seen.add(found);
  }
  for (const found of seen) t.ok([older, newer, 'not there', 'signal'].includes(found));
  t.ok(seen.has(older) && seen.size > 1);
});

/** A table of two extents as a writer that is wrong would leave it: every checksum is right. */
function wrongTable(change: (columns: ExtentColumns, bounds: Float64Array) => void): Buffer {
  const list = new ExtentList(2);
  list.push(0, 512, 0, 0, 0, 1);
  list.push(1024, 2048, 0, 1, 1, 1);
  pagedCopy(files, '/d/wrong', buildTable(list));
  const bytes = bytesOf('/d/wrong');
  const footer = bytes.subarray(-24);
  const index = bytes.subarray(-44, -24);
  const page = bytes.subarray(-102, -44);
  const columns = ExtentColumns.private(2);
  Buffer.from(columns.buffer).set(page);
  const bounds = new Float64Array([0, 2048]);
  change(columns, bounds);
  page.set(Buffer.from(columns.buffer));
  index.set(Buffer.from(bounds.buffer));
  index.writeUInt32LE(crc32(page), 16);
  footer.writeUInt32LE(crc32(index), 8);
  footer.writeUInt32LE(crc32(footer.subarray(0, 16)), 16);
  return bytes;
}

t.test('what is no table is not taken, though its checksums are right', async (t) => {
  t.match(whatIsThere(wrongTable(() => undefined)), /"end":2048/);
  const wrong: [string, string, Parameters<typeof wrongTable>[0]][] = [
    ['overlapping', 'signal', ({ ends }) => (ends[0] = 1536)],
    ['without length', 'signal', ({ ends }) => (ends[0] = 0)],
    ['no number', 'signal', ({ starts }) => (starts[1] = NaN)],
    ['unknown kind', 'signal', ({ kinds }) => (kinds[1] = 4)],
    ['unknown source', 'signal', ({ segments }) => (segments[1] = 1)],
    ['index begins elsewhere', 'signal', (_, bounds) => (bounds[0] = 512)],
    ['index ends elsewhere', 'signal', (_, bounds) => (bounds[1] = 4096)],
    ['index with nothing', 'not there', (_, bounds) => (bounds[1] = 0)],
    ['index beyond the machine', 'not there', (_, bounds) => (bounds[1] = wholeMachine.end * 2)],
    ['index of no number', 'not there', (_, bounds) => (bounds[0] = NaN)],
  ];
  for (const [name, wanted, change] of wrong) t.equal(whatIsThere(wrongTable(change)), wanted, name);
});

t.test('meta that is no meta is not taken', async (t) => {
  const wrong: unknown[] = [{}, { sources: 1 }, { sources: [null] }, { sources: [{ from: 1, to: 2 }] }];
  wrong.push({ sources: [{ from: 1.5, to: 2, identity: '' }] }, null, []);
  for (const meta of wrong) {
    const fd = files.create('/d/meta-wrong');
    // Behind the writer's back: it takes what has the right type.
    const header = encodeTableHeader(meta as TableMeta, 5);
    files.write(fd, [header, encodeTableFooter(0, 0, 5)], 0);
    t.equal(tryReadTableMeta(files, fd), null, JSON.stringify(meta));
    t.equal(PagedTable.tryOpen(files, fd, []), null);
    files.close(fd);
    files.unlink('/d/meta-wrong');
  }
});

t.test('the writer refuses extents that are out of order or of no source', async (t) => {
  const writer = new TableFileWriter(files, files.create('/d/order'), { sources: sourcesOf(1) });
  writer.push(1024, 2048, 0, 0, 0, 1);
  t.throws(() => writer.push(2047, 4096, 0, 0, 0, 1), /in order/);
  t.throws(() => writer.push(4096, 4096, 0, 0, 0, 1), /in order/);
  t.throws(() => writer.push(4096, wholeMachine.end + 2, 0, 0, 0, 1), /in order/);
  t.throws(() => writer.push(4096, 8192, 1, 0, 0, 1), /sources/);
  t.throws(() => writer.push(4096, 8192, -1, 0, 0, 1), /sources/);
});

t.test('the writer writes as it goes, and takes what an attempt before has left', async (t) => {
  const table = longTable(seededRandom(4), 200 * limits.tablePageExtents + 1);
  files.close(files.create('/d/large.new'));
  let most = 0;
  let writes = 0;
  const watched = Object.assign(Object.create(files) as SimulatedFiles, {
    write(fd: number, buffers: readonly Uint8Array[], position: number): void {
      writes++;
      most = Math.max(most, ...[buffers.reduce((sum, { length }) => sum + length, 0)]);
      files.write(fd, buffers, position);
    },
  });
  const bytes = writeTableFile(watched, '/d/large', table, { sources: sourcesOf(1) }, () => 0);
  t.ok(writes >= 3 && most < bytes / 2, `${writes} writes of up to ${most} of ${bytes} bytes`);
  t.notOk(files.list('/d').includes('large.new'));
  const paged = PagedTable.tryOpen(files, files.open('/d/large'), [0]);
  t.equal(paged?.pageCount, 201);
  const loaded = paged?.load() ?? ExtentTable.empty;
  t.ok(Buffer.from(loaded.columns.buffer).equals(Buffer.from(table.columns.buffer)));
});

t.test('when it cannot be written the older table stays, and nothing else', async (t) => {
  const disk = new SimulatedFiles({ directories: ['/e'] });
  const table = longTable(seededRandom(5), 10);
  const write = (): number => writeTableFile(disk, '/e/t', table, { sources: sourcesOf(1) }, () => 0);
  for (const name of ['create', 'write'] as const) {
    disk.faults.failAt(1, 'ENOSPC', [name]);
    t.throws(write, { code: 'ENOSPC' });
    t.same(disk.list('/e'), []);
  }
  write();
  t.throws(
    () =>
      createTableFile(disk, '/e/t', { sources: [] }, () => {
        throw new Error('no more');
      }),
    /no more/,
  );
  t.same(disk.list('/e'), ['t']);
  t.equal(PagedTable.tryOpen(disk, disk.open('/e/t'), [0])?.count, 10);
});

t.test(
  'a table on a disk that cannot read is not there, but a closed file is a mistake of ours',
  async (t) => {
    const disk = new SimulatedFiles({ directories: ['/e'] });
    writeTableFile(disk, '/e/t', longTable(seededRandom(6), 10), { sources: sourcesOf(1) }, () => 0);
    const fd = disk.open('/e/t');
    for (let call = 1; call <= 3; call++) {
      disk.faults.failAt(call, 'EIO', ['readSync']);
      t.equal(PagedTable.tryOpen(disk, fd, [0]), null, `call ${call}`);
      disk.faults.clear();
    }
    disk.faults.failAt(1, 'EIO', ['readSync']);
    t.equal(tryReadTableMeta(disk, fd), null);
    t.ok(tryReadTableMeta(disk, fd));
    disk.close(fd);
    t.throws(() => PagedTable.tryOpen(disk, fd, [0]), { code: 'EBADF' });
  },
);
