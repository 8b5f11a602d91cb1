// Answers block status for as much as can be told cheaply: a client asks for a whole disk and may use one
// extent of it.
import { appendExtent } from '../block/append-extent.ts';
import type { BlockExtent } from '../block/block-store.ts';
import { MiB } from '../units.ts';

const firstWindowBytes = MiB;
const windowGrowth = 4;

/**
 * The extents at the beginning of [offset, offset + length), at least one. The window that is looked at grows
 * as long as it is all of one kind, so the work is in proportion to what is answered, not to what was asked
 * for.
 */
export async function leadingExtents(
  source: { extents(offset: number, length: number): Promise<BlockExtent[]> },
  offset: number,
  length: number,
): Promise<BlockExtent[]> {
  const found: BlockExtent[] = [];
  const end = offset + length;
  let window = firstWindowBytes;
  for (let at = offset; at < end && found.length < 2;) {
    const next = Math.min(at + window, end);
    for (const extent of await source.extents(at, next - at)) appendExtent(found, extent);
    at = next;
    window *= windowGrowth;
  }
  return found;
}
