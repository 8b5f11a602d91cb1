// The whole index: head, every prefix, pruning, with merges at once, in the background, and after the worker
// failed.
import t from 'tap';
import fc from 'fast-check';
import { BackgroundMerger } from '../../../../core/extents/background-merger.ts';
import { buildTable } from '../../../../core/extents/build.ts';
import { ExtentList } from '../../../../core/extents/extent-list.ts';
import { ExtentTable } from '../../../../core/extents/extent-table.ts';
import { LevelledIndex } from '../../../../core/extents/levelled-index.ts';
import { Pieces } from '../../../../core/extents/pieces.ts';
import { createLog, silentLog } from '../../../../core/log.ts';
import {
  anyWrite,
  blank,
  blocks,
  cells,
  cellsOf,
  places,
  positionOf,
  resolveCells,
  holds,
  same,
  writeModel,
  type Model,
  type Place,
  type Write,
} from '../../../support/extent-model.ts';

type Work = { write: Write } | 'seal' | 'add' | 'drop' | 'wait' | 'spill';

const anyWork: fc.Arbitrary<Work[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: anyWrite.map((write) => ({ write })) },
    { weight: 4, arbitrary: fc.constant('seal' as const) },
    { weight: 1, arbitrary: fc.constantFrom('add', 'drop', 'wait', 'spill') },
  ),
  { maxLength: 120 },
);

/** The index and its model side by side. */
class Pair {
  readonly index: LevelledIndex;
  readonly merger: BackgroundMerger;
  readonly place: Place;
  readonly model = blank();
  /** The model as of the start of each segment. */
  readonly prefixes = new Map<number, Model>();
  record = 0;
  /** What was spilled, by path. */
  readonly spilled = new Map<string, ExtentTable>();

  constructor(merger: BackgroundMerger, place: Place, firstSegment: number, mergeAtOnceExtents: number) {
    this.index = new LevelledIndex({ merger, firstSegment, mergeAtOnceExtents });
    this.merger = merger;
    this.place = place;
    this.prefixes.set(firstSegment, blank());
  }

  async do(work: Work): Promise<void> {
    const { index, place } = this;
    if (typeof work === 'object') {
      const { from, to, kind } = work.write;
      const start = place.base + from * place.cellBytes;
      const end = place.base + to * place.cellBytes;
      index.insert(start, end, positionOf(this.record), this.record, kind);
      writeModel(this.model, work.write, index.nextSegment, this.record++);
    } else if (work === 'drop') {
      for (const { path } of index.dropBefore(Math.ceil((index.firstLiveSegment + index.nextSegment) / 2))) {
        if (!this.spilled.delete(path)) throw new Error(`${path} was not spilled`);
      }
    } else if (work === 'spill') {
      this.spill();
    } else if (work === 'wait') {
      await this.merger.idle();
    } else {
      if (work === 'seal') index.sealSegment();
      else this.#addElsewhere();
      this.prefixes.set(index.nextSegment, [...this.model]);
      this.record = 0;
    }
  }

  /** Puts all that the head does not need elsewhere. */
  spill(): void {
    for (const node of this.index.spillable()) {
      const path = `${node.first}-${node.end}-${this.record}`;
      if (this.index.spilled(node, path)) this.spilled.set(path, node.table);
    }
  }

  prefix(segment: number): ExtentTable[] {
    return this.index.prefixSources(segment).map((source) => {
      const table = source instanceof ExtentTable ? source : this.spilled.get(source.path);
      if (!table) throw new Error(`${JSON.stringify(source)} was dropped`);
      return table;
    });
  }

