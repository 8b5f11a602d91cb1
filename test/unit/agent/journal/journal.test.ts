// The journal where it meets trouble: failed syncs, a full disk, lost records, requests that come back at
// once.
import t from 'tap';
import { join } from 'node:path';
import type { RedoLayers } from '../../../../agent/journal/lend-layers.ts';
import { Journal } from '../../../../agent/journal/journal.ts';
import { BackgroundMerger } from '../../../../core/extents/background-merger.ts';
import { silentLog } from '../../../../core/log.ts';
import { microseconds } from '../../../../core/units.ts';
import type { SimulatedFiles } from '../../../support/simulated-files.ts';
import { derived, JournalDriver, tableOf, tagging, writing, zeroing } from '../../../fault/journal-driver.ts';
import { directory, frozenTimers, machine, newFiles, segmentBytes } from '../../../fault/log-driver.ts';

t.before(() => frozenTimers(t));

const bytes = (length: number, fill: string): Buffer => Buffer.alloc(length, fill);

async function opened(files = newFiles()): Promise<JournalDriver> {
  const driver = new JournalDriver(files);
  await driver.open();
  return driver;
}

const openWith = (
  files: SimulatedFiles,
  known: { flooredLsn?: number; appliedLsn: number; durableLsn: number },
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
    flooredLsn: known.appliedLsn,
    ...known,
  });

t.test(
  'after a failed sync the head reads right at once, every LSN is what it was, and all is durable',
  async (t) => {
    const driver = await opened();
    await driver.request([writing(0, 0, bytes(4000, 'a')), writing(0, 100, bytes(50, 'b'))]);
    await driver.flush();
    await driver.request([writing(0, 60, bytes(3000, 'c')), zeroing(1, 0, 10)]);
    await driver.request([writing(1, 5, bytes(7000, 'd'))]);
    driver.files.faults.failAt(1, 'EIO', ['sync']);
    t.equal(await driver.flush(), true, 'acknowledged after the next sync');
    await driver.checkHead();
    await driver.check();
    await driver.request([writing(0, 1, bytes(8000, 'e'))]);
    await driver.check();
    const { acknowledged } = driver;
    driver.restartOn(driver.files.crash({ mode: 'drop' }));
    await driver.open(acknowledged);
    await driver.check();
  },
);

t.test(
  'while a disk fails, flushes and writes are refused, reads go on, and it heals by itself',
  async (t) => {
    const driver = await opened();
    await driver.request([writing(0, 0, bytes(4000, 'a'))]);
    await driver.flush();
    for (let count = 0; count < 6; count++)
      await driver.request([writing(0, count * 10, bytes(6000, `${count}`))]);
    driver.files.faults.failFrom(1, 'EIO', ['sync', 'syncDirectory', 'write', 'allocate', 'rename']);
    t.equal(await driver.flush(), false);
    t.equal(await driver.flush(), false, 'not even when asked again');
    t.equal(await driver.request([writing(0, 0, bytes(10, 'x'))]), false);
    t.match(driver.journal.failure, { code: 'journal-failed' });
    t.equal(driver.journal.headLsn, 7);
    await driver.checkHead();
    driver.prune();
    await driver.wait(1000);
    await driver.checkHead();
    t.equal(await driver.flush(), false);
    driver.files.faults.clear();
    await driver.wait(1000);
    t.equal(driver.journal.failure, null);
    await driver.check();
    t.equal(await driver.request([writing(0, 0, bytes(10, 'y'))]), true);
    await driver.check();
  },
);

t.test('a failed sync of a note alone leaves an index that knows which file is which', async (t) => {
  const driver = await opened();
  await driver.request([writing(0, 0, bytes(4000, 'a'))]);
  await driver.flush();
  driver.files.faults.failAt(1, 'EIO', ['sync']);
  await driver.wait(1000);
  t.equal(driver.files.faults.injected, 1);
  await driver.request([writing(0, 2000, bytes(100, 'b'))]);
  await driver.check();
  driver.journal.roll();
  await driver.request([writing(0, 1000, bytes(2000, 'c'))]);
  await driver.check();
});

