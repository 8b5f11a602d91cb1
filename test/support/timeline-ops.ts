// What can happen to a timeline world: writes of the source, steps of the cursor, and what retention does.
import { middleAt, noteOfStep } from '../../agent/retention/boundary.ts';
import type { UndoStep } from '../../agent/replica/undo/undo-step.ts';
import { buildNode } from '../../agent/replica/undo/build-node.ts';
import { encodeRecordHeader, recordHeaderBytes, RecordKind } from '../../core/record/record.ts';
import { parseRecordRun } from '../../core/record/record-run.ts';
import { note, type Change } from './timeline-truth.ts';
import { derived, type TimelineWorld } from './timeline-world.ts';
import { TimelineView } from './timeline-views.ts';

export const writing = (disk: number, offset: number, bytes: Buffer): Change => ({
  ...{ kind: 'write', disk, offset, bytes },
  length: bytes.length,
});
export const zeroing = (disk: number, offset: number, length: number): Change => ({
  ...{ kind: 'zero', disk, offset, length, bytes: null },
});

/** Asks for it; true when it was taken. LSNs follow the order of asking. */
export function change(world: TimelineWorld, wanted: Change, discard = false): Promise<boolean> {
  const { journal, truth } = world;
  truth.attempt(wanted);
  const { disk, offset, length, bytes } = wanted;
  return new Promise((resolve) => {
    const done = (error: Error | null): void => {
      settle(world, wanted, error);
      resolve(error === null);
    };
    if (bytes !== null) journal.write(disk, offset, bytes, false, null, done);
    else journal.zero(disk, offset, length, { discard, fua: false }, done);
  });
}

/** What a process that has ended did not complete may be found by the next. */
function settle({ io, truth }: TimelineWorld, wanted: Change, error: Error | null): void {
  if (error !== null && !io.ended) truth.refused(wanted);
}

async function noted<T>(world: TimelineWorld, append: () => Promise<T>): Promise<T> {
  const wanted = { ...note };
  world.truth.catchUp(world.journal.headLsn);
  world.truth.attempt(wanted);
  try {
    return await append();
  } catch (error) {
    world.truth.catchUp(world.journal.headLsn);
    settle(world, wanted, error as Error);
    throw error;
  }
}

/** Gives back its LSN. */
export async function tag(world: TimelineWorld): Promise<number> {
  const { lsn } = await noted(world, () => world.journal.tag({ name: 'moment', consistency: 'user' }));
  return lsn;
}

/** All that was appended is durable, and acknowledged as that. */
export async function commit(world: TimelineWorld): Promise<void> {
  const { headLsn } = world.journal;
  await world.journal.commit();
  world.acknowledged = Math.max(world.acknowledged, headLsn);
}

/** The newest durable LSN is a point that is to outlive its redo. */
export async function keepPoint(world: TimelineWorld): Promise<void> {
  const lsn = await tag(world);
  await commit(world);
  if (world.journal.catalogue.gapAt(lsn) === null && lsn >= world.floorLsn) world.kept.add(lsn);
}

export async function syncBegin(world: TimelineWorld): Promise<void> {
  world.journal.generation += 1;
  await noted(world, () => world.journal.syncBegin({ reason: 'lost writes', disks: [] }));
}

export async function syncEnd(world: TimelineWorld): Promise<void> {
  await noted(world, () => world.journal.syncEnd());
}

/** The source says that it does not know what this holds. Nothing else may be waiting to be appended. */
export async function loseContent(
  world: TimelineWorld,
  disk: number,
  offset: number,
  length: number,
): Promise<void> {
  const { journal, truth } = world;
  const { mark } = journal.source;
  const lsn = journal.headLsn + 1;
  const header = {
    ...{ kind: RecordKind.unknown, flags: 0, disk, lsn, offset, length, time: journal.lastTime },
    ...{ generation: journal.generation, payloadBytes: 0, payloadCrc: 0 },
  };
  const bytes = Buffer.alloc(recordHeaderBytes);
  encodeRecordHeader(bytes, 0, header, mark);
  const wanted: Change = { kind: 'unknown', disk, offset, length, bytes: null };
  truth.catchUp(journal.headLsn);
  truth.attempt(wanted);
  const run = parseRecordRun(bytes, mark, { payloads: true });
  const error = await new Promise<Error | null>((resolve) => journal.receive(run, null, resolve));
  truth.catchUp(journal.headLsn);
  settle(world, wanted, error);
  if (error !== null) throw error;
}

