// Answers block status for as much as can be told cheaply: a client asks for a whole disk and may use one
// extent of it.
import { appendExtent } from '../block/append-extent.ts';
import type { BlockExtent } from '../block/block-store.ts';
import { MiB, roundUp } from '../units.ts';
import { blockSizes } from './option-replies.ts';

/** Extents tell apart no less than this. */
const preferredBlockBytes = blockSizes.preferred;
/** Windows are multiples of the block size, so that none ends inside a block. */
const firstWindowBytes = MiB;
const windowGrowth = 4;
/** After so many pieces it answers with what it has, though all of it may be of one kind. */
const piecesEnough = 4096;

/** What block status is asked of. */
export interface ExtentSource {
  /** Bytes. */
  readonly size: number;
  extents(offset: number, length: number): Promise<BlockExtent[]>;
}

/**
 * The extents at the beginning of [offset, offset + length), at least one. The window that is looked at grows
 * as long as it is all of one kind, so the work is in proportion to what is answered, not to what was asked
 * for.
 *
 * Boundaries between extents are multiples of the preferred block size, whatever the stores know. QEMU thinks
 * in sectors of 512 bytes and rounds an extent of zeros up to them: told of a hole that ends inside a sector,
 * it never reads the data behind it.
 */
export async function leadingExtents(
  source: ExtentSource,
  offset: number,
  length: number,
): Promise<BlockExtent[]> {
  const found: BlockExtent[] = [];
  const start = offset - (offset % preferredBlockBytes);
  const end = Math.min(roundUp(offset + length, preferredBlockBytes), source.size);
  let window = firstWindowBytes;
  let pieces = 0;
  for (let at = start; at < end && found.length < 2 && pieces < piecesEnough;) {
    const next = Math.min(at + window, end);
    const exact = await source.extents(at, next - at);
    for (const extent of wholeBlocks(exact)) appendExtent(found, extent);
    pieces += exact.length;
    at = next;
    window *= windowGrowth;
  }
  return clip(found, offset - start, length);
}

/**
 * The same range, which begins at a multiple of the block size, with boundaries at such multiples only. A
 * block that extents share is a hole, or zero, if each of them is.
 */
function wholeBlocks(exact: readonly BlockExtent[]): BlockExtent[] {
  const blocks: BlockExtent[] = [];
  /** The beginning of a block that further extents have a part in. */
  let shared: BlockExtent | null = null;
  for (const { length, hole, zero } of exact) {
    let left = length;
    if (shared !== null && left > 0) {
      const part = Math.min(left, preferredBlockBytes - shared.length);
      shared = { length: shared.length + part, hole: shared.hole && hole, zero: shared.zero && zero };
      left -= part;
      if (shared.length < preferredBlockBytes) continue;
      appendExtent(blocks, shared);
      shared = null;
    }
    const begun = left % preferredBlockBytes;
    appendExtent(blocks, { length: left - begun, hole, zero });
    if (begun > 0) shared = { length: begun, hole, zero };
  }
  // Only at the end of a disk whose size is no multiple of the block size.
  if (shared !== null) appendExtent(blocks, shared);
  return blocks;
}

/** Leaves out what lies before `skip`, and behind `length` bytes from there. */
function clip(extents: readonly BlockExtent[], skip: number, length: number): BlockExtent[] {
  const clipped: BlockExtent[] = [];
  let at = -skip;
  for (const { hole, zero, length: bytes } of extents) {
    const start = Math.max(at, 0);
    at += bytes;
    const end = Math.min(at, length);
    if (end > start) clipped.push({ length: end - start, hole, zero });
  }
  return clipped;
}
