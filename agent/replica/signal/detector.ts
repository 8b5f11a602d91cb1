// Tells a mass encryption from what else is written, from counts of blocks in the order of the write stream:
// pure.
import { limits } from '../../../core/limits.ts';
import { addCounts, noCounts, type SignalCounts, type SignalPiece } from './step-counts.ts';

/** Counts at a time of the write stream, in microseconds. */
export interface TimedPiece extends SignalPiece {
  time: number;
}

/** The first piece that looks like encryption. */
export interface Onset {
  firstLsn: number;
  lastLsn: number;
  time: number;
  /** What it writes into free space is random, too: new files that take the place of the old. */
  fresh: boolean;
}

/** Neighbouring pieces of some seconds. */
interface Bucket extends SignalCounts {
  fromTime: number;
  toTime: number;
  /** The first piece that encrypts in place. */
  hot: Onset | null;
  /** The first that only makes new random files, since the last `cold` one. */
  freshHot: Onset | null;
  /** There was one, not small, that does neither. */
  cold: boolean;
}

/** Sums that fade: what is written in about `limits.signalUsualMs`. */
interface Usual {
  encrypted: number;
  rewritten: number;
  sinceTime: number;
  time: number;
}

export interface SignalEvent {
  /** Some of it may lie before: only some blocks are looked at. */
  onset: Onset;
  /** The largest seen, of what was rewritten; where files are replaced by new ones, of what was written. */
  share: number;
  /** About so much was encrypted up to when it was found, and when that was. */
  bytes: number;
  foundTime: number;
}

/** What is remembered of one machine. Not kept over a restart: what is usual is learnt anew then. */
export interface DetectorState {
  readonly buckets: readonly Bucket[];
  readonly usual: Usual | null;
  readonly event: SignalEvent | null;
}

export const blankDetector: DetectorState = { buckets: [], usual: null, event: null };

export interface Observed {
  state: DetectorState;
  /** Of what comes with this piece. */
  change: 'begun' | 'ended' | null;
}

/** How much of a machine with disks of so many bytes is a mass: a download of packages is none. */
export function leastOf(diskBytes: number): number {
  const part = Math.min(diskBytes * limits.signalLeastPart, limits.signalLeastMost);
  return Math.max(part, limits.signalLeastBytes);
}

/** Pieces come in LSN order; a clock that goes back counts as standing still. */
export function observe(before: DetectorState, piece: TimedPiece, leastBytes: number): Observed {
  const time = Math.max(piece.time, before.buckets.at(-1)?.toTime ?? -Infinity);
  const windowed = forget(before, time - limits.signalWindowMs * 1000);
  const state = { ...windowed, buckets: withPiece(windowed.buckets, { ...piece, time }) };
  const found = find(state, leastBytes);
  if (state.event !== null) {
    if (isQuiet(state, leastBytes)) return { state: { ...state, buckets: [], event: null }, change: 'ended' };
    const share = Math.max(state.event.share, found?.share ?? 0);
    return { state: { ...state, event: { ...state.event, share } }, change: null };
  }
  if (found === null) return { state, change: null };
  const event = { ...found, onset: onsetOf(state.buckets), foundTime: time };
  return { state: { ...state, event }, change: 'begun' };
}

/** Nothing came for as long as counts. */
export function silence(before: DetectorState): DetectorState {
  return { ...before, buckets: [], event: null };
}

function withPiece(buckets: readonly Bucket[], piece: TimedPiece): Bucket[] {
  const { time } = piece;
  const last = buckets.at(-1);
  const joins = last !== undefined && time - last.fromTime < limits.signalBucketMs * 1000;
  const bucket = joins ? { ...last } : { ...noCounts, fromTime: time, toTime: time, ...noHeat };
  addCounts(bucket, piece);
  bucket.toTime = time;
  heat(bucket, piece);
  return [...(joins ? buckets.slice(0, -1) : buckets), bucket];
}

/** What leaves the window is what is usual. */
function forget(state: DetectorState, until: number): DetectorState {
  const old = state.buckets.filter(({ toTime }) => toTime < until);
  if (old.length === 0) return state;
  const usual = old.reduce(learn, state.usual);
  return { ...state, usual, buckets: state.buckets.slice(old.length) };
}

function learn(usual: Usual | null, { encrypted, rewritten, fromTime, toTime }: Bucket): Usual {
  if (usual === null) return { encrypted, rewritten, sinceTime: fromTime, time: toTime };
  const fading = Math.exp(-Math.max(0, toTime - usual.time) / (limits.signalUsualMs * 1000));
  return {
    encrypted: usual.encrypted * fading + encrypted,
    rewritten: usual.rewritten * fading + rewritten,
    sinceTime: usual.sinceTime,
    time: toTime,
  };
}

type Found = Pick<SignalEvent, 'share' | 'bytes'>;

