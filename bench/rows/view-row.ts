// Row 9: random reads from a view in the middle of a journal, beside a qcow2 chain with the same bytes.
import { join } from 'node:path';
import { GiB, KiB, MiB } from '../../core/units.ts';
import { compare, measureUsage, type CaseResult, type Measured } from '../parts/compare.ts';
import { runFio, type FioWork } from '../parts/fio.ts';
import { BenchTarget } from '../parts/master-target.ts';
import { createOverlay, serveQcow2, writtenFile } from '../parts/peers.ts';
import { runCommand, type Server } from '../parts/processes.ts';
import type { RowContext } from './write-rows.ts';

const diskBytes = GiB / 2;
const overlays = 24;
const blockBytes = 4 * KiB;
/** In all 24 parts together; as many again follow in the journal, newer than the view. */
const recordsShown = 360_000;

/** What one overlay holds, or one 24th of the redo below the view: the same blocks with the same content. */
function part(index: number): FioWork {
  return {
    rw: 'randwrite',
    blockBytes,
    depth: 32,
    size: diskBytes,
    bytes: (recordsShown / overlays) * blockBytes,
    secondsMost: 120,
    seed: 100 + index,
    finalFlush: true,
    repeatable: true,
  };
}

export async function viewRow(context: RowContext): Promise<CaseResult[]> {
  const { directory, pairs } = context;
  const target = await BenchTarget.start(join(directory, 'target'), diskBytes);
  try {
    const lsn = await fillJournal(target);
    const view = await target.openView(lsn);
    const top = await buildChain(directory);
    // Read by one server for the whole row, as the view is.
    const chain = await serveQcow2(directory, top, [], ['--read-only']);
    try {
      await runCommand(['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', view, chain.uri]);
      const read =
        (uri: string, server: Server) =>
        (pair: number): Promise<Measured> =>
          readRandom(uri, server, pair, context);
      return [
        await compare({
          row: 9,
          case: `4 KiB random reads, QD 32, view in the middle of ${2 * recordsShown} records`,
          peerName: `qemu-nbd, qcow2 chain of ${overlays}`,
          unit: 'reads/s',
          goal: { least: 1 },
          pairs,
          ours: read(view, target.server),
          peer: read(chain.uri, chain.server),
        }),
      ];
    } finally {
      await chain.stop();
    }
  } finally {
    await target.stop();
  }
}

/** Returns the LSN in the middle. */
async function fillJournal(target: BenchTarget): Promise<number> {
  for (let index = 0; index < overlays; index++) await runFio(target.uri, part(index));
  await target.settle();
  const { headLsn } = await target.status();
  for (let index = 0; index < overlays; index++) await runFio(target.uri, part(overlays + index));
  await target.settle();
  return headLsn;
}

/** Returns the newest overlay. */
async function buildChain(directory: string): Promise<string> {
  let below = join(directory, 'base.raw');
  await writtenFile(below, diskBytes);
  for (let index = 0; index < overlays; index++) {
    const overlay = join(directory, `overlay-${index}.qcow2`);
    await createOverlay(overlay, below, index === 0 ? 'raw' : 'qcow2');
    const peer = await serveQcow2(directory, overlay, []);
    await runFio(peer.uri, part(index));
    await peer.stop();
    below = overlay;
  }
  return below;
}

async function readRandom(
  uri: string,
  server: Server,
  pair: number,
  { seconds }: RowContext,
): Promise<Measured> {
  const bytes = Math.min(Math.floor(128 * seconds) * MiB, diskBytes);
  const work: FioWork = {
    rw: 'randread',
    blockBytes,
    depth: 32,
    size: diskBytes,
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
