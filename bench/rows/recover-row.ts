// Row 10: a moment recovered to files, beside the tools that copy or convert a raw file of the same content.
import fs from 'node:fs';
import { join } from 'node:path';
import { GiB, KiB, MiB } from '../../core/units.ts';
import { compare, measureUsage, type CaseOptions, type CaseResult, type Measured } from '../parts/compare.ts';
import { runFio } from '../parts/fio.ts';
import { BenchTarget, disk } from '../parts/master-target.ts';
import { nbdkitFile, type Peer } from '../parts/peers.ts';
import { runCommand } from '../parts/processes.ts';
import type { RowContext } from './write-rows.ts';

/** A disk written from end to end, and then at random; as compressible as file systems tend to be. */
const contents = {
  large: { diskBytes: 2 * GiB, randomWrites: 60_000 },
  /** For what takes half a minute per GiB. */
  small: { diskBytes: GiB, randomWrites: 30_000 },
};
const compressPercent = 50;

type Format = 'raw' | 'qcow2' | 'vmdk';

export async function recoverRow(context: RowContext): Promise<CaseResult[]> {
  const large = await recoverContent(
    context,
    contents.large,
    [
      { format: 'raw', peerName: 'nbdcopy --flush from nbdkit file', goal: { least: 0.9 }, peer: nbdcopy },
      {
        format: 'qcow2',
        peerName: 'qemu-img convert and sync',
        goal: { least: 0.9 },
        peer: convert(['-O', 'qcow2']),
      },
    ],
    context.pairs,
  );
  const small = await recoverContent(
    context,
    contents.small,
    [
      {
        format: 'vmdk',
        peerName: 'qemu-img convert and sync',
        goal: { least: 4 },
        peer: convert(['-O', 'vmdk', '-o', 'subformat=streamOptimized']),
      },
    ],
    Math.min(context.pairs, 5),
  );
  return [...large, ...small];
}

interface Source {
  raw: string;
  nbdkit: Peer;
  to: string;
}

interface RecoverCase {
  format: Format;
  peerName: string;
  goal: CaseOptions['goal'];
  /** Copies the source to `to`, which is new, and makes it durable. */
  peer(source: Source): Promise<{ seconds: number; cpuSeconds: number; peakBytes: number }>;
}

async function recoverContent(
  { directory }: RowContext,
  content: { diskBytes: number; randomWrites: number },
  cases: readonly RecoverCase[],
  pairs: number,
): Promise<CaseResult[]> {
  const { diskBytes } = content;
  const target = await BenchTarget.start(join(directory, 'target'), { diskBytes });
  const results: CaseResult[] = [];
  try {
    const lsn = await fill(target, content);
    const raw = join(directory, 'source.raw');
    await recoverTo(target, lsn, 'raw', directory, (path) => fs.renameSync(path, raw));
    const nbdkit = await nbdkitFile(directory, raw);
    const source = { raw, nbdkit, to: join(directory, 'peer.copy') };
    try {
      for (const one of cases) {
        results.push(
          await compare({
            row: 10,
            case: `recover to ${one.format}, ${diskBytes / MiB} MiB, both synced`,
            peerName: one.peerName,
            unit: 'MB/s',
            goal: one.goal,
            pairs,
            ours: () => ours(target, lsn, one.format, directory, diskBytes),
            peer: async () => {
              const { seconds, ...usage } = await one.peer(source);
              fs.rmSync(source.to);
              return measured(diskBytes, seconds, usage);
            },
          }),
        );
      }
    } finally {
      await nbdkit.stop();
      fs.rmSync(raw);
    }
  } finally {
    await target.stop();
  }
  return results;
}

async function fill(
  target: BenchTarget,
  { diskBytes, randomWrites }: { diskBytes: number; randomWrites: number },
): Promise<number> {
  const same = { size: diskBytes, secondsMost: 120, seed: 1, compressPercent, finalFlush: true };
  await runFio(target.uri, { ...same, rw: 'write', blockBytes: MiB, depth: 8, bytes: diskBytes });
  await runFio(target.uri, {
    ...same,
    rw: 'randwrite',
    blockBytes: 4 * KiB,
    depth: 32,
    bytes: randomWrites * 4 * KiB,
  });
  await target.settle();
  return (await target.status()).headLsn;
}

async function ours(
  target: BenchTarget,
  lsn: number,
  format: Format,
  directory: string,
  diskBytes: number,
): Promise<Measured> {
  const { result, usage } = await measureUsage(target.server.pid, () =>
    recoverTo(target, lsn, format, directory, fs.rmSync),
  );
  const cpuSeconds = usage.cpuSeconds + result.usage.cpuSeconds;
  return measured(diskBytes, result.seconds, { cpuSeconds, peakBytes: usage.peakBytes });
}

/** The command as it is typed, start of the program and all. */
async function recoverTo(
  target: BenchTarget,
  lsn: number,
  format: Format,
  directory: string,
  then: (path: string) => void,
): ReturnType<typeof runCommand> {
  const result = await runCommand(target.recoverCommand(lsn, format, join(directory, 'recovered')));
  then(join(directory, 'recovered', `${disk}.${format}`));
  return result;
}

function measured(
  bytes: number,
  seconds: number,
  usage: { cpuSeconds: number; peakBytes: number },
): Measured {
  return { value: bytes / 1e6 / seconds, bytes, ...usage };
}

const nbdcopy: RecoverCase['peer'] = async ({ nbdkit, to }) => {
  const { result, usage } = await measureUsage(nbdkit.server.pid, () =>
    runCommand(['nbdcopy', '--flush', nbdkit.uri, to]),
  );
  const cpuSeconds = usage.cpuSeconds + result.usage.cpuSeconds;
  return { seconds: result.seconds, cpuSeconds, peakBytes: result.usage.peakBytes };
};

/** qemu-img does not sync what it made: `sync FILE` does, and counts. */
function convert(options: readonly string[]): RecoverCase['peer'] {
  return async ({ raw, to }) => {
    const converted = await runCommand(['qemu-img', 'convert', '-f', 'raw', ...options, raw, to]);
    const synced = await runCommand(['sync', to]);
    return {
      seconds: converted.seconds + synced.seconds,
      cpuSeconds: converted.usage.cpuSeconds + synced.usage.cpuSeconds,
      peakBytes: converted.usage.peakBytes,
    };
  };
}
