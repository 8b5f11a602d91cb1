// What can go wrong around healing: what it could not finish, what it did not know, who could not be told.
import t from 'tap';
import { Journal } from '../../agent/journal/journal.ts';
import { findUnsound, isSound } from '../../agent/journal/mend-segment.ts';
import { BackgroundMerger } from '../../core/extents/background-merger.ts';
import { silentLog } from '../../core/log.ts';
import { recordHeaderBytes } from '../../core/record/record.ts';
import { listFrames } from '../../core/segment-log/frames.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import { microseconds } from '../../core/units.ts';
import { seededRandom } from '../support/random.ts';
import type { SimulatedFiles } from '../support/simulated-files.ts';
import { contentOf, healOf, placesOf, recordsOf } from './heal-driver.ts';
import { derived, JournalDriver, tagging, writing } from './journal-driver.ts';
import { directory, frozenTimers, machine, segmentBytes } from './log-driver.ts';

t.before(() => frozenTimers(t));

async function written(groups: number, options: { derived?: null } = {}): Promise<JournalDriver> {
  const driver = new JournalDriver(undefined, options);
  await driver.open();
  const random = seededRandom(7);
  for (let group = 0; group < groups; group++) {
    await driver.request([
      writing(group % 2, 512 * (group % 13), random.bytes(1024 + 512 * random.below(3))),
    ]);
    if (group % 3 === 0) await driver.flush();
  }
  await driver.flush();
  driver.journal.roll();
  await driver.journal.settled();
  return driver;
}

/** One byte of a record's header, or of its payload, is another now. */
function harm(files: SimulatedFiles, segment: Segment, lsn: number, what: 'header' | 'payload'): void {
  const place = placesOf(contentOf(files, segment)).get(lsn);
  if (place === undefined) throw new Error(`record ${lsn} is not there`);
  files.write(segment.fd, [Buffer.from([0x5a])], place.at + (what === 'header' ? 20 : recordHeaderBytes + 2));
}

const soundOf = (files: SimulatedFiles, segment: Segment): boolean =>
  isSound(findUnsound(contentOf(files, segment), { ...segment, machine }));

/** Whatever is damaged, the journal opens; what it knows of the rest comes from reading. */
function openAgain(files: SimulatedFiles, { keepsTables = false } = {}): Promise<Journal> {
  if (!keepsTables) for (const name of files.list(derived)) files.unlink(`${derived}/${name}`);
  return Journal.open({
    ...{ files, directory, machine, derived, log: silentLog, merger: new BackgroundMerger(silentLog) },
    clock: { now: () => microseconds(1_800_000_000_000_000), monotonicMs: () => 0 },
    ...{ generation: 1, segmentBytes, syncBytes: 1 << 20, syncIntervalMs: 200 },
    ...{ flooredLsn: 0, appliedLsn: 0, durableLsn: 0, openGap: null },
  });
}

for (const what of ['header', 'payload'] as const)
  t.test(`${what}: it is healed when only the directory cannot be synced`, async (t) => {
    const driver = await written(24);
    const records = recordsOf(driver);
    const segment = driver.journal.segments[1]!;
    harm(driver.files, segment, segment.firstLsn + 1, what);
    driver.files.faults.failFrom(1, 'EIO', ['syncDirectory']);
    const healed = await healOf(driver.journal, records).heal([segment.path]);
    driver.files.faults.clear();
    t.match(healed, [{ file: segment.path, left: [] }]);
    await driver.check();
  });

t.test('a view that cannot be told does not undo what is done', async (t) => {
  const driver = await written(24);
  const records = recordsOf(driver);
  const segment = driver.journal.segments[1]!;
  harm(driver.files, segment, segment.firstLsn + 1, 'header');
  const replaced = (): void => {
    throw new Error('there are too many open files');
  };
  t.match(await healOf(driver.journal, records, { replaced }).heal([segment.path]), [{ left: [] }]);
  await driver.check();
});

t.test('what cannot be taken into use leaves everything as it was, for the next try', async (t) => {
  const driver = await written(24, { derived: null });
  const records = recordsOf(driver);
  const segment = driver.journal.segments[1]!;
  harm(driver.files, segment, segment.firstLsn + 1, 'header');
  const heal = healOf(driver.journal, records);
  driver.files.faults.failFrom(1, 'EIO', ['readSync']);
  t.same(await heal.heal([segment.path]), [], 'another segment cannot be read');
  driver.files.faults.clear();
  driver.prune(0);
  t.match(await heal.heal([segment.path]), [{ left: [] }]);
  await driver.check();
});

