// Which parts of a stretch a sync need not read, because the disk knows that they are zero.
import type { BlockExtent } from '../../core/block/block-store.ts';
import { hashedChunkBytes } from '../../core/chain/messages.ts';
import { limits } from '../../core/limits.ts';

export interface Piece {
  start: number;
  end: number;
  zero: boolean;
}

/**
 * Tiles what `extents`, from `start` on, cover. Zeros count from a size on that is worth a record of its own,
 * and from chunk to chunk; smaller ones are read with the data around them.
 */
export function holePieces(start: number, extents: readonly BlockExtent[]): Piece[] {
  const pieces: Piece[] = [];
  let at = start;
  for (const { length, zero } of joined(extents)) {
    const end = at + length;
    const first = Math.ceil(at / hashedChunkBytes) * hashedChunkBytes;
    const last = Math.floor(end / hashedChunkBytes) * hashedChunkBytes;
    if (zero && last - first >= limits.syncPieceBytes) {
      append(pieces, at, first, false);
      append(pieces, first, last, true);
      append(pieces, last, end, false);
    } else append(pieces, at, end, false);
    at = end;
  }
  return pieces;
}

/** Holes and stored zeros are the same to a sync. */
function joined(extents: readonly BlockExtent[]): { length: number; zero: boolean }[] {
  const runs: { length: number; zero: boolean }[] = [];
  for (const { length, zero } of extents) {
    const last = runs.at(-1);
    if (last?.zero === zero) last.length += length;
    else runs.push({ length, zero });
  }
  return runs;
}

function append(pieces: Piece[], start: number, end: number, zero: boolean): void {
  if (start === end) return;
  const last = pieces.at(-1);
  if (last?.zero === zero) last.end = end;
  else pieces.push({ start, end, zero });
}
