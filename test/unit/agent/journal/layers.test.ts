// What is lent to views and steps: tables in memory, table files or scans, and segments that stay while held.
import t from 'tap';
import { basename } from 'node:path';
import { planLayers, type LayersRequest, type SegmentSpan } from '../../../../agent/journal/plan-layers.ts';
import { derived, JournalDriver, writing, type View } from '../../../fault/journal-driver.ts';
import { frozenTimers } from '../../../fault/log-driver.ts';

t.before(() => frozenTimers(t));

/** Segments of ten records each from 1 on; ordinals from 0. */
const spans: SegmentSpan[] = [1, 11, 21, 31].map((firstLsn, ordinal) => ({
  ordinal,
  firstLsn,
  precededBy: firstLsn - 1,
  lastLsn: firstLsn + 9,
}));
const request = (change: Partial<LayersRequest<SegmentSpan>>): LayersRequest<SegmentSpan> => ({
  segments: spans,
  floor: 0,
  base: 0,
  lsn: 40,
  head: 40,
  indexedFrom: 0,
  nextOrdinal: 3,
  ...change,
});
const kinds = (change: Partial<LayersRequest<SegmentSpan>>): string[] =>
  planLayers(request(change)).layers.map((layer) => {
    if (layer.kind === 'table') return `table ${layer.segment.firstLsn}`;
    if (layer.kind === 'scan') return `scan ${layer.afterLsn} to ${layer.lsn}`;
    return layer.kind === 'prefix' ? `prefix ${layer.end}` : layer.kind;
  });

t.test('memory where the index goes, files below it, a scan inside a segment', (t) => {
  t.same(kinds({}), ['head']);
  t.same(kinds({ lsn: 20 }), ['prefix 2']);
  t.same(kinds({ lsn: 25 }), ['scan 20 to 25', 'prefix 2']);
  t.same(kinds({ lsn: 35 }), ['scan 30 to 35', 'prefix 3'], 'also of the one being written');
  t.same(kinds({ lsn: 20, base: 20 }), []);
  t.same(kinds({ lsn: 25, base: 22 }), ['scan 22 to 25']);
  t.same(kinds({ indexedFrom: 20 }), ['head', 'table 11', 'table 1']);
  t.same(kinds({ indexedFrom: 20, base: 20 }), ['head']);
  t.same(kinds({ indexedFrom: 25, base: 5 }), ['head', 'table 21', 'table 11', 'table 1']);
  t.same(kinds({ indexedFrom: 25, base: 25, lsn: 30 }), ['prefix 3']);
  t.same(kinds({ indexedFrom: 30, lsn: 20, base: 10 }), ['table 11']);
  t.same(kinds({ indexedFrom: 30, lsn: 15 }), ['scan 10 to 15', 'table 1']);
  t.end();
});

t.test('what is lost between segments hides what is older, except below the base', (t) => {
  const segments = spans.filter(({ firstLsn }) => firstLsn !== 11);
  t.same(kinds({ segments, indexedFrom: 30, lsn: 30, base: 0 }), ['table 21', 'unknown', 'table 1']);
  t.same(kinds({ segments, indexedFrom: 30, lsn: 15, base: 0 }), ['unknown', 'table 1']);
  t.same(kinds({ segments, indexedFrom: 30, lsn: 30, base: 20 }), ['table 21']);
  t.same(kinds({ segments, lsn: 30 }), ['prefix 3'], 'the index knows what is lost above it');
  t.same(kinds({ segments, indexedFrom: 20 }), ['head', 'unknown', 'table 1']);
  t.same(kinds({ segments: spans.slice(1), indexedFrom: 40, lsn: 12 }), ['scan 0 to 12']);
  t.same(kinds({ segments: spans.slice(1), floor: 10, base: 10, indexedFrom: 40, lsn: 12 }), [
    'scan 10 to 12',
  ]);
  t.same(kinds({ segments: [], indexedFrom: 40 }), ['unknown']);
  t.same(kinds({ segments: spans.slice(0, 1), lsn: 12, indexedFrom: 40 }), ['unknown', 'table 1']);
  t.end();
});

t.test('LSNs that were skipped are not lost', (t) => {
  const segments = spans.map((span) => (span.firstLsn === 21 ? { ...span, precededBy: 10 } : span));
  const without = segments.filter(({ firstLsn }) => firstLsn !== 11);
  t.same(kinds({ segments: without, indexedFrom: 40, lsn: 30 }), ['table 21', 'table 1']);
  t.same(kinds({ segments: without, indexedFrom: 40, lsn: 15 }), ['table 1']);
  t.end();
});

t.test('the floor hides what is at or below the base', (t) => {
  const floorOf = (base: number): unknown => planLayers(request({ base })).floor;
  t.same(floorOf(0), { segment: 0, lsnDelta: -1 });
  t.same(floorOf(10), { segment: 1, lsnDelta: -1 });
  t.same(floorOf(14), { segment: 1, lsnDelta: 3 });
  t.same(floorOf(40), { segment: 3, lsnDelta: -1 });
  t.end();
});

