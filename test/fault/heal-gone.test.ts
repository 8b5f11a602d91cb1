// Files of redo that are gone while nobody has them open: what can be had again comes back, and whatever
// stays unknown is never other bytes. A process that ends at any I/O of it leaves the hole, or a sound file.
import t from 'tap';
import { decodeRecordHeader, encodeRecordHeader, machineMark } from '../../core/record/record.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';
import { SimulatedCrash, type SimulatedFiles } from '../support/simulated-files.ts';
import { healOf, recordsOf, writeSome } from './heal-driver.ts';
import { JournalDriver } from './journal-driver.ts';
import { directory, frozenTimers, machine } from './log-driver.ts';

t.setTimeout(110_000);
t.before(() => frozenTimers(t));

const mark = machineMark(machine);

interface Sample {
  driver: JournalDriver;
  /** By LSN, of all files. */
  records: Map<number, Buffer>;
  /** Paths of the files that are gone. */
  gone: string[];
}

/** A journal that was opened again when some of its files had gone. */
async function sampleOf(
  random: Random,
  which: (segments: number) => number[],
  { isApplied = false } = {},
): Promise<Sample> {
  const driver = new JournalDriver();
  await writeSome(driver, random, 30);
  if (isApplied) await driver.apply(random.below(driver.applicable));
  const records = recordsOf(driver);
  const full = driver.journal.segments.filter(({ firstLsn, lastLsn }) => lastLsn >= firstLsn);
  const gone = which(full.length).map((at) => full[at]?.path ?? '');
  for (const path of gone) driver.files.unlink(path);
  await driver.files.syncDirectory(directory);
  driver.restartOn(driver.files.kill());
  driver.mayLack = true;
  driver.durable = driver.completed;
  await driver.open(0);
  return { driver, records, gone };
}

/** The same machine on other files. */
function successor({ driver }: Sample, files: SimulatedFiles): JournalDriver {
  const next = new JournalDriver(files);
  next.requests.push(...driver.requests);
  next.states.splice(0, Infinity, ...driver.states);
  next.completed = driver.completed;
  return next;
}

t.test('what is there of all that was lost comes back, at any call', async (t) => {
  const seed = chooseSeed(t);
  const found = { filled: 0, open: 0 };
  for (let n = 1, last = false; !last; n++) {
    const sample = await sampleOf(seededRandom(seed), () => [1, 2]);
    const { driver, gone } = sample;
    const { files } = driver;
    t.ok(driver.journal.catalogue.lost.length > 0);
    const first = files.calls;
    files.onCall = (_name, call) => {
      if (call >= first + n) throw new SimulatedCrash();
    };
    await healOf(driver.journal, sample.records)
      .heal(gone)
      .catch(() => []);
    last = files.calls < first + n;
    files.onCall = null;
    if (last) {
      t.same(driver.journal.catalogue.lost, [], `it takes ${n - 1} calls`);
      t.match(driver.journal.catalogue.tags, [{ name: 't' }]);
      await driver.journal.settled();
      driver.mayLack = false;
      await driver.check();
      driver.restartOn(files.kill());
      await driver.open();
      await driver.check();
      break;
    }
    for (const mode of ['drop', 'keep', 'mixed'] as const) {
      const next = successor(sample, files.crash({ seed: n, mode }));
      next.mayLack = true;
      await next.open();
      const isOpen = next.journal.catalogue.lost.length > 0;
      found[isOpen ? 'open' : 'filled'] += 1;
      next.mayLack = isOpen;
      await next.check();
    }
  }
  t.ok(found.filled > 0 && found.open > 0, JSON.stringify(found));
});

t.test('where only some can be had, the rest is unknown, and never anything else', async (t) => {
  const random = seededRandom(chooseSeed(t));
  let better = 0;
  for (let round = 0; round < 60; round++) {
    const sample = await sampleOf(
      random,
      (count) => Array.from({ length: count }, (_, at) => at).filter(() => random.chance(0.4)),
      { isApplied: random.chance(0.5) },
    );
    const { driver, records, gone } = sample;
    await driver.check();
    const before = driver.lacking;
    const from = random.below(driver.completed);
    const some = new Map([...records].filter(([lsn]) => lsn >= from && random.chance(0.97)));
    const heal = healOf(driver.journal, some);
    for (let times = 0; times < 3; times++) await heal.heal(gone);
    driver.lacking = 0;
    await driver.check();
    if (driver.lacking > before) t.fail(`round ${round} knows less than before`);
    better += driver.lacking < before ? 1 : 0;
    await driver.journal.settled();
    const { lost } = driver.journal.catalogue;
    driver.restartOn(driver.files.kill());
    await driver.open(0);
    await driver.check();
    const spans = (all: typeof lost): number => all.reduce((sum, one) => sum + one.to + 1 - one.from, 0);
    t.equal(spans(driver.journal.catalogue.lost), spans(lost), 'a start finds the same');
  }
  t.ok(better > 10, `${better} rounds knew more afterwards`);
});

t.test('what a fence stands against does not come back with the rest', async (t) => {
  const sample = await sampleOf(seededRandom(3), () => [1]);
  const { driver, records, gone } = sample;
  const [hole] = driver.journal.catalogue.lost;
  const lsn = hole?.from ?? 0;
  const stale = Buffer.from(records.get(lsn) ?? '');
  const header = decodeRecordHeader(stale, 0, mark);
  if (header === null) throw new Error('there is no such record');
  for (const generation of [0, 2]) {
    encodeRecordHeader(stale, 0, { ...header, generation }, mark);
    records.set(lsn, Buffer.from(stale));
    t.same(await healOf(driver.journal, sample.records).heal(gone), []);
    t.match(driver.journal.catalogue.lost, [hole]);
  }
});
