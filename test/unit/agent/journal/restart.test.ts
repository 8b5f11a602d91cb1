// A start that takes segments by their tables finds what one finds that reads them all, and a table that is
// not right is as good as none.
import t, { type Test } from 'tap';
import { basename } from 'node:path';
import type { Journal } from '../../../../agent/journal/journal.ts';
import { knownOf } from '../../../../core/segment-log/known-segment.ts';
import { chooseSeed, seededRandom, type Random } from '../../../support/random.ts';
import type { SimulatedFiles } from '../../../support/simulated-files.ts';
import {
  derived,
  diskBytes,
  JournalDriver,
  tagging,
  writing,
  zeroing,
} from '../../../fault/journal-driver.ts';
import { crashAt, directory, frozenTimers, segmentBytes } from '../../../fault/log-driver.ts';

t.before(() => frozenTimers(t));

const someWork = async (driver: JournalDriver, random: Random, steps: number): Promise<void> => {
  for (let step = 0; step < steps; step++) {
    const disk = random.below(2);
    const length = 1 + random.below(3000);
    const offset = random.below(diskBytes - length);
    const choices = [
      writing(disk, offset, random.bytes(length)),
      writing(disk, offset, random.bytes(length)),
      zeroing(disk, offset, length),
      tagging(`tag ${step}`),
    ];
    await driver.request(choices.slice(random.below(3), 1 + random.below(4)));
    if (random.chance(0.3)) await driver.flush();
    if (random.chance(0.2)) driver.journal.roll();
    if (random.chance(0.1))
      await driver.apply(driver.floored + random.below(driver.acknowledged - driver.floored + 1));
    if (random.chance(0.05)) driver.prune(driver.floored + random.below(driver.applied - driver.floored + 1));
  }
  await driver.flush();
};

/** The same journal as it is found on these files. */
async function openedOn(driver: JournalDriver, files: SimulatedFiles): Promise<JournalDriver> {
  const other = new JournalDriver(files);
  other.requests.push(...driver.requests);
  other.states.splice(0, Infinity, ...driver.states);
  other.applied = driver.applied;
  other.floored = driver.floored;
  await other.open(driver.acknowledged);
  await other.apply(other.applied); // its replica has to be filled
  return other;
}

const removeTables = (files: SimulatedFiles): void => {
  for (const name of files.list(derived)) files.unlink(`${derived}/${name}`);
};

/** All that a journal says without being asked for content. */
function wordsOf(journal: Journal): unknown {
  const { catalogue, headLsn, durableLsn, lastTime, generation, redoBytes } = journal;
  const lsns = Array.from({ length: headLsn }, (_, at) => at + 1);
  const times = lsns.map((lsn) => journal.timeOf(lsn));
  const asked = [...new Set(times.filter((time) => time !== null))].flatMap((time) => [time - 1, time]);
  return {
    ...{ headLsn, durableLsn, lastTime, generation, redoBytes },
    catalogue: structuredClone(catalogue),
    segments: journal.segments.map((segment) => ({ ...knownOf(segment), ordinal: segment.ordinal })),
    times,
    byTime: asked.map((time) => journal.lsnAtTime(time, 0)),
  };
}

/** Counts the bytes that are read in blocking calls. */
function countReads(files: SimulatedFiles): { bytes: number } {
  const count = { bytes: 0 };
  const read = files.readSync.bind(files);
  files.readSync = (fd, target, position) => {
    count.bytes += target.length;
    return read(fd, target, position);
  };
  return count;
}

t.test('with and without tables a start finds the same: content, catalogue, times', async (t) => {
  const seed = chooseSeed(t);
  for (let run = 0; run < 25; run++) {
    const random = seededRandom(seed + run);
    const driver = new JournalDriver();
    await driver.open();
    await someWork(driver, random, 40);
    if (random.chance(0.7)) await driver.journal.settled();
    if (random.chance(0.3)) driver.removeTables(random);
    const isKill = random.chance(0.5);
    const left = (): SimulatedFiles =>
      isKill ? driver.files.kill() : driver.files.crash({ seed: seed + run, mode: 'mixed' });
    const bare = left();
    if (bare.list('/retention').includes('derived')) removeTables(bare);
    const one = await openedOn(driver, left());
    const other = await openedOn(driver, bare);
    t.same(wordsOf(one.journal), wordsOf(other.journal), `SEED=${seed + run}`);
    await one.check();
    await other.check();
    // And once more, now that both have all tables.
    await other.journal.close();
    const again = await openedOn(other, bare.kill());
    await again.check();
  }
});

