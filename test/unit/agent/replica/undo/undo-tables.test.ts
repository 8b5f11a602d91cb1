// Derived tables of undo: few for many steps, made anew when they are lost or damaged, lent until given back.
import { join } from 'node:path';
import t from 'tap';
import { buildNode } from '../../../../../agent/replica/undo/build-node.ts';
import { undoTablePath } from '../../../../../agent/replica/undo/undo-names.ts';
import { chooseSeed, seededRandom } from '../../../../support/random.ts';
import { buildWanted, faultsIn, mergeAny, newFiles, openLog, writeSteps } from './undo-log-rig.ts';
import { anyWorld, blank, derived, stateThrough, writeRedo, writeUndo } from './undo-model.ts';

t.test('many steps are read through few tables, also when the oldest go and new ones come', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(17), 150);
  const bounds = Array.from({ length: 131 }, (_, lsn) => lsn);
  await writeSteps(files, world, bounds);
  const undo = openLog(files, 130);
  t.equal(undo.layersFrom(0).undo.length, 130);
  buildWanted(files, undo);
  const most = (): number => {
    const counts = undo.steps.map(({ from }) => {
      const layers = undo.layersFrom(from);
      layers.release();
      return layers.undo.length;
    });
    return Math.max(...counts);
  };
  t.ok(most() <= 24, `${most()} tables at the most`);
  for (let lsn = 130; lsn < 150; lsn++) {
    for (const { path } of undo.dropBelow((lsn - 120) * 3)) files.unlink(path);
    undo.add(await writeUndo(files, world, lsn, lsn + 1, undoTablePath(derived, lsn, lsn + 1)));
    buildWanted(files, undo);
  }
  t.ok(most() <= 32, `${most()} tables at the most`);
  t.strictSame(faultsIn(files, undo, world, 150), []);
  const names = files.list(derived).length;
  t.ok(names < undo.steps.length * 1.2, `${names} tables for ${undo.steps.length} steps`);
});

t.test('what is lent stays readable after it was replaced, and is closed when given back', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(18), 40);
  await writeSteps(
    files,
    world,
    Array.from({ length: 41 }, (_, lsn) => lsn),
  );
  const undo = openLog(files, 40);
  buildWanted(files, undo);
  const layers = undo.layersFrom(3);
  const random = seededRandom(19);
  const redo = writeRedo(files, '/machine/redo', world);
  for (let turn = 0; turn < 6; turn++) await mergeAny({ files, undo, random, redo });
  for (const { path } of undo.dropBelow(40)) files.unlink(path);
  for (const name of files.list(derived)) files.unlink(join(derived, name));
  t.strictSame(stateThrough(files, layers, world.states[40]!), world.states[3]);
  t.ok(undo.lentFiles > 0);
  layers.release();
  t.equal(undo.lentFiles, 0);
  t.throws(() => undo.layersFrom(3), { code: 'bug' }, 'there is no such boundary any more');
  t.strictSame(undo.layersFrom(40).undo, []);
});

t.test('damaged tables are made anew, and never believed', async (t) => {
  const seed = chooseSeed(t);
  const random = seededRandom(seed);
  for (let round = 0; round < 40; round++) {
    const files = newFiles();
    const world = anyWorld(random, 20);
    await writeSteps(
      files,
      world,
      Array.from({ length: 21 }, (_, lsn) => lsn),
    );
    buildWanted(files, openLog(files, 20));
    const path = join(derived, random.pick(files.list(derived)));
    const fd = files.open(path);
    const byte = Buffer.alloc(1);
    const at = random.below(files.size(fd));
    files.readSync(fd, byte, at);
    byte[0]! ^= 1 << random.below(8);
    files.write(fd, [byte], at);
    files.close(fd);
    // A page is checked when it is read: whoever reads makes the node anew then, as `buildNode` does.
    const undo = openLog(files, 20);
    const cover = undo.steps.map(({ from, to }) => ({
      tablePath: undoTablePath(derived, from, to),
      steps: undo.steps.filter((step) => step.from === from),
    }));
    const out = undoTablePath(derived, 0, 20);
    const { job, release } = undo.lendNode({ path: out, inputs: [...undo.steps], parts: cover });
    buildNode(files, job);
    release();
    undo.nodeMade({ path: out, inputs: [...undo.steps], parts: [] });
    const layers = undo.layersFrom(0);
    t.equal(layers.undo.length, 1);
    t.strictSame(stateThrough(files, layers, world.states[20]!), blank());
    layers.release();
  }
});

t.test('a table under the name of another is not believed, also when the right one was before', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(21), 12);
  await writeSteps(files, world, [0, 4, 8, 12]);
  const undo = openLog(files, 12);
  const look = (): number => {
    const layers = undo.layersFrom(0);
    t.strictSame(stateThrough(files, layers, world.states[12]!), blank());
    layers.release();
    return layers.undo.filter(({ kind }) => kind === 'file').length;
  };
  t.equal(look(), 3);
  const [one, other] = [undoTablePath(derived, 0, 4), undoTablePath(derived, 4, 8)];
  files.rename(one, `${one}.x`);
  files.rename(other, one);
  files.rename(`${one}.x`, other);
  t.equal(look(), 1, 'the segments themselves are read');
  buildWanted(files, undo);
  t.ok(look() > 0, 'and the tables are made anew');
});

t.test('leftover tables go when the log is opened', async (t) => {
  const files = newFiles();
  const world = anyWorld(seededRandom(20), 12);
  await writeSteps(files, world, [0, 4, 8, 12]);
  for (const name of [
    'undo-0000000000000000-0000000000000005.table',
    'undo-0000000000000004-000000000000000c.table.new',
  ])
    files.close(files.create(join(derived, name)));
  files.close(files.create(join(derived, 'redo-0000000000000001.table')));
  openLog(files, 12);
  t.strictSame(files.list(derived), [
    'redo-0000000000000001.table',
    'undo-0000000000000000-0000000000000004.table',
    'undo-0000000000000004-0000000000000008.table',
    'undo-0000000000000008-000000000000000c.table',
  ]);
});