t.test('of a file that was cut off nothing stands in for what is missing', async (t) => {
  const driver = await written(24);
  const records = recordsOf(driver);
  const { files, journal } = driver;
  const segment = journal.segments[1]!;
  const content = contentOf(files, segment);
  const cut = placesOf(content).get(segment.lastLsn)!.at;
  const path = `${directory}/shorter.new`;
  const fd = files.create(path);
  files.write(fd, [content.subarray(0, cut)], 0);
  files.rename(path, segment.path);
  files.close(fd);
  Object.assign(segment, { fd: files.open(segment.path) });
  const poisoned = t.intercept(Buffer, 'allocUnsafe', {
    value: (bytes: number) => Buffer.alloc(bytes, 0xaa),
  });
  t.match(await healOf(journal, records).heal([segment.path]), [{ left: [] }]);
  poisoned.restore();
  const after = contentOf(files, journal.segments[1]!);
  t.notOk(after.includes(Buffer.alloc(16, 0xaa)), 'memory that was never written does not go to the disk');
  await driver.check();
});

t.test('frames behind the last record still say what is durable', async (t) => {
  const driver = await written(8);
  const { files, journal } = driver;
  await driver.request([writing(0, 0, Buffer.alloc(512, 1))]);
  await driver.flush();
  await driver.wait(2000);
  await driver.wait(2000);
  journal.roll();
  const segment = journal.segments.at(-2)!;
  const durableOf = (one: Segment): number =>
    listFrames(contentOf(files, one), machine, one.firstLsn).durable;
  t.equal(durableOf(segment), segment.lastLsn, 'an empty group says that all of it is');
  const records = recordsOf(driver);
  harm(files, segment, segment.lastLsn, 'header');
  t.match(await healOf(journal, records).heal([segment.path]), [{ left: [] }]);
  t.equal(durableOf(journal.segments.at(-2)!), segment.lastLsn);
});

t.test('what could not be had stays known as damaged', async (t) => {
  const driver = await written(24);
  const { files, journal } = driver;
  const segment = journal.segments[1]!;
  const [one, other] = [segment.firstLsn, segment.firstLsn + 2];
  const records = new Map([...recordsOf(driver)].filter(([lsn]) => lsn !== other));
  for (const lsn of [one, other]) {
    harm(files, segment, lsn, 'payload');
    const place = { disk: 'root', start: 512 * lsn, end: 512 * lsn + 512 };
    journal.noteDamage({ file: segment.path, fromLsn: lsn, toLsn: lsn, ...place });
  }
  // What is known to be damaged is asked for as soon as somebody can be asked.
  t.equal(await healOf(journal, records).settle(new Set([segment.path])), false);
  t.match(
    journal.catalogue.damaged.map(({ fromLsn }) => fromLsn),
    [other],
  );
});

t.test('a tag that was had again is there after the next start, too', async (t) => {
  const driver = await written(12);
  await driver.request([tagging('month-end')]);
  await driver.flush();
  driver.journal.roll();
  await driver.request([writing(0, 0, Buffer.alloc(512, 1))]);
  await driver.flush();
  await driver.request([writing(0, 0, Buffer.alloc(512, 2))]);
  await driver.flush();
  const { lsn } = driver.journal.catalogue.tags[0]!;
  const records = recordsOf(driver);
  harm(
    driver.files,
    driver.journal.segments.find(({ lastLsn }) => lastLsn >= lsn)!,
    lsn,
    'payload',
  );
  const files = driver.files.kill();
  const journal = await openAgain(files);
  await journal.settled();
  t.same(journal.catalogue.tags, [], 'it cannot be read');
  const { path } = journal.segments.find(({ lastLsn }) => lastLsn >= lsn)!;
  t.match(await healOf(journal, records).heal([path]), [{ left: [] }]);
  t.match(journal.catalogue.tags, [{ lsn, name: 'month-end' }]);
  await journal.settled();
  const next = await openAgain(files.kill(), { keepsTables: true });
  t.match(next.catalogue.tags, [{ lsn, name: 'month-end' }]);
});

