// The cursor file: what is written is what is read, and nothing else passes for it.
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openCursor, readCursor, writeCursor, type Cursor } from '../../../../agent/replica/cursor.ts';
import { writeSealedJson } from '../../../../core/atomic-file.ts';
import { createLog } from '../../../../core/log.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const cursor: Cursor = {
  lsn: 7,
  stepTo: 9,
  pruned: 6,
  pin: null,
  generation: 2,
  durable: 11,
  firstPoint: 3,
  time: 1_700_000_000_000_000,
  tag: { name: 'nightly', consistency: 'application' },
  gap: { from: 5, time: 1_600_000_000_000_000, reason: 'resync' },
  unknown: [[0, 512]],
};

t.test('a cursor comes back as it was written', async (t) => {
  const file = join(t.testdir(), 'cursor');
  t.throws(() => readCursor(file), {
    code: 'damaged',
    message: /is missing/,
    hint: /The other machines go on.*`homeward rescue .*` lists the points/,
  });
  writeCursor(file, cursor);
  t.same(readCursor(file), cursor);
});

t.test('a cursor that is damaged, or is none, is refused', async (t) => {
  const file = join(t.testdir(), 'cursor');
  writeCursor(file, cursor);
  const bytes = readFileSync(file, 'utf8');
  writeFileSync(file, bytes.replaceAll('"lsn": 7', '"lsn": 8'));
  t.throws(() => readCursor(file), { code: 'damaged', hint: /both from copies of one moment/ });
  for (const body of [
    {},
    { ...cursor, lsn: -1 },
    { ...cursor, firstPoint: 'x' },
    { ...cursor, durable: 0.5 },
  ]) {
    writeSealedJson(file, 'homeward-cursor', body);
    t.throws(() => readCursor(file), { code: 'damaged' });
  }
});

/** What is wrong with one copy, or null; throws when the cursor that was written is not read. */
function damageOf(t: Test, file: string, written: Cursor): string | null {
  const damages: string[] = [];
  const read = readCursor(file, ({ message }) => damages.push(message));
  if (JSON.stringify(read) !== JSON.stringify(written)) t.same(read, written);
  return damages[0] ?? null;
}

t.test('any byte of either copy, and of what fills it up, may flip', async (t) => {
  const file = join(temporaryDirectory(t), 'cursor');
  writeCursor(file, cursor);
  const written = readFileSync(file);
  t.equal(written.length, 8192);
  let told = 0;
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0; // thousands of them would take most of the time
  t.teardown(() => (Error.stackTraceLimit = stackTraceLimit));
  const fd = openSync(file, 'r+');
  t.teardown(() => closeSync(fd));
  for (let at = 0; at < written.length; at++) {
    writeSync(fd, Buffer.of((written[at] ?? 0) ^ (1 << (at % 8))), 0, 1, at);
    if (damageOf(t, file, cursor) !== null) told++;
    writeSync(fd, written, at, 1, at);
  }
  t.ok(told > written.length * 0.8, `${told} were told of`);
});

t.test('each sector may be lost, and all of either copy; not one place of both', async (t) => {
  const file = join(t.testdir(), 'cursor');
  const unknown = Array.from({ length: 300 }, (_, at): [number, number] => [at * 8192, at * 8192 + 512]);
  const long = { ...cursor, unknown };
  writeCursor(file, long);
  const written = readFileSync(file);
  const half = written.length / 2;
  t.ok(half > 4096);
  t.equal(half % 4096, 0);
  const lose = (...ranges: [number, number][]): void => {
    const bytes = Buffer.from(written);
    for (const [start, end] of ranges) bytes.fill(0, start, end);
    writeFileSync(file, bytes);
  };
  for (let at = 0; at < written.length; at += 512) {
    lose([at, at + 512]);
    t.match(damageOf(t, file, long), /is not JSON|content it was written with/);
  }
  for (const at of [0, half]) {
    lose([at, at + half]);
    t.match(damageOf(t, file, long), /is not JSON/);
  }
  lose([100, 104], [half + 2000, half + 2004]);
  t.throws(() => readCursor(file), { code: 'damaged', hint: /both from copies of one moment/ });
});

t.test('a file that is cut off is read while the first copy is whole', async (t) => {
  const file = join(t.testdir(), 'cursor');
  writeCursor(file, cursor);
  const written = readFileSync(file);
  for (const length of [4096, 5000, 8191]) {
    writeFileSync(file, written.subarray(0, length));
    damageOf(t, file, cursor);
  }
  for (const length of [0, 1, 200]) {
    writeFileSync(file, written.subarray(0, length));
    t.throws(() => readCursor(file), { code: 'damaged' });
  }
});

t.test('two sound copies that differ are refused: nobody knows which the replica is at', async (t) => {
  const file = join(t.testdir(), 'cursor');
  writeCursor(file, { ...cursor, lsn: 8 });
  const later = readFileSync(file);
  writeCursor(file, cursor);
  writeFileSync(file, Buffer.concat([readFileSync(file).subarray(0, 4096), later.subarray(4096)]));
  t.throws(() => readCursor(file), { code: 'damaged', message: /two copies of different content/ });
});

t.test('a file with one copy, as earlier programs wrote it, is read without a word', async (t) => {
  const file = join(t.testdir(), 'cursor');
  writeSealedJson(file, 'homeward-cursor', cursor);
  t.equal(damageOf(t, file, cursor), null);
  const text = readFileSync(file, 'utf8');
  for (const length of [4096, 8192]) {
    writeFileSync(file, text.padEnd(length));
    t.same(readCursor(file), cursor, `of ${length} bytes`);
  }
});

t.test('who opens the file writes a damaged copy anew and says so once', async (t) => {
  const file = join(t.testdir(), 'cursor');
  const lines: string[] = [];
  const log = createLog('info', (line) => lines.push(line));
  writeCursor(file, cursor);
  const written = readFileSync(file);
  const { ino } = statSync(file);
  t.same(openCursor(file, log), cursor);
  t.equal(statSync(file).ino, ino, 'a sound one is left alone');
  t.same(lines, []);
  for (const at of [60, 4096 + 60]) {
    const damaged = Buffer.from(written);
    damaged.fill(0xff, at, at + 4);
    writeFileSync(file, damaged);
    t.same(openCursor(file, log), cursor);
    t.same(readFileSync(file), written);
    t.match(lines.splice(0), [/cursor-mended/]);
    t.same(openCursor(file, log), cursor);
    t.same(lines, []);
    writeFileSync(file, damaged);
    mkdirSync(`${file}.new`, { recursive: true });
    t.same(openCursor(file, log), cursor, 'also when it cannot be written');
    t.match(lines.splice(0), [/cursor-mended/, /cursor-not-written/]);
    rmdirSync(`${file}.new`);
  }
});
