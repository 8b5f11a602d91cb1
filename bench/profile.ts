// Where the time goes in rows 1, 2 and 5: `node bench/profile.ts [ROW …]` prints tables.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BenchTarget } from './parts/master-target.ts';
import { GiB } from '../core/units.ts';
import { killAll } from './parts/processes.ts';
import { readProfiles, shares } from './parts/profile-shares.ts';
import { Drain, drainLoads } from './rows/drain-row.ts';
import { findWriteRow, Runs, warm } from './rows/write-rows.ts';

const seconds = 8;
const runs = 2;
const drainBytes = GiB / 2;

async function profileRow(row: number, directory: string): Promise<void> {
  const profiles = path.join(directory, 'profiles');
  const options = `--cpu-prof --cpu-prof-dir=${profiles}`;
  if (row === 5) await drain(directory, options);
  else await write(row, directory, options);
  process.stdout.write(`\nRow ${row}: share of the busy time of each thread\n`);
  for (const profile of readProfiles(profiles)) {
    process.stdout.write(
      `\n| ${profile.thread}, busy ${profile.busySeconds.toFixed(1)} s | share |\n|---|---|\n`,
    );
    for (const { name, share } of shares(profile)) {
      process.stdout.write(`| ${name} | ${(100 * share).toFixed(1)} % |\n`);
    }
  }
}

async function write(row: number, directory: string, options: string): Promise<void> {
  const work = new Runs(findWriteRow(row), { directory, pairs: 1, seconds });
  const environment = { NODE_OPTIONS: options };
  const target = await BenchTarget.start(path.join(directory, 'target'), { ...warm, environment });
  for (let run = 0; run < runs; run++) await work.ours(target, run);
  await target.stop();
}

/** All programs of a chain; the master target begins anew for each run. */
async function drain(directory: string, options: string): Promise<void> {
  process.env['NODE_OPTIONS'] = options;
  const spool = await Drain.start(path.join(directory, 'chain'));
  for (const [index, load] of drainLoads.entries()) {
    await spool.fill(load, drainBytes, index);
    await spool.run(drainBytes);
  }
  await spool.stop();
  delete process.env['NODE_OPTIONS'];
}

process.once('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
for (const row of process.argv.length > 2 ? process.argv.slice(2) : ['1', '2']) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'homeward-profile-'));
  try {
    await profileRow(Number(row), directory);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}
