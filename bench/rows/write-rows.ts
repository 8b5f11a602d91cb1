// Rows 1 to 4: writes over NBD, ours keeping every one of them in the journal, beside servers that do not.
import { join } from 'node:path';
import { GiB, KiB, MiB } from '../../core/units.ts';
import { compare, measureUsage, type CaseOptions, type CaseResult, type Measured } from '../parts/compare.ts';
import { runFio, type FioResult, type FioWork } from '../parts/fio.ts';
import { describeLag, watchLag } from '../parts/lag.ts';
import { BenchTarget } from '../parts/master-target.ts';
import { nbdkitCow, nbdkitFile, qemuOverlay, writtenFile, type Peer } from '../parts/peers.ts';

export interface RowContext {
  directory: string;
  pairs: number;
  seconds: number;
}

const diskBytes = 2 * GiB;
/** Small, so that apply and recycling are part of what is measured. */
const windowMaxBytes = GiB;
export const warm = { diskBytes, settings: { WindowMaxBytes: String(windowMaxBytes) } };

export interface WriteRow {
  row: number;
  what: string;
  unit: string;
  /** What one run is sized for, bytes per second. */
  nominalRate: number;
  work: Pick<FioWork, 'rw' | 'blockBytes' | 'depth'> & { flushEvery?: number };
  figure(result: FioResult): number;
  goal: CaseOptions['goal'];
  /** Against servers that keep the old data; null leaves them out. */
  keepingGoal: CaseOptions['goal'];
}

const perSecond = ({ requests, seconds }: FioResult): number => requests / seconds;
const megabytes = ({ bytes, seconds }: FioResult): number => bytes / 1e6 / seconds;

const rows: WriteRow[] = [
  {
    row: 1,
    what: '4 KiB random, QD 32',
    unit: 'writes/s',
    nominalRate: 256 * MiB,
    figure: perSecond,
    work: { rw: 'randwrite', blockBytes: 4 * KiB, depth: 32 },
    goal: { least: 1 },
    keepingGoal: { least: 1.5 },
  },
  {
    row: 2,
    what: '1 MiB sequential, QD 8',
    unit: 'MB/s',
    nominalRate: 512 * MiB,
    figure: megabytes,
    work: { rw: 'write', blockBytes: MiB, depth: 8 },
    goal: { least: 0.8 },
    keepingGoal: { least: 1 },
  },
  {
    row: 3,
    what: '4 KiB random, a flush every 32 writes',
    unit: 'writes/s',
    nominalRate: 64 * MiB,
    figure: perSecond,
    work: { rw: 'randwrite', blockBytes: 4 * KiB, depth: 32, flushEvery: 32 },
    goal: { least: 1.2 },
    keepingGoal: null,
  },
  {
    row: 4,
    what: '4 KiB, QD 1, median latency',
    unit: 'µs',
    nominalRate: 32 * MiB,
    figure: ({ latency }) => latency.median,
    work: { rw: 'randwrite', blockBytes: 4 * KiB, depth: 1 },
    goal: { most: 1.3 },
    keepingGoal: null,
  },
];

const keeping = [
  { name: 'nbdkit --filter=cow file', start: nbdkitCow },
  { name: 'qemu-nbd, qcow2 overlay', start: qemuOverlay },
];

export async function writeRow(number: number, context: RowContext): Promise<CaseResult[]> {
  const row = findWriteRow(number);
  const file = join(context.directory, 'peer.raw');
  await writtenFile(file, diskBytes);
  const runs = new Runs(row, context);
  const results: CaseResult[] = [];
  const target = await BenchTarget.start(join(context.directory, 'warm'), warm);
  try {
    await runs.warmUp(target);
    const versus = (
      peerName: string,
      start: () => Promise<Peer>,
      goal: CaseOptions['goal'],
    ): Promise<CaseResult> =>
      compare({
        row: number,
        case: `${row.what}; warm, apply runs`,
        peerName,
        unit: row.unit,
        goal,
        pairs: context.pairs,
        ours: (pair) => runs.ours(target, pair),
        peer: (pair) => runs.peer(start, pair),
      });
    results.push(await versus('nbdkit file', () => nbdkitFile(context.directory, file), row.goal));
    for (const { name, start } of row.keepingGoal === null ? [] : keeping) {
      results.push(await versus(name, () => start(context.directory, file), row.keepingGoal));
    }
  } finally {
    await target.stop();
  }
  results.push(
    await compare({
      row: number,
      case: `${row.what}; cold, window not reached`,
      peerName: 'nbdkit file',
      unit: row.unit,
      goal: null,
      pairs: context.pairs,
      ours: (pair) => runs.cold(pair),
      peer: (pair) => runs.peer(() => nbdkitFile(context.directory, file), pair),
    }),
  );
  return results;
}

export function findWriteRow(number: number): WriteRow {
  const row = rows.find((candidate) => candidate.row === number);
  if (row === undefined) throw new RangeError(`${number} is not a write row`);
  return row;
}

/** The same writes in the same order for both sides of a pair. */
export class Runs {
  readonly #row: WriteRow;
  readonly #context: RowContext;

  constructor(row: WriteRow, context: RowContext) {
    this.#row = row;
    this.#context = context;
  }

  /** Fills the window, so that there are segments to recycle and the replica's blocks are allocated. */
  async warmUp(target: BenchTarget): Promise<void> {
    const bytes = diskBytes;
    await runFio(target.uri, {
      rw: 'write',
      blockBytes: MiB,
      depth: 8,
      size: diskBytes,
      bytes,
      secondsMost: 60,
      seed: 1,
    });
    await target.settle();
    await runFio(target.uri, this.#work(1000));
    await target.settle();
  }

  /** Processor time counts until apply has done its part, too. */
  async ours(target: BenchTarget, pair: number): Promise<Measured> {
    const {
      result: { result, lag },
      usage,
    } = await measureUsage(target.server.pid, async () => {
      const run = await watchLag(target, () => runFio(target.uri, this.#work(pair)));
      await target.settle();
      return run;
    });
    return { ...this.#measured(result), ...usage, remark: describeLag(target, lag) };
  }

  async cold(pair: number): Promise<Measured> {
    const target = await BenchTarget.start(join(this.#context.directory, 'cold'), { diskBytes });
    try {
      const { result, usage } = await measureUsage(target.server.pid, () =>
        runFio(target.uri, this.#work(pair)),
      );
      return { ...this.#measured(result), ...usage };
    } finally {
      await target.stop();
    }
  }

  async peer(start: () => Promise<Peer>, pair: number): Promise<Measured> {
    const peer = await start();
    try {
      const { result, usage } = await measureUsage(peer.server.pid, () => runFio(peer.uri, this.#work(pair)));
      return { ...this.#measured(result), ...usage };
    } finally {
      await peer.stop();
    }
  }

  #work(seed: number): FioWork {
    const { work, nominalRate } = this.#row;
    const { seconds } = this.#context;
    const wanted = Math.floor((nominalRate * seconds) / MiB) * MiB;
    return {
      ...work,
      size: diskBytes,
      bytes: Math.min(wanted, diskBytes),
      secondsMost: Math.max(2, 3 * seconds),
      seed: seed + 1,
      finalFlush: true,
    };
  }

  #measured(result: FioResult): Omit<Measured, 'cpuSeconds' | 'peakBytes'> {
    const { bytes, latency } = result;
    return {
      value: this.#row.figure(result),
      bytes,
      more: { latencyMeanUs: latency.mean, latencyP99Us: latency.p99 },
    };
  }
}
