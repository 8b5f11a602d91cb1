// What to do as the retention volume fills, and whether the floors of all machines fit: pure.
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { formatSize } from '../../core/units.ts';

export interface SpaceVolume {
  totalBytes: number;
  freeBytes: number;
  /** Only pruning, tagging and stopping use it. */
  reserveBytes: number;
}

/** What one machine has and needs on the volume. */
export interface SpaceUse {
  id: string;
  /** Redo and undo. */
  bytes: number;
  /** Of these, what lies within the floor or is locked: never given up. */
  heldBytes: number;
  /** What the floor takes at the present rate; see `floorBytes`. */
  floorBytes: number;
  /** Growth at the rate of the last hour. */
  bytesPerMinute: number;
}

export interface SpaceOrder {
  id: string;
  /** So much of its history goes, oldest first, down to the floor. */
  freeBytes: number;
  /** False: its writers get "no space" until there is room again. */
  accept: boolean;
}

export type WhenFull = 'shorten' | 'stop';

/**
 * What each machine gives. Who has most shortens first, down to the level of the next, none below what it
 * holds: so one machine's churn takes from its own history. When that is not enough, machines that are beyond
 * their floor are stopped while those that are not still have room to fill theirs.
 */
export function planSpace(volume: SpaceVolume, uses: readonly SpaceUse[], whenFull: WhenFull): SpaceOrder[] {
  const unfilled = unfilledFloors(volume, uses);
  const rate = sumOf(uses.map(({ bytesPerMinute }) => bytesPerMinute));
  const wanted = volume.reserveBytes + Math.max(rate * limits.spaceAheadMinutes, sumOf(unfilled));
  const short = Math.max(0, wanted - volume.freeBytes);
  const freed = whenFull === 'stop' ? uses.map(() => 0) : freeEach(uses, short);
  return uses.map(({ id }, at) => ({
    id,
    freeBytes: freed[at] ?? 0,
    accept: mayAccept(volume, unfilled, at),
  }));
}

/** Takes `short` bytes from the largest first, as if all were filled vessels whose level sinks. */
function freeEach(uses: readonly SpaceUse[], short: number): number[] {
  const takenDownTo = (level: number): number[] =>
    uses.map(({ bytes, heldBytes }) => Math.max(0, bytes - Math.max(heldBytes, level)));
  if (short <= 0) return uses.map(() => 0);
  let [low, high] = [0, Math.max(0, ...uses.map(({ bytes }) => bytes))];
  if (sumOf(takenDownTo(0)) <= short) return takenDownTo(0);
  while (high - low > 1) {
    const level = Math.floor((low + high) / 2);
    if (sumOf(takenDownTo(level)) >= short) low = level;
    else high = level;
  }
  return takenDownTo(low);
}

/** What each still needs for its floor, which is a fair share at the most: churn makes no larger claim. */
function unfilledFloors({ totalBytes, reserveBytes }: SpaceVolume, uses: readonly SpaceUse[]): number[] {
  const share = (totalBytes - reserveBytes) / Math.max(1, uses.length);
  return uses.map(({ bytes, floorBytes }) => Math.max(0, Math.min(floorBytes, share) - bytes));
}

/** Beyond its own floor, a machine leaves alone what others still need to fill theirs. */
function mayAccept(
  { freeBytes, reserveBytes }: SpaceVolume,
  unfilled: readonly number[],
  at: number,
): boolean {
  const claimed = (unfilled[at] ?? 0) > 0 ? 0 : sumOf(unfilled);
  return freeBytes - reserveBytes > claimed;
}

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);

export interface FloorFacts {
  floorMs: number;
  /** Its own bound for all history, 0 for none: the floor of such a machine takes no more. */
  maxBytes: number;
  /** Null while it is not known. */
  bytesPerMinute: number | null;
  /** Of all its disks. */
  diskBytes: number;
}

/** What the floor of a machine takes, redo and undo, at its write rate or, without one, at a likely one. */
export function floorBytes({ floorMs, maxBytes, bytesPerMinute, diskBytes }: FloorFacts): number {
  const assumed = Math.min(diskBytes * limits.assumedDailyChange, limits.assumedDailyBytes) / (24 * 60);
  const rate = bytesPerMinute ?? assumed;
  const bytes = Math.ceil((floorMs / 60_000) * rate * (1 + limits.undoPerRedo));
  return maxBytes > 0 ? Math.min(bytes, maxBytes) : bytes;
}

export interface FitReport {
  fits: boolean;
  /** All floors and the reserve. */
  needBytes: number;
  volumeBytes: number;
}

/** Whether all machines can have their floors at once, with the reserve left. */
export function protectFits(floors: readonly number[], reserveBytes: number, volumeBytes: number): FitReport {
  const needBytes = floors.reduce((sum, bytes) => sum + bytes, reserveBytes);
  return { fits: needBytes <= volumeBytes, needBytes, volumeBytes };
}

/** Throws 'volume-too-small' when `machine` would not fit beside the others. */
export function refuseUnfit(machine: string, fit: FitReport): void {
  if (fit.fits) return;
  const floors = `the floors of all machines with ${machine}, and the reserve, take`;
  throw new HomewardError(
    'volume-too-small',
    `${floors} ${formatSize(fit.needBytes)}; the retention volume has ${formatSize(fit.volumeBytes)}`,
  );
}
