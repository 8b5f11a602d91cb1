// Row 11: the replica rolled back in place, and forward again, beside programs that write the same extents.
import fs from 'node:fs';
import { join } from 'node:path';
import { GiB, KiB, MiB } from '../../core/units.ts';
import { compare, measureUsage, type CaseResult, type Measured } from '../parts/compare.ts';
import { replaySorted, runFio, type FioWork } from '../parts/fio.ts';
import { BenchTarget, machine } from '../parts/master-target.ts';
import { writtenFile } from '../parts/peers.ts';
import { runCommand } from '../parts/processes.ts';
import type { RowContext } from './write-rows.ts';

const diskBytes = 2 * GiB;
const settings = { ReplicaLag: '0', WindowHours: '24h' };

interface Load {
  name: string;
  work: Pick<FioWork, 'rw' | 'blockBytes' | 'depth'>;
  bytesPerSecond: number;
  peerName: string;
  /** Writes the same extents onto a file that has its blocks, and syncs it. */
  peer(paths: Paths, bytes: number): Promise<Measured>;
}

interface Paths {
  /** Of the writes that are rolled back, a line for each. */
  log: string;
  /** As large as the disk. */
  file: string;
  /** What dd reads. */
  source: string;
}

const loads: readonly Load[] = [
  {
    name: 'scattered 4 KiB',
    work: { rw: 'randwrite', blockBytes: 4 * KiB, depth: 32 },
    bytesPerSecond: 64 * MiB,
    peerName: 'fio, the same extents in address order, fsync',
    peer: async ({ log, file }) => {
      const { bytes, seconds, usage } = await replaySorted(log, file);
      return { value: bytes / 1e6 / seconds, bytes, ...usage };
    },
  },
  {
    name: 'long runs',
    work: { rw: 'write', blockBytes: MiB, depth: 8 },
    bytesPerSecond: 512 * MiB,
    peerName: 'dd bs=1M conv=notrunc,fsync',
    peer: async ({ file, source }, bytes) => {
      const from = [`if=${source}`, `of=${file}`, 'bs=1M', `count=${bytes / MiB}`];
      const { seconds, usage } = await runCommand(['dd', ...from, 'conv=notrunc,fsync', 'status=none']);
      return { value: bytes / 1e6 / seconds, bytes, ...usage };
    },
  },
];

export async function rollRow(context: RowContext): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const load of loads) results.push(...(await rollLoad(context, load)));
  return results;
}

async function rollLoad({ directory, pairs, seconds }: RowContext, load: Load): Promise<CaseResult[]> {
  const { name, peerName } = load;
  const bytes = Math.min(Math.floor((load.bytesPerSecond * seconds) / MiB) * MiB, diskBytes);
  const paths = {
    log: join(directory, 'writes.log'),
    file: join(directory, 'peer.raw'),
    source: join(directory, 'source.raw'),
  };
  for (const path of [paths.file, paths.source]) await writtenFile(path, diskBytes);
  const target = await BenchTarget.start(join(directory, 'target'), { diskBytes, settings });
  try {
    const roll = await Roll.prepare(target, load, bytes, paths.log);
    const peer = (): Promise<Measured> => load.peer(paths, bytes);
    const one = { row: 11, peerName, unit: 'MB/s', goal: { least: 0.7 }, pairs, peer };
    const size = `${bytes / MiB} MiB`;
    const ours = async (direction: 'back' | 'forward'): Promise<Measured> => {
      const there = direction === 'back' ? roll.end : roll.begin;
      await roll.to(there);
      return roll.to(direction === 'back' ? roll.begin : roll.end);
    };
    return [
      await compare({ ...one, case: `roll back in place, ${name}, ${size}`, ours: () => ours('back') }),
      await compare({
        ...one,
        case: `roll forward in place, its undo saved, ${name}, ${size}`,
        ours: () => ours('forward'),
      }),
    ];
  } finally {
    await target.stop();
    for (const path of [...Object.values(paths), `${paths.log}.sorted`]) fs.rmSync(path, { force: true });
  }
}

/** A machine whose replica stands at one of two moments. */
class Roll {
  readonly begin: number;
  readonly end: number;
  readonly #target: BenchTarget;
  readonly #bytes: number;

  private constructor(target: BenchTarget, bytes: number, lsns: { begin: number; end: number }) {
    this.#target = target;
    this.#bytes = bytes;
    this.begin = lsns.begin;
    this.end = lsns.end;
  }

  /** Every block of the disk is written before, so that there is old content. */
  static async prepare(target: BenchTarget, { work }: Load, bytes: number, log: string): Promise<Roll> {
    const same = { size: diskBytes, secondsMost: 300, finalFlush: true };
    const lsns: number[] = [];
    const writes: FioWork[] = [
      { ...same, rw: 'write', blockBytes: MiB, depth: 8, bytes: diskBytes, seed: 1 },
      { ...same, ...work, bytes, seed: 2, log },
    ];
    for (const writing of writes) {
      await runFio(target.uri, writing);
      await target.quiet();
      lsns.push((await target.status()).headLsn);
    }
    const [begin = 0, end = 0] = lsns;
    return new Roll(target, bytes, { begin, end });
  }

  /** The command as it is typed, start of the program and all; everything is on the disk when it returns. */
  async to(lsn: number): Promise<Measured> {
    const target = this.#target;
    const command = target.command('recover', machine, '--at', `lsn:${lsn}`, '--to', 'in-place', '--yes');
    const { result, usage } = await measureUsage(target.server.pid, () => runCommand(command));
    const { appliedLsn } = await target.status();
    if (appliedLsn !== lsn) throw new Error(`the replica is at ${appliedLsn}, not ${lsn}`);
    await target.rest();
    return {
      value: this.#bytes / 1e6 / result.seconds,
      bytes: this.#bytes,
      cpuSeconds: usage.cpuSeconds + result.usage.cpuSeconds,
      peakBytes: usage.peakBytes,
    };
  }
}