  /** The tail is given up for a table that says something else, as after a sync that failed. */
  #addElsewhere(): void {
    const segment = this.index.nextSegment;
    const list = new ExtentList(1);
    list.push(this.place.base, this.place.base + this.place.cellBytes, segment, positionOf(5), 5, 1);
    const before = this.prefixes.get(segment) ?? blank();
    this.model.splice(0, cells, ...before);
    writeModel(this.model, { from: 0, to: 1, kind: 1 }, segment, 5);
    this.index.addSealed(buildTable(list));
  }

  #live(model: Model): Model {
    return model.map((cell) => (parseInt(cell) < this.index.firstLiveSegment ? '-' : cell));
  }

  /** What a view of the head is made of; this sorts the tail's list, which `check` leaves alone. */
  checkHeadTables(): void {
    const { index, place } = this;
    same(resolveCells(index.headTables(), place, 0, cells, index.firstLiveSegment), this.#live(this.model));
  }

  check(): void {
    const { index, place } = this;
    const end = place.base + cells * place.cellBytes;
    same(cellsOf(index.resolveHead(place.base, end, new Pieces()), place), this.#live(this.model), 'head');
    for (const [segment, model] of this.prefixes) {
      const tables = this.prefix(segment);
      const found = resolveCells(tables, place, 0, cells, index.firstLiveSegment);
      same(found, this.#live(model), `before ${segment}`);
    }
  }
}

for (const mergeAtOnceExtents of [65_536, 3]) {
  const how = mergeAtOnceExtents > 3 ? 'at once' : 'in the background';
  t.test(`the head and every prefix are as the model says, merging ${how}`, async (t) => {
    const merger = new BackgroundMerger(silentLog);
    t.teardown(() => merger.close());
    const anyPlace = fc.constantFrom(...Object.values(places));
    await holds(
      t,
      fc.asyncProperty(anyWork, anyPlace, fc.nat(40), async (work, place, firstSegment) => {
        const pair = new Pair(merger, place, firstSegment, mergeAtOnceExtents);
        for (const step of work) await pair.do(step);
        pair.check();
        await merger.idle();
        pair.check();
        pair.checkHeadTables();
      }),
      100,
    );
  });
}

/**
 * Segments that each write the cells of their number's bits, all different, so that merges have something to
 * do.
 */
async function filled(merger: BackgroundMerger, segments: number): Promise<Pair> {
  const pair = new Pair(merger, blocks, 0, 0);
  for (let segment = 0; segment < segments; segment++) {
    await pair.do({ write: { from: segment % cells, to: (segment % cells) + 1, kind: 1 } });
    await pair.do({ write: { from: (segment * 7) % cells, to: ((segment * 7) % cells) + 1, kind: 2 } });
    await pair.do('seal');
  }
  return pair;
}

t.test('when the merges are done, a prefix is one table for each bit of its length', async (t) => {
  const merger = new BackgroundMerger(silentLog);
  t.teardown(() => merger.close());
  const pair = await filled(merger, 100);
  t.ok(pair.index.prefixTables(100).length > 3, 'the children serve before');
  pair.check();
  await merger.idle();
  pair.check();
  t.equal(pair.index.prefixTables(100).length, 3);
  t.equal(pair.index.prefixTables(63).length, 6);
  t.equal(pair.index.headTables().length, 3);
});

t.test('a worker that cannot start is logged once, and the merges are done all the same', async (t) => {
  const lines: string[] = [];
  const workerFile = new URL('./no-such-worker.ts', import.meta.url);
  const merger = new BackgroundMerger(
    createLog('debug', (line) => lines.push(line)),
    { workerFile },
  );
  t.teardown(() => merger.close());
  const pair = await filled(merger, 100);
  pair.check();
  await merger.idle();
  pair.check();
  t.equal(pair.index.prefixTables(100).length, 3);
  t.equal(lines.length, 1);
  t.match(lines[0], 'event=extent-merge-worker-failed');
  for (let more = 0; more < 28; more++) await pair.do('seal');
  await merger.idle();
  pair.check();
  t.equal(pair.index.headTables().length, 1);
});

t.test('an index that was closed in the middle of merging still answers', async () => {
  const merger = new BackgroundMerger(silentLog);
  const pair = await filled(merger, 20);
  await merger.close();
  await merger.idle();
  pair.check();
  await pair.do('seal');
  pair.check();
});

t.test('dropped segments free their tables, and look-ups find nothing of them', async (t) => {
  const merger = new BackgroundMerger(silentLog);
  t.teardown(() => merger.close());
  const pair = await filled(merger, 64);
  await merger.idle();
  const before = pair.index.bytes;
  await pair.do('drop');
  t.ok(pair.index.bytes < before);
  pair.check();
  pair.index.dropBefore(64);
  t.equal(pair.index.bytes, 0);
  t.equal(pair.index.headTables().length, 0);
  t.equal(pair.index.prefixTables(64).length, 0);
  t.throws(() => pair.index.dropBefore(65), /sealed/);
});

t.test('a merge leaves out what has been dropped by then', async (t) => {
  const merger = new BackgroundMerger(silentLog);
  t.teardown(() => merger.close());
  for (const mergeAtOnceExtents of [0, 1000]) {
    const index = new LevelledIndex({ merger, firstSegment: 0, mergeAtOnceExtents });
    for (let segment = 0; segment < 8; segment++) {
      index.insert(segment * 512, segment * 512 + 512, 0, 0, 1);
      index.sealSegment();
      await merger.idle();
      if (segment === 5) index.dropBefore(5);
    }
    const segments = index.prefixTables(8).map(({ columns }) => [...columns.segments]);
    t.same(segments, [[5, 6, 7]]);
  }
});

t.test('what lies before the first segment needs no merging', async (t) => {
  const merger = new BackgroundMerger(silentLog);
  t.teardown(() => merger.close());
  const index = new LevelledIndex({ merger, firstSegment: 5 });
  for (let segment = 5; segment < 8; segment++) {
    index.insert(segment * 512, segment * 512 + 512, 0, 0, 1);
    index.sealSegment();
  }
  t.equal(index.prefixTables(8).length, 1);
  t.equal(index.prefixTables(7).length, 2);
  t.equal(index.prefixTables(5).length, 0);
});

t.test('memory stays within the window however long history gets', async (t) => {
  const merger = new BackgroundMerger(silentLog);
  t.teardown(() => merger.close());
  const index = new LevelledIndex({ merger, firstSegment: 0 });
  let most = 0;
  for (let segment = 0; segment < 2100; segment++) {
    for (let at = 0; at < 10; at++) {
      const start = (segment * 10 + at) * 512;
      index.insert(start, start + 512, at, at, 1);
    }
    index.sealSegment();
    index.dropBefore(Math.max(0, segment - 31));
    most = Math.max(most, index.bytes);
  }
  // A window of 32 segments of 10 extents of 29 bytes: five levels, half of each kept, and what straddles the
  // front.
  t.ok(most < 32 * 10 * 29 * 6, `${most} bytes`);
});

t.test('the answer of a head look-up may be kept while the index goes on', async (t) => {
  const merger = new BackgroundMerger(silentLog);
  t.teardown(() => merger.close());
  const index = new LevelledIndex({ merger, firstSegment: 0 });
  index.insert(0, 512, 77, 1, 1);
  const tables = index.headTables();
  for (let at = 0; at < 1000; at++) index.insert(0, 512, at, at, 1);
  index.sealSegment();
  t.equal(tables.length, 1);
  t.equal(tables[0]?.columns.positions[0], 77);
});

t.test('without what the head does not need, memory holds the head alone', async (t) => {
  const merger = new BackgroundMerger(silentLog);
  t.teardown(() => merger.close());
  const pair = await filled(merger, 100);
  await merger.idle();
  const before = pair.index.bytes;
  pair.spill();
  t.ok(pair.spilled.size > 40);
  t.same(pair.index.spillable(), []);
  const head = pair.index.headTables().reduce((sum, { bytes }) => sum + bytes, 0);
  t.equal(pair.index.bytes, head);
  t.ok(pair.index.bytes < before / 3, `${pair.index.bytes} of ${before} bytes`);
  pair.check();
  pair.checkHeadTables();
  t.throws(() => pair.index.prefixTables(63), /spilled/);
  for (let more = 0; more < 28; more++) await pair.do('seal');
  await merger.idle();
  pair.check();
});

t.test('a node that went while it was put into a file takes no file', async (t) => {
  const merger = new BackgroundMerger(silentLog);
  t.teardown(() => merger.close());
  const pair = await filled(merger, 8);
  await merger.idle();
  const nodes = pair.index.spillable();
  const [first, ...others] = nodes;
  t.ok(first && others.length > 0);
  t.equal(pair.index.spilled(first!, '/first'), true);
  t.equal(pair.index.spilled(first!, '/again'), false);
  t.same(pair.index.dropBefore(8), [{ first: first!.first, end: first!.end, path: '/first' }]);
  for (const node of others) t.equal(pair.index.spilled(node, '/gone'), false);
  t.equal(pair.index.bytes, 0);
});

t.test('the bytes of an index are also those of its tail', async (t) => {
  const merger = new BackgroundMerger(silentLog);
  t.teardown(() => merger.close());
  const index = new LevelledIndex({ merger, firstSegment: 0 });
  t.equal(index.bytes, 0);
  for (let at = 0; at < 300; at++) index.insert(at * 512, at * 512 + 512, at, at, 1);
  t.equal(index.bytes, 2 * 256 * 29);
  index.sealSegment();
  t.equal(index.bytes, 300 * 29);
});
