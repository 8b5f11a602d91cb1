// The undo log: which files join up to the cursor after anything, and what views read through it.
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { undoFileName } from '../../../../../agent/replica/undo/undo-names.ts';
import { hostFiles } from '../../../../../core/files/host-files.ts';
import { chooseSeed, seededRandom } from '../../../../support/random.ts';
import { temporaryDirectory } from '../../../../support/temporary.ts';
import {
  buildSome,
  buildWanted,
  dropOldest,
  faultsIn,
  intervals,
  loseTables,
  mergeAny,
  newFiles,
  openLog,
  splitAny,
  writeSteps,
} from './undo-log-rig.ts';
import {
  anyWorld,
  blank,
  cells,
  lentOf,
  pathOf,
  stateThrough,
  undoDirectory,
  writeRedo,
  writeUndo,
} from './undo-model.ts';

t.test('every boundary shows its state, whatever is split, merged, dropped and made anew', async (t) => {
  const seed = chooseSeed(t);
  for (let round = 0; round < 8; round++) {
    const random = seededRandom(seed + round);
    const files = newFiles();
    const world = anyWorld(random, 60);
    const redo = writeRedo(files, '/machine/redo', world);
    const bounds = [0];
    while (bounds.at(-1)! < 60) bounds.push(Math.min(bounds.at(-1)! + 1 + random.below(4), 60));
    await writeSteps(files, world, bounds);
    let undo = openLog(files, 60);
    t.strictSame(
      undo.boundaries().map(({ lsn }) => lsn),
      bounds,
    );
    t.strictSame(faultsIn(files, undo, world, 60), []);
    for (let turn = 0; turn < 14 && undo.steps.length > 2; turn++) {
      await random.pick([splitAny, mergeAny, mergeAny, dropOldest, buildSome, loseTables])({
        ...{ files, undo, random },
        redo,
      });
      if (random.chance(0.2)) undo = openLog(files, 60);
      t.strictSame(faultsIn(files, undo, world, 60), [], `turn ${turn}`);
      t.equal(undo.lentFiles, 0, 'all that was lent is closed');
    }
  }
});

t.test('with every subset of the files gone, what is left shows its states or says unknown', async (t) => {
  const world = anyWorld(seededRandom(11), 12);
  const bounds = [0, 2, 5, 6, 9, 12];
  for (let subset = 0; subset < 2 ** 5; subset++) {
    const files = newFiles();
    const steps = await writeSteps(files, world, bounds);
    for (const [at, { path }] of steps.entries()) if ((subset & (1 << at)) !== 0) files.unlink(path);
    const undo = openLog(files, 12);
    const left = steps.filter((_, at) => (subset & (1 << at)) === 0);
    t.equal(intervals(undo.steps), intervals(left));
    for (const { lsn } of undo.boundaries()) {
      const layers = undo.layersFrom(lsn);
      const state = stateThrough(files, layers, world.states[12]!);
      layers.release();
      const isComplete = steps.every(({ from }, at) => from < lsn || (subset & (1 << at)) === 0);
      const wrong = state.flatMap((value, cell) => {
        const isRight = value === world.states[lsn]![cell];
        return isRight || (!isComplete && value === 'unknown') ? [] : [`${cell}: ${value}`];
      });
      t.strictSame(wrong, [], `${lsn} without ${subset.toString(2)}`);
      if (!isComplete) t.ok(state.includes('unknown'));
    }
    // The oldest ones leave no trace of where they were.
    const oldest = left[0]?.from ?? 12;
    const holes = steps.filter(({ from }, at) => (subset & (1 << at)) !== 0 && from >= oldest);
    const missing = holes.reduce((sum, { from, to }) => sum + to - from, 0);
    t.equal(
      undo.holes.reduce((sum, { from, to }) => sum + to - from, 0),
      missing,
    );
  }
});

t.test('the newest step is open when it begins at the cursor', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(12), 9);
  await writeSteps(files, world, [0, 3, 6, 9]);
  const closed = openLog(files, 9);
  t.equal(closed.open(9), null);
  const open = openLog(files, 6);
  t.equal(open.open(6)?.to, 9);
  t.equal(intervals(open.steps), '0-3 3-6 6-9');
  // Its replica is a mix: what is written so far does not show.
  const mix = world.states[6]!.map((value, cell) => (cell % 2 === 0 ? world.states[9]![cell]! : value));
  const layers = open.layersFrom(6);
  t.strictSame(stateThrough(files, layers, mix), world.states[6]);
  layers.release();
});

t.test('after a split or a merge that did not end, the step that contains the others counts', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(13), 9);
  await writeSteps(files, world, [0, 3, 6, 9]);
  await writeUndo(files, world, 3, 9);
  const undo = openLog(files, 9);
  t.equal(intervals(undo.steps), '0-3 3-9');
  t.equal(intervals(undo.leftovers), '3-6 6-9');
  t.strictSame(faultsIn(files, undo, world, 9), []);
  undo.dropLeftovers();
  t.equal(undo.leftovers.length, 0);
  t.strictSame(files.list(undoDirectory), [undoFileName(0, 3), undoFileName(3, 9)]);
});

