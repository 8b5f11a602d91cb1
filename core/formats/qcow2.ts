// The layout of a qcow2 image (version 3) that is written by several threads: where its parts lie, and their
// bytes. After docs/interop/qcow2.txt of QEMU.
import { assert } from '../errors.ts';
import { KiB } from '../units.ts';

export const qcow2ClusterBytes = 64 * KiB;
/** Entries of one L2 table, which is one cluster. */
export const qcow2TableEntries = qcow2ClusterBytes / 8;

const magic = 0x514649fb;
const headerBytes = 104;
const clusterBits = 16;
/** 2 ** 4 bits a refcount. */
const refcountOrder = 4;
const refcountsPerBlock = qcow2ClusterBytes / 2;
/** Bit 63: the cluster has one reference, and may be written in place. */
const copiedBit = 0x8000_0000;

/**
 * Header, L1 table, and then a place for every L2 table come first, so that each thread knows where its
 * entries go; a table that maps nothing is a hole, and L1 does not name it. Data follow in the order in
 * which they come; the refcounts, which then are known, end the file. All in clusters.
 */
export interface Qcow2Layout {
  /** Bytes of the disk. */
  size: number;
  /** L2 tables. */
  tables: number;
  l1Cluster: number;
  tablesCluster: number;
  dataCluster: number;
}

/** Clusters [start, end). */
export type ClusterRun = readonly [start: number, end: number];

export interface Qcow2Refcounts {
  /** Clusters, one for each block. */
  blocksCluster: number;
  blocks: number;
  tableCluster: number;
  tableClusters: number;
  /** All clusters of the file. */
  end: number;
}

export function qcow2Layout(size: number): Qcow2Layout {
  const tables = Math.ceil(size / qcow2ClusterBytes / qcow2TableEntries);
  const l1Cluster = 1;
  const tablesCluster = l1Cluster + Math.ceil((tables * 8) / qcow2ClusterBytes);
  return { size, tables, l1Cluster, tablesCluster, dataCluster: tablesCluster + tables };
}

/** The refcounts of a file whose other clusters end at `end`; they count themselves as well. */
export function qcow2Refcounts(end: number): Qcow2Refcounts {
  let blocks = 0;
  let tableClusters = 0;
  for (;;) {
    const all = end + blocks + tableClusters;
    const wantedBlocks = Math.ceil(all / refcountsPerBlock);
    const wantedTable = Math.ceil((wantedBlocks * 8) / qcow2ClusterBytes);
    if (wantedBlocks === blocks && wantedTable === tableClusters) break;
    blocks = wantedBlocks;
    tableClusters = wantedTable;
  }
  const tableCluster = end + blocks;
  return { blocksCluster: end, blocks, tableCluster, tableClusters, end: tableCluster + tableClusters };
}

export function encodeQcow2Header(layout: Qcow2Layout, refcounts: Qcow2Refcounts): Buffer {
  // Behind the header comes the end of its extensions, which is zeros.
  const header = Buffer.alloc(qcow2ClusterBytes);
  header.writeUInt32BE(magic, 0);
  header.writeUInt32BE(3, 4);
  header.writeUInt32BE(clusterBits, 20);
  writeOffset(header, layout.size, 24);
  header.writeUInt32BE(layout.tables, 36);
  writeOffset(header, layout.l1Cluster * qcow2ClusterBytes, 40);
  writeOffset(header, refcounts.tableCluster * qcow2ClusterBytes, 48);
  header.writeUInt32BE(refcounts.tableClusters, 56);
  header.writeUInt32BE(refcountOrder, 96);
  header.writeUInt32BE(headerBytes, 100);
  return header;
}

/** The whole L1 table; `isUsed` says which L2 tables map something. */
export function encodeQcow2L1(layout: Qcow2Layout, isUsed: (table: number) => boolean): Buffer {
  const table = Buffer.alloc(Math.ceil((layout.tables * 8) / qcow2ClusterBytes) * qcow2ClusterBytes);
  for (let at = 0; at < layout.tables; at++) if (isUsed(at)) writeEntry(table, layout.tablesCluster + at, at);
  return table;
}

/**
 * Entries of an L2 table: the cluster of the file for each cluster of the disk, 0 for those that are zeros.
 */
export function encodeQcow2Entries(clusters: Float64Array): Buffer {
  const entries = Buffer.alloc(clusters.length * 8);
  clusters.forEach((cluster, at) => {
    if (cluster !== 0) writeEntry(entries, cluster, at);
  });
  return entries;
}

/** Where the entry of a cluster of the disk lies in the file, in bytes. */
export const qcow2EntryPosition = (layout: Qcow2Layout, cluster: number): number =>
  layout.tablesCluster * qcow2ClusterBytes + cluster * 8;

/** One refcount block: 1 for each cluster in `runs`, which are in order and apart. */
export function encodeQcow2RefcountBlock(block: number, runs: readonly ClusterRun[]): Buffer {
  const counts = Buffer.alloc(qcow2ClusterBytes);
  const first = block * refcountsPerBlock;
  for (const [start, end] of runs) {
    const from = Math.max(start - first, 0);
    const to = Math.min(end - first, refcountsPerBlock);
    for (let at = from; at < to; at++) counts.writeUInt16BE(1, at * 2);
  }
  return counts;
}

export function encodeQcow2RefcountTable(refcounts: Qcow2Refcounts): Buffer {
  const table = Buffer.alloc(refcounts.tableClusters * qcow2ClusterBytes);
  for (let at = 0; at < refcounts.blocks; at++)
    writeOffset(table, (refcounts.blocksCluster + at) * qcow2ClusterBytes, at * 8);
  return table;
}

/** The clusters of the file behind entries as `encodeQcow2Entries` makes them. */
export function parseQcow2Entries(entries: Buffer): Float64Array {
  const clusters = new Float64Array(entries.length / 8);
  for (let at = 0; at < clusters.length; at++) {
    const offset = (entries.readUInt32BE(at * 8) % copiedBit) * 2 ** 32 + entries.readUInt32BE(at * 8 + 4);
    clusters[at] = offset / qcow2ClusterBytes;
  }
  return clusters;
}

function writeEntry(target: Buffer, cluster: number, at: number): void {
  writeOffset(target, cluster * qcow2ClusterBytes, at * 8);
  target.writeUInt32BE(target.readUInt32BE(at * 8) + copiedBit, at * 8);
}

function writeOffset(target: Buffer, offset: number, at: number): void {
  assert(offset < 2 ** 53, 'offsets are exact');
  target.writeUInt32BE(Math.floor(offset / 2 ** 32), at);
  target.writeUInt32BE(offset % 2 ** 32, at + 4);
}
