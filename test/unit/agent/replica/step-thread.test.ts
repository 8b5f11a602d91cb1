// The thread of the steps: real files, one job at a time, steps first, errors as they are.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { StepThread } from '../../../../agent/replica/step-thread.ts';
import { hashFile } from '../../../../agent/journal/ledger-hash.ts';
import { hostFiles } from '../../../../core/files/host-files.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';
import { fastBytes, layRedo, machine, type Change } from './step-rig.ts';

const size = 8 * 1024 * 1024;

function siteOf(t: Parameters<typeof temporaryDirectory>[0], seed: number) {
  const directory = temporaryDirectory(t);
  const random = seededRandom(seed);
  const disk = fs.openSync(path.join(directory, 'disk'), 'w+');
  fs.ftruncateSync(disk, size);
  const changes = Array.from({ length: 200 }, (): Change => {
    const offset = random.below(size / 4096 - 32) * 4096;
    if (random.chance(0.1)) return { kind: 'zero', disk: 0, offset, length: 65_536 };
    return { kind: 'write', disk: 0, offset, data: fastBytes(random, (1 + random.below(31)) * 4096) };
  });
  const content = Buffer.alloc(size);
  for (const change of changes) {
    if (change.kind === 'write') change.data.copy(content, change.offset);
    else if (change.kind === 'zero') content.fill(0, change.offset, change.offset + change.length);
  }
  const segment = layRedo(hostFiles, path.join(directory, 'redo'), 1, changes);
  const sums = path.join(directory, 'sums-0');
  const job = {
    ...{ machine, generation: 1, from: 0, to: changes.length, redo: [segment] },
    disks: [{ fd: disk, size, sparse: true, sums }],
    unknown: [] as [number, number][],
  };
  const note = { from: 0, to: changes.length, fromTime: 0, toTime: 0, tag: null, point: true };
  const undoPath = path.join(directory, 'undo.new');
  t.teardown(() => {
    fs.closeSync(disk);
    fs.closeSync(segment.fd);
  });
  return {
    ...{ disk, content, segment },
    saveJob: { ...job, undoPath, tablePath: path.join(directory, 'table'), note },
    writeJob: { ...job, flushBytes: 1024 * 1024 },
  };
}

function contentOf(fd: number): Buffer {
  const bytes = Buffer.alloc(size);
  hostFiles.readSync(fd, bytes, 0);
  return bytes;
}

t.test('a step goes forward and back in the thread', async (t) => {
  const { disk, content, saveJob, writeJob } = siteOf(t, chooseSeed(t));
  const thread = new StepThread();
  t.teardown(() => thread.close());
  const saved = await thread.saveUndo(saveJob);
  const written = await thread.writeReplica(writeJob);
  t.same(written.unknown, []);
  t.ok(contentOf(disk).equals(content));
  const fd = fs.openSync(saved.path, 'r');
  t.equal(await thread.hashFile(fd, saved.bytes), saved.hash);
  const undo = { fd, path: saved.path, from: 0, to: saveJob.to, bytes: saved.bytes };
  await thread.rollBack({ machine, undo, disks: saveJob.disks, unknown: [] });
  t.ok(contentOf(disk).equals(Buffer.alloc(size)));
  fs.closeSync(fd);
});

t.test('what was a long hole is one again, and small zeros take no room in a hole', async (t) => {
  const directory = temporaryDirectory(t);
  const disk = fs.openSync(path.join(directory, 'disk'), 'w+');
  fs.ftruncateSync(disk, size);
  const segment = layRedo(hostFiles, path.join(directory, 'redo'), 1, [
    { kind: 'write', disk: 0, offset: 1024 * 1024, data: Buffer.alloc(1024 * 1024, 3) },
    { kind: 'zero', disk: 0, offset: 4096, length: 8192 },
  ]);
  const thread = new StepThread();
  t.teardown(() => thread.close());
  const job = { machine, generation: 1, from: 0, to: 2, redo: [segment], flushBytes: 1024 * 1024 };
  const disks = [{ fd: disk, size, sparse: true }];
  const note = { from: 0, to: 2, fromTime: 0, toTime: 0, tag: null, point: true };
  const paths = { undoPath: path.join(directory, 'undo.new'), tablePath: path.join(directory, 'table') };
  const saved = await thread.saveUndo({ ...job, disks, unknown: [], note, ...paths });
  await thread.writeReplica({ ...job, disks, unknown: [] });
  t.equal(fs.fstatSync(disk).blocks, 2048);
  const undo = { fd: fs.openSync(saved.path, 'r'), path: saved.path, from: 0, to: 2, bytes: saved.bytes };
  await thread.rollBack({ machine, undo, disks, unknown: [] });
  t.equal(fs.fstatSync(disk).blocks, 0);
  for (const fd of [undo.fd, disk, segment.fd]) fs.closeSync(fd);
});

t.test('errors keep their code, and the thread goes on', async (t) => {
  const { disk, content, writeJob } = siteOf(t, chooseSeed(t));
  const thread = new StepThread();
  t.teardown(() => thread.close());
  await t.rejects(thread.writeReplica({ ...writeJob, to: 1000 }), { name: 'HomewardError', code: 'damaged' });
  await thread.writeReplica(writeJob);
  t.ok(contentOf(disk).equals(content));
});

t.test('what can wait does while steps are waiting', async (t) => {
  const { segment, writeJob } = siteOf(t, chooseSeed(t));
  const thread = new StepThread();
  t.teardown(() => thread.close());
  const order: string[] = [];
  const done = (name: string): (() => void) => {
    return () => void order.push(name);
  };
  const hash = hashFile(segment.fd, segment.end);
  await Promise.all([
    thread.writeReplica(writeJob).then(done('step')),
    thread.hashFile(segment.fd, segment.end).then((found) => {
      t.equal(found, hash);
      order.push('hash');
    }),
    thread.writeReplica(writeJob).then(done('step')),
    thread.writeReplica(writeJob).then(done('step')),
  ]);
  t.same(order, ['step', 'step', 'step', 'hash']);
});

t.test('closing interrupts what is under way and what waits', async (t) => {
  const { writeJob, segment } = siteOf(t, chooseSeed(t));
  const thread = new StepThread();
  const jobs = [
    thread.writeReplica(writeJob),
    thread.writeReplica(writeJob),
    thread.hashFile(segment.fd, 10),
  ];
  const results = Promise.allSettled(jobs);
  await thread.close();
  for (const result of await results) {
    t.equal(result.status, 'rejected');
    if (result.status === 'rejected') t.match(result.reason, { code: 'interrupted' });
  }
  await t.rejects(thread.hashFile(segment.fd, 10), { code: 'interrupted' });
});
