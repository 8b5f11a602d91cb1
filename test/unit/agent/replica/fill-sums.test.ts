// Sums that are not known are made: of a blank disk at once, of any other in passes with steps between.
import t from 'tap';
import { fillSums, type FillSumsDone } from '../../../../agent/replica/fill-sums.ts';
import {
  openSums,
  Rest,
  sumBlockBytes,
  sumPageSpan,
  SumsReader,
} from '../../../../agent/replica/replica-sums.ts';
import { StepSums } from '../../../../agent/replica/step-sums.ts';
import { limits } from '../../../../core/limits.ts';
import { MiB } from '../../../../core/units.ts';
import { seededRandom } from '../../../support/random.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';
import { fastBytes } from './step-rig.ts';

const owner = { machine: Buffer.alloc(16, 9), disk: 1 };
const path = '/d/sums-1';
const block = sumBlockBytes;
const bytes = (length: number): Buffer => fastBytes(seededRandom(length), length);

interface Change {
  from: number;
  to: number;
  offset: number;
  data: Buffer | number;
}

function siteOf(size: number, blank = false) {
  const files = new SimulatedFiles({ directories: ['/d'] });
  const fd = files.create('/d/disk');
  files.allocate(fd, size);
  const lent = { fd, size, sparse: true, sums: path, blank };
  let passes = Rest.leastPass;
  return {
    files,
    lent,
    async step({ from, to, offset, data }: Change): Promise<void> {
      const step = new StepSums(files, lent, owner, { from, to });
      await step.begin();
      if (typeof data === 'number') step.zeroed(offset, offset + data);
      else step.wrote(offset, data);
      if (typeof data === 'number') await files.zero(fd, offset, data);
      else files.write(fd, [data], offset);
      await step.end(to);
      step.close();
    },
    fill(lsn: number, at = 0, all = false): Promise<FillSumsDone> {
      if (at === 0) passes += 1;
      return fillSums(files, { ...owner, lent, lsn, at, pass: passes, all });
    },
    /** What differs from the sums, and how much has none. */
    look(lsn: number): { bad: [number, number][]; unknown: number } {
      const sums = openSums(files, path, owner)!;
      const reader = new SumsReader(sums);
      if (!reader.isValid(lsn)) throw new Error(`they are not of ${lsn}`);
      const bad: [number, number][] = [];
      for (let at = 0; at < size; at += MiB) {
        const hole = (files.nextData(fd, at) ?? size) >= Math.min(at + MiB, size);
        const content = Buffer.alloc(Math.min(MiB, size - at));
        files.readSync(fd, content, at);
        bad.push(...(hole ? reader.checkHole(at, at + content.length) : reader.check(at, content)));
      }
      return { bad, unknown: reader.unknownBytes };
    },
  };
}

t.test('of a disk that began blank all is known after the first step', async (t) => {
  const { files, lent, step, fill, look } = siteOf(13 * MiB, true);
  await step({ from: 0, to: 4, offset: 3 * block, data: bytes(block) });
  t.same(look(4), { bad: [], unknown: 0 });
  files.write(lent.fd, [Buffer.from('rot')], 9 * MiB);
  t.same(look(4).bad, [[9 * MiB, 9 * MiB + block]], 'where nobody wrote');
  t.same(await fill(4), { next: null, lost: false, bytes: 0 });
});

t.test('a disk that a step leaves alone is blank still', async (t) => {
  const { files, lent, look } = siteOf(5 * MiB, true);
  const step = new StepSums(files, lent, owner, { from: 0, to: 4 });
  await step.end(4);
  step.close();
  t.same(look(4), { bad: [], unknown: 0 });
});

t.test('what a repeated first step has left as it is remains unknown', async (t) => {
  const { files, lent, look } = siteOf(4 * sumPageSpan, true);
  const step = new StepSums(files, lent, owner, { from: 0, to: 4 });
  await step.begin();
  step.left(block, 2 * block);
  step.left(sumPageSpan, 2 * sumPageSpan);
  await step.end(4);
  step.close();
  t.same(look(4), { bad: [], unknown: 3 * sumPageSpan + block }, 'and all that no page tells of');
});

