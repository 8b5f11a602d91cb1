// Row 5: a process server's spool over TLS into the journal of a master target, beside bare TLS and nbdcopy.
import fs from 'node:fs';
import { join } from 'node:path';
import type { Source } from '../../test/support/chain-site.ts';
import { until } from '../../test/support/homeward.ts';
import { GiB, KiB, MiB } from '../../core/units.ts';
import { BenchChain, disk, frontUri, usageOfAll } from '../parts/chain.ts';
import { compare, type CaseResult, type Measured } from '../parts/compare.ts';
import { runFio } from '../parts/fio.ts';
import { runCommand } from '../parts/processes.ts';
import { writtenFile } from '../parts/peers.ts';
import { certificates, NbdkitTls, TlsSink } from '../parts/tls-peers.ts';
import type { RowContext } from './write-rows.ts';

const diskBytes = 2 * GiB;
/** Small, so that apply is part of what is measured. */
const windowMaxBytes = GiB;
const machine = 'bench';
/** What one run is sized for. */
const nominalRate = 256 * MiB;

interface Load {
  name: string;
  rw: 'write' | 'randwrite';
  blockBytes: number;
  depth: number;
}

export const drainLoads: readonly Load[] = [
  { name: '1 MiB records', rw: 'write', blockBytes: MiB, depth: 8 },
  { name: '4 KiB records', rw: 'randwrite', blockBytes: 4 * KiB, depth: 32 },
];

export async function drainRow(context: RowContext): Promise<CaseResult[]> {
  const { directory, pairs, seconds } = context;
  const bytes = Math.min(Math.floor((nominalRate * seconds) / MiB) * MiB, diskBytes);
  const certificateDirectory = await certificates(join(directory, 'certificates'));
  const from = join(directory, 'from.raw');
  const to = join(directory, 'to.raw');
  await runCommand(['dd', 'if=/dev/urandom', `of=${from}`, 'bs=1M', `count=${bytes / MiB}`, 'conv=fsync']);
  await writtenFile(to, bytes);
  const drain = await Drain.start(join(directory, 'chain'));
  const sink = await TlsSink.start(certificateDirectory);
  const nbdkit = await NbdkitTls.start(certificateDirectory, to);
  const results: CaseResult[] = [];
  try {
    await drain.fill(drainLoads[0]!, windowMaxBytes, 1);
    await drain.run(windowMaxBytes);
    for (const load of drainLoads) {
      const ours = async (pair: number): Promise<Measured> => {
        await drain.fill(load, bytes, pair + 2);
        return drain.run(bytes);
      };
      const one = { row: 5, case: `${load.name}, ${bytes / MiB} MiB of spool`, unit: 'MB/s', pairs, ours };
      results.push(
        await compare({
          ...one,
          peerName: 'a bare TLS sink',
          goal: { least: 0.8 },
          peer: () => sink.take(bytes),
        }),
        await compare({
          ...one,
          peerName: 'nbdcopy --flush to nbdkit over TLS',
          goal: { least: 1 },
          peer: () => nbdkit.copy(from, bytes),
        }),
      );
    }
  } finally {
    await nbdkit.stop();
    await sink.stop();
    await drain.stop();
  }
  fs.rmSync(from);
  return results;
}

/**
 * A spool that is filled while its master target is held still, and emptied when it goes on: both are warm.
 */
export class Drain {
  readonly #chain: BenchChain;
  readonly #source: Source;
  #headLsn = 0;

  private constructor(chain: BenchChain, source: Source) {
    this.#chain = chain;
    this.#source = source;
  }

  static async start(directory: string): Promise<Drain> {
    fs.mkdirSync(directory);
    const settings = { WindowMaxBytes: String(windowMaxBytes) };
    const chain = await BenchChain.start(directory, { settings });
    const source = await chain.site.source(machine, [{ name: disk, size: diskBytes }]);
    await chain.site.protect(machine);
    return new Drain(chain, source);
  }

  /** The master target stands still when it resolves, and the process server has everything. */
  async fill({ rw, blockBytes, depth }: Load, bytes: number, seed: number): Promise<void> {
    const { site } = this.#chain;
    process.kill(site.masterTarget.pid, 'SIGSTOP');
    const work = {
      rw,
      blockBytes,
      depth,
      size: diskBytes,
      bytes,
      secondsMost: 300,
      seed,
      finalFlush: true,
      repeatable: true,
    };
    await runFio(frontUri(this.#source), work);
    await until('the spool to have everything', isFilled, 300_000);
    this.#headLsn = (await site.status(machine))?.headLsn ?? 0;
    // What the process server reports is reckoned between marks that are a megabyte apart.
    async function isFilled(): Promise<boolean> {
      const backlog = (await site.status(machine))?.backlog;
      return backlog?.source === 0 && backlog.processServer >= bytes - 2 * MiB;
    }
  }

  /** Until everything is durable; apply ends outside, but its processor time counts. */
  async run(bytes: number): Promise<Measured> {
    const { processServer, masterTarget } = this.#chain.site;
    const daemons = [processServer, masterTarget];
    const usage = usageOfAll(daemons);
    const from = performance.now();
    process.kill(masterTarget.pid, 'SIGCONT');
    await this.#chain.until('the end of the drain', machine, ({ durableLsn }) => durableLsn >= this.#headLsn);
    const seconds = (performance.now() - from) / 1000;
    await this.#chain.until('apply', machine, ({ redoBytes }) => redoBytes <= windowMaxBytes);
    const after = usageOfAll(daemons);
    return {
      value: bytes / 1e6 / seconds,
      bytes,
      cpuSeconds: after.cpuSeconds - usage.cpuSeconds,
      peakBytes: after.peakBytes,
    };
  }

  stop(): Promise<void> {
    return this.#chain.stop();
  }
}
