// The file of a replica's checksums: what it says when it is sound, and that it says nothing when it is not.
import t from 'tap';
import {
  openSums,
  Rest,
  sumBlockBytes,
  sumPageSpan,
  sumsPerPage,
  SumsReader,
  type SumsFile,
} from '../../../../agent/replica/replica-sums.ts';
import { StepSums } from '../../../../agent/replica/step-sums.ts';
import { MiB } from '../../../../core/units.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';
import { fastBytes } from './step-rig.ts';
import { seededRandom } from '../../../support/random.ts';

const owner = { machine: Buffer.alloc(16, 9), disk: 1 };
const path = '/d/sums-1';
const block = sumBlockBytes;
const size = 13 * MiB;

interface Site {
  files: SimulatedFiles;
  fd: number;
  sums: SumsFile;
  reader: SumsReader;
  /** Writes to the disk and its sums as a step does. */
  step(from: number, to: number, offset: number, data: Buffer | number): Promise<void>;
  read(offset: number, length: number): Buffer;
}

function siteOf(capacityBytes = Infinity): Site {
  const files = new SimulatedFiles({ directories: ['/d'], capacityBytes });
  const fd = files.create('/d/disk');
  files.allocate(fd, size);
  const sums = openSums(files, path, owner, true)!;
  return {
    files,
    fd,
    sums,
    reader: new SumsReader(sums),
    async step(from, to, offset, data) {
      const step = new StepSums(files, { fd, size, sparse: true, sums: path }, owner, { from, to });
      await step.begin();
      if (typeof data === 'number') {
        step.zeroed(offset, offset + data);
        await files.zero(fd, offset, data);
      } else {
        step.wrote(offset, data);
        files.write(fd, [data], offset);
      }
      await step.end(to);
      step.close();
    },
    read(offset, length) {
      const bytes = Buffer.alloc(length);
      files.readSync(fd, bytes, offset);
      return bytes;
    },
  };
}

const bytes = (length: number): Buffer => fastBytes(seededRandom(length), length);

t.test('sums are of whole blocks, over the ends of pages', async (t) => {
  const { reader, step, read } = siteOf();
  const offset = sumPageSpan - 8 * block;
  await step(0, 5, offset, bytes(16 * block));
  t.ok(reader.isValid(5));
  t.notOk(reader.isValid(4));
  const content = read(offset, 16 * block);
  t.same(reader.check(offset, content), []);
  content[3 * block] = content[3 * block]! ^ 1;
  content[8 * block + 1] = content[8 * block + 1]! ^ 1;
  content[9 * block + 1] = content[9 * block + 1]! ^ 1;
  t.same(reader.check(offset, content), [
    [offset + 3 * block, offset + 4 * block],
    [sumPageSpan, sumPageSpan + 2 * block],
  ]);
  const inside = content.subarray(3 * block + 1, 4 * block);
  t.same(reader.check(offset + 3 * block + 1, inside), [], 'of part of a block it says nothing');
  t.same(reader.checkHole(offset + 2 * block, offset + 4 * block), [
    [offset + 2 * block, offset + 4 * block],
  ]);
});

t.test('zeros have sums, and are no damage in a hole', async (t) => {
  const { reader, step, read, sums } = siteOf();
  await step(0, 1, 0, bytes(3 * sumPageSpan));
  await step(1, 2, sumPageSpan - block, sumPageSpan + 2 * block);
  t.ok(reader.isValid(2));
  t.same(reader.check(0, read(0, 3 * sumPageSpan)), []);
  t.same(reader.checkHole(sumPageSpan - block, 2 * sumPageSpan + block), []);
  t.same(reader.checkHole(0, 3 * sumPageSpan).length, 2, 'what is around them is known');
  const wrong = bytes(block);
  t.same(reader.check(sumPageSpan - block, wrong).length, 1);
  t.same(reader.check(sumPageSpan, wrong).length, 1);
  t.equal(sums.nextPage(0), 0);
});

t.test('zeros from within a block on leave the sum of its beginning', async (t) => {
  const { files, fd, reader, read } = siteOf();
  const step = new StepSums(files, { fd, size, sparse: true, sums: path }, owner, { from: 0, to: 1 });
  await step.begin();
  step.wrote(0, bytes(512));
  files.write(fd, [bytes(512)], 0);
  step.zeroed(512, 2 * sumPageSpan);
  await step.end(1);
  step.close();
  t.ok(reader.isValid(1));
  t.same(reader.check(0, read(0, 2 * sumPageSpan)), []);
});

t.test('the last part of a disk that is no whole block has no sum: it may grow', async (t) => {
  const files = new SimulatedFiles({ directories: ['/d'] });
  const fd = files.create('/d/disk');
  files.allocate(fd, block + 512);
  const step = new StepSums(files, { fd, size: block + 512, sparse: true, sums: path }, owner, {
    from: 0,
    to: 1,
  });
  await step.begin();
  step.wrote(0, bytes(block + 512));
  await step.end(1);
  step.close();
  const reader = new SumsReader(openSums(files, path, owner)!);
  t.ok(reader.isValid(1));
  t.same(reader.check(0, Buffer.alloc(2 * block)), [[0, block]]);
});

