// What reading the redo of a step costs: headers and not payloads, and once for saving and writing together.
import t from 'tap';
import { takeStepRedo } from '../../../../agent/replica/step-redo-kept.ts';
import { readStepRedo } from '../../../../agent/replica/step-redo.ts';
import { saveUndo } from '../../../../agent/replica/step-save.ts';
import { writeReplica } from '../../../../agent/replica/step-write.ts';
import type { Files } from '../../../../core/files/files.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';
import { blankModel, changed, fastBytes, layRedo, layReplicas, Opened, type Change } from './step-rig.ts';

const sizes = [4 * MiB];

/** The same files, and how many bytes were read of each since it was asked last. */
function counting(files: Files): { files: Files; takeRead(fd: number): number } {
  const read = new Map<number, number>();
  const readSync: Files['readSync'] = (fd, target, position) => {
    read.set(fd, (read.get(fd) ?? 0) + target.length);
    return files.readSync(fd, target, position);
  };
  const counted = new Proxy(files, {
    get(target, name) {
      const value: unknown = name === 'readSync' ? readSync : Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  const takeRead = (fd: number): number => {
    const bytes = read.get(fd) ?? 0;
    read.delete(fd);
    return bytes;
  };
  return { files: counted, takeRead };
}

const write = (offset: number, data: Buffer): Change => ({ kind: 'write', disk: 0, offset, data });

t.test('large payloads are not read for their headers, and nothing is read twice', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const plain = new SimulatedFiles({ directories: ['/redo', '/undo', '/replicas', '/derived'] });
  const changes: Change[] = [];
  for (let at = 0; at < 12; at++) {
    changes.push(write(at * 256 * KiB, fastBytes(random, 200 * KiB)));
    for (let small = 0; small < 3; small++) changes.push(write(at * 4096, fastBytes(random, 4096)));
  }
  const segment = layRedo(plain, '/redo/0', 1, changes, 48);
  const laid = { redo: [segment], replicas: await layReplicas(plain, sizes), sizes };
  const { files, takeRead } = counting(plain);
  const opened = new Opened(files, laid);
  const { fd = -1 } = opened.redo[0] ?? {};
  const last = changes.length;
  const found = await readStepRedo(files, opened.writeJob(0, last));
  t.ok(takeRead(fd) < segment.end, 'less than the segment was read');

  await saveUndo(files, opened.saveJob(0, last));
  takeRead(fd);
  const kept = await takeStepRedo(files, opened.writeJob(0, last));
  t.same([...kept.table.extents()], [...found.table.extents()]);
  t.equal(takeRead(fd), 0, 'nothing was read again');
  t.ok(await takeStepRedo(files, opened.writeJob(0, last)));
  t.not(takeRead(fd), 0, 'it is kept for one');

  await saveUndo(files, opened.saveJob(0, last - 1));
  const { unknown } = await writeReplica(files, opened.writeJob(0, last));
  t.same(unknown, []);
  t.same(opened.differences(changed(blankModel(sizes), changes)), [], 'what is kept is of that step only');
});
