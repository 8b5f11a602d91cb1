// The segment log piece by piece: placing, recycling, failed syncs, closing.
import t from 'tap';
import { join } from 'node:path';
import { mock } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SimulatedFiles } from '../../../support/simulated-files.ts';
import { directory, frozenTimers, LogDriver, newFiles, segmentBytes } from '../../../fault/log-driver.ts';

t.before(() => frozenTimers(t));

function read(files: SimulatedFiles, name: string): Buffer {
  const fd = files.open(join(directory, name));
  const bytes = Buffer.alloc(files.size(fd));
  files.readSync(fd, bytes, 0);
  files.close(fd);
  return bytes;
}

const segments = (files: SimulatedFiles): string[] =>
  files.list(directory).filter((name) => name.endsWith('.seg'));

async function opened(files = newFiles()): Promise<LogDriver> {
  const driver = new LogDriver(files);
  await driver.open();
  return driver;
}

/** Sees to it that the next sync fails, and what comes of it. */
async function failNextSync(driver: LogDriver): Promise<boolean> {
  driver.files.faults.failAt(1, 'EIO', ['sync']);
  return driver.commit();
}

t.test('groups follow each other, and after a sync the next begins at a block of its own', async (t) => {
  const driver = await opened();
  const positions: number[] = [];
  const append = (size: number): void => {
    driver.append(size);
    positions.push((driver.log?.lastBodyPosition ?? 0) - 96);
  };
  append(100);
  append(100);
  await driver.commit();
  append(0); // a zero record: a header alone
  append(50);
  await driver.commit();
  append(50);
  t.same(positions, [0, 260, 4096, 4096 + 160, 8192]);
});

t.test('a segment that is pruned is written over, and then holds nothing of its old use', async (t) => {
  const driver = await opened();
  driver.append(600, 601, 602);
  await driver.commit();
  driver.roll();
  driver.append(70);
  await driver.commit();
  driver.prune();
  t.ok(driver.files.list(directory).some((name) => name.endsWith('.new')));
  driver.roll();
  driver.append(71);
  driver.roll();
  driver.append(72);
  await driver.commit();
  const reused = segments(driver.files).filter((name) => read(driver.files, name).includes('lsn 2 attempt'));
  t.ok(reused.length > 0, 'a file of old content is in use');
  driver.restartOn(driver.files.kill());
  await driver.open();
});

t.test('a file that holds records that do not count is never written over', async (t) => {
  const driver = await opened();
  driver.append(600, 601);
  await driver.commit();
  driver.append(602);
  driver.append(603);
  t.equal(await failNextSync(driver), true);
  t.equal(segments(driver.files).length, 2, 'the records moved');
  t.ok(read(driver.files, segments(driver.files)[0] ?? '').includes('lsn 4 attempt'));
  await driver.reopen();
  driver.applied = 2;
  driver.log?.prune(2);
  t.same(segments(driver.files), ['0000000000000003.seg']);
  const spares = driver.files.list(directory).filter((name) => name.endsWith('.new'));
  t.notOk(spares.some((name) => read(driver.files, name).includes('HWR1')));
});

t.test('files kept for writing over are given back when nothing is written, but for one', async (t) => {
  const driver = await opened();
  const spares = (): number => driver.files.list(directory).filter((name) => name.endsWith('.new')).length;
  for (let segment = 0; segment < 5; segment++) {
    driver.append(600, 601, 602);
    await driver.commit();
    driver.roll();
  }
  driver.prune();
  t.ok(spares() >= 4, 'what is pruned is kept');
  driver.log?.trimSpares();
  t.equal(spares(), 1);
  driver.append(600);
  t.equal(await driver.commit(), true, 'it goes on');
});

t.test('spares that are there at the start are not trusted', async (t) => {
  const driver = await opened();
  driver.append(600);
  await driver.commit();
  const files = driver.files.kill();
  driver.restartOn(files);
  const fd = files.create(join(directory, 'spare-9.new'));
  files.write(fd, [read(files, segments(files)[0] ?? '')], 0);
  await driver.open();
  t.same(files.list(directory), ['0000000000000001.seg']);
});

