// Row 7: bytes written to disks per byte received, with undo and without.
import { join } from 'node:path';
import { formatSize, GiB, KiB, MiB } from '../../core/units.ts';
import { askedFor, compare, measureUsage, type CaseResult, type Measured } from '../parts/compare.ts';
import { diskCounters, roomIn, since } from '../parts/disk-counters.ts';
import { runFio, type FioWork } from '../parts/fio.ts';
import { BenchTarget, machine, type Settings } from '../parts/master-target.ts';
import type { RowContext } from './write-rows.ts';

/** At four seconds, 20 GiB of which 3 GiB are received in a run: six steps of the largest size. */
const diskBytesPerSecond = 5 * GiB;
const bytesPerSecond = 768 * MiB;

interface Mode {
  name: string;
  settings: Settings;
  warmUpBytes: number;
  most: { uniform: number; zipf: number };
}

/** The one without history first: the other keeps what it takes. */
const modes: readonly Mode[] = [
  {
    name: 'replica trails by the window, nothing kept below',
    // Full, so that as much leaves it as comes; large enough for steps of their usual size.
    settings: { ReplicaLag: '24h', WindowHours: '24h', KeepRules: 'none', WindowMaxBytes: String(GiB) },
    warmUpBytes: GiB + GiB / 2,
    most: { uniform: 2.15, zipf: 1.5 },
  },
  {
    name: 'replicaLag 0',
    settings: { ReplicaLag: '0', WindowHours: '24h' },
    warmUpBytes: GiB / 8,
    most: { uniform: 3.2, zipf: 1.8 },
  },
];

const loads = [
  { name: 'uniform', key: 'uniform', repeats: 'uniform' },
  { name: 'zipf 1.1', key: 'zipf', repeats: { zipf: 1.1 } },
] as const;

export async function amplificationRow({ directory, seconds }: RowContext): Promise<CaseResult[]> {
  const [first] = modes;
  // The disk with its data, and the history of two runs that keep everything twice.
  const bytes = Math.floor(bytesPerSecond * seconds);
  const room = Math.min(diskBytesPerSecond * seconds, roomIn(directory) - 5 * bytes);
  const size = Math.floor(room / GiB) * GiB;
  if (size < GiB) throw new Error(`there is no room for this row in ${directory}`);
  const options = { diskBytes: size, settings: first?.settings ?? {}, seeding: true };
  const target = await BenchTarget.start(join(directory, 'target'), options);
  const results: CaseResult[] = [];
  try {
    await firstCopy(target, size);
    for (const mode of modes) {
      await target.restart(mode.settings);
      for (const { name, key, repeats } of loads) {
        // What leaves the window while it is counted is of the same kind, and what is recycled is there.
        await receive(target, { size, bytes: mode.warmUpBytes, seed: 1, repeats });
        results.push(
          await compare({
            row: 7,
            case: `bytes written per byte received, 4 KiB ${name} on ${size / GiB} GiB in use; ${mode.name}`,
            peerName: 'bytes received (a before-image journal: 2 and a read)',
            unit: 'B/B',
            goal: { most: mode.most[key] },
            // Counted, not timed.
            pairs: 1,
            ours: () => count(target, { size, bytes, seed: 2, repeats }, mode),
            peer: () => askedFor(1),
          }),
        );
      }
    }
  } finally {
    await target.stop();
  }
  return results;
}

/** Every block has content, as on a disk in use. */
async function firstCopy(target: BenchTarget, size: number): Promise<void> {
  await runFio(target.uri, {
    rw: 'write',
    blockBytes: MiB,
    depth: 8,
    size,
    bytes: size,
    secondsMost: 600,
    seed: 1,
    finalFlush: true,
  });
  await target.control.seeded(machine);
  await target.quiet();
}

type Received = Pick<FioWork, 'size' | 'bytes' | 'seed' | 'repeats'>;

async function receive(target: BenchTarget, work: Received): Promise<number> {
  const { bytes } = await runFio(target.uri, {
    rw: 'randwrite',
    blockBytes: 4 * KiB,
    depth: 32,
    secondsMost: 300,
    finalFlush: true,
    repeats: 'uniform',
    ...work,
  });
  await target.quiet();
  return bytes;
}

async function count(target: BenchTarget, work: Received, { warmUpBytes }: Mode): Promise<Measured> {
  const { pid } = target.server;
  const before = await diskCounters(target.directory);
  const { result: bytes, usage } = await measureUsage(pid, () => receive(target, work));
  const disk = since(before, await diskCounters(target.directory));
  const per = (part: number): string => (part / bytes).toFixed(2);
  return {
    value: disk.writtenBytes / bytes,
    bytes,
    ...usage,
    remark:
      `${(bytes / GiB).toFixed(2)} GiB received after ${formatSize(warmUpBytes)} of the same; ` +
      `the disk read ${per(disk.readBytes)} for each byte`,
  };
}