for (const isOpen of [false, true])
  t.test(
    `the gap of a sync whose begin was had again is known at once, ${isOpen ? 'open' : 'ended'}`,
    async (t) => {
      const driver = new JournalDriver();
      await driver.open();
      const write = (disk: number): Promise<boolean> =>
        driver.request([writing(disk, 0, Buffer.alloc(1024, driver.requests.length))]);
      const note = { reason: 'resync', disks: [], checksums: true };
      await write(0);
      const early = await driver.journal.syncBegin({ ...note, reason: 'before' });
      const earlyEnd = await driver.journal.syncEnd();
      driver.journal.roll();
      const begin = await driver.journal.syncBegin(note);
      driver.journal.write(0, 0, Buffer.alloc(512, 3), true, null, () => undefined);
      await driver.journal.commit();
      driver.journal.roll();
      driver.journal.write(0, 512, Buffer.alloc(512, 4), true, null, () => undefined);
      await driver.journal.commit();
      const end = isOpen ? null : await driver.journal.syncEnd();
      driver.journal.roll();
      const records = recordsOf(driver);
      harm(
        driver.files,
        driver.journal.segments.find(({ lastLsn }) => lastLsn >= begin.lsn)!,
        begin.lsn,
        'header',
      );
      const files = driver.files.kill();
      const journal = await openAgain(files);
      const known = { from: early.lsn, to: earlyEnd.lsn, reason: 'before' };
      t.match(journal.catalogue.gaps, [known]);
      t.equal(journal.catalogue.gaps.length, 1, 'nobody knows of the other');
      const { path } = journal.segments.find(({ lastLsn }) => lastLsn >= begin.lsn)!;
      await healOf(journal, records).heal([path]); // or by itself, since records are lost
      t.ok(
        soundOf(
          files,
          journal.segments.find((one) => one.path === path)!,
        ),
      );
      t.match(journal.catalogue.gaps, [known, { from: begin.lsn, to: end?.lsn ?? null, reason: 'resync' }]);
      t.equal(journal.catalogue.gaps.length, 2);
      if (isOpen) t.match(journal.catalogue.sync, { lsn: begin.lsn, before: begin.lsn - 1, checksums: true });
      else t.equal(journal.catalogue.sync, null);
      await journal.settled();
      const next = await openAgain(files.kill(), { keepsTables: true });
      t.same(next.catalogue.gaps, journal.catalogue.gaps, 'as the next start finds it');
    },
  );

t.test('nothing is healed behind its end, not even what needs nobody', async (t) => {
  const driver = await written(24);
  const { files, journal } = driver;
  const segment = journal.segments[1]!;
  const frame = listFrames(contentOf(files, segment), machine, segment.firstLsn).frames[1]!;
  files.write(segment.fd, [Buffer.alloc(8)], frame.position);
  const heal = healOf(journal, new Map());
  await heal.stop();
  await t.rejects(heal.heal([segment.path]), { code: 'interrupted' });
  t.notOk(soundOf(files, journal.segments[1]!));
});

t.test('a process server that is away is waited for once, not for every segment', async (t) => {
  const driver = await written(40);
  const { files, journal } = driver;
  const damaged = journal.segments.slice(0, 3);
  t.equal(damaged.length, 3);
  for (const segment of damaged) harm(files, segment, segment.firstLsn, 'payload');
  let isOver = false;
  const healing = healOf(journal, null, { waitMs: 60_000 })
    .heal(damaged.map(({ path }) => path))
    .finally(() => {
      isOver = true;
    });
  for (let turn = 0; turn < 4; turn++) await driver.wait(0);
  await driver.wait(60_000);
  for (let turn = 0; turn < 8; turn++) await driver.wait(0);
  t.ok(isOver);
  if (!isOver) for (let times = 0; times < 3; times++) await driver.wait(60_000);
  t.same(await healing, []);
});

t.test('a file that has lost its name gets it back, whoever numbers its records', async (t) => {
  const driver = await written(24);
  await driver.request([writing(0, 0, Buffer.alloc(512, 1))]);
  await driver.flush();
  const { files, journal } = driver;
  const newest = journal.segments.at(-1)!;
  const gone = [journal.segments[1]!, journal.segments[2]!, newest];
  harm(files, gone[1]!, gone[1]!.firstLsn, 'payload');
  const heal = healOf(journal, null, { isPulled: () => false });
  t.same(await heal.keepNames(), [], 'all are there');
  for (const { path } of gone) files.unlink(path);
  const putBack = await heal.keepNames();
  t.match(
    putBack,
    gone.map(({ path, firstLsn, lastLsn }) => ({
      file: path,
      records: [[firstLsn, lastLsn]],
      isPutBack: true,
    })),
  );
  t.same(await heal.keepNames(), []);
  const damaged = gone[1]!.firstLsn;
  const next = await openAgain(files.crash({ seed: 1, mode: 'drop' }), { keepsTables: true });
  t.equal(next.headLsn, journal.headLsn);
  t.same(next.catalogue.lost, []);
  t.notOk(
    soundOf(
      files,
      journal.segments.find(({ firstLsn }) => firstLsn === damaged)!,
    ),
    'as it was',
  );
});

t.test('what somebody has put under the name of a file that is open stays there', async (t) => {
  const driver = await written(24);
  const { files, journal } = driver;
  const { path } = journal.segments[1]!;
  files.unlink(path);
  const fd = files.create(path);
  files.write(fd, [Buffer.from('somebody has put this here')], 0);
  t.same(await healOf(journal, null, { isPulled: () => false }).keepNames(), []);
  t.equal(files.size(files.open(path)), 26);
});
