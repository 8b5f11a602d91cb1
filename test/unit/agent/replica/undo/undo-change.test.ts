// Split and merge against the model: the states at the boundaries that stay are what they were.
import t from 'tap';
import { mergeUndo } from '../../../../../agent/replica/undo/merge.ts';
import { splitUndo } from '../../../../../agent/replica/undo/split.ts';
import type { LentRedo, LentUndo, UndoMade } from '../../../../../agent/replica/undo/undo-step.ts';
import type { Files } from '../../../../../core/files/files.ts';
import { chooseSeed, seededRandom } from '../../../../support/random.ts';
import { SimulatedFiles } from '../../../../support/simulated-files.ts';
import {
  anyWorld,
  cells,
  derived,
  lentOf,
  machine,
  outputOf,
  undoCells,
  undoDirectory,
  writeRedo,
  writeUndo,
  type Cell,
  type World,
} from './undo-model.ts';

const newFiles = (): SimulatedFiles => new SimulatedFiles({ directories: [undoDirectory, derived] });

function lentMade(files: Files, { path, bytes }: UndoMade, from: number, to: number): LentUndo {
  return { fd: files.open(path), path, from, to, bytes };
}

/** What undo (from, to] has to have: each cell that is written in it, as it was at `from`. */
function wantedCells({ writes, states }: World, from: number, to: number): (Cell | null)[] {
  const wanted: (Cell | null)[] = Array.from({ length: cells }, () => null);
  for (const write of writes.slice(from, to))
    for (let cell = write.from; cell < write.to; cell++) wanted[cell] = states[from]![cell]!;
  return wanted;
}

const whole = { machine, generation: 1 };

t.test('a step is split at each LSN inside it into what two steps would have saved', async (t) => {
  const seed = chooseSeed(t);
  for (let round = 0; round < 6; round++) {
    const files = newFiles();
    const world = anyWorld(seededRandom(seed + round), 20);
    const redo = writeRedo(files, '/machine/redo', world);
    const undo = lentOf(files, await writeUndo(files, world, 4, 20));
    for (let at = 5; at < 20; at++) {
      const outputs = [outputOf(4, at), outputOf(at, 20)];
      const [first, second] = await splitUndo(files, { ...whole, undo, redo: [redo], at, outputs });
      const older = undoCells(files, lentMade(files, first, 4, at));
      const newer = undoCells(files, lentMade(files, second, at, 20));
      t.strictSame(older, wantedCells(world, 4, at), `(4, ${at}]`);
      t.strictSame(newer, wantedCells(world, at, 20), `(${at}, 20]`);
    }
  }
});

t.test('a split leaves unknown what damaged redo or undo would have told, and nothing more', async (t) => {
  const seed = chooseSeed(t);
  const random = seededRandom(seed);
  for (let round = 0; round < 80; round++) {
    const files = newFiles();
    const world = anyWorld(random, 14);
    const redo = writeRedo(files, '/machine/redo', world);
    const undo = lentOf(files, await writeUndo(files, world, 2, 14));
    flip(files, random.chance(0.5) ? { fd: redo.fd, bytes: redo.end } : undo, random.next());
    const at = 3 + random.below(11);
    const outputs = [outputOf(2, at), outputOf(at, 14)];
    const [first, second] = await splitUndo(files, { ...whole, undo, redo: [redo], at, outputs });
    const faults = [
      ...faultsIn(undoCells(files, lentMade(files, first, 2, at)), world, 2, at),
      ...faultsIn(undoCells(files, lentMade(files, second, at, 14)), world, at, 14),
    ];
    t.strictSame(faults, [], `split at ${at}`);
  }
});

t.test('a merge of any run of steps is the undo of all of it', async (t) => {
  const seed = chooseSeed(t);
  for (let round = 0; round < 25; round++) {
    const random = seededRandom(seed + round);
    const files = newFiles();
    const world = anyWorld(random, 24);
    const steps: LentUndo[] = [];
    for (let from = 0; from < 24;) {
      const to = Math.min(from + 1 + random.below(6), 24);
      steps.push(lentOf(files, await writeUndo(files, world, from, to)));
      from = to;
    }
    const first = random.below(steps.length);
    const undo = steps.slice(first, first + 1 + random.below(steps.length - first));
    const from = undo[0]!.from;
    const to = undo.at(-1)!.to;
    const made = await mergeUndo(files, { ...whole, undo, output: outputOf(from, to) });
    t.strictSame(undoCells(files, lentMade(files, made, from, to)), wantedCells(world, from, to));
  }
});

