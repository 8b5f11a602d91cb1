// One run of fio over NBD, as numbers.
import fs from 'node:fs';
import { runCommand, type Usage } from './processes.ts';

export interface FioWork {
  rw: 'write' | 'randwrite' | 'randread';
  blockBytes: number;
  depth: number;
  /** Bytes of the disk. */
  size: number;
  /** What is transferred; each block once at most, in an order that `seed` gives. */
  bytes: number;
  /** Ends the run early, with what it has got to. */
  secondsMost: number;
  seed: number;
  /** A flush after so many writes; 0 for none. */
  flushEvery?: number;
  /** A last flush that counts as part of the run. */
  finalFlush?: boolean;
  /** The same bytes whenever it is run with the same seed. */
  repeatable?: boolean;
  /** How much of each block compresses away; such bytes are repeatable, too. */
  compressPercent?: number;
  /**
   * Places are drawn anew each time, so that some come again: evenly, or by Zipf's law with this
   * exponent.
   */
  repeats?: 'uniform' | { zipf: number };
  /** A file that gets a line for each request. */
  log?: string;
  /** What is asked of it each second; as fast as it goes when left out. */
  rate?: { bytes: number } | { requests: number };
}

export interface FioResult {
  /** From the first request to the last answer, the final flush included. */
  seconds: number;
  bytes: number;
  requests: number;
  /** Microseconds from handing a request over to its answer. */
  latency: { mean: number; median: number; p99: number };
}

interface FioSide {
  io_bytes: number;
  total_ios: number;
  runtime: number;
  lat_ns: { mean: number };
  clat_ns: { percentile?: Record<string, number> };
}

export async function runFio(uri: string, work: FioWork): Promise<FioResult> {
  const { output } = await runCommand([
    'fio',
    '--name=bench',
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--thread',
    '--output-format=json',
    `--rw=${work.rw}`,
    `--bs=${work.blockBytes}`,
    `--iodepth=${work.depth}`,
    `--size=${work.size}`,
    `--io_size=${work.bytes}`,
    `--runtime=${Math.ceil(work.secondsMost)}`,
    '--allrandrepeat=1',
    `--randseed=${work.seed}`,
    ...(work.flushEvery === undefined ? [] : [`--fsync=${work.flushEvery}`]),
    ...(work.finalFlush ? ['--end_fsync=1'] : []),
    ...(work.repeatable || work.compressPercent !== undefined ? ['--refill_buffers=1'] : []),
    ...(work.compressPercent === undefined ? [] : [`--buffer_compress_percentage=${work.compressPercent}`]),
    ...(work.repeats === undefined ? [] : ['--norandommap=1']),
    ...(typeof work.repeats === 'object' ? [`--random_distribution=zipf:${work.repeats.zipf}`] : []),
    ...(work.log === undefined ? [] : [`--write_iolog=${work.log}`]),
    ...(work.rate === undefined ? [] : [rateOption(work.rate)]),
  ]);
  return parseFio(output, work.rw === 'randread' ? 'read' : 'write');
}

const rateOption = (rate: NonNullable<FioWork['rate']>): string =>
  'bytes' in rate ? `--rate=${Math.round(rate.bytes)}` : `--rate_iops=${rate.requests}`;

/** Writes the extents that a run's log names onto `file`, in address order, and syncs it. */
export async function replaySorted(log: string, file: string): Promise<FioResult & { usage: Usage }> {
  const writes = fs
    .readFileSync(log, 'latin1')
    .split('\n')
    .flatMap((line) => /\bwrite (\d+) (\d+)$/.exec(line)?.slice(1) ?? []);
  const extents = new Map<number, number>();
  for (let at = 0; at < writes.length; at += 2) extents.set(Number(writes[at]), Number(writes[at + 1]));
  const sorted = [...extents].sort(([one], [other]) => one - other);
  const lines = sorted.map(([offset, bytes]) => `${file} write ${offset} ${bytes}`);
  const replay = `${log}.sorted`;
  fs.writeFileSync(
    replay,
    ['fio version 2 iolog', `${file} add`, `${file} open`, ...lines, `${file} close`, ''].join('\n'),
  );
  const { output, usage } = await runCommand([
    'fio',
    '--name=bench',
    '--ioengine=psync',
    '--thread',
    '--output-format=json',
    `--read_iolog=${replay}`,
    '--replay_no_stall=1',
    '--end_fsync=1',
  ]);
  return { ...parseFio(output, 'write'), usage };
}

/** fio says what it is connected to before its JSON begins. */
function parseFio(output: string, side: 'read' | 'write'): FioResult {
  const report = JSON.parse(output.slice(output.startsWith('{') ? 0 : output.indexOf('\n{') + 1)) as {
    jobs: (Record<'read' | 'write', FioSide> & { error: number })[];
  };
  const [job] = report.jobs;
  if (job === undefined || job.error !== 0) throw new Error(`fio failed: ${output.slice(-2000)}`);
  const {
    io_bytes: bytes,
    total_ios: requests,
    runtime,
    lat_ns: { mean },
    clat_ns: { percentile },
  } = job[side];
  const microseconds = (part: string): number => (percentile?.[part] ?? 0) / 1000;
  return {
    seconds: runtime / 1000,
    bytes,
    requests,
    latency: { mean: mean / 1000, median: microseconds('50.000000'), p99: microseconds('99.000000') },
  };
}
