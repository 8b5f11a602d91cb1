// The journal against a plain model: every LSN shows exactly what was written up to it, whatever happened
// since.
import t, { type Test } from 'tap';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';
import { crashAt, frozenTimers } from './log-driver.ts';
import {
  diskBytes,
  disks,
  JournalDriver,
  tagging,
  writing,
  zeroing,
  type Request,
} from './journal-driver.ts';

const isLong = process.env['HOMEWARD_LONG'] === '1';

// Asked for before time stands still.
t.setTimeout(isLong ? 0 : 110_000);

/** The test's own deadline first: what begins later stands still. */
function begin(t: Test): number {
  t.setTimeout(isLong ? 0 : 100_000);
  frozenTimers(t);
  return chooseSeed(t);
}

function anyRequest(random: Random, name: string): Request {
  const disk = random.below(disks);
  const offset = random.chance(0.5) ? random.below(16) * 512 : random.below(diskBytes - 1);
  const length = 1 + random.below(Math.min(diskBytes - offset, random.pick([16, 512, 3000, diskBytes])));
  if (random.chance(0.1)) return tagging(name);
  if (random.chance(0.25)) return zeroing(disk, offset, length, random.chance(0.5));
  return writing(disk, offset, random.bytes(length));
}

type Action = (driver: JournalDriver, random: Random) => Promise<unknown>;

const actions: Record<string, { weight: number; act: Action }> = {
  request: {
    weight: 30,
    act: (driver, random) =>
      driver.request(
        Array.from({ length: 1 + random.below(6) }, (_, index) => anyRequest(random, `tag ${index}`)),
      ),
  },
  flush: { weight: 8, act: (driver) => driver.flush() },
  roll: { weight: 4, act: async (driver) => driver.journal.roll() },
  wait: { weight: 3, act: (driver, random) => driver.wait(random.pick([200, 1000])) },
  apply: {
    weight: 6,
    act: async (driver, random) => {
      const { applied, applicable } = driver;
      await driver.apply(applied + random.below(applicable - applied + 1));
    },
  },
  rollBack: {
    weight: 2,
    act: async (driver, random) => {
      const { applied, floored } = driver;
      await driver.apply(floored + random.below(applied - floored + 1));
    },
  },
  prune: {
    weight: 6,
    act: async (driver, random) => {
      const { applied, floored } = driver;
      driver.prune(floored + random.below(applied - floored + 1));
    },
  },
  removeTables: { weight: 2, act: async (driver, random) => driver.removeTables(random) },
  settle: { weight: 2, act: (driver) => driver.journal.settled() },
  view: { weight: 4, act: async (driver, random) => openView(driver, random) },
  closeView: { weight: 3, act: async (driver) => driver.views.shift()?.release() },
  check: { weight: 6, act: (driver) => driver.check() },
  kill: {
    weight: 2,
    act: async (driver) => {
      driver.restartOn(driver.files.kill());
      await driver.open();
    },
  },
  powerCut: {
    weight: 2,
    act: async (driver, random) => {
      const { acknowledged } = driver;
      driver.restartOn(driver.files.crash({ seed: random.below(2 ** 31) }));
      await driver.open(acknowledged);
    },
  },
  failedSync: { weight: 3, act: failSync },
};

async function openView(driver: JournalDriver, random: Random): Promise<void> {
  await driver.flush();
  const { durableLsn } = driver.journal;
  const lsn = driver.floored + random.below(durableLsn - driver.floored + 1);
  const most = Math.min(lsn, driver.applied);
  const base = random.chance(0.5) ? most : driver.floored + random.below(most - driver.floored + 1);
  driver.views.push(driver.view(lsn, base));
}

/** A sync fails, once or for a while; readers see the head all the time, and it heals. */
async function failSync(driver: JournalDriver, random: Random): Promise<void> {
  const { faults } = driver.files;
  await driver.request([anyRequest(random, 'before a failed sync')].filter(({ tag }) => tag === null));
  const isLasting = random.chance(0.5);
  if (isLasting) faults.failFrom(1 + random.below(2), 'EIO', ['sync', 'syncDirectory', 'allocate']);
  else faults.failAt(1 + random.below(3), 'EIO');
  await driver.flush();
  await driver.checkHead().catch((error: unknown) => {
    if (!/EIO/.test(String(error))) throw error;
  });
  faults.clear();
  await driver.wait(1000);
  if (driver.journal.failure !== null) throw new Error('the journal did not heal');
  if (!(await driver.flush())) throw new Error('a flush is refused though the disk works');
  await driver.check();
}

function pickAction(random: Random): Action {
  const all = Object.values(actions);
  let left = random.below(all.reduce((sum, { weight }) => sum + weight, 0));
  for (const { weight, act } of all) {
    if (left < weight) return act;
    left -= weight;
  }
  return async () => undefined;
}

