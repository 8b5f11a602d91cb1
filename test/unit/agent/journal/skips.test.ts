// A journal of records that another host numbered, with LSNs that a sync-begin skipped: none of them is
// taken for lost.
import t, { type Test } from 'tap';
import { nextStep } from '../../../../agent/replica/applier.ts';
import { Catalogue } from '../../../../agent/journal/catalogue.ts';
import { Journal } from '../../../../agent/journal/journal.ts';
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
import { directory, frozenTimers, machine, newFiles, segmentBytes } from '../../../fault/log-driver.ts';

t.before(() => frozenTimers(t));

const mark = machineMark(machine);

const openOn = (files: SimulatedFiles, appliedLsn = 0): Promise<Journal> =>
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
    appliedLsn,
    durableLsn: 0,
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
  const { tables, release } = journal.snapshot(lsn, appliedLsn);
  const extents = tables.flatMap((table) =>
    [...Array(table.count).keys()].map((at) => table.columns.extent(at)),
  );
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
    const step = nextStep(journal.segments, at, 53, []);
    if (step === null) break;
    steps.push([step.from, step.to]);
    at = step.to;
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