/** A journal of many segments, all of which have tables. */
async function settledJournal(seed = 1): Promise<JournalDriver> {
  const driver = new JournalDriver();
  await driver.open();
  await someWork(driver, seededRandom(seed), 60);
  await driver.journal.settled();
  return driver;
}

t.test('with tables, segments are not read: the newest, and of the others a first frame', async (t) => {
  const driver = await settledJournal();
  const files = driver.files.kill();
  const segments = files.list(directory).filter((name) => name.endsWith('.seg')).length;
  const count = countReads(files);
  const again = await openedOn(driver, files);
  t.ok(segments > 10);
  t.ok(count.bytes < 4 * segmentBytes + segments * 8192, `${count.bytes} bytes for ${segments} segments`);
  await again.check();
});

/** What is done to one table file; `other` is the name of another. */
type Harm = (files: SimulatedFiles, path: string, other: string, random: Random) => void;

const contentOf = (files: SimulatedFiles, path: string): Buffer => {
  const fd = files.open(path);
  const bytes = Buffer.alloc(files.size(fd));
  files.readSync(fd, bytes, 0);
  files.close(fd);
  return bytes;
};

const replace = (files: SimulatedFiles, path: string, bytes: Buffer): void => {
  if (files.list(derived).includes(basename(path))) files.unlink(path);
  const fd = files.create(path);
  files.write(fd, [bytes], 0);
  files.close(fd);
};

const harms: Record<string, Harm> = {
  flipped: (files, path, _other, random) => {
    const bytes = contentOf(files, path);
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    replace(files, path, bytes);
  },
  truncated: (files, path, _other, random) => {
    const bytes = contentOf(files, path);
    replace(files, path, bytes.subarray(0, random.below(bytes.length)));
  },
  swapped: (files, path, other) => {
    const [one, two] = [contentOf(files, path), contentOf(files, other)];
    replace(files, path, two);
    replace(files, other, one);
  },
  zeroed: (files, path) => replace(files, path, Buffer.alloc(contentOf(files, path).length)),
};

async function harmed(t: Test, harm: Harm, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const driver = await settledJournal(seed);
  const bare = driver.files.kill();
  removeTables(bare);
  const files = driver.files.kill();
  const names = files.list(derived).filter((name) => name.startsWith('redo-'));
  for (let count = 0; count < 4; count++)
    harm(files, `${derived}/${random.pick(names)}`, `${derived}/${random.pick(names)}`, random);
  const one = await openedOn(driver, files);
  const other = await openedOn(driver, bare);
  t.same(wordsOf(one.journal), wordsOf(other.journal), `SEED=${seed}`);
  await one.journal.settled();
  await one.check();
}

for (const [name, harm] of Object.entries(harms)) {
  t.test(`tables that are ${name} are as good as none`, async (t) => {
    const seed = chooseSeed(t);
    for (let run = 0; run < 10; run++) await harmed(t, harm, seed + run);
  });
}

t.test(
  'a table of an older use of the name is as good as none, and one without a segment goes',
  async (t) => {
    const driver = await settledJournal();
    const table = `${derived}/redo-0000000000000001.table`;
    const stale = contentOf(driver.files, table);
    // Another journal, whose first segment has the same name and other records.
    const other = new JournalDriver();
    await other.open();
    await someWork(other, seededRandom(2), 20);
    await other.journal.settled();
    const files = other.files.kill();
    replace(files, table, stale);
    replace(files, `${derived}/redo-00000000ffffffff.table`, stale);
    const again = await openedOn(other, files);
    t.notOk(files.list(derived).includes('redo-00000000ffffffff.table'));
    await again.check();
    t.same(
      again.journal.segments.filter(({ identity }) => identity === '').length,
      0,
      'each segment is known by its identity',
    );
  },
);

