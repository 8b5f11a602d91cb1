// Row 6: all three programs together: the highest rate at which the newest point stays young.
import fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { GiB, KiB, MiB } from '../../core/units.ts';
import type { MachineStatus } from '../../agent/control/client.ts';
import { BenchChain, disk, frontUri, usageOfAll } from '../parts/chain.ts';
import { compare, type CaseResult, type Measured } from '../parts/compare.ts';
import { runFio, type FioResult, type FioWork } from '../parts/fio.ts';
import type { RowContext } from './write-rows.ts';

const diskBytes = 2 * GiB;
const machine = 'bench';
const mostRpoSeconds = 5;
/** Each step at least; with `--seconds` more than a fifth of it, five times that. */
const leastStepSeconds = 15;
/** Of what was asked for, fio has to have got to this part. */
const leastPart = 0.97;
/** Growth in the second half of a step that is more than the grain of segments: it does not keep up. */
const mostGrowthBytes = 128 * MiB;
const pollMs = 200;

interface Ladder {
  what: string;
  unit: 'MB/s' | 'writes/s';
  work: Pick<FioWork, 'rw' | 'blockBytes' | 'depth'>;
  /** In the unit, rising; the first that is not held ends it. */
  steps: readonly number[];
  wanted: number;
  /** 0: apply is held back. */
  windowMaxBytes: number;
}

const sequential = { rw: 'write', blockBytes: MiB, depth: 8 } as const;
const ladders: readonly Ladder[] = [
  {
    what: '1 MiB sequential, the cursor keeps up',
    unit: 'MB/s',
    work: sequential,
    steps: [20, 40, 60, 80, 100, 125, 150],
    wanted: 100,
    windowMaxBytes: GiB / 2,
  },
  {
    what: '1 MiB sequential, apply held back',
    unit: 'MB/s',
    work: sequential,
    steps: [20, 40, 60, 80, 100, 125, 150, 200],
    wanted: 150,
    windowMaxBytes: 0,
  },
  {
    what: '4 KiB random, apply held back',
    unit: 'writes/s',
    work: { rw: 'randwrite', blockBytes: 4 * KiB, depth: 32 },
    steps: [2000, 4000, 8000, 12_000, 16_000, 20_000, 25_000],
    wanted: 20_000,
    windowMaxBytes: 0,
  },
];

export async function rpoRow(context: RowContext): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const [index, ladder] of ladders.entries()) {
    const directory = join(context.directory, `ladder-${index}`);
    results.push(
      await compare({
        row: 6,
        case: `${ladder.what}: the most with an RPO below ${mostRpoSeconds} s`,
        peerName: 'what is asked for',
        unit: ladder.unit,
        goal: { least: 1 },
        // A ladder has its own repetitions: every step has to hold.
        pairs: 1,
        ours: () => climb(ladder, directory, Math.max(leastStepSeconds, 5 * context.seconds)),
        peer: () => Promise.resolve({ value: ladder.wanted, bytes: 1, cpuSeconds: 0, peakBytes: 0 }),
      }),
    );
  }
  return results;
}

async function climb(ladder: Ladder, directory: string, seconds: number): Promise<Measured> {
  fs.mkdirSync(directory);
  const settings = { WindowMaxBytes: String(ladder.windowMaxBytes) };
  const chain = await BenchChain.start(directory, { settings });
  const said: string[] = [];
  const best: Measured = { value: 0, bytes: 0, cpuSeconds: 0, peakBytes: 0 };
  try {
    const { site } = chain;
    const source = await site.source(machine, [{ name: disk, size: diskBytes }]);
    await site.protect(machine);
    const daemons = [source.process, site.processServer, site.masterTarget];
    for (const rate of ladder.steps) {
      const before = usageOfAll(daemons);
      const step = await hold(chain, ladder, rate, seconds);
      await chain.until('everything to be durable', machine, (status) => isQuiet(status, ladder));
      const after = usageOfAll(daemons);
      said.push(`${rate}: RPO at most ${step.rpoSeconds.toFixed(1)} s${step.held ? '' : `, ${step.why}`}`);
      process.stderr.write(`  row 6 ${ladder.what}, ${said.at(-1)}\n`);
      if (!step.held) break;
      best.value = rate;
      best.bytes = step.bytes;
      best.cpuSeconds = after.cpuSeconds - before.cpuSeconds;
      best.peakBytes = after.peakBytes;
    }
  } finally {
    await chain.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
  return { ...best, bytes: Math.max(best.bytes, 1), remark: `${said.join('; ')} (${ladder.unit})` };
}

interface Step {
  held: boolean;
  why: string;
  rpoSeconds: number;
  bytes: number;
}

/** One rate for so long: what the master target says meanwhile, and whether it can be borne on and on. */
async function hold(chain: BenchChain, ladder: Ladder, rate: number, seconds: number): Promise<Step> {
  const isRequests = ladder.unit === 'writes/s';
  const bytes = Math.round((isRequests ? rate * ladder.work.blockBytes : rate * 1e6) * seconds);
  const source = chain.site.sources.get(machine);
  if (source === undefined) throw new Error('there is no source');
  const seen: MachineStatus[] = [];
  const ended = new AbortController();
  const watching = watch();
  let result: FioResult;
  try {
    result = await runFio(frontUri(source), {
      ...ladder.work,
      size: diskBytes,
      bytes: Math.ceil(bytes / MiB) * MiB,
      secondsMost: 1.2 * seconds,
      seed: rate,
      repeatable: true,
      rate: isRequests ? { requests: rate } : { bytes: rate * 1e6 },
    });
  } finally {
    ended.abort();
    await watching;
  }
  return judge(seen, ladder, result, rate);

  async function watch(): Promise<void> {
    while (!ended.signal.aborted) {
      seen.push(await chain.status(machine));
      await delay(pollMs);
    }
  }
}

function judge(seen: readonly MachineStatus[], ladder: Ladder, result: FioResult, rate: number): Step {
  const rpos = seen.map(({ rpoSeconds }) => rpoSeconds ?? Infinity);
  const rpoSeconds = Math.max(...rpos);
  const middle = Math.floor(rpos.length / 2);
  const grown = mean(rpos.slice(middle)) - mean(rpos.slice(0, middle));
  const overdue = (status: MachineStatus | undefined): number =>
    ladder.windowMaxBytes === 0 ? 0 : Math.max((status?.redoBytes ?? 0) - ladder.windowMaxBytes, 0);
  const lag = overdue(seen.at(-1)) - overdue(seen[middle]);
  const reached = (ladder.unit === 'writes/s' ? result.requests : result.bytes / 1e6) / result.seconds;
  let why = '';
  if (reached < leastPart * rate) why = `the workload got to ${Math.round(reached)}`;
  else if (rpoSeconds >= mostRpoSeconds) why = 'too old';
  else if (grown > 1) why = `the RPO grew by ${grown.toFixed(1)} s`;
  else if (lag > mostGrowthBytes) why = `the cursor fell back by ${Math.round(lag / MiB)} MiB`;
  return { held: why === '', why, rpoSeconds, bytes: result.bytes };
}

/** The next step begins with nothing under way. */
function isQuiet({ backlog, headLsn, durableLsn, redoBytes }: MachineStatus, ladder: Ladder): boolean {
  const { source, processServer } = backlog;
  const isDurable = headLsn === durableLsn && source === 0 && processServer === 0;
  return isDurable && (ladder.windowMaxBytes === 0 || redoBytes <= ladder.windowMaxBytes);
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);