t.test('what is damaged in a step is unknown in what it is merged into', async (t) => {
  const seed = chooseSeed(t);
  const random = seededRandom(seed);
  for (let round = 0; round < 80; round++) {
    const files = newFiles();
    const world = anyWorld(random, 12);
    const undo = [
      lentOf(files, await writeUndo(files, world, 0, 4)),
      lentOf(files, await writeUndo(files, world, 4, 8)),
      lentOf(files, await writeUndo(files, world, 8, 12)),
    ];
    flip(files, random.pick(undo), random.next());
    const made = await mergeUndo(files, { ...whole, undo, output: outputOf(0, 12) });
    t.strictSame(faultsIn(undoCells(files, lentMade(files, made, 0, 12)), world, 0, 12), []);
  }
});

t.test('a failure anywhere in a split or a merge leaves no file and no open descriptor behind', async (t) => {
  const world = anyWorld(seededRandom(3), 12);
  const jobs: ((files: Files, redo: LentRedo, steps: LentUndo[]) => Promise<unknown>)[] = [
    (files, redo, [undo]) =>
      splitUndo(files, {
        ...{ ...whole, undo: undo!, redo: [redo], at: 3 },
        outputs: [outputOf(0, 3), outputOf(3, 6)],
      }),
    (files, _redo, undo) => mergeUndo(files, { ...whole, undo, output: outputOf(0, 12) }),
  ];
  for (const run of jobs) {
    let failed = 0;
    for (let call = 1; ; call++) {
      const files = newFiles();
      const redo = writeRedo(files, '/machine/redo', world);
      const steps = [
        lentOf(files, await writeUndo(files, world, 0, 6)),
        lentOf(files, await writeUndo(files, world, 6, 12)),
      ];
      const before = files.list(undoDirectory);
      const last = files.calls + call;
      files.onCall = (name, n) => {
        if (n === last && name !== 'unlink') throw Object.assign(new Error('on demand'), { code: 'ENOSPC' });
      };
      const error: unknown = await run(files, redo, steps).then(
        () => null,
        (reason: unknown) => reason,
      );
      const reached = files.calls >= last;
      files.onCall = null;
      if (error !== null) {
        failed++;
        t.strictSame(files.list(undoDirectory), before);
      }
      if (!reached) break;
    }
    t.ok(failed > 5, `${failed} calls failed the work`);
  }
});

t.test('an older file of the same temporary name is in nobody’s way', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(4), 8);
  const undo = [
    lentOf(files, await writeUndo(files, world, 0, 4)),
    lentOf(files, await writeUndo(files, world, 4, 8)),
  ];
  const job = { ...whole, undo, output: outputOf(0, 8) };
  const first = await mergeUndo(files, job);
  const second = await mergeUndo(files, job);
  t.not(first.identity, second.identity);
  t.strictSame(undoCells(files, lentMade(files, second, 0, 8)), wantedCells(world, 0, 8));
});

/** Flips a bit at this part of a file. */
function flip(files: Files, { fd, bytes }: { fd: number; bytes: number }, part: number): void {
  const at = Math.floor(part * bytes);
  const byte = Buffer.alloc(1);
  files.readSync(fd, byte, at);
  byte[0]! ^= 4;
  files.write(fd, [byte], at);
}

/** A cell may be unknown, or what it was at `from`; what (from, to] wrote has to be there in some way. */
function faultsIn(found: readonly (Cell | null)[], world: World, from: number, to: number): string[] {
  const wanted = wantedCells(world, from, to);
  return found.flatMap((value, cell) => {
    const held = world.states[from]![cell];
    if (value === 'unknown' || (value === null && wanted[cell] === null) || value === held) return [];
    return [`cell ${cell} of (${from}, ${to}] is ${value}, not ${held}`];
  });
}
