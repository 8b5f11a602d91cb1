// A journal of records that another host numbered, with LSNs that a sync-begin skipped: none of them is
// taken for lost.
import t, { type Test } from 'tap';
import { nextStepEnd } from '../../../../agent/replica/step-plan.ts';
import { Catalogue } from '../../../../agent/journal/catalogue.ts';
import { Journal, type JournalOptions } from '../../../../agent/journal/journal.ts';
import { BackgroundMerger } from '../../../../core/extents/background-merger.ts';
import { ContentKind } from '../../../../core/extents/extent-columns.ts';
import { silentLog } from '../../../../core/log.ts';
import { encodeNote } from '../../../../core/record/notes.ts';
import {
  encodeRecord,
  parseRecordRun,
  recordBytes,
  type RecordRun,
} from '../../../../core/record/record-run.ts';
import { machineMark, RecordKind } from '../../../../core/record/record.ts';
import { microseconds } from '../../../../core/units.ts';
import type { SimulatedFiles } from '../../../support/simulated-files.ts';
import { derived, tableOf } from '../../../fault/journal-driver.ts';
import { directory, frozenTimers, machine, newFiles, segmentBytes } from '../../../fault/log-driver.ts';

t.before(() => frozenTimers(t));

const mark = machineMark(machine);

const openOn = (
  files: SimulatedFiles,
  appliedLsn = 0,
  known: Partial<Pick<JournalOptions, 'flooredLsn' | 'openGap'>> = {},
): Promise<Journal> =>
  Journal.open({
    files,
    clock: { now: () => microseconds(1), monotonicMs: () => 0 },
    log: silentLog,
    merger: new BackgroundMerger(silentLog),
    directory,
    machine,
    generation: 1,
    segmentBytes,
    syncBytes: 1 << 20,
    syncIntervalMs: 200,
    openGap: null,
    derived,
    flooredLsn: appliedLsn,
    appliedLsn,
    durableLsn: 0,
    ...known,
  });

/** One record at each of these LSNs: a `sync-begin` or `sync-end` where said, else a write. */
function runOf(generation: number, lsns: readonly number[], begin = 0, end = 0): RecordRun {
  const note = encodeNote({ reason: 'overflow', disks: [] });
  const bytes = Buffer.alloc(lsns.length * recordBytes(100));
  let at = 0;
  for (const lsn of lsns) {
    const isNote = lsn === begin || lsn === end;
    const kind = lsn === begin ? RecordKind.syncBegin : lsn === end ? RecordKind.syncEnd : RecordKind.write;
    const data = lsn === begin ? note : isNote ? Buffer.from('{}') : Buffer.alloc(100, `${lsn} `);
    const place = isNote ? { offset: 0, length: 0 } : { offset: lsn * 1000, length: 100 };
    const record = { kind, flags: 0, disk: 0, lsn, time: 1000 + lsn, generation, ...place };
    at = encodeRecord(bytes, at, record, data, mark);
  }
  return parseRecordRun(bytes.subarray(0, at), mark, { payloads: true });
}

const receive = (journal: Journal, run: RecordRun): Promise<void> =>
  new Promise((resolve, reject) => {
    journal.receive(run, null, (error) => (error === null ? resolve() : reject(error)));
  });

/** Where content of each kind begins in what a view at `lsn` is made of. */
function contentAt(journal: Journal, lsn: number, appliedLsn = 0): { data: number[]; unknown: number } {
  const { redo, segments, release } = journal.layers(appliedLsn, lsn);
  const { files } = journal.source;
  const extents = redo.flatMap((source) => [...tableOf(files, segments, source).extents()]);
  release();
  return {
    data: extents
      .filter(({ kind }) => kind === ContentKind.data)
      .map(({ start }) => start / 1000)
      .sort((a, b) => a - b),
    unknown: extents.filter(({ kind }) => kind === ContentKind.unknown).length,
  };
}