t.test('a request that completes may ask for a flush at once', async (t) => {
  const driver = await opened();
  const { journal } = driver;
  let flushed = 0;
  await new Promise<void>((resolve) => {
    for (let count = 0; count < 3; count++) {
      journal.write(0, count, bytes(10, 'a'), false, null, () =>
        journal.flush(() => {
          flushed += 1;
          if (flushed === 3) resolve();
        }),
      );
    }
  });
  t.equal(journal.headLsn, 3, 'each request is one record');
});

t.test(
  'a full disk: no-space for exactly what does not fit, and on it goes when there is room',
  async (t) => {
    const driver = await opened(newFiles(5 * segmentBytes));
    let count = 0;
    while (await driver.request([writing(0, count, bytes(7000, 'x'))])) count += 1;
    t.ok(count >= 6);
    t.match(driver.journal.appendFailure, { code: 'no-space' });
    t.equal(await driver.request([writing(0, 0, bytes(10, 's'))]), true, 'a small one still fits');
    t.match(driver.journal.appendFailure, { code: 'no-space' }, 'which does not mean that there is room');
    driver.journal.retrySpace();
    t.match(driver.journal.appendFailure, { code: 'no-space' });
    await driver.check();
    t.equal(await driver.request([writing(0, 0, bytes(7000, 'y'))]), false);
    await driver.apply(driver.acknowledged);
    driver.prune();
    driver.journal.retrySpace();
    t.equal(driver.journal.appendFailure, null, 'room shows before anybody writes');
    t.equal(await driver.request([writing(0, 0, bytes(7000, 'z'))]), true);
    t.equal(driver.journal.appendFailure, null);
    await driver.check();
  },
);

t.test('tags are taken on a full volume, out of the reserve, and nothing else is', async (t) => {
  const files = newFiles(6 * segmentBytes);
  const driver = new JournalDriver(files, { reserveBytes: 2.5 * segmentBytes });
  await driver.open();
  const full = async (): Promise<void> => {
    while (await driver.request([writing(0, 0, bytes(7000, 'x'))]));
  };
  await full();
  while (await driver.request([writing(0, 0, bytes(400, 'y'))]));
  for (const name of ['one', 'two']) {
    const answer = await driver.request([writing(0, 0, bytes(7000, 'x')), tagging(name)]);
    t.equal(answer, false, 'the write that came with it is refused');
    t.match(driver.journal.appendFailure, { code: 'no-space' }, 'and so will the next be');
    await driver.flush();
  }
  t.match(driver.journal.catalogue.tags, [{ name: 'one' }, { name: 'two' }]);
  await full();
  const left = files.freeBytes(directory);
  t.ok(left > segmentBytes, 'writes take no more of it than the file of a tag has room for');
  await driver.check();
  driver.restartOn(files.kill());
  await driver.open();
  t.match(driver.journal.catalogue.tags, [{ name: 'one' }, { name: 'two' }]);
  await driver.apply(driver.acknowledged);
  driver.prune();
  driver.journal.retrySpace();
  t.equal(await driver.request([writing(0, 0, bytes(7000, 'z'))]), true);
  await driver.check();
});

/** The kinds of all extents that a view has, hidden or not. */
function kindsOf(files: SimulatedFiles, { redo, segments }: RedoLayers): number[] {
  return redo.flatMap((source) => {
    const { columns, count } = tableOf(files, segments, source);
    return [...columns.kinds.subarray(0, count)];
  });
}

/** A journal of three segments of one write each, of which the last is gone. */
async function withoutItsEnd(): Promise<SimulatedFiles> {
  const driver = await opened();
  for (const fill of ['a', 'b', 'c']) {
    await driver.request([writing(0, 0, bytes(1000, fill)), writing(0, 500, bytes(1000, fill))]);
    await driver.flush();
    driver.journal.roll();
  }
  const files = driver.files.kill();
  driver.restartOn(files);
  files.unlink(join(directory, '0000000000000005.seg'));
  return files;
}