t.test('sums that were removed are made again, holes and all', async (t) => {
  const size = 3 * sumPageSpan + 5 * block;
  const { files, lent, step, fill, look } = siteOf(size);
  files.write(lent.fd, [bytes(5 * block)], sumPageSpan + 7 * block);
  await step({ from: 6, to: 7, offset: 0, data: bytes(block) });
  t.equal(look(7).unknown, size - block);
  t.match(await fill(7), { next: null, lost: false });
  t.same(look(7), { bad: [], unknown: 0 });
  files.write(lent.fd, [Buffer.from('rot')], sumPageSpan + 9 * block);
  files.write(lent.fd, [Buffer.from('rot')], 2 * sumPageSpan + block);
  t.same(look(7).bad.length, 2);
  await step({ from: 7, to: 8, offset: 3 * sumPageSpan, data: bytes(block) });
  t.same(look(8).unknown, 0, 'a step keeps it so');
});

t.test('what cannot be read, or is no whole block, stays unknown and is not said to be zeros', async (t) => {
  const { files, lent, fill } = siteOf(2 * sumPageSpan + 512);
  files.write(lent.fd, [bytes(block)], 5 * block);
  files.write(lent.fd, [bytes(512)], 2 * sumPageSpan);
  const broken = Object.create(files, {
    readSync: {
      value: (fd: number, target: Buffer, offset: number): number => {
        if (fd === lent.fd) throw Object.assign(new Error('EIO'), { code: 'EIO' });
        return files.readSync(fd, target, offset);
      },
    },
  }) as SimulatedFiles;
  await fillSums(broken, { ...owner, lent, lsn: 3, at: 0, pass: 7, all: true });
  const reader = new SumsReader(openSums(files, path, owner)!);
  t.ok(reader.isValid(3));
  t.same(reader.check(0, bytes(MiB)), [], 'nothing is known of what could not be read');
  t.same(
    reader.check(2 * sumPageSpan, bytes(block)),
    [],
    'nor of a block that was not whole when the disk grows',
  );
  t.match(await fill(3, 0, true), { next: null });
  t.same(reader.isValid(3) && reader.check(5 * block, bytes(block)), [], 'read later it is known');
  t.equal(reader.unknownBytes, MiB + block);
});

t.test('a pass goes on after steps, and begins anew when they gave the sums up', async (t) => {
  const size = 3 * limits.fillSumsBytes;
  const { files, lent, step, fill, look } = siteOf(size);
  for (let at = 0; at < size; at += MiB) files.write(lent.fd, [bytes(MiB)], at);
  await step({ from: 1, to: 2, offset: 0, data: bytes(block) });
  const first = await fill(2);
  t.equal(first.lost, false);
  t.ok(first.next !== null && first.next < size, 'a part at a time');
  await step({ from: 2, to: 3, offset: size - 2 * MiB, data: bytes(MiB) });
  const second = await fill(3, first.next!);
  t.equal(second.lost, false);
  files.unlink(path);
  await step({ from: 3, to: 4, offset: 0, data: bytes(block) });
  t.match(await fill(4, second.next!), { lost: true });
  let at: number | null = 0;
  while (at !== null) ({ next: at } = await fill(4, at));
  t.same(look(4), { bad: [], unknown: 0 });
});

t.test('a damaged page is made again when all are looked at', async (t) => {
  const { files, step, fill, look } = siteOf(3 * sumPageSpan, true);
  await step({ from: 0, to: 1, offset: 0, data: bytes(2 * sumPageSpan) });
  const sums = openSums(files, path, owner)!;
  files.write(sums.fd, [Buffer.from('rot')], 4096 + 40);
  t.same(look(1), { bad: [], unknown: sumPageSpan });
  t.match(await fill(1), { next: null, bytes: 0 });
  t.match(await fill(1, 0, true), { next: null, bytes: sumPageSpan });
  t.same(look(1), { bad: [], unknown: 0 });
});

t.test('sums of another moment, or in the midst of a step, are left alone', async (t) => {
  const { files, step, fill, look } = siteOf(3 * sumPageSpan);
  await step({ from: 0, to: 1, offset: 0, data: bytes(block) });
  t.match(await fill(2), { lost: true });
  t.equal(look(1).unknown, 3 * sumPageSpan - block);
  openSums(files, path, owner)!.writeState({ low: 1, high: 5, open: true, rest: Rest.unknown });
  t.match(await fill(1), { lost: true });
});

t.test('without a file one is made; without a directory nothing', async (t) => {
  const { files, lent, fill, look } = siteOf(3 * sumPageSpan);
  files.write(lent.fd, [bytes(5 * block)], 7 * block);
  t.match(await fill(9), { next: null, lost: false });
  t.same(look(9), { bad: [], unknown: 0 });
  const gone = { ...lent, sums: null };
  t.match(await fillSums(files, { ...owner, lent: gone, lsn: 9, at: 0, pass: 7, all: true }), { next: null });
});
