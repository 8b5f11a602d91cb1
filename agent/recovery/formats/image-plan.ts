// What is left to write of an image, and where it goes on, from the stretches that are durable; and the
// runs of a file that is whole.
import { joinRanges } from '../../../core/extents/join-ranges.ts';
import { qcow2ClusterBytes, qcow2Layout, type ClusterRun } from '../../../core/formats/qcow2.ts';
import { vmdkOverheadSectors, vmdkSectorBytes } from '../../../core/formats/vmdk.ts';
import { limits } from '../../../core/limits.ts';
import type { ByteRange } from './disk-source.ts';
import { stretchesOf, type ImageFormat, type StretchDone } from './stretch.ts';

/** By stretch, where the format put it; see `StretchDone.parts`. */
export type Placed = ReadonlyMap<number, readonly number[]>;

export interface ImagePlan {
  /** Stretches in order. */
  todo: number[];
  /** Those of `placed` that count. */
  kept: Map<number, readonly number[]>;
  free: { cluster?: number; sector?: number };
}

/**
 * A VMDK file goes on behind the first stretch that is missing; the others leave holes and go on anywhere.
 */
export function planImage(format: ImageFormat, size: number, placed: Placed): ImagePlan {
  const kept = new Map<number, readonly number[]>();
  const todo: number[] = [];
  for (let index = 0; index < stretchesOf(size); index++) {
    const parts = format === 'vmdk' && todo.length > 0 ? undefined : placed.get(index);
    if (parts === undefined) todo.push(index);
    else kept.set(index, parts);
  }
  return { todo, kept, free: freeBehind(format, size, kept) };
}

function freeBehind(format: ImageFormat, size: number, kept: Placed): ImagePlan['free'] {
  if (format === 'qcow2') return { cluster: lastEnd(kept, qcow2Layout(size).dataCluster) };
  return format === 'vmdk' ? { sector: lastEnd(kept, vmdkOverheadSectors) } : {};
}

/** The end of what was placed, `least` when nothing was. */
export function lastEnd(placed: Placed, least: number): number {
  let end = least;
  for (const parts of placed.values()) end = Math.max(end, parts.at(-1) ?? 0);
  return end;
}

/** The pairs [start, end) of `parts`. */
export function* runsOf(placed: Placed): Generator<ClusterRun> {
  for (const parts of placed.values())
    for (let at = 0; at < parts.length; at += 2) yield [parts[at] ?? 0, parts[at + 1] ?? 0];
}

/**
 * Where in the file an interrupted run may have written what is not kept, and the run that goes on would not
 * write everywhere. Of a VMDK file it writes on where those bytes are.
 */
export function abandonedRanges(format: ImageFormat, size: number, { todo, kept }: ImagePlan): ByteRange[] {
  if (format === 'raw') return todo.flatMap((index) => writtenRanges(format, { index, parts: [] }));
  return format === 'qcow2' ? qcow2Gaps(size, kept) : [];
}

/** Clusters taken for a stretch that was not finished; others are taken for it. */
function qcow2Gaps(size: number, placed: Placed): ByteRange[] {
  const gaps: ByteRange[] = [];
  let at = qcow2Layout(size).dataCluster;
  for (const [start, end] of joinRanges(runsOf(placed))) {
    if (start > at) gaps.push([at * qcow2ClusterBytes, start * qcow2ClusterBytes]);
    at = end;
  }
  return gaps;
}

/** Where in the file the content of a stretch lies. */
export function writtenRanges(
  format: ImageFormat,
  { index, parts }: Pick<StretchDone, 'index' | 'parts'>,
): ByteRange[] {
  const bytes = limits.recoveryStretchBytes;
  if (format === 'raw') return [[index * bytes, (index + 1) * bytes]];
  const unit = format === 'qcow2' ? qcow2ClusterBytes : vmdkSectorBytes;
  const ranges: ByteRange[] = [];
  for (const [start, end] of runsOf(new Map([[index, parts]])))
    if (end > start) ranges.push([start * unit, end * unit]);
  return ranges;
}