/** Looks at the last bucket, the last two, and so on: what came long before must not hide what goes on. */
function find({ buckets, usual }: DetectorState, leastBytes: number): Found | null {
  const sum = { ...noCounts };
  for (const bucket of buckets.toReversed()) {
    addCounts(sum, bucket);
    const found = rewriting(sum, usual, leastBytes) ?? replacing(sum, leastBytes);
    if (found !== null) return found;
  }
  return null;
}

/**
 * Structured content becomes random in its place; compression leaves too much that is not quite random. What
 * goes into free space meanwhile counts too, if it is hardly anything else: new files that take the place of
 * old ones, whose blocks are then written over.
 */
function rewriting(sum: SignalCounts, usual: Usual | null, leastBytes: number): Found | null {
  const { encrypted, rewritten, packed, freshRandom } = sum;
  const random = encrypted + (isFreshRandom(sum) ? freshRandom : 0);
  const share = encrypted / Math.max(rewritten, 1);
  const known = usual === null ? null : usualOf(usual);
  const leastShare = Math.max(limits.signalLeastShare, Math.min((known?.share ?? 0) * 2, 0.9));
  const least = Math.max(leastBytes, (known?.bytes ?? 0) * limits.signalTimesUsual);
  const bytes = random * limits.signalStretchBytes;
  const isMuch = bytes >= least && encrypted * limits.signalStretchBytes >= least / 4;
  return isMuch && share >= leastShare && isPure(encrypted, packed) ? { share, bytes } : null;
}

/** Random content in free space while about as much structured content is discarded. */
function replacing(sum: SignalCounts, leastBytes: number): Found | null {
  const { written, freshRandom, dropped } = sum;
  const bytes = Math.min(freshRandom, dropped) * limits.signalStretchBytes;
  const isEven = freshRandom < dropped * 1.6 && dropped < freshRandom * 1.6;
  if (bytes < leastBytes || !isEven || !isFreshRandom(sum)) return null;
  return { share: freshRandom / written, bytes };
}

const isFreshRandom = ({ fresh, freshRandom, freshPacked }: SignalCounts): boolean =>
  freshRandom >= fresh * 0.6 && isPure(freshRandom, freshPacked);

const isPure = (random: number, packed: number): boolean => random >= (random + packed) * 0.85;

/** In as long as the window, of as long as is known or remembered. */
function usualOf({ encrypted, rewritten, sinceTime, time }: Usual): { bytes: number; share: number } {
  const spanMs = Math.min((time - sinceTime) / 1000, limits.signalUsualMs);
  const windows = Math.max(spanMs / limits.signalWindowMs, 1);
  const share = rewritten === 0 ? 0 : encrypted / rewritten;
  return { bytes: (encrypted * limits.signalStretchBytes) / windows, share };
}

const noHeat = { hot: null, freshHot: null, cold: false };

/** Whether the piece is what an encryption under way leaves, at the least. */
function heat(bucket: Bucket, piece: TimedPiece): void {
  const { written, encrypted, packed, freshRandom, firstLsn, lastLsn, time } = piece;
  const inPlace = encrypted > 0 && encrypted * 5 >= written && encrypted >= packed;
  const fresh = freshRandom > 0 && isFreshRandom(piece);
  const onset = { firstLsn, lastLsn, time, fresh };
  if (inPlace) bucket.hot ??= onset;
  else if (fresh && freshRandom * 2 >= written) bucket.freshHot ??= onset;
  else if (written * 4 >= limits.signalPieceBlocks) {
    bucket.cold = true;
    bucket.freshHot = null;
  }
}

/**
 * The first of the run of hot pieces, with pauses, that leads up to now. New random files belong to it only
 * where nothing else was written in between.
 */
function onsetOf(buckets: readonly Bucket[]): Onset {
  let onset: Onset | null = null;
  let joins = true;
  for (const { hot, freshHot, cold, toTime } of buckets.toReversed()) {
    if (onset !== null && onset.time - toTime > limits.signalQuietMs * 1000) break;
    for (const found of [hot, joins ? freshHot : null])
      if (found !== null && found.firstLsn < (onset?.firstLsn ?? Infinity)) onset = found;
    joins &&= !cold;
  }
  const [first] = buckets;
  // Where something is found a piece of it is hot; were there none, all of the window would be suspect.
  return onset ?? { firstLsn: 1, lastLsn: 1, time: first?.fromTime ?? 0, fresh: true };
}

/** Nothing of it in the last minute, of which all is known, and since it was found. */
function isQuiet({ buckets, event }: DetectorState, leastBytes: number): boolean {
  const now = buckets.at(-1)?.toTime ?? 0;
  const since = now - limits.signalQuietMs * 1000;
  if ((buckets[0]?.fromTime ?? now) > since || (event?.foundTime ?? 0) > since) return false;
  const sum = { ...noCounts };
  for (const bucket of buckets) if (bucket.toTime >= since) addCounts(sum, bucket);
  const going = Math.max(sum.encrypted, Math.min(sum.freshRandom, sum.dropped));
  return going * limits.signalStretchBytes < leastBytes / 4 || going * 10 < sum.written;
}