t.test('files without a place are set aside, temporary ones go, others stay', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(14), 20);
  await writeSteps(files, world, [0, 4, 8]);
  await writeUndo(files, world, 6, 10);
  await writeUndo(files, world, 12, 20);
  for (const name of [`${undoFileName(8, 12)}.new`, 'notes.txt'])
    files.close(files.create(join(undoDirectory, name)));
  const undo = openLog(files, 8);
  t.equal(intervals(undo.steps), '0-4 4-8');
  t.strictSame(files.list(undoDirectory), [
    undoFileName(0, 4),
    undoFileName(4, 8),
    `${undoFileName(6, 10)}.aside`,
    `${undoFileName(12, 20)}.aside`,
    'notes.txt',
  ]);
  t.strictSame(faultsIn(files, openLog(files, 8), world, 8), []);
});

t.test('a segment that cannot be read is a hole that names it; one that is cut is used', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(15), 12);
  const [, second, third] = await writeSteps(files, world, [0, 4, 8, 12]);
  const fd = files.open(second!.path);
  files.write(fd, [Buffer.alloc(second!.bytes, 1)], 0);
  const cut = files.open(third!.path);
  files.allocate(cut, Math.floor(third!.bytes / 2));
  const undo = openLog(files, 12);
  t.equal(intervals(undo.steps), '0-4 8-12');
  t.match(undo.holes, [{ from: 4, to: 8, why: /frame/ }]);
  const layers = undo.layersFrom(8);
  const state = stateThrough(files, layers, world.states[12]!);
  layers.release();
  t.ok(state.includes('unknown'), 'what was cut off is unknown');
  t.ok(state.every((value, cell) => value === 'unknown' || value === world.states[8]![cell]));
  const broken = openLog(files, 4);
  t.match(broken.brokenOpen(4), { from: 4, to: 8 });
  t.equal(broken.open(4), null);
  const below = broken.layersFrom(4);
  t.ok(stateThrough(files, below, blank()).every((value) => value === 'unknown'));
  below.release();
  undo.dropBelow(8);
  t.equal(undo.holes.length, 0);
});

t.test('a cut step gives way to whole ones that make up for it, not to some of them', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(16), 8);
  await writeSteps(files, world, [0, 4, 8]);
  const outer = await writeUndo(files, world, 0, 8);
  const fd = files.open(outer.path);
  files.allocate(fd, outer.bytes - 96);
  t.equal(intervals(openLog(files, 8).steps), '0-4 4-8');
  files.rename(`${outer.path}.aside`, outer.path);
  files.unlink(pathOf(0, 4));
  const undo = openLog(files, 8);
  t.equal(intervals(undo.steps), '0-8');
  t.equal(intervals(undo.leftovers), '4-8');
});

t.test('on real files: the same chain, and no directory at all is an empty log', async (t) => {
  const directory = temporaryDirectory(t);
  const where = { directory: join(directory, 'undo'), derived: join(directory, 'derived') };
  const empty = openLog(hostFiles, 7, where);
  t.strictSame([empty.steps.length, empty.boundaries().length, empty.bytes], [0, 0, 0]);
  t.strictSame(empty.layersFrom(7).undo, []);
  const files = newFiles();
  const world = anyWorld(seededRandom(21), 9);
  const steps = await writeSteps(files, world, [0, 3, 6, 9]);
  fs.mkdirSync(where.directory);
  for (const step of steps) {
    const bytes = Buffer.alloc(step.bytes);
    files.readSync(lentOf(files, step).fd, bytes, 0);
    fs.writeFileSync(join(where.directory, undoFileName(step.from, step.to)), bytes);
  }
  const undo = openLog(hostFiles, 9, where);
  t.equal(
    undo.bytes,
    steps.reduce((sum, { bytes }) => sum + bytes, 0),
  );
  t.equal(undo.nodesWanted().length, 3, 'there are no tables yet');
  t.equal(undo.layersFrom(0).undo[0]?.kind, 'undo-scan');
  buildWanted(hostFiles, undo);
  t.strictSame(faultsIn(hostFiles, undo, world, 9), []);
  t.equal(cells, world.states[0]!.length);
});

t.test('a volume that cannot be written to can be read', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(22), 12);
  await writeSteps(files, world, [0, 4, 8]);
  await writeUndo(files, world, 9, 12);
  files.close(files.create(`${pathOf(8, 12)}.new`));
  files.onCall = (name) => {
    if (name !== 'open' && name !== 'readSync')
      throw Object.assign(new Error('read-only'), { code: 'EROFS' });
  };
  const undo = openLog(files, 8);
  t.equal(intervals(undo.steps), '0-4 4-8');
  t.strictSame(faultsIn(files, undo, world, 8), []);
});
