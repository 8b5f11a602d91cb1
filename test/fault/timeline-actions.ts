// Random work on a timeline world: what the source, the cursor, retention, readers and bad luck may do next.
import type { Random } from '../support/random.ts';
import * as ops from '../support/timeline-ops.ts';
import { truthDiskBytes, truthDisks, type Change } from '../support/timeline-truth.ts';
import { derived, type Mistake, type TimelineWorld } from '../support/timeline-world.ts';

/** Mistakes of whoever orders steps, besides those in the parts of a world. */
export interface ModelMistake extends Mistake {
  policy?: 'no-split' | 'ahead' | 'direct' | 'merge-dense';
}

export interface Acting {
  world: TimelineWorld;
  random: Random;
  mistake: ModelMistake;
  /** Something on disk may be damaged. */
  mayRot: boolean;
  /** Disks and places that the sync under way still has to bring; null when none is. */
  sync: number | null;
}

/** Gives back whether there was anything to do. */
export type Action = (acting: Acting) => boolean | Promise<unknown>;

const unit = 512;

export function anyChange(random: Random): Change {
  const disk = random.below(truthDisks);
  const isFine = random.chance(0.2);
  const offset = isFine ? random.below(truthDiskBytes - 1) : random.below(truthDiskBytes / unit) * unit;
  const most = Math.min(truthDiskBytes - offset, random.pick([unit, 3 * unit, 4096, truthDiskBytes]));
  const length = isFine ? 1 + random.below(most) : Math.max(Math.floor(most / unit), 1) * unit;
  if (random.chance(0.2)) return ops.zeroing(disk, offset, length);
  return ops.writing(disk, offset, Buffer.alloc(length, random.bytes(16)));
}

async function write({ world, random, mistake, sync }: Acting): Promise<void> {
  const wanted = anyChange(random);
  if (mistake.policy === 'direct' && sync !== null && wanted.bytes !== null) {
    const fd = world.replicas[wanted.disk] ?? -1;
    world.io.files.write(fd, [wanted.bytes], wanted.offset);
    return;
  }
  await ops.change(world, wanted, random.chance(0.5));
}

/** Writes that come in one turn. */
async function writes(acting: Acting): Promise<void> {
  const count = 1 + acting.random.below(4);
  await Promise.all(Array.from({ length: count }, () => write(acting)));
}

async function lose({ world, random }: Acting): Promise<void> {
  const { disk, offset, length } = anyChange(random);
  await world.journal.commit();
  await ops.loseContent(world, disk, offset, length);
}

async function sync(acting: Acting): Promise<void> {
  if (acting.sync === null) {
    acting.sync = 1 + acting.random.below(3);
    await ops.syncBegin(acting.world);
  } else if (acting.sync > 0) {
    acting.sync -= 1;
    await write(acting);
  } else {
    acting.sync = null;
    await ops.syncEnd(acting.world);
  }
}

function applyTarget({ world, random, mistake }: Acting): number | null {
  const { journal, cursor } = world;
  const most = mistake.policy === 'ahead' ? journal.headLsn : journal.durableLsn;
  const room = most - cursor.lsn;
  return room > 0 ? cursor.lsn + 1 + random.below(Math.min(room, 6)) : null;
}

async function apply(acting: Acting): Promise<boolean> {
  const to = applyTarget(acting);
  if (to === null || acting.world.history.timeline.open !== null) return false;
  await ops.apply(acting.world, to);
  return true;
}

async function applyWithoutUndo(acting: Acting): Promise<boolean> {
  const { world } = acting;
  const to = applyTarget(acting);
  const isSeen = world.views.some(({ lsn }) => to !== null && lsn < to);
  if (to === null || isSeen || world.history.timeline.open !== null) return false;
  await ops.applyWithoutUndo(world, to);
  return true;
}

async function finish({ world, random }: Acting): Promise<boolean> {
  const { timeline } = world.history;
  if (timeline.open === null) return false;
  await timeline.finish(random.pick(['forward', 'back'] as const));
  return true;
}

async function rollBack({ world }: Acting): Promise<boolean> {
  if (ops.stepToRollBack(world) === null) return false;
  await world.history.timeline.rollBack();
  return true;
}

async function prune({ world, random, mistake }: Acting): Promise<boolean> {
  const choices = ops.pruneChoices(world);
  if (choices.length === 0 || world.history.timeline.open !== null) return false;
  await ops.prune(world, random.pick(choices), mistake.policy !== 'no-split');
  return true;
}