t.test(
  'a record that is larger than a segment gets a file of its own, also behind a segment without records',
  async (t) => {
    const driver = await opened();
    driver.append(600);
    driver.roll();
    driver.append(segmentBytes * 2);
    driver.append(9);
    await driver.commit();
    const sizes = segments(driver.files).map((name) => read(driver.files, name).length);
    t.equal(segments(driver.files).length, 2);
    t.ok((sizes[1] ?? 0) > segmentBytes * 2);
    await driver.reopen();
  },
);

t.test('after a failed write the next group goes to another file', async (t) => {
  const driver = await opened();
  driver.append(600);
  driver.files.faults.failAt(1, 'EIO', ['write']);
  t.throws(() => driver.append(601), { code: 'journal-failed' });
  driver.attempt += 1;
  driver.append(602);
  t.equal(segments(driver.files).length, 2);
  t.equal(await driver.commit(), true);
  await driver.reopen();
});

t.test(
  'nobody is told that something is durable between a failed sync and the next that worked',
  async (t) => {
    const driver = await opened();
    driver.append(600);
    await driver.commit();
    driver.append(601);
    driver.files.faults.failFrom(1, 'EIO', ['sync', 'syncDirectory']);
    t.equal(await driver.commit(), false);
    t.match(driver.log?.failure, { code: 'journal-failed' });
    t.equal(driver.log?.appendedLsn, 2, 'the head does not go back');
    t.equal(driver.log?.durableLsn, 1);
    t.equal(await driver.commit(), false);
    t.throws(() => driver.append(602), { code: 'journal-failed' });
    await driver.wait(1000);
    t.equal(await driver.commit(), false, 'another try failed');
    driver.files.faults.clear();
    await driver.wait(1000);
    t.equal(driver.log?.failure, null);
    t.equal(driver.log?.durableLsn, 2);
    driver.attempt += 1;
    driver.append(603);
    t.equal(await driver.commit(), true);
    await driver.reopen();
  },
);

t.test('the first group after a healed sync begins at a block of its own', async (t) => {
  const driver = await opened();
  driver.append(600);
  t.equal(await failNextSync(driver), true);
  driver.append(601);
  t.equal(driver.log?.lastBodyPosition, 4096 + 96);
});

t.test('a failed sync that was only about a note does no harm', async (t) => {
  const driver = await opened();
  driver.append(600);
  await driver.commit();
  driver.files.faults.failAt(1, 'EIO', ['sync']);
  await driver.wait(1000);
  t.equal(driver.files.faults.injected, 1);
  t.equal(driver.log?.failure, null);
  driver.append(601);
  await driver.commit();
  await driver.reopen();
});

t.test('what is appended while a slow sync runs is synced in the background too', async (t) => {
  const driver = await opened();
  driver.append(600);
  const first = driver.commit();
  driver.append(601);
  mock.timers.tick(1000); // the timer of the second group comes due while the first sync runs
  await first;
  driver.append(602);
  await driver.wait(200);
  await driver.wait(200);
  t.equal(driver.log?.durableLsn, 3);
});

t.test('a segment is not pruned under a sync of it', async (t) => {
  const driver = await opened();
  driver.append(600);
  await driver.commit();
  mock.timers.tick(1000); // writes a note, and begins to sync it
  driver.roll();
  driver.append(601);
  driver.applied = 1;
  t.equal(driver.log?.prune(1), 0);
  for (let turn = 0; turn < 4; turn++) await nextTurn();
  t.equal(driver.log?.prune(1), 1);
  t.equal(await driver.commit(), true);
  t.equal(driver.log?.failure, null);
});

t.test('closing waits for what is under way, and answers everybody', async (t) => {
  const driver = await opened();
  driver.append(600);
  driver.files.faults.failFrom(1, 'EIO', ['sync', 'syncDirectory']);
  const { log, files } = driver;
  const asked = driver.commit();
  await t.rejects(log?.close() ?? Promise.resolve(), { code: 'journal-failed' });
  t.equal(await asked, false);
  const { calls } = files;
  files.faults.clear();
  await driver.wait(5000);
  t.equal(files.calls, calls, 'nothing is done any more');
  const late = await new Promise((resolve) => log?.commit(1, resolve));
  t.match(late, { code: 'journal-failed' });
});