/** Three segments that are complete and one that is not, of two writes each. */
async function segmented(): Promise<JournalDriver> {
  const driver = new JournalDriver();
  await driver.open();
  for (const fill of ['a', 'b', 'c', 'd']) {
    if (fill !== 'a') driver.journal.roll();
    await driver.request([writing(0, 0, Buffer.alloc(1000, fill)), writing(1, 100, Buffer.alloc(100, fill))]);
  }
  await driver.flush();
  await driver.journal.settled();
  return driver;
}

t.test('below the cursor views get table files, which stay open for them', async (t) => {
  const driver = await segmented();
  await driver.apply(6);
  const view = driver.view(4, 0);
  t.same(
    view.redo.map(({ kind }) => kind),
    ['file', 'file'],
  );
  for (const name of driver.files.list(derived)) driver.files.unlink(`${derived}/${name}`);
  await driver.checkView(view);
  view.release();
  view.release();
  const scanned = driver.view(4, 0);
  t.same(
    scanned.redo.map(({ kind }) => kind),
    ['redo-scan', 'redo-scan'],
    'the files are missing now',
  );
  await driver.checkView(scanned);
  scanned.release();
  await driver.journal.settled();
  const again = driver.view(4, 0);
  t.same(
    again.redo.map(({ kind }) => kind),
    ['file', 'file'],
    'and were made again',
  );
  again.release();
});

t.test('segments that are lent are not pruned', async (t) => {
  const driver = await segmented();
  await driver.apply(6);
  const { redo, release } = driver.journal.lend(2, 5);
  t.same(
    redo.map(({ firstLsn, lastLsn, precededBy }) => [precededBy, firstLsn, lastLsn]),
    [
      [2, 3, 4],
      [4, 5, 6],
    ],
  );
  t.equal(driver.journal.prune(6), 1, 'only what is before them');
  release();
  release();
  t.equal(driver.journal.prune(6), 2);
  t.equal(driver.journal.flooredLsn, 6);
  t.throws(() => driver.journal.layers(5, 6));
});

t.test(
  'when the cursor goes back, what it passed is found again, whatever is appended meanwhile',
  async (t) => {
    for (const isDeleted of [false, true]) {
      const driver = await segmented();
      await driver.apply(6);
      const { turns } = driver.journal;
      if (isDeleted) for (const name of driver.files.list(derived)) driver.files.unlink(`${derived}/${name}`);
      const moved = driver.apply(3);
      await driver.request([writing(0, 300, Buffer.alloc(2000, 'e'))]);
      driver.journal.roll();
      await driver.request([writing(1, 30, Buffer.alloc(2000, 'f'))]);
      await moved;
      t.equal(driver.journal.turns, turns + 1);
      await driver.check();
      await driver.apply(8);
      await driver.check();
      t.equal(driver.journal.turns, turns + 1);
    }
  },
);

const indexFiles = ({ files }: JournalDriver): string[] =>
  files.list(derived).filter((name) => name.startsWith('index-'));
const filesOf = (view: View): string[] =>
  view.redo.map((source) => (source.kind === 'file' ? basename(source.path) : source.kind));

/** So much that some nodes of the index go into files. */
async function writeMore(driver: JournalDriver): Promise<void> {
  for (const fill of ['e', 'f', 'g']) {
    driver.journal.roll();
    await driver.request([writing(0, 4000, Buffer.alloc(1000, fill))]);
  }
  await driver.flush();
  await driver.journal.settled();
}

t.test('nodes that the head does not need go into files, which go with what they are of', async (t) => {
  const driver = await segmented();
  await writeMore(driver);
  const [one, two] = [driver.view(2), driver.view(4)];
  t.same(filesOf(one), ['redo-0000000000000001.table'], 'one segment has its own');
  t.same(filesOf(two), indexFiles(driver));
  t.equal(indexFiles(driver).length, 1);
  await driver.apply(6);
  t.same(indexFiles(driver), [], 'the cursor has passed it');
  for (const view of [one, two]) {
    await driver.checkView(view);
    view.release();
  }
});

t.test('a node whose file is that of others is shown by what its segments are', async (t) => {
  const [driver, other] = [await segmented(), await segmented()];
  for (const one of [driver, other]) await writeMore(one);
  const [name = ''] = indexFiles(driver);
  const foreign = other.files.open(`${derived}/${indexFiles(other)[0]}`);
  const content = Buffer.alloc(other.files.size(foreign));
  other.files.readSync(foreign, content, 0);
  driver.files.unlink(`${derived}/${name}`);
  const fd = driver.files.create(`${derived}/${name}`);
  driver.files.write(fd, [content], 0);
  driver.files.close(fd);
  const view = driver.view(4);
  t.same(filesOf(view), ['redo-0000000000000003.table', 'redo-0000000000000001.table']);
  await driver.checkView(view);
  view.release();
  await driver.journal.close();
});

t.test('a node whose file has gone is shown by what its segments are', async (t) => {
  const driver = await segmented();
  for (const name of driver.files.list(derived)) driver.files.unlink(`${derived}/${name}`);
  await driver.check();
  await driver.journal.close();
  t.same(indexFiles(driver), []);
});