/** Two writes in each of three segments, at `offset`. */
async function alike(offset: number): Promise<JournalDriver> {
  const driver = new JournalDriver();
  await driver.open();
  for (let count = 0; count < 3; count++) {
    for (const disk of [0, 1]) await driver.request([writing(disk, offset, Buffer.alloc(500, `${offset} `))]);
    await driver.flush();
    driver.journal.roll();
  }
  await driver.journal.settled();
  return driver;
}

t.test('a table of a file that only looks the same is as good as none', async (t) => {
  const [one, other] = [await alike(100), await alike(3000)];
  const files = other.files.kill();
  for (const name of files.list(derived).filter((entry) => entry.startsWith('redo-')))
    replace(files, `${derived}/${name}`, contentOf(one.files, `${derived}/${name}`));
  const again = await openedOn(other, files);
  await again.check();
  t.equal(again.journal.segments.length, 3);
});

t.test('a table of a segment that a failed sync has shortened is as good as none', async (t) => {
  const driver = new JournalDriver();
  await driver.open();
  await driver.request([writing(0, 0, Buffer.alloc(500, 'a')), writing(1, 0, Buffer.alloc(500, 'b'))]);
  await driver.flush();
  await driver.request([writing(0, 1000, Buffer.alloc(500, 'c')), writing(1, 1000, Buffer.alloc(500, 'd'))]);
  driver.journal.roll();
  await driver.journal.settled();
  const table = `${derived}/redo-0000000000000001.table`;
  const stale = contentOf(driver.files, table);
  driver.files.faults.failAt(1, 'EIO', ['sync']);
  await driver.flush();
  await driver.journal.settled();
  t.same(
    driver.journal.segments.map(({ firstLsn, lastLsn }) => [firstLsn, lastLsn]),
    [
      [1, 2],
      [3, 4],
    ],
  );
  await driver.check();
  await driver.request([writing(0, 1200, Buffer.alloc(500, 'e'))]);
  await driver.flush();
  const files = driver.files.kill();
  t.notOk(contentOf(files, table).equals(stale), 'it was made anew');
  replace(files, table, stale);
  const again = await openedOn(driver, files);
  t.equal(again.journal.segments[0]?.lastLsn, 2);
  await again.check();
});

t.test('tables deleted while running: nothing is missed, and they are made again', async (t) => {
  const driver = await settledJournal();
  await driver.apply(driver.acknowledged);
  await driver.journal.settled();
  const before = driver.files.list(derived).filter((name) => name.startsWith('redo-'));
  removeTables(driver.files);
  await driver.check();
  await driver.journal.settled();
  t.same(
    driver.files.list(derived).filter((name) => name.startsWith('redo-')),
    before,
  );
  await driver.check();
  driver.prune(driver.applied);
  const left = driver.journal.segments.length;
  t.ok(driver.files.list(derived).length <= left, 'what is pruned takes its table with it');
});

t.test('whatever call the process ends at while tables are written, the next start finds all', async (t) => {
  const seed = chooseSeed(t);
  for (let call = 1; ; call++) {
    const driver = new JournalDriver();
    await driver.open();
    await someWork(driver, seededRandom(7), 12);
    const end = driver.files.calls + call;
    crashAt(driver.files, end, seededRandom(seed + call).next());
    try {
      driver.journal.roll();
    } catch {
      // It ended there.
    }
    await driver.journal.settled();
    const isOver = driver.files.calls < end;
    const isKill = call % 2 === 0;
    const files = isKill ? driver.files.kill() : driver.files.crash({ seed: seed + call, mode: 'mixed' });
    const again = await openedOn(driver, files);
    await again.check();
    if (isOver) return void t.ok(call > 5, `${call} calls`);
  }
});

t.test('a derived directory that cannot be written costs nothing but reading', async (t) => {
  const driver = new JournalDriver();
  driver.files.faults.failFrom(1, 'EACCES', ['ensureDirectory']);
  await driver.open();
  await someWork(driver, seededRandom(3), 30);
  await driver.journal.settled();
  await driver.check();
  const again = await openedOn(driver, driver.files.kill());
  await again.check();
  t.ok(again.journal.segments.length > 3);
});
