// Tells a mass encryption from what else is written, from counts of blocks in the order of the write stream:
// pure.
import { limits } from '../../../core/limits.ts';
import { addCounts, noCounts, type SignalCounts, type SignalPiece } from './step-counts.ts';

/** Counts at a time of the write stream, in microseconds. */
export interface TimedPiece extends SignalPiece {
  time: number;
}

/** Neighbouring pieces of some seconds. */
interface Bucket extends SignalCounts {
  fromTime: number;
  toTime: number;
  /** The first piece in it that looks like encryption, or null. */
  hot: { firstLsn: number; lastLsn: number; time: number } | null;
}

/** Sums that fade: what is written in about `limits.signalUsualMs`. */
interface Usual {
  encrypted: number;
  rewritten: number;
  sinceTime: number;
  time: number;
}

export interface SignalEvent {
  /** The first piece of it that was found, which some of it may lie before. */
  onset: { firstLsn: number; lastLsn: number; time: number };
  /** The largest share seen: of what was rewritten; of what was written, where files are replaced by new ones. */
  share: number;
  /** About so much was encrypted up to when it was found. */
  bytes: number;
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

/** Pieces come in LSN order; a clock that goes back counts as standing still. */
export function observe(before: DetectorState, piece: TimedPiece): Observed {
  const time = Math.max(piece.time, before.buckets.at(-1)?.toTime ?? -Infinity);
  const windowed = forget(before, time - limits.signalWindowMs * 1000);
  const state = { ...windowed, buckets: withPiece(windowed.buckets, { ...piece, time }) };
  const found = find(state);
  if (state.event !== null) {
    if (found === null && isQuiet(state)) return { state: { ...state, event: null }, change: 'ended' };
    const share = Math.max(state.event.share, found?.share ?? 0);
    return { state: { ...state, event: { ...state.event, share } }, change: null };
  }
  if (found === null) return { state, change: null };
  const event = { ...found, onset: onsetOf(state.buckets) };
  return { state: { ...state, event }, change: 'begun' };
}

/** Nothing came for as long as counts. */
export function silence(before: DetectorState): DetectorState {
  return { ...before, buckets: [], event: null };
}

function withPiece(buckets: readonly Bucket[], piece: TimedPiece): Bucket[] {
  const { time, firstLsn, lastLsn } = piece;
  const last = buckets.at(-1);
  const joins = last !== undefined && time - last.fromTime < limits.signalBucketMs * 1000;
  const bucket = joins ? { ...last } : { ...noCounts, fromTime: time, toTime: time, hot: null };
  addCounts(bucket, piece);
  bucket.toTime = time;
  if (bucket.hot === null && isHot(piece)) bucket.hot = { firstLsn, lastLsn, time };
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
function find({ buckets, usual }: DetectorState): Found | null {
  const sum = { ...noCounts };
  for (const bucket of buckets.toReversed()) {
    addCounts(sum, bucket);
    const found = rewriting(sum, usual) ?? replacing(sum);
    if (found !== null) return found;
  }
  return null;
}

/** Structured content becomes random in its place; compression leaves too much that is not quite random. */
function rewriting({ encrypted, rewritten, packed }: SignalCounts, usual: Usual | null): Found | null {
  const bytes = encrypted * limits.signalStretchBytes;
  const share = encrypted / Math.max(rewritten, 1);
  const known = usual === null ? null : { rate: usualRate(usual), share: usual.encrypted / usual.rewritten };
  const leastShare = Math.max(limits.signalLeastShare, Math.min((known?.share || 0) * 2, 0.9));
  const leastCount = (known?.rate ?? 0) * limits.signalWindowMs * 1000 * limits.signalTimesUsual;
  const isMuch = bytes >= limits.signalLeastBytes && encrypted >= leastCount;
  return isMuch && share >= leastShare && isPure(encrypted, packed) ? { share, bytes } : null;
}

/** Random content in free space while about as much structured content is discarded: copies that replace. */
function replacing({ fresh, freshRandom, freshPacked, dropped }: SignalCounts): Found | null {
  const bytes = Math.min(freshRandom, dropped) * limits.signalStretchBytes;
  const share = freshRandom / Math.max(fresh, 1);
  const isEven = freshRandom < dropped * 1.6 && dropped < freshRandom * 1.6;
  const isMuch = bytes >= limits.signalLeastBytes && share >= limits.signalLeastShare;
  return isMuch && isEven && isPure(freshRandom, freshPacked) ? { share, bytes } : null;
}

const isPure = (random: number, packed: number): boolean => random >= (random + packed) * 0.85;

/** Per microsecond, of as long as is known or remembered. */
function usualRate({ encrypted, sinceTime, time }: Usual): number {
  const span = Math.min(time - sinceTime, limits.signalUsualMs * 1000);
  return encrypted / Math.max(span, limits.signalWindowMs * 1000);
}

/** A piece that an encryption under way would leave, into free space too. */
function isHot({ written, encrypted, packed, freshRandom, freshPacked }: SignalCounts): boolean {
  const random = encrypted + freshRandom;
  return random > 0 && random * 5 >= written && random * 2 >= random + packed + freshPacked;
}

/** The first of the run of hot pieces, with pauses, that leads up to now. */
function onsetOf(buckets: readonly Bucket[]): SignalEvent['onset'] {
  let onset = buckets.findLast(({ hot }) => hot !== null)?.hot ?? null;
  for (const { hot, toTime } of buckets.toReversed()) {
    if (onset === null || onset.time - toTime > limits.signalQuietMs * 1000) break;
    if (hot !== null) onset = hot;
  }
  // Where something is found there is a piece of it; without one, all of the window is suspect.
  return onset ?? { firstLsn: 0, lastLsn: 0, time: buckets[0]?.fromTime ?? 0 };
}

/** Nothing of it in the last minutes. */
function isQuiet({ buckets }: DetectorState): boolean {
  const now = buckets.at(-1)?.toTime ?? 0;
  const recent = buckets.filter(({ toTime }) => now - toTime <= limits.signalQuietMs * 1000);
  const sum = { ...noCounts };
  for (const bucket of recent) addCounts(sum, bucket);
  const { encrypted, freshRandom, dropped, written } = sum;
  const going = Math.max(encrypted, Math.min(freshRandom, dropped));
  return going * limits.signalStretchBytes < limits.signalLeastBytes / 4 || going * 10 < written;
}
