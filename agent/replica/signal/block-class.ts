// What kind of content a block holds, from how often each byte value comes in it.

/**
 * Structured: text, code, tables. Packed: compressed, but not so well that it could be anything. Random: as
 * encryption leaves it, or the very best compression. Small: too little to say.
 */
export const BlockClass = { zero: 0, structured: 1, packed: 2, random: 3, small: 4 } as const;
export type BlockClass = (typeof BlockClass)[keyof typeof BlockClass];

/** Fewer bytes than values say nothing. */
const leastBytes = 256;
/** Of structured content so much is enough to see it. */
const firstBytes = 1024;
/**
 * Above the chi-square of random bytes by so much a byte. What is compressed stays below, text is above
 * 5.
 */
const structuredExcess = 1;
/** Random bytes have 255 with a deviation of 22.6: 1 block in 1000 is above. Half of what gzip makes is. */
const randomMost = 330;
const randomMean = 255;

const counts = new Int32Array(256);

/** Of bytes [start, end); zeros at the end do not count, since a file ends before its last block does. */
export function classOf(bytes: Uint8Array, start: number, end: number): BlockClass {
  return classify(bytes, start, end, false);
}

/** The same in a quarter of the time where nobody asks whether it is packed or random: it is packed then. */
export function roughClassOf(bytes: Uint8Array, start: number, end: number): BlockClass {
  return classify(bytes, start, end, true);
}

export function isZeros(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end && bytes[at] === 0) at += 1;
  return at === end;
}

function classify(bytes: Uint8Array, start: number, end: number, rough: boolean): BlockClass {
  let stop = end;
  while (stop > start && bytes[stop - 1] === 0) stop -= 1;
  const length = stop - start;
  if (length === 0) return BlockClass.zero;
  if (length < leastBytes) return BlockClass.small;
  counts.fill(0);
  const first = Math.min(length, firstBytes);
  count(bytes, start, start + first);
  if (isStructured(chiSquare(first), first)) return BlockClass.structured;
  if (rough) return BlockClass.packed;
  count(bytes, start + first, stop);
  const all = chiSquare(length);
  if (isStructured(all, length)) return BlockClass.structured;
  return all <= randomMost ? BlockClass.random : BlockClass.packed;
}

function count(bytes: Uint8Array, start: number, end: number): void {
  for (let at = start; at < end; at++) counts[bytes[at]!]! += 1;
}

/** How far the counts are from all being equal. */
function chiSquare(length: number): number {
  let squares = 0;
  for (let value = 0; value < 256; value++) squares += counts[value]! * counts[value]!;
  return (squares * 256) / length - length;
}

const isStructured = (chi: number, length: number): boolean => (chi - randomMean) / length > structuredExcess;
