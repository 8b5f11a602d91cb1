// An undo log over the model's files, and what happens to it in the life of a machine.
import { join } from 'node:path';
import { buildNode } from '../../../../../agent/replica/undo/build-node.ts';
import { mergeUndo } from '../../../../../agent/replica/undo/merge.ts';
import { splitUndo } from '../../../../../agent/replica/undo/split.ts';
import { UndoLog, type UndoLogOptions } from '../../../../../agent/replica/undo/undo-log.ts';
import { undoTablePath } from '../../../../../agent/replica/undo/undo-names.ts';
import type { UndoMade, UndoStep } from '../../../../../agent/replica/undo/undo-step.ts';
import type { Files } from '../../../../../core/files/files.ts';
import { silentLog } from '../../../../../core/log.ts';
import type { Random } from '../../../../support/random.ts';
import { SimulatedFiles } from '../../../../support/simulated-files.ts';
import {
  derived,
  machine,
  noteOf,
  outputOf,
  pathOf,
  stateThrough,
  undoDirectory,
  type writeRedo,
  writeUndo,
  type World,
} from './undo-model.ts';

export const newFiles = (): SimulatedFiles => new SimulatedFiles({ directories: [undoDirectory, derived] });

export function openLog(files: Files, cursorLsn: number, options: Partial<UndoLogOptions> = {}): UndoLog {
  const all = { files, directory: undoDirectory, derived, machine, cursorLsn, log: silentLog, ...options };
  return UndoLog.open(all);
}

export const intervals = (steps: readonly { from: number; to: number }[]): string =>
  steps.map(({ from, to }) => `${from}-${to}`).join(' ');

export async function writeSteps(files: Files, world: World, bounds: readonly number[]): Promise<UndoStep[]> {
  const steps: UndoStep[] = [];
  for (const [at, to] of bounds.entries()) {
    const from = bounds[at - 1];
    if (from === undefined) continue;
    steps.push(await writeUndo(files, world, from, to, undoTablePath(derived, from, to)));
  }
  return steps;
}

/** Every boundary of the log shows the state that the model had there. */
export function faultsIn(files: Files, undo: UndoLog, world: World, cursorLsn: number): string[] {
  const replica = world.states[cursorLsn]!;
  return undo.boundaries().flatMap(({ lsn }) => {
    if (lsn > cursorLsn) return [];
    const layers = undo.layersFrom(lsn);
    const state = stateThrough(files, layers, replica);
    layers.release();
    const wrong = state.findIndex((value, cell) => value !== world.states[lsn]![cell]);
    return wrong < 0 ? [] : [`cell ${wrong} at ${lsn} is ${state[wrong]}`];
  });
}

export function buildWanted(files: Files, undo: UndoLog): number {
  let made = 0;
  for (;;) {
    const plans = undo.nodesWanted();
    if (plans.length === 0) return made;
    for (const plan of plans) {
      const { job, release } = undo.lendNode(plan);
      buildNode(files, job);
      release();
      undo.nodeMade(plan);
      made++;
    }
  }
}

export interface Turn {
  files: SimulatedFiles;
  undo: UndoLog;
  random: Random;
  redo: ReturnType<typeof writeRedo>;
}

export function place(files: Files, made: UndoMade, from: number, to: number): UndoStep {
  const path = pathOf(from, to);
  files.rename(made.path, path);
  return { ...noteOf(from, to), ...made, path };
}

export async function splitAny({ files, undo, random, redo }: Turn): Promise<void> {
  const old = random.pick(undo.steps);
  if (old.to - old.from < 2) return;
  const at = old.from + 1 + random.below(old.to - old.from - 1);
  const outputs = [outputOf(old.from, at), outputOf(at, old.to)];
  const lent = undo.lend(old);
  const [first, second] = await splitUndo(files, {
    ...{ machine, generation: 1, undo: lent.undo, redo: [redo] },
    ...{ at, outputs },
  });
  lent.release();
  undo.replace([old], [place(files, first, old.from, at), place(files, second, at, old.to)]);
  files.unlink(old.path);
}

export async function mergeAny({ files, undo, random }: Turn): Promise<void> {
  const first = random.below(undo.steps.length - 1);
  const olds = undo.steps.slice(first, first + 2 + random.below(3));
  const from = olds[0]!.from;
  const to = olds.at(-1)!.to;
  const lent = olds.map((step) => undo.lend(step));
  const output = outputOf(from, to);
  const made = await mergeUndo(files, { machine, generation: 1, undo: lent.map((one) => one.undo), output });
  for (const one of lent) one.release();
  undo.replace(olds, [place(files, made, from, to)]);
  for (const { path } of olds) files.unlink(path);
}

export function dropOldest({ files, undo }: Turn): Promise<void> {
  for (const { path } of undo.dropBelow(undo.steps[0]!.to)) files.unlink(path);
  return Promise.resolve();
}

export function buildSome({ files, undo }: Turn): Promise<void> {
  buildWanted(files, undo);
  return Promise.resolve();
}

/** Derived files may go at any time. */
export function loseTables({ files, random }: Turn): Promise<void> {
  for (const name of files.list(derived)) if (random.chance(0.5)) files.unlink(join(derived, name));
  return Promise.resolve();
}
