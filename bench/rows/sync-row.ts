// Row 13: the first copy of a large disk with little in it, and making it equal again when 1 % has changed.
import fs from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Source } from '../../test/support/chain-site.ts';
import { KiB, MiB } from '../../core/units.ts';
import { BenchChain, disk, frontUri, untilLogged, usageOfAll } from '../parts/chain.ts';
import { compare, type CaseOptions, type CaseResult, type Measured } from '../parts/compare.ts';
import { runFio } from '../parts/fio.ts';
import { NbdkitTls, certificates } from '../parts/tls-peers.ts';
import { Rsync } from '../parts/rsync.ts';
import type { RowContext } from './write-rows.ts';

const diskBytes = 20_000 * MiB;
/** What is in it, in stretches that lie evenly. */
const dataBytes = 2000 * MiB;
const stretchBytes = 4 * MiB;
const changedBlockBytes = 64 * KiB;
const changedBytes = dataBytes / 100;
const machine = 'bench';

export async function syncRow(context: RowContext): Promise<CaseResult[]> {
  const { directory, pairs } = context;
  const image = join(directory, 'source.raw');
  makeSparse(image);
  const results = [await initialSync(context, image)];
  if (!(await Rsync.isThere())) {
    process.stderr.write('  row 13: rsync is missing, so there is no peer for a resync\n');
    return results;
  }
  const resync = await Resync.start(join(directory, 'chain'), image);
  try {
    const rsync = await Rsync.start(directory, image);
    try {
      for (const { name, ours } of [
        { name: 'of what the dirty map names', ours: () => resync.ofTheMap() },
        { name: 'of the whole disk by checksums', ours: () => resync.ofEverything() },
      ]) {
        results.push(
          await compare({
            ...resyncCase(name, pairs),
            // Both sides find the same changes: those before ours are rsync's, too.
            ours: async (pair) => {
              await resync.change(pair);
              return ours();
            },
            peer: () => rsync.run(changedBytes),
          }),
        );
      }
    } finally {
      await rsync.stop();
    }
  } finally {
    await resync.stop();
  }
  return results;
}

const resyncCase = (name: string, pairs: number): Omit<CaseOptions, 'ours' | 'peer'> => ({
  row: 13,
  case: `resync ${name}, ${changedBytes / MiB} MiB in ${changedBlockBytes / KiB} KiB writes changed`,
  peerName: 'rsync --inplace --copy-devices',
  unit: 'MB/s changed',
  goal: { least: 2 },
  pairs,
});

async function initialSync({ directory, pairs }: RowContext, image: string): Promise<CaseResult> {
  const certificateDirectory = await certificates(join(directory, 'certificates'));
  const to = join(directory, 'to.raw');
  return compare({
    row: 13,
    case: `initial sync, ${dataBytes / MiB} MiB of data in ${diskBytes / MiB} MiB`,
    peerName: 'nbdcopy --flush to nbdkit over TLS',
    unit: 'MB/s of data',
    goal: { least: 0.7 },
    pairs,
    async ours() {
      const resync = await Resync.start(join(directory, 'chain'), image);
      await resync.stop();
      return resync.initial;
    },
    async peer() {
      fs.writeFileSync(to, '');
      fs.truncateSync(to, diskBytes);
      const nbdkit = await NbdkitTls.start(certificateDirectory, to);
      try {
        return await nbdkit.copy(image, dataBytes);
      } finally {
        await nbdkit.stop();
        fs.rmSync(to);
      }
    },
  });
}

/** A chain with a machine on the image. */
class Resync {
  readonly #chain: BenchChain;
  readonly #source: Source;
  readonly #directory: string;
  /** How its first copy went. */
  initial: Measured = { value: NaN, bytes: 0, cpuSeconds: 0, peakBytes: 0 };

  private constructor(chain: BenchChain, source: Source, directory: string) {
    this.#chain = chain;
    this.#source = source;
    this.#directory = directory;
  }

  static async start(directory: string, image: string): Promise<Resync> {
    fs.mkdirSync(directory);
    const chain = await BenchChain.start(directory);
    const source = await chain.site.source(machine, [{ name: disk, path: image }]);
    const resync = new Resync(chain, source, directory);
    resync.initial = await resync.#sync(dataBytes, () => chain.site.protectOnly(machine));
    await chain.site.settled(machine);
    return resync;
  }

  /** Writes that reach the disk and the dirty map, and nobody else: the source dies behind them. */
  async change(seed: number): Promise<void> {
    const { processServer } = this.#chain.site;
    await processServer.kill();
    await runFio(frontUri(this.#source), {
      rw: 'randwrite',
      blockBytes: changedBlockBytes,
      depth: 8,
      size: diskBytes,
      bytes: changedBytes,
      secondsMost: 60,
      seed: seed + 1,
      finalFlush: true,
      repeatable: true,
    });
    await this.#source.process.kill();
    await processServer.start();
  }

  ofTheMap(): Promise<Measured> {
    return this.#sync(changedBytes, () => this.#source.process.start());
  }

  /** Without its dirty map a source compares everything. */
  ofEverything(): Promise<Measured> {
    fs.rmSync(join(this.#source.data, 'dirty'), { recursive: true });
    return this.#sync(changedBytes, () => this.#source.process.start());
  }

  async stop(): Promise<void> {
    await this.#chain.stop();
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }

  /** From the moment the source begins until the end of the sync is durable at the master target. */
  async #sync(bytes: number, begin: () => Promise<unknown>): Promise<Measured> {
    const { site } = this.#chain;
    const { process: source } = this.#source;
    const before = { begun: source.logged('sync-begun'), ended: source.logged('sync-ended') };
    const begun = untilLogged(source, 'sync-begun', before.begun);
    await begin();
    await begun;
    const from = performance.now();
    const daemons = [source, site.processServer, site.masterTarget];
    const usage = usageOfAll(daemons);
    await untilLogged(source, 'sync-ended', before.ended);
    const lsn = Number(/ lsn=(\d+)/.exec(source.lineOf('sync-ended'))?.[1]);
    await this.#chain.until('the end of the sync', machine, ({ durableLsn }) => durableLsn >= lsn);
    const seconds = (performance.now() - from) / 1000;
    const after = usageOfAll(daemons);
    const cpuSeconds = after.cpuSeconds - usage.cpuSeconds;
    return { value: bytes / 1e6 / seconds, bytes, cpuSeconds, peakBytes: after.peakBytes };
  }
}

function makeSparse(path: string): void {
  const file = fs.openSync(path, 'w');
  const count = dataBytes / stretchBytes;
  for (let index = 0; index < count; index++)
    fs.writeSync(file, randomBytes(stretchBytes), 0, stretchBytes, (index * diskBytes) / count);
  fs.ftruncateSync(file, diskBytes);
  fs.fsyncSync(file);
  fs.closeSync(file);
}
