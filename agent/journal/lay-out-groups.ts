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
  // The last frames touch `end`, from a block, or from the beginning, on; those before lead to there.
  for (
    let at = start;
    at <= end;
    at = at === end ? end + 1 : Math.min(roundUp(at + 1, syncedBlockBytes), end)
  ) {
    if (at !== start && at % syncedBlockBytes !== 0) continue;
    for (let count = 0, bytes = 0; count <= sizes.length; bytes += sizes[sizes.length - 1 - count++] ?? 0) {
      const room = end - at - bytes;
      if (room < 0) break;
      if (room % groupHeaderBytes !== 0) continue;
      const before = leadTo(sizes.slice(0, sizes.length - count), start, at);
      const last = inFrames(sizes.slice(sizes.length - count), at, room / groupHeaderBytes);
      if (before !== null && last !== null) return [...before, ...last];
    }
  }
  return null;
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
  const groups = contiguous(sizes, start);
  if (groups.length > frames) return null;
  const bytes = sizes.reduce((sum, size) => sum + size, groups.length * groupHeaderBytes);
  for (let position = start + bytes; groups.length < frames; position += groupHeaderBytes)
    groups.push({ position, records: 0 });
  return groups;
}

/** From `start`, then over blocks with a frame each, to the block at `to`. */
function leadTo(sizes: readonly number[], start: number, to: number): PlacedGroup[] | null {
  if (start === to) return sizes.length === 0 ? [] : null;
  const groups = contiguous(sizes, start);
  let end = start + sizes.reduce((sum, size) => sum + size, groups.length * groupHeaderBytes);
  for (; roundUp(end, syncedBlockBytes) < to; end += groupHeaderBytes) {
    end = roundUp(end, syncedBlockBytes);
    groups.push({ position: end, records: 0 });
  }
  return roundUp(end, syncedBlockBytes) === to ? groups : null;
}
