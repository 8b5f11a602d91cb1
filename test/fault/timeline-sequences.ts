// The operations that are tried in every order, on a world that has something of everything to begin with.
import { HomewardError } from '../../core/errors.ts';
import { SimulatedCrash } from '../support/simulated-files.ts';
import * as ops from '../support/timeline-ops.ts';
import { checkEverything, turns } from '../support/timeline-views.ts';
import { TimelineWorld, type Remains } from '../support/timeline-world.ts';

export type Operation = (world: TimelineWorld) => Promise<unknown>;

const bytes = (length: number, fill: string): Buffer => Buffer.alloc(length, fill);

async function taken(asked: Promise<boolean>): Promise<void> {
  if (!(await asked)) throw new Error('a write was refused');
}

async function applyNext(world: TimelineWorld): Promise<void> {
  if (world.history.timeline.open !== null) await world.history.timeline.finish('forward');
  const { cursor, journal } = world;
  const to = Math.min(journal.durableLsn, cursor.lsn + 4);
  if (to > cursor.lsn) await ops.apply(world, to);
}

async function pruneAll(world: TimelineWorld): Promise<void> {
  if (world.history.timeline.open !== null) return;
  const boundary = ops.pruneChoices(world).at(-1);
  if (boundary !== undefined) await ops.prune(world, boundary);
}

async function thin(world: TimelineWorld): Promise<void> {
  if (world.history.timeline.open !== null) return;
  const [run] = ops.mergeChoices(world);
  if (run !== undefined) await world.history.timeline.merge(run);
}

async function rollBack(world: TimelineWorld): Promise<void> {
  if (world.history.timeline.open !== null) await world.history.timeline.finish('back');
  else if (ops.stepToRollBack(world) !== null) await world.history.timeline.rollBack();
}

/** Each throws when it is refused. `restart` and `disk full` are for who runs them. */
export const operations: Record<string, Operation | null> = {
  write: (world) => taken(ops.change(world, ops.writing(0, 1024, bytes(2048, 'write')))),
  'overlapping write': async (world) => {
    const first = ops.change(world, ops.writing(0, 2000, bytes(700, 'first')));
    const second = ops.change(world, ops.writing(0, 2300, bytes(3000, 'second')));
    await taken(first);
    await taken(second);
  },
  discard: (world) => taken(ops.change(world, ops.zeroing(0, 512, 4096), true)),
  zero: (world) => taken(ops.change(world, ops.zeroing(1, 100, 5000))),
  flush: (world) => ops.commit(world),
  tag: (world) => ops.keepPoint(world),
  apply: applyNext,
  prune: pruneAll,
  thin,
  'roll back': rollBack,
  restart: null,
  'disk full': null,
};

export function sequences(): string[][] {
  const names = Object.keys(operations);
  const pairs = names.flatMap((one) => names.map((other) => [one, other]));
  const triples = pairs.flatMap((pair) => names.map((name) => [...pair, name]));
  return [...names.map((name) => [name]), ...pairs, ...triples];
}

/**
 * Steps whose redo is gone, with a kept point between and one to be thinned, a dense step, and writes to
 * apply.
 */
export async function prepared(): Promise<Remains> {
  const world = await TimelineWorld.open(TimelineWorld.blank());
  await taken(ops.change(world, ops.writing(0, 0, bytes(3000, 'a'))));
  await taken(ops.change(world, ops.writing(1, 0, bytes(8192, 'b'))));
  await ops.commit(world);
  await ops.apply(world, 2);
  await taken(ops.change(world, ops.writing(0, 1500, bytes(2000, 'c'))));
  await ops.keepPoint(world);
  await taken(ops.change(world, ops.zeroing(1, 1000, 3000)));
  await ops.commit(world);
  await ops.apply(world, 5);
  await taken(ops.change(world, ops.writing(0, 4096, bytes(4096, 'd'))));
  await ops.commit(world);
  await ops.apply(world, 6);
  world.journal.roll();
  await ops.prune(world, 6);
  await taken(ops.change(world, ops.writing(0, 512, bytes(1024, 'e'))));
  await taken(ops.change(world, ops.writing(1, 7000, bytes(900, 'f'))));
  await ops.keepPoint(world);
  await taken(ops.change(world, ops.writing(1, 2048, bytes(4096, 'g'))));
  await ops.commit(world);
  await ops.apply(world, 10);
  await taken(ops.change(world, ops.writing(0, 700, bytes(5000, 'h'))));
  await ops.commit(world);
  const remains = world.copy();
  world.end('kill', 1);
  return remains;
}

/** The same again, for another run. */
export function again(remains: Remains): Remains {
  return { ...remains, files: remains.files.crash({ mode: 'keep' }), truth: remains.truth.copy() };
}

/** The process ended while it started. */
export class EndedInStart extends Error {
  readonly remains: Remains;

  constructor(remains: Remains) {
    super('the process ended while it started');
    this.remains = remains;
  }
}

/** Runs one operation; another world goes on after a restart. */
export async function operate(world: TimelineWorld, name: string): Promise<TimelineWorld> {
  if (name === 'restart') return await restart(world);
  if (name === 'disk full') world.io.files.capacityBytes = 0;
  else await patiently(world, operations[name]?.(world));
  return world;
}

/** Time passes while it waits: a journal tries again after a while. */
async function patiently(world: TimelineWorld, work: Promise<unknown> | undefined): Promise<void> {
  let isSettled = false;
  const watched = Promise.resolve(work).finally(() => {
    isSettled = true;
  });
  watched.catch(() => undefined);
  for (let turn = 0; turn < 2000 && !isSettled; turn++)
    await (turn % 100 === 99 ? world.wait(1000) : turns(1));
  if (!isSettled) throw new Error('an operation hangs');
  await watched;
}

/** A start that is refused by a failing disk is followed by one on a disk that works. */
async function restart(world: TimelineWorld): Promise<TimelineWorld> {
  const { crashAt, crashPart, fault, calls } = world.io;
  const remains = world.end('kill', 1);
  try {
    return await TimelineWorld.open(remains, {}, { crashAt, crashPart, fault, calls });
  } catch (error) {
    if (error instanceof SimulatedCrash)
      throw new EndedInStart({ ...remains, least: Math.min(world.acknowledged, remains.least) });
    if (fault === null) throw error;
    const next = await TimelineWorld.open(again(remains));
    next.io.injected = 1;
    return next;
  }
}

/** What may be said while a disk fails or is full, or when the process has ended. */
export function isRefusal(error: unknown, { io }: TimelineWorld): boolean {
  if (io.ended) return true;
  const code = error instanceof HomewardError ? error.code : '';
  return /ENOSPC|EIO|refused/.test(String(error)) || code === 'no-space' || code === 'journal-failed';
}

/** Everything that a machine does once more, and a power cut that leaves nothing that was not synced. */
export async function useAll(world: TimelineWorld): Promise<void> {
  for (const name of ['write', 'tag', 'apply', 'roll back', 'apply', 'prune', 'thin'])
    await operate(world, name);
  world.undo.dropLeftovers();
  checkEverything(world);
  const next = await TimelineWorld.open(world.end('drop', 1));
  checkEverything(next);
  next.end('kill', 1);
}
