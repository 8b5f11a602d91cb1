// Row 9: random reads from a view in the middle of a journal, beside a qcow2 chain with the same bytes.
import { join } from 'node:path';
import { KiB, MiB } from '../../core/units.ts';
import { compare, measureUsage, type CaseResult, type Measured } from '../parts/compare.ts';
import { runFio, type FioWork } from '../parts/fio.ts';
import { BenchTarget, lagModes } from '../parts/master-target.ts';
import { serveQcow2, type Peer } from '../parts/peers.ts';
import { runCommand, type Server } from '../parts/processes.ts';
import { buildChain, chainDiskBytes, chainPart, chainRecords, overlays } from '../parts/qcow2-chain.ts';
import type { RowContext } from './write-rows.ts';

const blockBytes = 4 * KiB;

export async function viewRow(context: RowContext): Promise<CaseResult[]> {
  const { directory } = context;
  const top = await buildChain(directory);
  // Read by one server for the whole row, as a view is.
  const chain = await serveQcow2(directory, top, [], ['--read-only']);
  const results: CaseResult[] = [];
  try {
    for (const mode of lagModes) results.push(await measureMode(context, chain, mode));
  } finally {
    await chain.stop();
  }
  return results;
}

async function measureMode(
  context: RowContext,
  chain: Peer,
  { name, settings, follows }: (typeof lagModes)[number],
): Promise<CaseResult> {
  const { directory, pairs } = context;
  const target = await BenchTarget.start(join(directory, 'target'), { diskBytes: chainDiskBytes, settings });
  try {
    const lsn = await fillJournal(target);
    const view = await target.openView(lsn);
    await runCommand(['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', view.uri, chain.uri]);
    const read =
      (uri: string, server: Server) =>
      (pair: number): Promise<Measured> =>
        readRandom(uri, server, pair, context);
    const place = follows ? 'below' : 'above';
    return await compare({
      row: 9,
      case:
        `4 KiB random reads, QD 32, view in the middle of ${2 * chainRecords} records, ` +
        `${place} the cursor: ${name}`,
      peerName: `qemu-nbd, qcow2 chain of ${overlays}`,
      unit: 'reads/s',
      goal: { least: 1 },
      pairs,
      ours: read(view.uri, target.server),
      peer: read(chain.uri, chain.server),
    });
  } finally {
    await target.stop();
  }
}

/** Returns the LSN in the middle; as many records as are shown follow in the journal. */
async function fillJournal(target: BenchTarget): Promise<number> {
  for (let index = 0; index < overlays; index++) await runFio(target.uri, chainPart(index));
  await target.settle();
  const { headLsn } = await target.status();
  for (let index = 0; index < overlays; index++) await runFio(target.uri, chainPart(overlays + index));
  await target.quiet();
  return headLsn;
}

async function readRandom(
  uri: string,
  server: Server,
  pair: number,
  { seconds }: RowContext,
): Promise<Measured> {
  const bytes = Math.min(Math.floor(128 * seconds) * MiB, chainDiskBytes);
  const work: FioWork = {
    rw: 'randread',
    blockBytes,
    depth: 32,
    size: chainDiskBytes,
    bytes,
    secondsMost: 3 * seconds,
    seed: pair + 1,
  };
  const { result, usage } = await measureUsage(server.pid, () => runFio(uri, work));
  const { latency } = result;
  return {
    value: result.requests / result.seconds,
    bytes: result.bytes,
    ...usage,
    more: { latencyMeanUs: latency.mean, latencyP99Us: latency.p99 },
  };
}