async function checkContent(t: Test, journal: Journal): Promise<void> {
  t.same(contentAt(journal, 3), { data: [1, 2, 3], unknown: 0 });
  t.same(contentAt(journal, 51), { data: [1, 2, 3, 51], unknown: 0 });
  t.same(contentAt(journal, 53), { data: [1, 2, 3, 51, 53], unknown: 0 });
  t.same(journal.catalogue.lost, []);
  t.match(journal.catalogue.gaps, [{ to: 52, reason: 'overflow' }]);
  t.not(journal.catalogue.gapAt(51), null);
  t.equal(journal.lsnAtTime(1020, 0), 3);
  t.equal(journal.timeOf(51), 1051);
  const steps: [number, number][] = [];
  for (let at = 0; ;) {
    const facts = { cursorLsn: at, target: 53, segments: journal.segments, stops: [3], maxBytes: 1 };
    const end = nextStepEnd(facts);
    if (end === null) break;
    steps.push([at, end]);
    at = end;
  }
  t.equal(steps.at(-1)?.[1], 53, 'the cursor gets across');
  t.ok(steps.length >= 2);
}

t.test('views, times and steps go across a skip, also after a restart and a failed sync', async (t) => {
  for (const failing of [false, true]) {
    const files = newFiles();
    const journal = await openOn(files);
    await receive(journal, runOf(1, [1, 2, 3]));
    if (failing) files.faults.failAt(1, 'EIO', ['sync']);
    await receive(journal, runOf(2, [50, 51, 52, 53], 50, 52));
    t.equal(journal.durableLsn, 53);
    await checkContent(t, journal);
    const restarted = files.kill();
    const again = await openOn(restarted);
    t.equal(again.headLsn, 53);
    await checkContent(t, again);
    await again.close();
    const behind = await openOn(restarted.kill(), 3);
    t.same(contentAt(behind, 51, 3), { data: [51], unknown: 0 });
    await behind.close();
  }
});

t.test('gaps are the same after a start that reads nothing but tables', async (t) => {
  const files = newFiles();
  const journal = await openOn(files);
  await receive(journal, runOf(1, [1, 2, 3]));
  await receive(journal, runOf(2, [50, 51, 52, 53], 50, 52));
  journal.roll();
  await receive(journal, runOf(3, [60, 61, 62], 60));
  journal.roll();
  await receive(journal, runOf(3, [63, 64]));
  await journal.settled();
  const { gaps, sync } = structuredClone(journal.catalogue);
  t.equal(gaps.length, 2);
  t.equal(gaps.at(-1)?.to, null);
  // The cursor file knows of the gap that is open, whether its begin can be read or not.
  const openGap = { from: 54, time: 1060, reason: 'overflow' };
  for (const isDerived of [true, false]) {
    for (const [floor, applied, gap] of [
      [0, 0, null],
      [0, 62, openGap],
      [53, 62, openGap],
    ] as const) {
      const copy = files.kill();
      if (!isDerived) for (const name of copy.list(derived)) copy.unlink(`${derived}/${name}`);
      const again = await openOn(copy, applied, { flooredLsn: floor, openGap: gap });
      t.same(again.catalogue.gaps, floor === 0 ? gaps : gaps.slice(1), `floor ${floor}`);
      t.same(again.catalogue.sync, sync);
      t.same(again.catalogue.lost, []);
      await again.close();
    }
  }
});

t.test('a gap whose begin has gone from redo is known from the cursor', async (t) => {
  const files = newFiles();
  const journal = await openOn(files);
  await receive(journal, runOf(2, [1, 2, 3, 4], 2));
  await journal.close();
  const openGap = { from: 2, time: 1002, reason: 'overflow' };
  const again = await openOn(files.kill(), 3, { flooredLsn: 3, openGap });
  t.match(again.catalogue.gaps, [{ from: 2, to: null, reason: 'overflow' }]);
  await again.close();
});

t.test('a sync of a part of the disks leaves standing that a record came as lost', (t) => {
  const catalogue = new Catalogue();
  catalogue.unknown.push(3);
  const sync = { before: 4, time: 1, reason: 'scan', checksums: false };
  catalogue.syncBegins({ ...sync, lsn: 5, part: true });
  catalogue.syncEnds(6, 2);
  t.same(catalogue.unknown, [3]);
  catalogue.syncBegins({ ...sync, lsn: 7 });
  catalogue.syncEnds(8, 3);
  t.same(catalogue.unknown, []);
  t.end();
});