t.test('a damaged page, header, or one of another disk or machine says nothing', async (t) => {
  const { files, reader, step, sums } = siteOf();
  await step(0, 1, 0, bytes(2 * sumPageSpan));
  const wrong = Buffer.alloc(2 * sumPageSpan, 5);
  t.equal(reader.isValid(1) && reader.check(0, wrong).length, 1);
  const flip = (at: number): void => {
    const byte = Buffer.alloc(1);
    files.readSync(sums.fd, byte, at);
    files.write(sums.fd, [Buffer.from([byte[0]! ^ 4])], at);
  };
  flip(4096 + 40);
  t.ok(reader.isValid(1));
  t.same(reader.check(0, wrong), [[sumPageSpan, 2 * sumPageSpan]], 'the other page still does');
  for (const other of [
    { ...owner, disk: 0 },
    { ...owner, machine: Buffer.alloc(16, 8) },
  ])
    t.notOk(new SumsReader(openSums(files, path, other)!).isValid(1));
  flip(33);
  t.notOk(reader.isValid(1));
});

t.test('what is cut off the file says nothing, and what is left still does', async (t) => {
  const { files, reader, step, read, sums } = siteOf();
  const start = { fd: files.open('/d/disk'), size, sparse: true, sums: path, blank: true };
  const first = new StepSums(files, start, owner, { from: 0, to: 1 });
  await first.begin();
  await first.end(1);
  first.close();
  await step(1, 2, 0, bytes(2 * sumPageSpan));
  t.ok(reader.isValid(2));
  t.same(reader.check(2 * sumPageSpan, bytes(block)).length, 1, 'a page that never was there is of zeros');
  const content = read(0, 2 * sumPageSpan);
  files.allocate(sums.fd, 2 * 4096);
  reader.forget();
  t.same(reader.check(sumPageSpan, content.subarray(sumPageSpan)), [], 'also when it is cut meanwhile');
  t.ok(reader.isValid(2));
  t.same(reader.check(sumPageSpan, content.subarray(sumPageSpan)), []);
  t.same(reader.check(2 * sumPageSpan, bytes(block)), [], 'nobody knows what else was there');
  content[0] = content[0]! ^ 1;
  t.same(reader.check(0, content.subarray(0, sumPageSpan)), [[0, block]]);
  await step(2, 3, 2 * sumPageSpan, bytes(block));
  t.ok(reader.isValid(3));
  t.same(reader.check(sumPageSpan, content.subarray(sumPageSpan)), [], 'nor later');
});

t.test('sums of another place than the step are thrown away, those at either end are kept', async (t) => {
  const { reader, step, sums } = siteOf();
  const wrong = Buffer.alloc(block, 5);
  await step(0, 10, 0, bytes(block));
  await step(10, 20, 8 * block, bytes(block));
  t.ok(reader.isValid(20));
  t.equal(reader.check(0, wrong).length, 1);
  await step(10, 20, 8 * block, bytes(block));
  t.ok(reader.isValid(20));
  t.equal(reader.check(0, wrong).length, 1, 'the step was repeated');
  await step(30, 40, 8 * block, bytes(block));
  t.ok(reader.isValid(40));
  t.equal(reader.check(0, wrong).length, 0, 'something went on without us');
  t.equal(reader.check(8 * block, wrong).length, 1);
  sums.writeState({ low: 40, high: 50, open: true, rest: Rest.unknown });
  t.notOk(reader.isValid(40));
});

t.test('a full volume costs the sums, not the step', async (t) => {
  const { files, reader, step, sums } = siteOf(size + 2 * 4096);
  await step(0, 1, 0, bytes(block));
  t.ok(reader.isValid(1));
  await step(1, 2, 2 * sumPageSpan, bytes(block));
  t.notOk(reader.isValid(2));
  t.equal(files.size(sums.fd), 0);
  files.capacityBytes = Infinity;
  await step(2, 3, 2 * sumPageSpan, bytes(block));
  t.ok(reader.isValid(3), 'and they begin anew');
  t.equal(sumsPerPage * block, sumPageSpan);
});

t.test('a directory that was removed costs the sums, not the step', async (t) => {
  const files = new SimulatedFiles({ directories: ['/d'] });
  const fd = files.create('/d/disk');
  files.allocate(fd, size);
  const step = new StepSums(files, { fd, size, sparse: true, sums: '/gone/sums' }, owner, { from: 0, to: 1 });
  await step.begin();
  step.wrote(0, bytes(block));
  await step.end(1);
  step.close();
  t.equal(openSums(files, '/gone/sums', owner), null);
});
