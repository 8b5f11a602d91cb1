// What is damaged under a step: rot in a replica never gets into undo, rot in redo never stops apply.
import t, { type Test } from 'tap';
import { saveUndo } from '../../../../agent/replica/step-save.ts';
import { rollBack, writeReplica } from '../../../../agent/replica/step-write.ts';
import { wholeMachine } from '../../../../core/extents/address.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';
import {
  blankModel,
  changed,
  fastBytes,
  layRedo,
  layReplicas,
  Opened,
  type Change,
  type Model,
} from './step-rig.ts';

const directories = ['/redo', '/undo', '/replicas', '/derived'];
const KiB = 1024;
const sizes = [512 * KiB];

interface Site {
  files: SimulatedFiles;
  opened: Opened;
  models: Model[];
}

/** One segment for each list of changes, whose ends are the boundaries. */
async function siteOf(all: readonly (readonly Change[])[]): Promise<Site> {
  const files = new SimulatedFiles({ directories });
  const models = [blankModel(sizes)];
  const redo = [];
  let lsn = 1;
  for (const [at, changes] of all.entries()) {
    redo.push(layRedo(files, `/redo/${at}`, lsn, changes));
    models.push(changed(models.at(-1)!, changes));
    lsn += changes.length;
  }
  const laid = { redo, replicas: await layReplicas(files, sizes), sizes };
  return { files, opened: new Opened(files, laid), models };
}

const write = (offset: number, length: number, seed = offset): Change => ({
  ...{ kind: 'write', disk: 0, offset },
  data: fastBytes(seededRandom(seed + 1), length),
});

async function apply({ files, opened }: Site, from: number, to: number): Promise<void> {
  const saved = await saveUndo(files, opened.saveJob(from, to));
  files.rename(saved.path, `/undo/${from}`);
  opened.unknown = (await writeReplica(files, opened.writeJob(from, to))).unknown;
}

function flip({ files, opened }: Site, fd: number, at: number): void {
  const byte = Buffer.alloc(1);
  files.readSync(fd, byte, at);
  files.write(fd, [Buffer.from([byte[0]! ^ 1])], at);
  t.ok(opened);
}

t.test('a byte of a replica that has flipped becomes unknown in undo, block by block', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let round = 0; round < 40; round++) {
    const unaligned = round % 2 === 1;
    const offset = unaligned ? 10 * KiB + 512 : 8 * KiB;
    const site = await siteOf([[write(0, 200 * KiB, 5)], [write(offset, 64 * KiB, 6)]]);
    const { files, opened, models } = site;
    await apply(site, 0, 1);
    const at = offset + random.below(64 * KiB);
    flip(site, opened.disks[0]!.fd, at);
    const block = at - (at % (4 * KiB));
    const bad = [Math.max(block, offset), Math.min(block + 4 * KiB, offset + 64 * KiB)] as const;
    const saved = await saveUndo(files, opened.saveJob(1, 2));
    t.same(saved.damaged, [{ lsn: 1, disk: 0, start: bad[0], end: bad[1], file: null }]);
    opened.unknown = (await writeReplica(files, opened.writeJob(1, 2))).unknown;
    t.same(opened.differences(models[2]!), [], 'what is written over it is sound');
    const back = await rollBack(files, opened.backJob('/undo/new', 1, 2));
    t.same(back.unknown, [bad]);
    opened.unknown = back.unknown;
    models[1]![0]!.unknown.fill(1, ...bad);
    t.same(opened.differences(models[1]!), [], 'all else is as it was');
  }
});

t.test('a flipped byte beside what is written, in its block, is still found afterwards', async (t) => {
  const site = await siteOf([[write(0, 64 * KiB)], [write(8 * KiB + 512, 512)], [write(8 * KiB, 4 * KiB)]]);
  const { files, opened } = site;
  await apply(site, 0, 1);
  flip(site, opened.disks[0]!.fd, 8 * KiB + 3000);
  await apply(site, 1, 2);
  t.same(opened.badBlocks(0, 2), [[8 * KiB, 12 * KiB]]);
  const saved = await saveUndo(files, opened.saveJob(2, 3));
  t.same(saved.damaged, [{ lsn: 2, disk: 0, start: 8 * KiB, end: 12 * KiB, file: null }]);
});