t.test('random work: each LSN between cursor and head, the head, and views that stay open', async (t) => {
  const seed = begin(t);
  const runs = isLong ? 2000 : 40;
  for (let run = 0; run < runs; run++) {
    const random = seededRandom(seed + run);
    const driver = new JournalDriver();
    await driver.open();
    try {
      for (let step = 0; step < 80; step++) await pickAction(random)(driver, random);
      await driver.check();
    } catch (error) {
      return void t.fail(`SEED=${seed + run}: ${String(error)}`, { error });
    }
  }
  t.pass(`${runs} runs`);
});

type Operation = (driver: JournalDriver) => Promise<unknown>;

const payload = (length: number, fill: string): Buffer => Buffer.alloc(length, fill);
const requesting =
  (request: Request): Operation =>
  (driver) =>
    driver.request([request], { mayAppear: isCrashing(driver) });
const isCrashing = (driver: JournalDriver): boolean => driver.files.onCall !== null;

const operations: Record<string, Operation> = {
  write: requesting(writing(0, 1024, payload(2048, 'write'))),
  'overlapping write': (driver) =>
    driver.request([writing(0, 2000, payload(700, 'first')), writing(0, 2300, payload(3000, 'second'))], {
      mayAppear: isCrashing(driver),
    }),
  discard: requesting(zeroing(0, 512, 4096, true)),
  zero: requesting(zeroing(1, 100, 5000)),
  flush: (driver) => driver.flush(),
  tag: requesting(tagging('moment')),
  apply: (driver) => driver.apply(driver.applicable),
  prune: async (driver) => {
    driver.journal.roll();
    driver.prune();
  },
  restart: async (driver) => {
    await driver.journal.close();
    const files = driver.files.kill();
    files.onCall = driver.files.onCall;
    files.calls = driver.files.calls;
    driver.restartOn(files);
    await driver.open();
  },
  'disk full': async (driver) => {
    driver.files.capacityBytes = 0;
  },
};

function sequences(): string[][] {
  const names = Object.keys(operations);
  const pairs = names.flatMap((a) => names.map((b) => [a, b]));
  return [
    ...names.map((name) => [name]),
    ...pairs,
    ...pairs.flatMap((pair) => names.map((name) => [...pair, name])),
  ];
}

/** Before each sequence: something applied, something not, a segment that is complete. */
async function prepared(): Promise<JournalDriver> {
  const driver = new JournalDriver();
  await driver.open();
  await driver.request([
    writing(0, 0, payload(3000, 'a')),
    writing(1, 0, payload(8192, 'b')),
    zeroing(0, 100, 200),
  ]);
  await driver.flush();
  driver.journal.roll();
  await driver.apply(2);
  await driver.request([writing(1, 4000, payload(1000, 'c'))]);
  return driver;
}

/** Gives back whether the crash came before the end. */
async function runSequence(sequence: readonly string[], crashCall: number, seed: number): Promise<boolean> {
  const driver = await prepared();
  const random = seededRandom(seed);
  const end = driver.files.calls + crashCall;
  crashAt(driver.files, end, random.next());
  for (const name of sequence) {
    try {
      await operations[name]?.(driver);
    } catch {
      break;
    }
    if (driver.files.calls >= end) break;
  }
  const crashed = driver.files.calls >= end;
  const isKill = random.chance(0.5);
  const least = isKill ? driver.completed : driver.acknowledged;
  const left = isKill ? driver.files.kill() : driver.files.crash({ seed: seed + 1 });
  driver.restartOn(left);
  left.capacityBytes = Infinity;
  await driver.open(least);
  await driver.check();
  await driver.request([writing(0, 700, payload(900, 'afterwards')), tagging('afterwards')]);
  driver.prune();
  await driver.check();
  return crashed;
}

async function runSequences(t: Test, chosen: readonly string[][], seed: number): Promise<void> {
  let runs = 0;
  for (const sequence of chosen) {
    for (let call = 1; ; call++) {
      runs += 1;
      try {
        if (!(await runSequence(sequence, call, seed + runs))) break;
      } catch (error) {
        return void t.fail(
          `${sequence.join(', ')}: crash at call ${call}, seed ${seed + runs}: ${String(error)}`,
          { error },
        );
      }
    }
  }
  t.comment(`${chosen.length} sequences, ${runs} runs`);
  t.ok(runs > chosen.length);
}

t.test('up to three operations, and a crash at every call', async (t) => {
  const seed = begin(t);
  const all = sequences();
  const random = seededRandom(seed);
  const chosen = isLong ? all : all.filter((sequence) => sequence.length < 3 || random.chance(0.05));
  await runSequences(t, chosen, seed);
});
