// Row 8: how long it takes to open a view among many records until its first byte is read, and its memory.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatSize, GiB, KiB, MiB } from '../../core/units.ts';
import { askedFor, compare, type CaseResult, type Measured } from '../parts/compare.ts';
import { runFio } from '../parts/fio.ts';
import { BenchTarget, disk, lagModes } from '../parts/master-target.ts';
import { serveQcow2 } from '../parts/peers.ts';
import { probeBytes, readOnce } from '../parts/probe.ts';
import { residentOf, usageOf } from '../parts/processes.ts';
import { buildChain, chainDiskBytes, overlays } from '../parts/qcow2-chain.ts';
import type { RowContext } from './write-rows.ts';

const diskBytes = 8 * GiB;
/** As small as writes are: only their number is measured. */
const blockBytes = 512;
const recordsPerSecond = 2_500_000;
/** What is asked for: to open, and for one that is open to give its first byte. */
const openMsMost = 2000;
/** Read before its memory is looked at. */
const readBytes = 64 * MiB;
const settleMs = 1000;

export async function openRow(context: RowContext): Promise<CaseResult[]> {
  const { directory, seconds } = context;
  const records = Math.floor(seconds * recordsPerSecond);
  const chain = await buildChain(directory);
  const results: CaseResult[] = [];
  for (const { name, settings, follows } of lagModes) {
    const target = await BenchTarget.start(join(directory, 'target'), { diskBytes, settings });
    try {
      await fill(target, records);
      const { headLsn, appliedLsn, redoBytes, undoBytes } = await target.status();
      const held = `redo ${formatSize(redoBytes)}, undo ${formatSize(undoBytes)}`;
      process.stderr.write(`  row 8 ${name}: head ${headLsn} applied ${appliedLsn}, ${held}\n`);
      const lsn = follows ? Math.floor(headLsn / 20) : Math.floor(headLsn / 2);
      const where = follows ? 'below the cursor, undo of 95 % above it' : 'in the middle, above the cursor';
      const what = `${millions(headLsn)} million records of ${blockBytes} bytes, ${name}: a view ${where}`;
      results.push(...(await measure(context, { target, chain, lsn, what, held })));
    } finally {
      await target.stop();
    }
  }
  return results;
}

async function fill(target: BenchTarget, records: number): Promise<void> {
  await runFio(target.uri, {
    rw: 'randwrite',
    blockBytes,
    depth: 64,
    size: diskBytes,
    bytes: records * blockBytes,
    secondsMost: 3600,
    seed: 1,
    finalFlush: true,
  });
  await target.quiet();
}

interface Case {
  target: BenchTarget;
  /** The newest overlay. */
  chain: string;
  lsn: number;
  what: string;
  held: string;
}

async function measure(context: RowContext, one: Case): Promise<CaseResult[]> {
  const { directory, pairs } = context;
  const { target, chain, what } = one;
  const open = { row: 8, unit: 'ms', pairs, ours: () => openOurs(target, one) };
  return [
    await compare({
      row: 8,
      case: `memory that one takes, ${formatSize(readBytes)} read; ${what}`,
      peerName: `qemu-nbd, qcow2 chain of ${overlays}`,
      unit: 'MiB',
      goal: null,
      // What a thread once had is used again by the next.
      pairs: 1,
      ours: () => memoryOfOurs(target, one.lsn),
      peer: () => memoryOfChain(directory, chain),
    }),
    await compare({
      ...open,
      case: `to its first byte; ${what}`,
      peerName: 'what is asked for',
      goal: { most: 1 },
      peer: () => askedFor(openMsMost),
    }),
    await compare({
      ...open,
      case: `to its first byte; ${what}`,
      peerName: `qemu-nbd, qcow2 chain of ${overlays}`,
      goal: null,
      peer: (pair) => openChain(directory, chain, pair),
    }),
  ];
}

async function openOurs(target: BenchTarget, { lsn, held }: Case): Promise<Measured> {
  const { pid } = target.server;
  const before = usageOf(pid);
  const from = performance.now();
  const { id, path } = await target.openView(lsn);
  const opened = performance.now();
  await readOnce(path, disk, Math.floor((lsn * 7919) % (diskBytes / probeBytes)) * probeBytes);
  const value = performance.now() - from;
  const after = usageOf(pid);
  await target.control.closeViews({ id });
  return {
    value,
    bytes: probeBytes,
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
    peakBytes: after.peakBytes,
    remark:
      `${held}; opened after ${(opened - from).toFixed(0)} ms, ` +
      `the first byte ${(value - (opened - from)).toFixed(1)} ms later`,
  };
}

/** From the start of the program, which is what opening is there. */
async function openChain(directory: string, chain: string, pair: number): Promise<Measured> {
  const from = performance.now();
  const peer = await serveQcow2(directory, chain, [], ['--read-only']);
  try {
    await readOnce(peer.path, '', (pair * 7919 * probeBytes) % chainDiskBytes);
    const value = performance.now() - from;
    return { value, bytes: probeBytes, ...usageOf(peer.server.pid) };
  } finally {
    await peer.stop();
  }
}

async function memoryOfOurs(target: BenchTarget, lsn: number): Promise<Measured> {
  const { pid } = target.server;
  const before = residentOf(pid);
  const { id, uri } = await target.openView(lsn);
  await readSome(uri, diskBytes);
  const value = (residentOf(pid) - before) / MiB;
  await target.control.closeViews({ id });
  const remark = `the master target had ${(before / MiB).toFixed(0)} MiB before the view was opened`;
  return { value, bytes: readBytes, cpuSeconds: 0, peakBytes: usageOf(pid).peakBytes, remark };
}

async function memoryOfChain(directory: string, chain: string): Promise<Measured> {
  const peer = await serveQcow2(directory, chain, [], ['--read-only']);
  try {
    await readSome(peer.uri, chainDiskBytes);
    const value = residentOf(peer.server.pid) / MiB;
    return { value, bytes: readBytes, cpuSeconds: 0, peakBytes: usageOf(peer.server.pid).peakBytes };
  } finally {
    await peer.stop();
  }
}

async function readSome(uri: string, size: number): Promise<void> {
  await runFio(uri, {
    rw: 'randread',
    blockBytes: 4 * KiB,
    depth: 32,
    size,
    bytes: readBytes,
    secondsMost: 120,
    seed: 3,
  });
  await delay(settleMs);
}

const millions = (records: number): string => (records / 1e6).toFixed(1);
