// Row 12: kill -9 with a large window, and the time until the next write is durable.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatSize, GiB, KiB, MiB } from '../../core/units.ts';
import { askedFor, compare, type CaseResult, type Measured } from '../parts/compare.ts';
import { roomIn } from '../parts/disk-counters.ts';
import { runFio, type FioWork } from '../parts/fio.ts';
import { BenchTarget, disk, lagModes } from '../parts/master-target.ts';
import { writeOnce } from '../parts/probe.ts';
import { usageOf } from '../parts/processes.ts';
import type { RowContext } from './write-rows.ts';

const diskBytes = 4 * GiB;
/** 20 GiB at four seconds. */
const bytesPerSecond = 5 * GiB;
const secondsMost = 5;
/** Beside redo: undo, and the replica. */
const shareOfUndo = 1.2;
/** So long after the beginning of a run it is killed. */
const killAfterMs = 1500;

export async function restartRow(context: RowContext): Promise<CaseResult[]> {
  const { directory, pairs, seconds } = context;
  const results: CaseResult[] = [];
  for (const { name, settings, follows } of lagModes) {
    const room = (roomIn(directory) - diskBytes) / (follows ? 1 + shareOfUndo : 1.1);
    const bytes = Math.floor(Math.min(seconds * bytesPerSecond, room) / MiB) * MiB;
    if (bytes < MiB) throw new Error(`there is no room for this row in ${directory}`);
    const target = await BenchTarget.start(join(directory, 'target'), { diskBytes, settings });
    try {
      for (let rest = bytes, seed = 1; rest > 0; rest -= diskBytes, seed++)
        await runFio(target.uri, work(Math.min(rest, diskBytes), seed));
      await target.quiet();
      const { redoBytes, undoBytes, headLsn } = await target.status();
      const held = `${(headLsn / 1e6).toFixed(1)} million records, redo ${formatSize(redoBytes)}`;
      results.push(
        await compare({
          row: 12,
          case:
            `kill -9 while writing until the next write is durable, ` +
            `a window of ${formatSize(bytes)} in 4 KiB; ${name}`,
          peerName: 'what is asked for',
          unit: 's',
          goal: { most: 1 },
          pairs: Math.min(pairs, 3),
          ours: (pair) => killAndStart(target, pair, `${held}, undo ${formatSize(undoBytes)}`),
          peer: () => askedFor(secondsMost),
        }),
      );
    } finally {
      await target.stop();
    }
  }
  return results;
}

const work = (bytes: number, seed: number): FioWork => ({
  rw: 'randwrite',
  blockBytes: 4 * KiB,
  depth: 32,
  size: diskBytes,
  bytes,
  secondsMost: 600,
  seed,
  finalFlush: true,
});

async function killAndStart(target: BenchTarget, pair: number, held: string): Promise<Measured> {
  const writing = runFio(target.uri, work(diskBytes, 100 + pair)).then(
    () => 'ended',
    () => 'cut off',
  );
  await delay(killAfterMs);
  await target.kill();
  if ((await writing) === 'ended') throw new Error('the run had ended before it was killed');
  const from = performance.now();
  await target.restart();
  const ready = performance.now();
  await writeOnce(target.socket, disk, 0);
  const value = (performance.now() - from) / 1000;
  const remark = `${held}; ready after ${((ready - from) / 1000).toFixed(2)} s`;
  const measured = { value, bytes: 1e9, ...usageOf(target.server.pid), remark };
  await target.quiet();
  return measured;
}
