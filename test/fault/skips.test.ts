// LSNs that a sync-begin skips: what rots around a skip is lost, what was skipped never is.
import t from 'tap';
import { join } from 'node:path';
import { segmentFileName } from '../../core/segment-log/segment.ts';
import type { SimulatedFiles } from '../support/simulated-files.ts';
import { directory, frozenTimers, LogDriver, openLog } from './log-driver.ts';

t.before(() => frozenTimers(t));

/** 1 to 4 in one file, 100 to 103 in another, 104 in a third; all durable, and known to be so. */
async function skipped(): Promise<SimulatedFiles> {
  const driver = new LogDriver();
  await driver.open();
  driver.append(100, 200, 300, 400);
  await driver.commit();
  driver.skipTo(100, 500);
  await driver.commit();
  driver.append(600);
  driver.append(601);
  await driver.commit();
  driver.roll();
  driver.append(700);
  await driver.commit();
  await driver.wait(1000);
  return driver.files.kill();
}

async function lostOf(files: SimulatedFiles, durableLsn = 0): Promise<{ lost: number[][]; lsns: number[] }> {
  const { log, found } = await openLog(files, { durableLsn });
  await log.close();
  return {
    lost: found.lost.map(({ from, to }) => [from, to]),
    lsns: found.records.map(({ header }) => header.lsn),
  };
}

function change(files: SimulatedFiles, firstLsn: number, position: number, bytes: Buffer): void {
  const fd = files.open(join(directory, segmentFileName(firstLsn)));
  files.write(fd, [bytes], position);
  files.close(fd);
}

const all = [1, 2, 3, 4, 100, 101, 102, 103, 104];

t.test('a start finds what was skipped neither lost nor cut', async (t) => {
  const files = await skipped();
  t.same(files.list(directory).filter((name) => name.endsWith('.seg')).length, 3);
  t.same(await lostOf(files), { lost: [], lsns: all });
  t.same(await lostOf(files.kill(), 104), { lost: [], lsns: all });
});

t.test('with the first frame behind the skip rotten, the next ones still say what was skipped', async (t) => {
  const files = await skipped();
  change(files, 100, 70, Buffer.alloc(8, 0xff));
  t.same(await lostOf(files), { lost: [], lsns: all }, 'its records are sound in themselves');
  change(files, 100, 0, Buffer.alloc(4096));
  t.same(await lostOf(files), { lost: [[100, 101]], lsns: [1, 2, 3, 4, 102, 103, 104] });
});

t.test('what is lost on either side of a skip is lost, and not a record more', async (t) => {
  const before = await skipped();
  change(before, 1, 0, Buffer.alloc(4096));
  t.same(await lostOf(before), { lost: [[1, 4]], lsns: [100, 101, 102, 103, 104] });
  const gone = await skipped();
  gone.unlink(join(directory, segmentFileName(1)));
  t.same(await lostOf(gone), { lost: [[1, 4]], lsns: [100, 101, 102, 103, 104] });
  const behind = await skipped();
  change(behind, 100, 4096, Buffer.alloc(8192));
  t.same(await lostOf(behind), { lost: [[102, 103]], lsns: [1, 2, 3, 4, 100, 101, 104] });
});

t.test(
  'without any sound frame nobody knows of a skip: all of it counts as lost, nothing as content',
  async (t) => {
    const files = await skipped();
    change(files, 100, 0, Buffer.alloc(16 * 1024));
    t.same(await lostOf(files), {
      lost: [
        [5, 99],
        [100, 103],
      ],
      lsns: [1, 2, 3, 4, 104],
    });
  },
);

t.test('a torn group behind a skip is cut, and takes the skip with it', async (t) => {
  const driver = new LogDriver();
  await driver.open();
  driver.append(100);
  await driver.commit();
  driver.skipTo(100, 5000);
  const files = driver.files.kill();
  driver.restartOn(files);
  change(files, 100, 3000, Buffer.alloc(512));
  await driver.open(1);
  t.equal(driver.log?.appendedLsn, 1, 'the log ends before the skip');
  driver.append(200);
  driver.skipTo(100, 300);
  await driver.commit();
  await driver.reopen();
});

t.test('only a sync-begin skips', async (t) => {
  const driver = new LogDriver();
  await driver.open();
  driver.skipTo(10);
  t.throws(() => driver.skipTo(10), { code: 'bug' }, 'nobody goes back');
  const { log } = driver;
  driver.skipTo(11, 30);
  t.equal(log?.segments.length, 1, 'one that follows stays in the segment');
  driver.skipTo(13);
  t.equal(log?.segments.length, 1);
  driver.skipTo(20);
  t.equal(log?.segments.length, 2);
  t.match(log?.segments[1], { firstLsn: 20, precededBy: 13 });
  await driver.commit();
});
