// What the crash tests let a segment log do.
import type { LogDriver } from './log-driver.ts';

export type Step = (driver: LogDriver) => void | Promise<unknown>;

/**
 * Groups, commits, rolls, prunes that recycle, notes of an idle log, records larger than a segment,
 * restarts.
 */
export const script: readonly Step[] = [
  (d) => d.open(),
  (d) => d.append(100, 700, 512),
  (d) => d.commit(),
  (d) => d.append(3000),
  (d) => d.append(40),
  (d) => d.wait(200),
  (d) => d.append(5000, 5000),
  (d) => d.append(2000),
  (d) => d.append(600),
  (d) => d.commit(),
  (d) => d.roll(),
  (d) => d.wait(1000),
  (d) => d.prune(),
  (d) => d.append(10, 20, 30, 40),
  (d) => d.append(9000),
  (d) => d.append(20_000),
  (d) => d.commit(),
  (d) => d.prune(),
  (d) => d.wait(1000),
  (d) => d.append(7000),
  (d) => d.appendDuringCommit(900, 901, 12_000),
  (d) => d.wait(0),
  (d) => d.roll(),
  (d) => d.append(7001),
  (d) => d.wait(200),
  (d) => d.prune(),
  (d) => d.append(50),
  (d) => d.append(51),
  (d) => d.reopen(),
  (d) => d.append(600, 601),
  (d) => d.append(602),
  (d) => d.commit(),
  (d) => d.append(9000),
  (d) => d.append(9001),
  (d) => d.prune(),
  (d) => d.append(604),
  (d) => d.commit(),
  (d) => d.append(11_000),
  (d) => d.append(4000, 605),
  (d) => d.wait(200),
  (d) => d.wait(1000),
  (d) => d.prune(),
  (d) => d.reopen(),
  (d) => d.append(606),
  (d) => d.append(12_000),
  (d) => d.commit(),
];

/**
 * Skips: into an empty log, behind what is durable and what is not, twice in a row, behind an empty
 * segment, after a restart, with files pruned on both sides.
 */
export const skips: readonly Step[] = [
  (d) => d.open(),
  (d) => d.skipTo(7, 300, 301),
  (d) => d.append(400),
  (d) => d.commit(),
  (d) => d.append(2000),
  (d) => d.skipTo(20),
  (d) => d.skipTo(30, 5000),
  (d) => d.append(302),
  (d) => d.wait(200),
  (d) => d.roll(),
  (d) => d.skipTo(50, 303),
  (d) => d.append(9000),
  (d) => d.append(9001),
  (d) => d.commit(),
  (d) => d.wait(1000),
  (d) => d.prune(),
  (d) => d.skipTo(70, 304, 305),
  (d) => d.commit(),
  (d) => d.append(306),
  (d) => d.reopen(),
  (d) => d.skipTo(90),
  (d) => d.commit(),
  (d) => d.append(12_000),
  (d) => d.append(12_001),
  (d) => d.prune(),
  (d) => d.commit(),
  (d) => d.prune(),
  (d) => d.skipTo(d.completed + 2, 307),
  (d) => d.append(308),
  (d) => d.wait(200),
];

/** Runs until the process ends; false when it came to the end of the script. */
export async function runUntilCrash(driver: LogDriver, steps: readonly Step[]): Promise<boolean> {
  for (const step of steps) {
    try {
      await step(driver);
    } catch {
      return true;
    }
    if (driver.log?.failure) return true;
  }
  return false;
}

/** What a log does that has been started again, with a skip among it. */
export const afterRestartSkipping: readonly Step[] = [
  (d) => d.append(333),
  (d) => d.skipTo(d.completed + 10, 334),
  (d) => d.append(5555),
  (d) => d.commit(),
  (d) => d.append(666),
];

/** What a log does that has been started again. */
export const afterRestart: readonly Step[] = [
  (d) => d.append(333, 4444),
  (d) => d.commit(),
  (d) => d.append(5555),
  (d) => d.append(666),
];