async function merge({ world, random, mistake }: Acting): Promise<boolean> {
  const choices = ops.mergeChoices(world, mistake.policy === 'merge-dense');
  if (choices.length === 0 || world.history.timeline.open !== null) return false;
  await world.history.timeline.merge(random.pick(choices));
  return true;
}

async function drop({ world, random }: Acting): Promise<boolean> {
  const choices = ops.dropChoices(world);
  if (choices.length === 0 || world.history.timeline.open !== null) return false;
  await ops.drop(world, random.pick(choices));
  return true;
}

/** Of a point, or of the state in a gap that a sync may compare with. */
function openView({ world, random }: Acting): boolean {
  const { durableLsn } = world.journal;
  const lsn = world.floorLsn + random.below(durableLsn - world.floorLsn + 1);
  const shown = random.chance(0.3) && world.kept.size > 0 ? random.pick([...world.kept]) : lsn;
  if (world.views.length >= 3 || shown > durableLsn) return false;
  ops.openView(world, shown);
  return true;
}

function closeView({ world, random }: Acting): boolean {
  if (world.views.length === 0) return false;
  ops.closeView(world, random.below(world.views.length));
  return true;
}

/** A byte of redo that is complete, or of undo, is not what it was. */
function rot({ world, random, mayRot }: Acting): boolean {
  const sealed = world.journal.segments.slice(0, -1).map(({ path, end }) => ({ path, end }));
  const undo = world.undo.steps.map(({ path, bytes }) => ({ path, end: bytes }));
  const all = [...sealed, ...undo].filter(({ end }) => end > 0);
  if (!mayRot || all.length === 0) return false;
  const { path, end } = random.pick(all);
  world.isRotten = true;
  world.io.quietly(() => {
    const { files } = world.io;
    const fd = files.open(path);
    const at = random.below(end);
    const byte = Buffer.alloc(1);
    files.readSync(fd, byte, at);
    files.write(fd, [Buffer.from([(byte[0] ?? 0) ^ (1 << random.below(8))])], at);
    files.close(fd);
  });
  return true;
}

/** What a crash left of a split or a merge goes some time after the start, whatever is done meanwhile. */
function tidy({ world }: Acting): boolean {
  if (world.undo.leftovers.length === 0) return false;
  world.undo.dropLeftovers();
  return true;
}

function removeDerived({ world, random }: Acting): void {
  world.io.quietly(() => {
    const gone = world.io.files.list(derived).filter(() => random.chance(0.5));
    ops.removeDerived(world, (name) => gone.includes(name));
  });
}

/** `isStep`: an I/O call of it may fail, or be the last of the process, and readers look at every one. */
export const actions: Record<string, { weight: number; isStep?: boolean; act: Action }> = {
  write: { weight: 14, act: writes },
  commit: { weight: 8, act: ({ world }) => ops.commit(world) },
  tag: { weight: 2, act: ({ world }) => ops.tag(world) },
  keep: { weight: 4, act: ({ world }) => ops.keepPoint(world) },
  roll: { weight: 3, act: async ({ world }) => world.journal.roll() },
  lose: { weight: 1, act: lose },
  sync: { weight: 5, act: sync },
  apply: { weight: 12, isStep: true, act: apply },
  'apply without undo': { weight: 1, isStep: true, act: applyWithoutUndo },
  finish: { weight: 8, isStep: true, act: finish },
  'roll back': { weight: 5, isStep: true, act: rollBack },
  prune: { weight: 6, isStep: true, act: prune },
  merge: { weight: 5, isStep: true, act: merge },
  drop: { weight: 2, isStep: true, act: drop },
  view: { weight: 5, act: openView },
  'close view': { weight: 4, act: closeView },
  tables: { weight: 2, act: async ({ world }) => ops.buildTables(world) },
  tidy: { weight: 3, act: tidy },
  'remove derived': { weight: 2, act: async (acting) => removeDerived(acting) },
  rot: { weight: 2, act: rot },
};

export function pickAction(random: Random): string {
  const total = Object.values(actions).reduce((sum, { weight }) => sum + weight, 0);
  let left = random.below(total);
  for (const [name, { weight }] of Object.entries(actions)) {
    if (left < weight) return name;
    left -= weight;
  }
  return 'write';
}