t.test('data that has become a hole is found by its sums', async (t) => {
  const site = await siteOf([[write(0, 64 * KiB)], [write(0, 32 * KiB, 9)]]);
  const { files, opened } = site;
  await apply(site, 0, 1);
  await files.zero(opened.disks[0]!.fd, 4 * KiB, 8 * KiB);
  const saved = await saveUndo(files, opened.saveJob(1, 2));
  t.same(saved.damaged, [{ lsn: 1, disk: 0, start: 4 * KiB, end: 12 * KiB, file: null }]);
});

t.test('redo whose payload has rotted makes its extent unknown, and says where', async (t) => {
  const small = await siteOf([[write(0, 4 * KiB), write(8 * KiB, 4 * KiB)]]);
  const fd = small.opened.redo[0]!.fd;
  flip(small, fd, 96 + 64 + 100);
  const written = await writeReplica(small.files, small.opened.writeJob(0, 2));
  t.same(written.unknown, [[0, 4 * KiB]]);
  t.same(written.damaged, [{ lsn: 1, disk: 0, start: 0, end: 4 * KiB, file: '/redo/0' }]);
  const large = await siteOf([[write(0, 300 * KiB)]]);
  flip(large, large.opened.redo[0]!.fd, 96 + 64 + 20 + 70 * KiB);
  const most = await writeReplica(large.files, large.opened.writeJob(0, 1));
  t.same(most.unknown, [[64 * KiB, 128 * KiB]], 'of a large record, what its checksum covers');
  t.equal(most.bytes, 236 * KiB);
  large.opened.unknown = most.unknown;
  large.models[1]![0]!.unknown.fill(1, 64 * KiB, 128 * KiB);
  t.same(large.opened.differences(large.models[1]!), []);
});

t.test('lost records make all before them in the step unknown, and undo keeps it all', async (t) => {
  const changes = [write(0, 8 * KiB), write(64 * KiB, 8 * KiB, 3), write(128 * KiB, 8 * KiB, 4)];
  const site = await siteOf([[write(0, 300 * KiB, 1)], changes]);
  const { files, opened, models } = site;
  await apply(site, 0, 1);
  // The header of the second record.
  flip(site, opened.redo[1]!.fd, 96 + 64 + 8 * KiB + 20);
  await saveUndo(files, opened.saveJob(1, 4));
  const written = await writeReplica(files, opened.writeJob(1, 4));
  t.same(written.unknown, [
    [0, 128 * KiB],
    [136 * KiB, wholeMachine.end],
  ]);
  t.same(written.damaged, [{ lsn: 3, disk: null, start: 0, end: 0, file: '/redo/1' }]);
  opened.unknown = written.unknown;
  const back = await rollBack(files, opened.backJob('/undo/new', 1, 4));
  opened.unknown = back.unknown;
  t.same(opened.differences(models[1]!), []);
});

t.test('a segment that is missing is lost records; one that does not reach the end is refused', async (t) => {
  const site = await siteOf([[write(0, 4 * KiB)], [write(8 * KiB, 4 * KiB)], [write(16 * KiB, 4 * KiB)]]);
  const { files, opened } = site;
  const job = opened.writeJob(0, 3);
  const { unknown } = await writeReplica(files, { ...job, redo: [job.redo[0]!, job.redo[2]!] });
  t.same(unknown, [
    [0, 16 * KiB],
    [20 * KiB, wholeMachine.end],
  ]);
  await t.rejects(writeReplica(files, { ...job, redo: [job.redo[0]!] }), { code: 'damaged' });
});

t.test('what the replica lacks is refused, not written somewhere else', async (t) => {
  const refused = async (t: Test, change: Change): Promise<void> => {
    const { files, opened } = await siteOf([[change]]);
    await t.rejects(saveUndo(files, opened.saveJob(0, 1)), { code: 'damaged' });
    t.same(files.list('/undo'), [], 'and no undo is left');
    await t.rejects(writeReplica(files, opened.writeJob(0, 1)), { code: 'damaged' });
  };
  await refused(t, { kind: 'zero', disk: 3, offset: 0, length: 512 });
  await refused(t, { kind: 'zero', disk: 0, offset: sizes[0]! - 512, length: 1024 });
});
