// I/O that fails at any call, once or from there on: refused requests say why, nothing before is lost, it
// goes on.
import t, { type Test } from 'tap';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HomewardError } from '../../core/errors.ts';
import { chooseSeed } from '../support/random.ts';
import { frozenTimers, LogDriver, newFiles } from './log-driver.ts';

t.setTimeout(110_000);

type Step = (driver: LogDriver) => void | Promise<unknown>;

const script: readonly Step[] = [
  (d) => d.append(100, 700, 512),
  (d) => d.commit(),
  (d) => d.append(3000),
  (d) => d.wait(200),
  (d) => d.append(5000, 5000),
  (d) => d.append(2000),
  (d) => d.append(600),
  (d) => d.commit(),
  (d) => d.roll(),
  (d) => d.append(9000),
  (d) => d.wait(1000),
  (d) => d.prune(),
  (d) => d.append(10, 20, 30, 40),
  (d) => d.append(9000),
  (d) => d.append(20_000),
  (d) => d.commit(),
  (d) => d.roll(),
  (d) => d.append(20_001),
  (d) => d.prune(),
  (d) => d.wait(1000),
  (d) => d.append(7000),
  (d) => d.appendDuringCommit(900, 901, 12_000),
  (d) => d.wait(0),
  (d) => d.append(7001),
  (d) => d.wait(1000),
  (d) => d.append(7002),
  (d) => d.commit(),
  (d) => d.wait(1000),
  (d) => d.append(7003),
  (d) => d.skipTo(d.completed + 20, 50),
  (d) => d.skipTo(d.completed + 5, 9000),
  (d) => d.append(7004),
  (d) => d.commit(),
  (d) => d.roll(),
  (d) => d.skipTo(d.completed + 1, 9001),
  (d) => d.skipTo(d.completed + 3),
  (d) => d.wait(1000),
  (d) => d.prune(),
];

/** Throws when it is not settled after many turns of the event loop and a second of time. */
async function settled<T>(driver: LogDriver, work: Promise<T>, what: string): Promise<T> {
  let isSettled = false;
  const watched = work.finally(() => {
    isSettled = true;
  });
  watched.catch(() => undefined);
  for (let turn = 0; turn < 400 && !isSettled; turn++) await (turn === 200 ? driver.wait(1000) : nextTurn());
  if (!isSettled) throw new Error(`${what} hangs`);
  return watched;
}

/** Does a step; what fails has to fail with one of the two codes that a writer can meet. */
async function tryStep(driver: LogDriver, step: Step, at: number): Promise<void> {
  try {
    await settled(driver, Promise.resolve(step(driver)), `step ${at}`);
  } catch (error) {
    const isKnown =
      error instanceof HomewardError && (error.code === 'no-space' || error.code === 'journal-failed');
    if (!isKnown) throw error;
    driver.attempt += 1;
  }
}

/** The disk works again: the log takes records, makes everything durable, and has lost nothing. */
async function healsOn(driver: LogDriver, what: string): Promise<void> {
  driver.files.faults.clear();
  await driver.wait(1000);
  await driver.wait(1000);
  driver.append(77, 78);
  if (!(await settled(driver, driver.commit(), what)))
    throw new Error(`${what}: a commit is refused though the disk works`);
  const { completed } = driver;
  driver.restartOn(driver.files.crash({ mode: 'drop' }));
  await driver.open(completed);
  driver.append(79);
  await driver.reopen();
}

interface Fault {
  n: number;
  errno: string;
  isLasting: boolean;
}

async function runWith(fault: Fault, seed: number, isCutShort: boolean): Promise<number> {
  const driver = new LogDriver(newFiles());
  await driver.open();
  const { faults } = driver.files;
  if (fault.isLasting) faults.failFrom(fault.n, fault.errno);
  else faults.failAt(fault.n, fault.errno);
  for (const [at, step] of script.entries()) await tryStep(driver, step, at);
  const { injected } = faults;
  if (isCutShort) {
    const { acknowledged } = driver;
    driver.restartOn(driver.files.crash({ seed }));
    driver.files.faults.clear();
    await driver.open(acknowledged);
  }
  await healsOn(driver, 'afterwards');
  return injected;
}

async function failEverywhere(t: Test, kind: Omit<Fault, 'n'>, isCutShort: boolean): Promise<void> {
  const seed = chooseSeed(t);
  let n = 1;
  for (; ; n++) {
    try {
      if ((await runWith({ ...kind, n }, seed + n, isCutShort)) === 0) break;
    } catch (error) {
      return void t.fail(`${kind.errno} at call ${n}: ${String(error)}`, { error });
    }
  }
  t.ok(n > 50, `${n} calls`);
}

for (const errno of ['EIO', 'ENOSPC']) {
  for (const isLasting of [false, true]) {
    for (const isCutShort of [false, true]) {
      const when = isLasting ? 'at every call from the n-th on' : 'at the n-th call';
      const then = isCutShort ? 'and then a power cut' : 'and then a disk that works';
      t.test(`${errno} ${when}, ${then}`, async (t) => {
        frozenTimers(t);
        await failEverywhere(t, { errno, isLasting }, isCutShort);
      });
    }
  }
}

t.test('a start on a failing disk is refused, and the next one finds everything', async (t) => {
  frozenTimers(t);
  for (let n = 1; ; n++) {
    const driver = new LogDriver();
    await driver.open();
    for (const step of script) await step(driver);
    const { completed } = driver;
    driver.append(501, 502);
    driver.restartOn(driver.files.kill());
    driver.files.faults.failAt(n, 'EIO');
    const refused = await driver.open(completed).then(
      () => null,
      (error: unknown) => error,
    );
    if (driver.files.faults.injected === 0) return void t.ok(n > 4, `${n} calls`);
    t.ok(refused instanceof Error, `call ${n}`);
    driver.restartOn(driver.files.crash({ seed: n }));
    await driver.open(completed);
  }
});

t.test('a full disk refuses what does not fit, and goes on when there is room', async (t) => {
  frozenTimers(t);
  const driver = new LogDriver(newFiles(5 * 16 * 1024));
  await driver.open();
  let refused: unknown = null;
  for (let count = 0; refused === null && count < 100; count++) {
    try {
      driver.append(4000);
      await driver.wait(0);
    } catch (error) {
      refused = error;
      driver.attempt += 1;
    }
  }
  t.match(refused, { code: 'no-space' });
  t.equal(await driver.commit(), true, 'what came before becomes durable');
  t.throws(() => driver.append(4000), { code: 'no-space' });
  driver.attempt += 1;
  driver.prune();
  driver.append(4000);
  t.equal(await driver.commit(), true);
  await driver.reopen();
});
