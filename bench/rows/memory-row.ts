// Row 14: memory of a master target: many machines, a large disk, many records in the dense window.
import fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatSize, GiB, MiB, TiB } from '../../core/units.ts';
import { askedFor, compare, type CaseResult, type Measured } from '../parts/compare.ts';
import { runFio } from '../parts/fio.ts';
import { BenchTarget, disk, lagModes } from '../parts/master-target.ts';
import { writeOnce } from '../parts/probe.ts';
import { residentOf, usageOf } from '../parts/processes.ts';
import type { RowContext } from './write-rows.ts';

const machines = 100;
const smallDiskBytes = GiB;
const blocksOfEach = 16;
const blockBytes = 512;
const recordsPerSecond = 1_000_000;
/** Of the large disk: what is written lies in so much of it, so that its replica stays small. */
const writtenBytes = 4 * GiB;
/** What is asked for, in megabytes. */
const most = (records: number): number => 200 + (30 * records) / 1e6;
/** So long after the last work it is looked at: what is free is given back by then. */
const restMs = 10_000;

export async function memoryRow(context: RowContext): Promise<CaseResult[]> {
  const { directory, seconds } = context;
  const records = Math.floor(seconds * recordsPerSecond);
  const one = { row: 14, peerName: 'what is asked for', unit: 'MB', goal: { most: 1 }, pairs: 1 };
  const results = [
    await compare({
      ...one,
      case: `${machines} machines of ${formatSize(smallDiskBytes)}, each written to`,
      ours: () => manyMachines(directory),
      peer: () => askedFor(most(machines * blocksOfEach)),
    }),
  ];
  for (const { name, settings } of lagModes) {
    results.push(
      await compare({
        ...one,
        case: `one machine of 1 TiB, ${records / 1e6} million records of ${blockBytes} bytes; ${name}`,
        ours: () => manyRecords(directory, records, settings),
        peer: () => askedFor(most(records)),
      }),
    );
  }
  return results;
}

async function manyMachines(directory: string): Promise<Measured> {
  const target = await BenchTarget.start(join(directory, 'target'), { diskBytes: smallDiskBytes });
  try {
    const sockets = [target.socket];
    for (let index = 1; index < machines; index++) {
      const socket = join(target.directory, `in-${index}.sock`);
      await target.openMachine({
        name: `bench-${index}`,
        socket,
        diskBytes: smallDiskBytes,
        seeding: false,
      });
      sockets.push(socket);
    }
    for (let block = 0; block < blocksOfEach; block++)
      for (const socket of sockets) await writeOnce(socket, disk, block * MiB);
    const stored = await storedBytes(target.directory);
    return await resident(target, `${formatSize(stored)} on the volume`);
  } finally {
    await target.stop();
  }
}

async function manyRecords(
  directory: string,
  records: number,
  settings: Record<string, string>,
): Promise<Measured> {
  const target = await BenchTarget.start(join(directory, 'target'), { diskBytes: TiB, settings });
  try {
    await runFio(target.uri, {
      rw: 'randwrite',
      blockBytes,
      depth: 64,
      size: writtenBytes,
      bytes: records * blockBytes,
      secondsMost: 3600,
      seed: 1,
      finalFlush: true,
    });
    await target.quiet();
    const { redoBytes, undoBytes } = await target.status();
    return await resident(target, `redo ${formatSize(redoBytes)}, undo ${formatSize(undoBytes)}`);
  } finally {
    await target.stop();
  }
}

async function resident(target: BenchTarget, held: string): Promise<Measured> {
  await target.quiet();
  await delay(restMs);
  const { pid } = target.server;
  const value = residentOf(pid) / 1e6;
  const { cpuSeconds, peakBytes } = usageOf(pid);
  return {
    value,
    bytes: 1e9,
    cpuSeconds,
    peakBytes,
    remark: `${held}; at its peak ${(peakBytes / 1e6).toFixed(0)} MB`,
  };
}

async function storedBytes(directory: string): Promise<number> {
  const entries = await fs.promises.readdir(directory, { recursive: true, withFileTypes: true });
  let blocks = 0;
  for (const entry of entries)
    if (entry.isFile()) blocks += fs.statSync(join(entry.parentPath, entry.name)).blocks;
  return blocks * 512;
}
