// Carries out what retention asks of one machine: the oldest points are dropped, redo goes, steps are
// split before that and merged after.
import type { Ledger } from '../journal/ledger.ts';
import type { History } from '../replica/history.ts';
import { boundariesOf, type Boundary } from '../replica/points.ts';
import type { UndoStep } from '../replica/undo/undo-step.ts';
import { middleAt, type Noted } from './boundary.ts';
import { keptPoints, type HeldPoint, type KeepPolicy } from './kept-points.ts';
import { lostPoints } from './lost-points.ts';
import { planPrune, type PrunePlan, type PrunePolicy } from './prune.ts';
import { planThinning, type ThinPlan } from './thinning.ts';

export interface Retained extends Noted {
  readonly history: History;
  readonly ledger: Pick<Ledger, 'expected'>;
}

/** Who knows what must be shown still. */
export interface Needing {
  readonly history: Pick<History, 'shownLsns'>;
  readonly journal: Noted['journal'];
  readonly cursor: Noted['cursor'];
}

export interface RetainDemand {
  /** Asked whenever it matters: points are locked while others go. */
  locks(): readonly HeldPoint[];
  /** So much has to go for want of room on the volume, down to the floor; 0 for nothing. */
  freeBytes: number;
  /** What merges may write before anything they replace is unlinked. */
  roomBytes: number;
  /** The same where points are given up for want of room: the reserve is for that, too. */
  scarceRoomBytes: number;
  /** The next step has no room. */
  stuck?: boolean;
  /** Microseconds. */
  now: number;
}

export interface RetainDone {
  /** Redo segments and undo steps that went. */
  segments: number;
  steps: number;
  merged: number;
  /** LSNs of kept points that went for want of room. */
  givenUp: number[];
  /** There is more to do. */
  again: boolean;
}

/**
 * Nothing while a step is open. When room is short the oldest points go first, then redo. At most one
 * merge, so that the cursor is looked after in between.
 */
export async function retain(
  machine: Retained,
  policy: PrunePolicy,
  demand: RetainDemand,
): Promise<RetainDone> {
  const { timeline, undo } = machine.history;
  const done: RetainDone = { segments: 0, steps: 0, merged: 0, givenUp: [], again: false };
  if (timeline.open !== null) return done;
  const excess = policy.maxBytes === 0 ? 0 : machine.journal.redoBytes + undo.bytes - policy.maxBytes;
  const before = { undo: undo.bytes, all: undo.bytes + machine.journal.redoBytes };
  const wanted = Math.max(demand.freeBytes, excess, 0);
  await drop(machine, policy, { ...demand, freeBytes: wanted }, done);
  const rest = Math.max(0, demand.freeBytes - (before.undo - undo.bytes));
  done.segments = await prune(machine, policy, { ...demand, freeBytes: rest });
  await drop(machine, policy, { ...demand, freeBytes: 0 }, done);
  const freed = before.all - undo.bytes - machine.journal.redoBytes;
  await merge(machine, policy, { ...demand, freeBytes: Math.max(0, wanted - freed) }, done);
  return done;
}

/** Drops what nobody wants below the oldest point that is wanted, and points that are given up for room. */
async function drop(
  machine: Retained,
  policy: PrunePolicy,
  demand: RetainDemand,
  done: RetainDone,
): Promise<void> {
  const { dropBelow, givenUp } = thinning(machine, policy, demand);
  done.steps += await machine.history.timeline.dropBelow(dropBelow);
  done.givenUp.push(...givenUp.filter((lsn) => lsn < dropBelow));
}

/** One run of steps; points in it that no rule wants any more, or that are given up for room, go with it. */
async function merge(
  machine: Retained,
  policy: PrunePolicy,
  demand: RetainDemand,
  done: RetainDone,
): Promise<void> {
  const { timeline, undo } = machine.history;
  const { merges, givenUp } = thinning(machine, policy, demand);
  const [first] = merges;
  if (first === undefined) return;
  const run = undo.steps.filter(({ from, to }) => from >= first.from && to <= first.to);
  await timeline.merge(run);
  done.merged = run.length;
  done.givenUp.push(...givenUp.filter((lsn) => first.from < lsn && lsn < first.to));
  done.again = true;
}