/** One step to `to`, which is durable, with undo. */
export async function apply(world: TimelineWorld, to: number): Promise<void> {
  await world.history.timeline.apply({ note: noteOfStep(world, to), keepUndo: true });
}

/** The same without undo: nothing below `to` is wanted any more. */
export async function applyWithoutUndo(world: TimelineWorld, to: number): Promise<void> {
  for (const lsn of world.kept) if (lsn < to) world.kept.delete(lsn);
  world.droppedBelow = Math.max(world.droppedBelow, to);
  await world.history.timeline.apply({ note: noteOfStep(world, to), keepUndo: false });
}

/** The step that can be rolled back, or null. */
export function stepToRollBack({ undo, cursor, history }: TimelineWorld): UndoStep | null {
  const step = undo.steps.at(-1);
  const isThere = step !== undefined && step.to === cursor.lsn && step.from >= cursor.pruned;
  return isThere && history.timeline.open === null ? step : null;
}

/** LSNs that have to stay within reach. */
export function needed(world: TimelineWorld): number[] {
  return [...world.kept, ...world.views.map(({ lsn }) => lsn)];
}

/** Boundaries that redo can go up to, oldest first. */
export function pruneChoices({ undo, cursor }: TimelineWorld): number[] {
  return undo.steps.map(({ to }) => to).filter((to) => to > cursor.pruned && to <= cursor.lsn);
}

/** Splits what is needed off first. */
export async function prune(world: TimelineWorld, boundary: number, splits = true): Promise<void> {
  const { timeline } = world.history;
  const points = needed(world).toSorted((a, b) => a - b);
  for (const at of splits ? points : []) {
    const { steps } = world.undo;
    const step = steps.find(({ from, to }) => from < at && at < to && to <= boundary);
    if (step !== undefined && step.from >= world.cursor.pruned)
      await timeline.split(step, at, middleAt(world, at));
  }
  await timeline.prune(boundary);
  const { firstPoint, pruned } = world.cursor;
  const dense = world.history.denseLsn;
  if (dense !== null && firstPoint !== null)
    world.journal.catalogue.forgetBelow(Math.min(Math.max(firstPoint, pruned), dense));
}

/** Runs of neighbouring steps, two or three, that may become one. */
export function mergeChoices(world: TimelineWorld, isDense = false): UndoStep[][] {
  const { undo, cursor, history } = world;
  const wanted = new Set(needed(world).map((lsn) => history.timeline.base(lsn)));
  const steps = undo.steps.filter(({ to }) => isDense || to <= cursor.pruned);
  const runs = [2, 3].flatMap((length) => steps.map((_, at) => steps.slice(at, at + length)));
  const mayJoin = ({ to }: UndoStep, next: UndoStep): boolean => to === next.from && !wanted.has(to);
  return runs.filter(
    (run) => run.length > 1 && run.every((step, at) => at === 0 || mayJoin(run[at - 1] ?? step, step)),
  );
}

/** Boundaries below which everything may be given up. */
export function dropChoices(world: TimelineWorld): number[] {
  const { undo, cursor, history } = world;
  const bases = world.views.map(({ lsn }) => history.timeline.base(lsn) ?? 0);
  const least = Math.min(Infinity, ...bases);
  return undo.steps.map(({ to }) => to).filter((to) => to <= cursor.pruned && to <= least);
}

export async function drop(world: TimelineWorld, boundary: number): Promise<void> {
  for (const lsn of world.kept) if (lsn < boundary) world.kept.delete(lsn);
  world.droppedBelow = Math.max(world.droppedBelow, boundary);
  await world.history.timeline.dropBelow(boundary);
}

export function openView(world: TimelineWorld, lsn: number): void {
  world.io.quietly(() => world.views.push(new TimelineView(world, lsn)));
}

export function closeView(world: TimelineWorld, at: number): void {
  const [view] = world.views.splice(at, 1);
  if (view !== undefined) world.io.quietly(() => view.close());
}

/** Makes the derived tables that are missing. */
export function buildTables({ undo, io }: TimelineWorld): void {
  for (const plan of undo.nodesWanted()) {
    const { job, release } = undo.lendNode(plan);
    try {
      buildNode(io.files, job);
      undo.nodeMade(plan);
    } finally {
      release();
    }
  }
}

/** Somebody deletes what is derived. */
export function removeDerived({ io }: TimelineWorld, isWanted: (name: string) => boolean): void {
  for (const name of io.files.list(derived)) if (isWanted(name)) io.files.unlink(`${derived}/${name}`);
}
