// Moves the cursor of one machine where it is wanted: behind the newest write by the lag, or to its pin.
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { Journal } from '../journal/journal.ts';
import type { Cursor } from '../replica/cursor.ts';
import { LagClock, nextStepEnd, redoBytesBetween } from '../replica/step-plan.ts';
import type { History } from '../replica/history.ts';
import { middleAt, noteOfStep } from './boundary.ts';
import { outsideGaps, unwantedUpTo } from './policy.ts';
import { neededMoments, type Needing } from './retain.ts';

/** A machine whose cursor moves. */
export interface Followed extends Needing {
  readonly name: string;
  readonly journal: Journal;
  readonly cursor: Readonly<Cursor>;
  readonly history: Pick<History, 'timeline' | 'shownLsns' | 'kept'>;
  moveCursor(change: Partial<Cursor>): void;
  timeOf(lsn: number): number | null;
}

export interface FollowPolicy {
  windowMs: number;
  /** 0 is no bound. */
  windowMaxBytes: number;
  replicaLagMs: number;
  /** So much redo may wait to be applied beyond the lag; with more, writers wait. */
  backlogBytes: number;
  /** Room is short: the cursor goes where redo may go then, and no further, since undo takes room as well. */
  short: boolean;
  floorMs: number;
  /** Of redo, in one step, about: its undo needs as much room. */
  stepBytes: number;
  /** What the undo of a step may take where locks leave merging as the only way to make room. */
  undoRoomBytes: number;
  /** Without room for undo, what is older than the floor may be given up. */
  mayShorten: boolean;
  /** A point is locked. */
  readonly locked: boolean;
  /** Points below the dense window are wanted, or may be. */
  keeps: boolean;
  /** LSNs that are to be boundaries besides tags and edges of gaps. */
  stops(from: number, to: number): number[];
}

/** What it remembers of one machine between looks. */
export class Follower {
  readonly #machine: Followed;
  readonly #log: Log;
  readonly #lag = new LagClock();
  /** When the last step ended, microseconds; it ended before the target. */
  #stepped = 0;
  #isOnTheWay = false;

  constructor(machine: Followed, log: Log) {
    this.#machine = machine;
    this.#log = log;
  }

  /** Ends the step that a crash or a failure left open. */
  async finish(): Promise<void> {
    const { history, cursor } = this.#machine;
    const { open } = history.timeline;
    if (open === null) return;
    const back = open.step !== null && cursor.pin !== null && cursor.pin < open.to;
    await history.timeline.finish(back ? 'back' : 'forward');
  }