function thinning(machine: Retained, policy: PrunePolicy, demand: RetainDemand): ThinPlan {
  const { undo } = machine.history;
  const { pruned } = machine.cursor;
  const keep = { rules: policy.keep, windowMs: policy.windowMs, locks: demand.locks(), now: demand.now };
  return planThinning({
    steps: undo.steps.filter(({ to }) => to <= pruned),
    kept: keptPoints(
      boundaries(machine).filter(({ lsn }) => lsn <= pruned),
      keep,
    ),
    lost: lostOf(machine, keep),
    needed: neededBoundaries(machine),
    freeBytes: demand.freeBytes,
    floorTime: demand.now - policy.floorMs * 1000,
    roomBytes: demand.freeBytes > 0 ? demand.scarceRoomBytes : demand.roomBytes,
    ...(demand.stuck === true && { stuck: true }),
  });
}

function lostOf(machine: Retained, keep: KeepPolicy): ReturnType<typeof lostPoints> {
  const { history, ledger, cursor, journal } = machine;
  const facts = {
    expected: ledger.expected().undo.values(),
    steps: history.undo.steps,
    boundaries: boundaries(machine),
    pruned: cursor.pruned,
    isPoint: (lsn: number) => lsn >= (cursor.firstPoint ?? Infinity) && journal.catalogue.gapAt(lsn) === null,
  };
  return lostPoints(facts, keep);
}

/**
 * Redo goes at once when nothing has to be split before; else what is wanted is looked at again after
 * that.
 */
async function prune(machine: Retained, policy: PrunePolicy, demand: RetainDemand): Promise<number> {
  const { timeline, undo } = machine.history;
  // Without undo there is nothing below the cursor to be shown.
  if (undo.steps.length === 0) return await timeline.prune(machine.cursor.lsn);
  for (;;) {
    const plan = pruning(machine, policy, demand);
    const splits = plan.splits.filter((at) => stepAround(undo.steps, at) !== null);
    if (splits.length === 0) return await timeline.prune(plan.to);
    for (const at of splits) {
      const step = stepAround(undo.steps, at);
      if (step !== null) await timeline.split(step, at, middleAt(machine, at));
    }
  }
}

function pruning(machine: Retained, policy: PrunePolicy, demand: RetainDemand): PrunePlan {
  const { history, journal, cursor } = machine;
  const { catalogue } = journal;
  const newest = journal.segments.at(-1);
  return planPrune(
    {
      segments: journal.segments.slice(0, -1),
      ...(newest !== undefined && newest.lastArrival > 0 && { newest }),
      boundaries: boundaries(machine).filter(({ lsn }) => lsn >= cursor.pruned),
      prunedLsn: cursor.pruned,
      // On its way back to a pin the cursor needs all redo above that.
      cursorLsn: Math.min(cursor.lsn, cursor.pin ?? cursor.lsn),
      bytes: journal.redoBytes + history.undo.bytes,
      firstPoint: cursor.firstPoint,
      shown: neededMoments(machine),
      gaps: catalogue.gaps,
      tags: catalogue.tags,
      lsnAtTime: (time) => journal.lsnAtTime(time, cursor.pruned),
    },
    policy,
    { ...demand, locks: demand.locks() },
  );
}

/** Where steps begin, and the cursor. */
function boundaries({ history, cursor, journal }: Retained): Boundary[] {
  const { lsn, time } = cursor;
  const point = journal.catalogue.gapAt(lsn) === null;
  return [...boundariesOf(history.undo.steps), { lsn, time, untilTime: time + 1, tag: null, point }];
}

/**
 * What views show, what a sync that goes on compares with, and the newest point before it, which however old
 * is all that could be recovered if the source were lost now.
 */
export function neededMoments({ history, journal, cursor }: Needing): number[] {
  const { sync, gaps } = journal.catalogue;
  const compared = sync?.checksums === true ? [sync.before] : [];
  const newest = gaps.filter(({ to }) => to === null).map(({ from }) => from - 1);
  const points = newest.filter((lsn) => lsn >= (cursor.firstPoint ?? Infinity));
  return [...history.shownLsns, ...compared, ...points];
}

/** The boundaries that those are read from. */
function neededBoundaries(machine: Retained): number[] {
  const { timeline } = machine.history;
  return neededMoments(machine).flatMap((lsn) => timeline.base(lsn) ?? []);
}

const stepAround = (steps: readonly UndoStep[], lsn: number): UndoStep | null =>
  steps.find(({ from, to }) => from < lsn && lsn < to) ?? null;
