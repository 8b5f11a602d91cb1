// Which tables show the redo of (base, lsn]: decided from what is known of the segments, nothing is read.

export interface SegmentSpan {
  /** -1 while nothing in it was indexed. */
  ordinal: number;
  firstLsn: number;
  precededBy: number;
  lastLsn: number;
}

export interface LayersRequest<S extends SegmentSpan> {
  /** Those with records, oldest first. */
  segments: readonly S[];
  /** Redo at or below is gone; what is missing above it is lost. */
  floor: number;
  base: number;
  lsn: number;
  head: number;
  /** The index has every record above this LSN; ordinals from `nextOrdinal` on are not sealed. */
  indexedFrom: number;
  nextOrdinal: number;
}

export type PlannedLayer<S> =
  /** All that the index has. */
  | { kind: 'head' }
  /** What the index has of the segments before `end`. */
  | { kind: 'prefix'; end: number }
  /** The table of the whole segment. */
  | { kind: 'table'; segment: S }
  /** A part of the segment, or one whose table is not there, after what is lost before it. */
  | { kind: 'scan'; segment: S; afterLsn: number; lsn: number }
  /** Records are lost here: all that is older is unknown. */
  | { kind: 'unknown'; ordinal: number };

export interface LayersPlan<S> {
  /** Newest first. */
  layers: PlannedLayer<S>[];
  /** Those that hold records of (base, lsn], oldest first. */
  segments: S[];
  floor: { segment: number; lsnDelta: number };
}

export function planLayers<S extends SegmentSpan>(request: LayersRequest<S>): LayersPlan<S> {
  const { base, lsn, nextOrdinal } = request;
  const first = countWhile(request.segments, ({ lastLsn }) => lastLsn <= base);
  const after = countWhile(request.segments, ({ firstLsn }) => firstLsn <= lsn);
  const segments = request.segments.slice(first, after);
  const before = Math.max(request.segments[first - 1]?.lastLsn ?? 0, request.floor, base);
  const above = request.segments[first];
  const floor =
    above === undefined
      ? { segment: nextOrdinal, lsnDelta: -1 }
      : { segment: above.ordinal, lsnDelta: base - above.firstLsn };
  const plan: LayersPlan<S> = { layers: [], segments, floor };
  if (lsn > base) addLayers(plan, request, { before, next: request.segments[after] });
  return plan;
}

function addLayers<S extends SegmentSpan>(
  { layers, segments }: LayersPlan<S>,
  { base, lsn, head, indexedFrom, nextOrdinal }: LayersRequest<S>,
  { before, next }: { before: number; next: S | undefined },
): void {
  /** The LSN above which all is shown by what has been listed. */
  let shown = Infinity;
  if (lsn === head && head > indexedFrom) {
    layers.push({ kind: 'head' });
    shown = indexedFrom;
  }
  const beforeOf = (at: number): number => segments[at - 1]?.lastLsn ?? before;
  const isLost = (at: number, upTo: number): boolean => upTo > beforeOf(at) && upTo <= shown;
  if (isLost(segments.length, Math.min(lsn, next?.precededBy ?? lsn)))
    layers.push({ kind: 'unknown', ordinal: next?.ordinal ?? nextOrdinal });
  for (let at = segments.length - 1; at >= 0; at--) {
    const segment = segments[at]!;
    if (lsn < segment.lastLsn) {
      layers.push({ kind: 'scan', segment, afterLsn: beforeOf(at), lsn });
      continue;
    }
    const isSealed = segment.ordinal >= 0 && segment.ordinal < nextOrdinal;
    if (shown === Infinity && isSealed && segment.lastLsn > indexedFrom) {
      layers.push({ kind: 'prefix', end: segment.ordinal + 1 });
      shown = indexedFrom;
    }
    const isShown = segment.firstLsn > shown || (shown < Infinity && base >= shown);
    if (!isShown) layers.push({ kind: 'table', segment });
    if (isLost(at, segment.precededBy)) layers.push({ kind: 'unknown', ordinal: segment.ordinal });
  }
}

function countWhile<T>(list: readonly T[], holds: (one: T) => boolean): number {
  const end = list.findIndex((one) => !holds(one));
  return end < 0 ? list.length : end;
}
