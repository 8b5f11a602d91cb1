// Where groups go between two sound frames of a segment, so that a reader comes from one to the other: pure.
import { limits } from '../../core/limits.ts';
import { groupHeaderBytes, syncedBlockBytes } from '../../core/segment-log/group.ts';
import { roundUp } from '../../core/units.ts';

/** The next `records` records go behind a frame at `position`; 0 for a frame alone, which leads on. */
export interface PlacedGroup {
  position: number;
  records: number;
}

/**
 * Lays records of these sizes out from `start` on. A frame begins where the one before ends, or at the block
 * behind that, and `end` has to be such a place as well; null: nothing follows. How they lay before was such
 * a layout, so there is one; null where there is none after all.
 */
export function layOutGroups(
  sizes: readonly number[],
  start: number,
  end: number | null,
): PlacedGroup[] | null {
  if (end === null) return contiguous(sizes, start);
  const { sums, ends } = runningSums(sizes, start);
  const total = sums[sizes.length]!;
  if ((end - start - total) % groupHeaderBytes === 0) {
    const all = inFrames(sizes, start, (end - start - total) / groupHeaderBytes);
    if (all !== null) return all;
  }
  // The last frames touch `end`, from a block on; those before, of the first `count` records, lead to there.
  for (let at = roundUp(start + 1, syncedBlockBytes); at <= end; at += syncedBlockBytes) {
    for (let count = countUpTo(ends, at); count >= 0; count--) {
      const room = end - at - (total - sums[count]!);
      if (room < 0) break;
      if (room % groupHeaderBytes !== 0) continue;
      const last = inFrames(sizes.slice(count), at, room / groupHeaderBytes);
      const before = last === null ? null : leadTo(sizes.slice(0, count), start, at);
      if (before !== null && last !== null) return [...before, ...last];
    }
  }
  return null;
}

/** Of the first n records: their bytes, and where they end from `start` on in as few groups as can be. */
function runningSums(sizes: readonly number[], start: number): { sums: Float64Array; ends: Float64Array } {
  const sums = new Float64Array(sizes.length + 1);
  const ends = new Float64Array(sizes.length + 1).fill(start);
  let group = Infinity;
  for (const [at, size] of sizes.entries()) {
    const begins = group + size > limits.groupBytes;
    group = begins ? size : group + size;
    sums[at + 1] = sums[at]! + size;
    ends[at + 1] = ends[at]! + size + (begins ? groupHeaderBytes : 0);
  }
  return { sums, ends };
}

/** How many records at the most end at or before `position`. */
function countUpTo(ends: Float64Array, position: number): number {
  let low = 0;
  let high = ends.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ends[middle]! <= position) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Groups one behind the other, as few as there can be. */
function contiguous(sizes: readonly number[], start: number): PlacedGroup[] {
  const groups: PlacedGroup[] = [];
  let position = start;
  let bytes = Infinity;
  for (const size of sizes) {
    if (bytes + size > limits.groupBytes) {
      groups.push({ position, records: 0 });
      position += groupHeaderBytes;
      bytes = 0;
    }
    groups.at(-1)!.records += 1;
    position += size;
    bytes += size;
  }
  return groups;
}

/** The same in just so many frames; null when that is too few. */
function inFrames(sizes: readonly number[], start: number, frames: number): PlacedGroup[] | null {
  if (frames < 0 || (frames === 0 && sizes.length > 0)) return null;
  const groups = contiguous(sizes, start);
  if (groups.length > frames) return null;
  const bytes = bytesInGroups(sizes, groups.length);
  for (let position = start + bytes; groups.length < frames; position += groupHeaderBytes)
    groups.push({ position, records: 0 });
  return groups;
}

/** From `start`, then over blocks with a frame each, to the block at `to`. */
function leadTo(sizes: readonly number[], start: number, to: number): PlacedGroup[] | null {
  if (start === to) return sizes.length === 0 ? [] : null;
  const groups = contiguous(sizes, start);
  let end = start + bytesInGroups(sizes, groups.length);
  for (; roundUp(end, syncedBlockBytes) < to; end += groupHeaderBytes) {
    end = roundUp(end, syncedBlockBytes);
    groups.push({ position: end, records: 0 });
  }
  return roundUp(end, syncedBlockBytes) === to ? groups : null;
}

/** What records of these sizes take in so many groups. */
export const bytesInGroups = (sizes: readonly number[], groups: number): number =>
  sizes.reduce((sum, size) => sum + size, groups * groupHeaderBytes);