  /** One step, if one is due; false when there is nothing to do now. `now` is in microseconds. */
  async step(policy: FollowPolicy, now: number): Promise<boolean> {
    const { cursor, journal, history } = this.#machine;
    this.#lag.note(now, journal.durableLsn, Math.min(policy.replicaLagMs, policy.windowMs) * 1000);
    if (cursor.pin !== null && cursor.lsn > cursor.pin) return await this.#stepBack(cursor.pin);
    const unwanted = this.#trailTarget(policy, now);
    const target = this.#target(policy, unwanted, now);
    const end = this.#endOfStep(policy, target);
    if (end === null || !this.#isDue({ target, unwanted }, policy, now)) return false;
    const keepUndo =
      end > (cursor.firstPoint ?? Infinity) && !(trailsByWindow(policy, cursor) && end <= unwanted);
    try {
      if (keepUndo) this.#leaveRoom(policy, end);
      await this.#apply(end, keepUndo);
    } catch (error) {
      // Of a step that is open it is the replica that has no room.
      if (!keepUndo || !isFull(error) || history.timeline.open !== null) throw error;
      await this.#shorten(policy, now, error);
    }
    this.#stepped = now;
    this.#isOnTheWay = cursor.lsn < target;
    return true;
  }

  async #apply(to: number, keepUndo: boolean): Promise<void> {
    const { name: machine, history } = this.#machine;
    const { bytes } = await history.timeline.apply({ note: noteOfStep(this.#machine, to), keepUndo });
    this.#log.debug('step-applied', { machine, to, bytes, undo: keepUndo });
  }

  /** Half of the reserve stays for merges. Throws 'no-space'. */
  #leaveRoom({ locked, undoRoomBytes }: FollowPolicy, end: number): void {
    const { cursor, journal } = this.#machine;
    if (!locked || cursor.pin !== null) return;
    if (redoBytesBetween(journal.segments, cursor.lsn, end) > undoRoomBytes) throw noRoom();
  }

  #endOfStep(policy: FollowPolicy, target: number): number | null {
    const { cursor, journal } = this.#machine;
    return nextStepEnd({
      cursorLsn: cursor.lsn,
      target,
      segments: journal.segments,
      stops: [...this.#edges(), cursor.firstPoint ?? 0, ...policy.stops(cursor.lsn, target)],
      maxBytes: policy.stepBytes,
    });
  }

  /** There is no room for undo: what is older than the floor goes, with all that leads there. */
  async #shorten(policy: FollowPolicy, now: number, cause: unknown): Promise<void> {
    const machine = this.#machine;
    const { cursor, history, name } = machine;
    const end = this.#endOfStep(policy, this.#floorTarget(policy, now));
    const isFree = policy.mayShorten && !policy.locked && cursor.pin === null;
    if (end === null || !isFree || neededMoments(machine).some((lsn) => lsn < end)) throw noRoom(cause);
    for (const { lsn } of history.kept) this.#log.warn('point-given-up', { machine: name, lsn });
    this.#log.warn('history-shortened', { machine: name, lsn: end });
    await this.#apply(end, false);
  }

  #target(policy: FollowPolicy, unwanted: number, now: number): number {
    const { cursor, journal } = this.#machine;
    if (cursor.pin !== null) return Math.min(cursor.pin, journal.durableLsn);
    // Below the first point nothing is ever shown: there is nothing to wait for.
    const { firstPoint } = cursor;
    const toFirst =
      firstPoint === null || cursor.lsn >= firstPoint ? 0 : Math.min(firstPoint, journal.durableLsn);
    if (trailsByWindow(policy, cursor)) return Math.max(toFirst, unwanted);
    if (policy.short) return Math.max(toFirst, unwanted, this.#floorTarget(policy, now));
    return Math.max(toFirst, unwanted, this.#lagTarget(policy, now));
  }

  /**
   * Redo that apply is late with, beyond its lag; nothing while the cursor is pinned or trails by the
   * window.
   */
  backlogBytes(policy: FollowPolicy, now: number): number {
    const { cursor, journal } = this.#machine;
    if (cursor.pin !== null || trailsByWindow(policy, cursor)) return 0;
    return redoBytesBetween(journal.segments, cursor.lsn, this.#lagTarget(policy, now));
  }

  /** Where the cursor may go that follows at its lag: also into a gap, since undo leads back. */
  #lagTarget({ replicaLagMs, windowMs }: FollowPolicy, now: number): number {
    const { journal } = this.#machine;
    const then = now - Math.min(replicaLagMs, windowMs) * 1000;
    // After a start nothing is remembered; what was sealed then says when it came.
    const sealed = journal.segments.slice(0, -1).findLast((segment) => arrivedBy(segment, then));
    return Math.min(journal.durableLsn, Math.max(this.#lag.at(then), sealed?.lastLsn ?? 0));
  }

  /** The end of what is older than the floor: that goes when room is short. */
  #floorTarget({ floorMs }: FollowPolicy, now: number): number {
    const { journal } = this.#machine;
    const then = now - floorMs * 1000;
    const old = journal.segments.findLast((segment) => arrivedBy(segment, then));
    return Math.min(journal.durableLsn, old?.lastLsn ?? 0);
  }

  /** Where the cursor may go without undo: up to what no wanted point needs; without room, to the floor. */
  #trailTarget(policy: FollowPolicy, now: number): number {
    const { journal, cursor, history } = this.#machine;
    const windowMs =
      policy.short && policy.mayShorten ? Math.min(policy.windowMs, policy.floorMs) : policy.windowMs;
    const shown = history.shownLsns;
    const leastShownLsn = shown.length === 0 ? null : Math.min(...shown);
    const open = unwantedUpTo(
      {
        sealed: journal.segments.slice(0, -1).filter(({ lastLsn }) => lastLsn > cursor.lsn),
        bytes: journal.redoBytes,
        cursorLsn: cursor.lsn,
        durableLsn: journal.durableLsn,
        firstPoint: cursor.firstPoint,
        leastShownLsn,
      },
      { ...policy, windowMs },
      now,
    );
    const { gaps, sync } = journal.catalogue;
    const bound = Math.min(journal.durableLsn, leastShownLsn ?? Infinity);
    const { lsn: cursorLsn, firstPoint } = cursor;
    const settled = outsideGaps(open, { cursorLsn, firstPoint, bound, gaps, sync });
    return Math.min(settled, leastShownLsn ?? Infinity);
  }

  /** Small steps cost more than they are worth: one waits until it is large or some time has passed. */
  #isDue(
    { target, unwanted }: { target: number; unwanted: number },
    policy: FollowPolicy,
    now: number,
  ): boolean {
    const { journal, cursor } = this.#machine;
    if (cursor.pin !== null || journal.appendFailure !== null) return true;
    const trails = trailsByWindow(policy, cursor);
    const isBeyond = unwanted > cursor.lsn && journal.redoBytes < limits.stepPatientBytes;
    if (policy.short || isBeyond || this.#isOnTheWay) return true;
    const lagMs = trails ? 0 : Math.min(policy.replicaLagMs, policy.windowMs);
    const waitMs = Math.min(Math.max(lagMs / 5, limits.stepWaitLeastMs), limits.stepWaitMostMs);
    if (now - this.#stepped >= waitMs * 1000) return true;
    return redoBytesBetween(journal.segments, cursor.lsn, target) >= limits.stepDueBytes;
  }

  async #stepBack(pin: number): Promise<boolean> {
    const { history, cursor } = this.#machine;
    const { timeline } = history;
    const step = timeline.undo.steps.at(-1);
    if (step === undefined || step.to !== cursor.lsn || step.from < cursor.pruned) return false;
    if (step.from < pin) {
      await timeline.split(step, pin, middleAt(this.#machine, pin));
      return true;
    }
    await timeline.rollBack();
    return true;
  }

  /** Tags, and the last LSN before a gap and the first behind it. */
  #edges(): number[] {
    const { tags, gaps } = this.#machine.journal.catalogue;
    const edges = gaps.flatMap(({ from, to }) => (to === null ? [from - 1] : [from - 1, to]));
    return [...tags.map(({ lsn }) => lsn), ...edges];
  }
}

const noRoom = (cause?: unknown): HomewardError =>
  new HomewardError('no-space', 'the next step has no room for its undo on the retention volume', {
    cause,
    hint: 'Give it room: a larger volume, less history of other machines, locks that end, views closed.',
  });

export const isFull = (error: unknown): boolean => toHomewardError(error).code === 'no-space';

/** When nothing of it tells, it may have come just now. */
const arrivedBy = ({ lastArrival }: { lastArrival: number }, time: number): boolean =>
  lastArrival > 0 && lastArrival <= time;

/**
 * Undo is not needed when the cursor trails by the whole window and nothing below that is kept, nor
 * before the first point.
 */
export function trailsByWindow(policy: FollowPolicy, { firstPoint, stepTo }: Readonly<Cursor>): boolean {
  if (firstPoint === null || stepTo !== null) return true;
  return policy.replicaLagMs >= policy.windowMs && !policy.keeps;
}
