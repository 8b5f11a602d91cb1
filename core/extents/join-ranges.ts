// Ranges that touch or overlap, as one.

/** In order, each place in one range; what ends where it begins is left out. */
export function joinRanges(
  ranges: Iterable<readonly [start: number, end: number]>,
): [start: number, end: number][] {
  const joined: [number, number][] = [];
  for (const [start, end] of [...ranges].toSorted((one, other) => one[0] - other[0])) {
    const last = joined.at(-1);
    if (last !== undefined && last[1] >= start) last[1] = Math.max(last[1], end);
    else if (end > start) joined.push([start, end]);
  }
  return joined;
}
