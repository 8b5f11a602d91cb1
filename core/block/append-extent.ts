// Lists of extents that tile a range, with neighbours of one kind joined.
import type { BlockExtent } from './block-store.ts';

export const dataExtent = (length: number): BlockExtent => ({ length, hole: false, zero: false });
export const holeExtent = (length: number): BlockExtent => ({ length, hole: true, zero: true });

/** Adds a piece to the end of a list; an empty one changes nothing. */
export function appendExtent(extents: BlockExtent[], extent: BlockExtent): void {
  if (extent.length === 0) return;
  const last = extents.at(-1);
  if (last && last.hole === extent.hole && last.zero === extent.zero) last.length += extent.length;
  else extents.push({ ...extent });
}
