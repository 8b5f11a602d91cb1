// LSNs never repeat, whatever ends the service, and disks that differ are noticed.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { hostClock } from '../../../../core/clock.ts';
import { silentLog } from '../../../../core/log.ts';
import { Numbering } from '../../../../mobility/outbox/numbering.ts';
import {
  newSourceState,
  planDisks,
  readSourceFile,
  writeSourceFile,
} from '../../../../mobility/outbox/source-file.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const clock = hostClock();

function sourceFile(t: Test): string {
  const file = path.join(temporaryDirectory(t), 'source.json');
  writeSourceFile(file, newSourceState('shop', [{ name: 'root', size: 4096 }]));
  return file;
}

function open(file: string, blockLsns: number): Numbering {
  const state = readSourceFile(file);
  if (state === null) throw new Error('there is no source file');
  return new Numbering({ file, state, clock, log: silentLog, blockLsns });
}

t.test('no number comes twice over kills and clean stops', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const file = sourceFile(t);
  let last = 0;
  for (let run = 0; run < 40; run++) {
    const numbering = open(file, 10);
    t.ok(numbering.head >= last);
    if (numbering.resumed !== null) t.equal(numbering.head, last, 'a clean stop skips nothing');
    numbering.nextGeneration();
    for (let n = random.below(50); n > 0; n--) {
      const lsn = numbering.next() ?? 0;
      t.ok(lsn > last, `${lsn} comes behind ${last}`);
      last = lsn;
      if (random.chance(0.2)) await new Promise((resolve) => setImmediate(resolve));
    }
    if (last === numbering.head && random.chance(0.5))
      numbering.stopCleanly({ head: numbering.head, heldFrom: numbering.head + 1 }, 0);
    numbering.close();
  }
});

t.test('a generation is on disk before it is used', (t) => {
  const file = sourceFile(t);
  t.equal(open(file, 10).nextGeneration(), 1);
  t.equal(readSourceFile(file)?.generation, 1);
  t.equal(open(file, 10).nextGeneration(), 2);
  t.end();
});

t.test('what was reserved is given, and nothing beyond it while the file cannot be written', async (t) => {
  const file = sourceFile(t);
  const numbering = open(file, 10);
  numbering.nextGeneration();
  fs.rmSync(path.dirname(file), { recursive: true });
  const given: (number | null)[] = [];
  for (let n = 0; n < 12; n++) given.push(numbering.next());
  t.same(given, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, null, null]);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(numbering.nextGeneration(), null);
});

t.test('the clean mark is gone before anything is recorded', (t) => {
  const file = sourceFile(t);
  const first = open(file, 10);
  first.nextGeneration();
  first.next();
  first.stopCleanly({ head: 1, heldFrom: 2 }, 0);
  t.same(readSourceFile(file)?.clean, { head: 1, heldFrom: 2 });
  const second = open(file, 10);
  t.same(second.resumed, { head: 1, heldFrom: 2 });
  t.equal(readSourceFile(file)?.clean, null);
  t.equal(second.next(), 2);
  t.end();
});

t.test('disks keep their numbers; new and larger ones are named, others refused', (t) => {
  const known = [
    { name: 'root', size: 4096 },
    { name: 'data', size: 8192 },
  ];
  const [root, data] = known;
  if (root === undefined || data === undefined) throw new Error('there are two');
  t.same(planDisks(known, [data, root]), { disks: known, grown: [] });
  const log = { name: 'log', size: 512 };
  const larger = { name: 'data', size: 16384 };
  t.same(planDisks(known, [log, larger, root]), { disks: [root, larger, log], grown: ['data', 'log'] });
  t.throws(() => planDisks(known, [root]), { code: 'machine-differs', message: /disk data of 8 KiB/ });
  const smaller = { name: 'data', size: 4096 };
  t.throws(() => planDisks(known, [root, smaller]), {
    code: 'machine-differs',
    message: /data has 4 KiB \(4096 bytes\); it had 8 KiB \(8192 bytes\)/,
  });
  t.throws(() => planDisks([], [root, root]), { code: 'usage' });
  t.end();
});

t.test('a source file that was changed by hand is refused', (t) => {
  const file = sourceFile(t);
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"reservedTo": 0', '"reservedTo": 5'));
  t.throws(() => readSourceFile(file), { code: 'damaged' });
  t.equal(readSourceFile(`${file}.other`), null);
  t.end();
});