t.test('lost records at the end: unknown to every view at or after them until written again', async (t) => {
  const files = await withoutItsEnd();
  const journal = await openWith(files, { appliedLsn: 0, durableLsn: 6 });
  t.match(journal.catalogue.lost, [{ from: 5, to: 6 }]);
  t.equal(journal.headLsn, 6);
  const kinds = (lsn: number): number[] => {
    const view = journal.layers(0, lsn);
    const found = kindsOf(files, view);
    view.release();
    return found;
  };
  t.notOk(kinds(4).includes(3), 'points before stay exact');
  t.ok(kinds(5).includes(3));
  t.ok(kinds(6).includes(3));
  const write = (): Promise<unknown> =>
    new Promise((done) => journal.write(0, 0, bytes(10, 'd'), false, null, done));
  t.equal(await write(), null);
  t.equal(await write(), null);
  t.ok(kinds(7).includes(3), 'the next segment carries it on');
  t.ok(kinds(8).includes(3));
  files.faults.failAt(1, 'EIO', ['sync']);
  await journal.commit();
  t.ok(kinds(7).includes(3), 'also after a failed sync');
  await journal.close();
  const again = await openWith(files.kill(), { appliedLsn: 0, durableLsn: 0 });
  t.match(again.catalogue.lost, [{ from: 5, to: 6 }]);
  t.equal(again.headLsn, 8);
});

t.test('all redo lost: still unknown', async (t) => {
  const files = newFiles();
  const journal = await openWith(files, { appliedLsn: 2, durableLsn: 6 });
  t.match(journal.catalogue.lost, [{ from: 3, to: 6 }]);
  for (let count = 0; count < 2; count++) {
    await new Promise<void>((done) => journal.write(0, 0, bytes(10, 'd'), false, null, () => done()));
  }
  for (const lsn of [4, 6, 7, 8]) {
    const view = journal.layers(2, lsn);
    t.ok(kindsOf(files, view).includes(3), `LSN ${lsn}`);
    view.release();
  }
});

t.test('what is lost below the cursor is unknown only to points below it: the replica has it', async (t) => {
  const driver = await opened();
  await driver.request([
    writing(0, 0, bytes(1000, 'a')),
    writing(0, 0, bytes(1000, 'b')),
    writing(0, 0, bytes(900, 'c')),
  ]);
  await driver.flush();
  await driver.request([writing(0, 2000, bytes(1000, 'd'))]);
  await driver.flush();
  await driver.apply(3);
  const files = driver.files.kill();
  driver.restartOn(files);
  const name = join(directory, '0000000000000001.seg');
  const fd = files.open(name);
  files.write(fd, [Buffer.alloc(64)], 96 + 64 + 1000); // the header of record 2
  await driver.open();
  t.match(driver.journal.catalogue.lost, [{ from: 2, to: 2 }]);
  for (const lsn of [3, 4]) await driver.checkView(driver.view(lsn));
  await driver.checkHead();
  await driver.checkView(driver.view(1, 0));
  for (const lsn of [2, 3, 4]) {
    const view = driver.view(lsn, 0);
    t.ok(kindsOf(files, view).includes(3), `LSN ${lsn}, from a state before what is lost`);
    view.release();
  }
  driver.prune(3);
  driver.restartOn(driver.files.kill());
  await driver.open();
  t.same(driver.journal.catalogue.lost, [], 'nobody needs it');
  await driver.check();
});

t.test('tags come back after a restart, with their LSNs', async (t) => {
  const driver = await opened();
  await driver.request([writing(0, 0, bytes(10, 'a'))]);
  await driver.request([tagging('one')]);
  await driver.request([tagging('two')]);
  driver.restartOn(driver.files.kill());
  await driver.open();
  t.match(driver.journal.catalogue.tags, [
    { lsn: 2, name: 'one' },
    { lsn: 3, name: 'two' },
  ]);
  t.equal(driver.journal.catalogue.findTag('two')?.lsn, 3);
});
