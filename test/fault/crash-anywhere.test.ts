// A process that ends, or a host that loses power, at any I/O call: what was acknowledged is there, once
// and in order.
import t, { type Test } from 'tap';
import { chooseSeed, seededRandom } from '../support/random.ts';
import type { CrashMode, SimulatedFiles } from '../support/simulated-files.ts';
import { crashAt, frozenTimers, LogDriver, newFiles } from './log-driver.ts';
import { afterRestart, afterRestartSkipping, runUntilCrash, script, skips, type Step } from './log-script.ts';
import { skipUnless } from '../support/needs.ts';

t.setTimeout(110_000);

interface Ending {
  name: string;
  restart(files: SimulatedFiles, n: number): SimulatedFiles;
  isKill: boolean;
}

const kill: Ending = { name: 'kill -9', restart: (files) => files.kill(), isKill: true };
const powerCut = (mode: CrashMode, seed: number): Ending => ({
  name: `power cut, ${mode}, seed ${seed}`,
  restart: (files, n) => files.crash({ mode, seed: seed + n }),
  isKill: false,
});

/**
 * What a restart must find: everything completed after kill -9, everything acknowledged after a power cut.
 */
const leastAfter = (driver: LogDriver, ending: Ending): number =>
  ending.isKill ? driver.completed : driver.acknowledged;

interface Play {
  steps: readonly Step[];
  afterwards: readonly Step[];
  /** How many calls it makes at least. */
  calls: number;
}

const plain: Play = { steps: script, afterwards: afterRestart, calls: 100 };
const skipping: Play = { steps: skips, afterwards: afterRestartSkipping, calls: 60 };

async function goOn(driver: LogDriver, afterwards = afterRestart): Promise<void> {
  for (const step of afterwards) await step(driver);
  driver.restartOn(driver.files.kill());
  await driver.open(driver.completed);
  await driver.reopen();
}

async function crashEverywhere(t: Test, ending: Ending, part: number, play = plain): Promise<void> {
  let n = 1;
  for (; ; n++) {
    const driver = new LogDriver();
    crashAt(driver.files, n, part);
    const crashed = await runUntilCrash(driver, play.steps);
    const least = leastAfter(driver, ending);
    driver.restartOn(ending.restart(driver.files, n));
    try {
      await driver.open(least);
      await goOn(driver, play.afterwards);
    } catch (error) {
      return void t.fail(`${ending.name} at call ${n}, ${part} of a write: ${String(error)}`, { error });
    }
    if (!crashed) break;
  }
  t.ok(n > play.calls, `${ending.name} at each of ${n} calls`);
}

t.test(
  'whatever call the process ends at, the log goes on with all that it completed or acknowledged',
  async (t) => {
    frozenTimers(t);
    const seed = chooseSeed(t);
    for (const part of [0, 0.5, 1]) await crashEverywhere(t, kill, part);
    for (const mode of ['drop', 'keep'] as const) await crashEverywhere(t, powerCut(mode, seed), 1);
    for (let run = 0; run < 5; run++) await crashEverywhere(t, powerCut('mixed', seed + run * 1000), run / 4);
  },
);

t.test(
  'whatever call the process ends at around LSNs that are skipped, they are never taken for lost',
  async (t) => {
    frozenTimers(t);
    const seed = chooseSeed(t);
    for (const part of [0, 0.5, 1]) await crashEverywhere(t, kill, part, skipping);
    for (const mode of ['drop', 'keep'] as const) await crashEverywhere(t, powerCut(mode, seed), 1, skipping);
    for (let run = 0; run < 5; run++)
      await crashEverywhere(t, powerCut('mixed', seed + run * 1000), run / 4, skipping);
  },
);

/** Ends again at call `second` of the restart, as often as `times`; then the last restart must find all. */
async function crashAgain(
  seed: number,
  first: number,
  second: number,
): Promise<{ driver: LogDriver; ended: boolean }> {
  const random = seededRandom(seed);
  const driver = new LogDriver();
  crashAt(driver.files, first, random.next());
  await runUntilCrash(driver, script);
  let isKill = random.chance(0.5);
  let least = isKill ? driver.completed : driver.acknowledged;
  const restart = (): SimulatedFiles =>
    isKill ? driver.files.kill() : driver.files.crash({ seed: random.below(2 ** 31), mode: 'mixed' });
  driver.restartOn(restart());
  let ended = false;
  for (let time = 0; time < 3; time++) {
    crashAt(driver.files, second + random.below(3), random.next());
    ended = await runUntilCrash(driver, [(d) => d.open(least), ...afterRestart]);
    isKill &&= random.chance(0.5);
    least = isKill ? Math.max(least, driver.completed) : driver.acknowledged;
    driver.restartOn(restart());
  }
  await driver.open(least);
  await goOn(driver);
  return { driver, ended };
}

t.test('a restart that ends early, again and again, does no harm', async (t) => {
  frozenTimers(t);
  const seed = chooseSeed(t);
  const long = skipUnless({ full: true }) === false && process.env['HOMEWARD_LONG'] === '1';
  let runs = 0;
  for (let first = 5; first < 115; first += long ? 1 : 3) {
    for (let second = 1; second < 24; second += long ? 1 : 2) {
      runs += 1;
      try {
        await crashAgain(seed + runs, first, second);
      } catch (error) {
        return void t.fail(`call ${first}, then ${second}, seed ${seed + runs}: ${String(error)}`, { error });
      }
    }
  }
  t.ok(runs > 0, `${runs} runs`);
});

t.test('the script reaches what it is meant to reach', async (t) => {
  frozenTimers(t);
  const files = newFiles();
  const calls = new Map<string, number>();
  files.onCall = (name) => calls.set(name, (calls.get(name) ?? 0) + 1);
  const driver = new LogDriver(files);
  t.equal(await runUntilCrash(driver, script), false);
  for (const name of [
    'create',
    'allocate',
    'open',
    'write',
    'sync',
    'syncDirectory',
    'rename',
    'unlink',
    'readSync',
  ]) {
    t.ok((calls.get(name) ?? 0) > 0, name);
  }
  await driver.reopen();
});
