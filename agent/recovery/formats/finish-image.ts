// The end of an image: the tables and headers that make a file of what the threads have written.
import fs from 'node:fs';
import { basename } from 'node:path';
import { crc32 } from 'node:zlib';
import { joinRanges } from '../../../core/extents/join-ranges.ts';
import {
  encodeQcow2Header,
  encodeQcow2L1,
  encodeQcow2RefcountBlock,
  encodeQcow2RefcountTable,
  qcow2ClusterBytes,
  qcow2Layout,
  qcow2Refcounts,
  qcow2TableEntries,
} from '../../../core/formats/qcow2.ts';
import {
  encodeVmdkBegin,
  encodeVmdkEnd,
  vmdkOverheadSectors,
  vmdkSectorBytes,
  vmdkTableGrains,
} from '../../../core/formats/vmdk.ts';
import { writeFully } from '../../../core/full-io.ts';
import { limits } from '../../../core/limits.ts';
import { lastEnd, runsOf, type Placed } from './image-plan.ts';
import { stretchesOf, type ImageFormat } from './stretch.ts';

export interface ImageEnd {
  format: ImageFormat;
  fd: number;
  size: number;
  /** Of the finished file. */
  path: string;
  /** All stretches. */
  placed: Placed;
}

/** In the page cache when it resolves. What it writes depends on nothing else: it may be done again. */
export async function finishImage(image: ImageEnd): Promise<void> {
  if (image.format === 'qcow2') await finishQcow2(image);
  else if (image.format === 'vmdk') await finishVmdk(image);
}

/** The header comes last: before, the file is nothing that a program would open. */
async function finishQcow2({ fd, size, placed }: ImageEnd): Promise<void> {
  const layout = qcow2Layout(size);
  const refcounts = qcow2Refcounts(lastEnd(placed, layout.dataCluster));
  const stretchesPerTable = (qcow2ClusterBytes * qcow2TableEntries) / limits.recoveryStretchBytes;
  const tables = new Set<number>();
  for (const [index, parts] of placed)
    if (parts.length > 0) tables.add(Math.floor(index / stretchesPerTable));
  const tableRuns = [...tables].map((table) => {
    const cluster = layout.tablesCluster + table;
    return [cluster, cluster + 1] as const;
  });
  const own = [
    [0, layout.tablesCluster],
    [refcounts.blocksCluster, refcounts.end],
  ] as const;
  const runs = joinRanges([...own, ...tableRuns, ...runsOf(placed)]);
  for (let block = 0; block < refcounts.blocks; block++) {
    const position = (refcounts.blocksCluster + block) * qcow2ClusterBytes;
    await writeFully(fd, encodeQcow2RefcountBlock(block, runs), position);
  }
  await writeFully(fd, encodeQcow2RefcountTable(refcounts), refcounts.tableCluster * qcow2ClusterBytes);
  const l1 = encodeQcow2L1(layout, (table) => tables.has(table));
  await writeFully(fd, l1, layout.l1Cluster * qcow2ClusterBytes);
  fs.ftruncateSync(fd, refcounts.end * qcow2ClusterBytes);
  await writeFully(fd, encodeQcow2Header(layout, refcounts), 0);
}

async function finishVmdk({ fd, size, path, placed }: ImageEnd): Promise<void> {
  const tables = new Uint32Array(stretchesOf(size));
  for (const [index, [start = 0, end = 0]] of placed)
    if (end > start) tables[index] = end - (vmdkTableGrains * 4) / vmdkSectorBytes;
  const endSector = lastEnd(placed, vmdkOverheadSectors);
  const { bytes } = encodeVmdkEnd(size, tables, endSector);
  const position = endSector * vmdkSectorBytes;
  await writeFully(fd, bytes, position);
  fs.ftruncateSync(fd, position + bytes.length);
  // Any name will do but the one that stands for none: this one the same content gets each time.
  const cid = crc32(Buffer.from(tables.buffer)) % 0xffff_ffff;
  await writeFully(fd, encodeVmdkBegin(size, basename(path), cid), 0);
}
