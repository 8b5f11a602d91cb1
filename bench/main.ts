// `npm run bench`: measures the rows of the speed table beside their peers, in one run, on this machine.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CaseResult } from './parts/compare.ts';
import { parseOptions, usage, type BenchOptions } from './parts/options.ts';
import { killAll } from './parts/processes.ts';
import { circumstances, formatReport, writeDocs } from './parts/report.ts';
import { amplificationRow } from './rows/amplification-row.ts';
import { drainRow } from './rows/drain-row.ts';
import { memoryRow } from './rows/memory-row.ts';
import { openRow } from './rows/open-row.ts';
import { recoverRow } from './rows/recover-row.ts';
import { restartRow } from './rows/restart-row.ts';
import { rollRow } from './rows/roll-row.ts';
import { rpoRow } from './rows/rpo-row.ts';
import { syncRow } from './rows/sync-row.ts';
import { viewRow } from './rows/view-row.ts';
import { writeRow, type RowContext } from './rows/write-rows.ts';

const page = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url));

/** All but the rows that are writes over NBD. */
const others = new Map([
  [5, drainRow],
  [6, rpoRow],
  [7, amplificationRow],
  [8, openRow],
  [9, viewRow],
  [10, recoverRow],
  [11, rollRow],
  [12, restartRow],
  [13, syncRow],
  [14, memoryRow],
]);

function measureRow(row: number, context: RowContext): Promise<CaseResult[]> {
  const measure = others.get(row);
  return measure === undefined ? writeRow(row, context) : measure(context);
}

async function main(options: BenchOptions, command: string): Promise<void> {
  const parent = options.directory ?? os.tmpdir();
  const about = await circumstances(parent, command, options.note);
  const results: CaseResult[] = [];
  for (const row of options.rows) {
    const directory = fs.mkdtempSync(path.join(parent, 'homeward-bench-'));
    process.once('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
    try {
      const context = { directory, pairs: options.pairs, seconds: options.seconds };
      results.push(...(await measureRow(row, context)));
    } catch (error) {
      // The other rows are worth having all the same.
      process.stderr.write(`row ${row} failed: ${error instanceof Error ? error.stack : String(error)}\n`);
      process.exitCode = 1;
    } finally {
      killAll();
      fs.rmSync(directory, { recursive: true, force: true });
    }
    results.sort((a, b) => a.row - b.row);
    // What is measured is not lost when a later row fails.
    if (options.json !== null)
      fs.writeFileSync(options.json, JSON.stringify({ about, results }, null, 2) + '\n');
  }
  if (results.length === 0) return;
  process.stdout.write(formatReport(results, about));
  if (options.writeDocs) writeDocs(page, results, about);
}

const args = process.argv.slice(2);
process.once('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
let options: BenchOptions;
try {
  options = parseOptions(args);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n${usage}\n`);
  process.exit(2);
}
const { rows, pairs, seconds } = options;
await main(options, `npm run bench -- --rows ${rows.join(',')} --pairs ${pairs} --seconds ${seconds}`);
