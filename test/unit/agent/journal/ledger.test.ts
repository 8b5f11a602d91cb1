// The ledger: what it says must be there, and that no change to it, of any kind, goes unseen.
import { join } from 'node:path';
import t from 'tap';
import { openBreaks } from '../../../../agent/journal/ledger-breaks.ts';
import { LedgerFiles, matchFiles } from '../../../../agent/journal/ledger-files.ts';
import {
  formatLine,
  hashLine,
  noHead,
  readChain,
  tornEnd,
  type LedgerLine,
} from '../../../../agent/journal/ledger-line.ts';
import { Ledger } from '../../../../agent/journal/ledger.ts';
import { silentLog } from '../../../../core/log.ts';
import { microseconds } from '../../../../core/units.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { SimulatedCrash, SimulatedFiles } from '../../../support/simulated-files.ts';

const directory = '/machine';
const path = join(directory, 'ledger');
const hash = 'ab'.repeat(32);

let now = 1_000_000;
const clock = { now: () => microseconds((now += 1000)), monotonicMs: () => now / 1000 };

const makeFiles = (): SimulatedFiles => new SimulatedFiles({ directories: [directory] });
const open = (files: SimulatedFiles, rotateBytes?: number): Promise<Ledger> =>
  Ledger.open({ files, clock, log: silentLog, path, ...(rotateBytes !== undefined && { rotateBytes }) });

function contentOf(files: SimulatedFiles, of = path): Buffer {
  const fd = files.open(of);
  const content = Buffer.alloc(files.size(fd));
  files.readSync(fd, content, 0);
  files.close(fd);
  return content;
}

function replace(files: SimulatedFiles, content: Buffer): void {
  const fd = files.open(path);
  files.allocate(fd, content.length);
  files.write(fd, [content], 0);
  files.close(fd);
}

/** Files of a ledger with a little history, ended well. */
async function someHistory(): Promise<SimulatedFiles> {
  const files = makeFiles();
  const ledger = await open(files);
  ledger.append({ event: 'sealed', file: 'redo/0000000000000001.seg', from: 1, to: 9, bytes: 100, hash });
  ledger.append({ event: 'sealed', file: 'redo/000000000000000a.seg', from: 10, to: 19, bytes: 100, hash });
  ledger.append({ event: 'stepped', file: join(directory, 'undo/a.seg'), from: 0, to: 9, bytes: 50, hash });
  ledger.append({ event: 'pruned', from: 0, to: 9 });
  await ledger.close();
  return files;
}

const linesOf = (content: Buffer): LedgerLine[] => {
  const lines: LedgerLine[] = [];
  readChain(content, (line) => lines.push(line));
  return lines;
};

t.test('what it says must be there comes back, and lines go on where they ended', async (t) => {
  const files = await someHistory();
  const ledger = await open(files);
  t.equal(ledger.cut, null);
  t.same([...ledger.expected().redo.keys()], ['redo/000000000000000a.seg']);
  t.match(ledger.expected().undo.get('undo/a.seg'), { from: 0, to: 9, bytes: 50, hash });
  await ledger.settle();
  t.same(
    linesOf(contentOf(files)).map(({ n, event }) => [n, event]),
    [
      [1, 'opened'],
      [2, 'sealed'],
      [3, 'sealed'],
      [4, 'stepped'],
      [5, 'pruned'],
      [6, 'opened'],
    ],
  );
  t.equal(ledger.head.n, 6);
  t.equal(ledger.head.hash, hashLine(contentOf(files).subarray(contentOf(files).lastIndexOf(10, -2) + 1)));
});

t.test('its head is what is durable, not what waits', async (t) => {
  const ledger = await open(makeFiles());
  const { n } = ledger.head;
  ledger.append({ event: 'clock' });
  t.equal(ledger.head.n, n);
  await Promise.all([ledger.settle(), ledger.settle()]);
  t.equal(ledger.head.n, n + 1);
});

t.test('every byte that is flipped is found, and the lines before it count', async (t) => {
  const sound = contentOf(await someHistory());
  const lines = linesOf(sound);
  for (let at = 0; at < sound.length; at++) {
    for (const bit of [1, 0x20, 0x80]) {
      const damaged = Buffer.from(sound);
      damaged[at]! ^= bit;
      const chain = readChain(damaged, () => undefined);
      const before = sound.subarray(0, at).filter((byte) => byte === 10).length;
      if (chain.cut === null || chain.head.n > before || chain.head.n < before)
        t.fail(`byte ${at} flipped by ${bit}: ${chain.cut}, head ${chain.head.n} of ${before}`);
    }
  }
  t.equal(lines.length, 5);
});

t.test('every truncation that cuts a line is found, and one between lines shows in the head', async (t) => {
  const sound = contentOf(await someHistory());
  const whole = readChain(sound, () => undefined).head;
  for (let length = 0; length < sound.length; length++) {
    const chain = readChain(sound.subarray(0, length), () => undefined);
    const isBetween = length > 0 && sound[length - 1] === 10;
    if ((chain.cut === null) !== isBetween) t.fail(`cut to ${length} bytes: ${chain.cut}`);
    if (chain.head.n === whole.n) t.fail(`cut to ${length} bytes has the head of all`);
  }
  t.equal(whole.n, 5);
});

t.test('lines that are left out, doubled or swapped are found where that begins', async (t) => {
  const sound = contentOf(await someHistory()).toString('utf8');
  const lines = sound.split('\n').slice(0, -1);
  const readLines = (some: string[]): ReturnType<typeof readChain> =>
    readChain(Buffer.from(some.map((line) => `${line}\n`).join('')), () => undefined);
  for (const [at, line] of lines.entries()) {
    if (at < lines.length - 1) {
      t.equal(readLines(lines.toSpliced(at, 1)).head.n, at, `line ${at + 1} left out`);
      const swapped = lines.toSpliced(at, 2, lines[at + 1] ?? '', line);
      t.equal(readLines(swapped).head.n, at, `line ${at + 1} and the next swapped`);
    }
    t.equal(readLines(lines.toSpliced(at, 0, line)).head.n, at + 1, `line ${at + 1} doubled`);
    t.not(readLines(lines.toSpliced(at, 0, line)).cut, null);
  }
});

t.test('a line that was made anew with a fitting CRC breaks the chain behind it', async (t) => {
  const content = contentOf(await someHistory());
  const lines = linesOf(content);
  const forged = lines.map((line) => formatLine(line.n === 3 ? { ...line, to: 18 } : line));
  const chain = readChain(Buffer.concat(forged), () => undefined);
  t.equal(chain.head.n, 3);
  t.match(chain.cut, /line 4 does not follow/);
});

t.test(
  'of a damaged ledger the sound beginning counts, the rest is set aside, a new piece begins',
  async (t) => {
    const files = await someHistory();
    const damaged = contentOf(files);
    const third = damaged.indexOf(10, damaged.indexOf(10) + 1) + 1;
    damaged[third + 4]! ^= 1;
    replace(files, damaged);
    const ledger = await open(files);
    t.match(ledger.cut, /line 3 is damaged/);
    t.same([...ledger.expected().redo.keys()], ['redo/0000000000000001.seg']);
    t.same(contentOf(files, join(directory, 'ledger.cut-3')), damaged.subarray(third));
    ledger.append({ event: 'found', file: 'redo/000000000000000a.seg', from: 10, to: 19 });
    await ledger.close();
    const after = linesOf(contentOf(files));
    t.same(
      after.map(({ n, event }) => [n, event]),
      [
        [1, 'opened'],
        [2, 'sealed'],
        [3, 'cut'],
        [4, 'opened'],
        [5, 'found'],
      ],
    );
    const again = await open(files);
    t.equal(again.cut, null);
    t.equal(again.expected().redo.get('redo/000000000000000a.seg')?.hash, null);
  },
);

t.test('an empty or missing ledger is begun, and says that it was not whole', async (t) => {
  const files = await someHistory();
  replace(files, Buffer.alloc(0));
  t.equal((await open(files)).cut, 'it is empty');
  t.equal((await open(makeFiles())).cut, null, 'of a new machine there is nothing to miss');
  files.unlink(path);
  files.ensureDirectory(join(directory, 'redo'));
  files.create(join(directory, 'redo', '0000000000000001.seg'));
  const ledger = await open(files);
  t.equal(ledger.cut, 'there was none');
  const found = { file: join(directory, 'redo/0000000000000001.seg'), from: 1, to: 9, bytes: 100 };
  t.same(ledger.adopt([found]), []);
  t.same(
    ledger.adopt([]).map(({ file }) => file),
    ['redo/0000000000000001.seg'],
  );
});

t.test('a ledger that was damaged or missing says so at each start, until it begins anew', async (t) => {
  const redo = '0000000000000030.seg';
  const damages: Record<string, { damage(sound: Buffer): Buffer | null; expected: object }> = {
    'a line is flipped': {
      damage: (sound) => flipped(sound, sound.indexOf(10) + 5),
      expected: { line: 2, why: 'line 2 is damaged', from: 0, to: 0x30, aside: 'ledger.cut-2' },
    },
    'the last newline is flipped': {
      damage: (sound) => flipped(sound, sound.length - 1),
      expected: { line: 5, from: 19, to: 0x30, aside: 'ledger.cut-5' },
    },
    'all is gone': { damage: () => Buffer.alloc(0), expected: { line: 1, why: 'it is empty', aside: null } },
    'it is deleted': {
      damage: () => null,
      expected: { line: 1, why: 'there was none', from: 0, to: 0x30, aside: null },
    },
  };
  for (const [name, { damage, expected }] of Object.entries(damages)) {
    const files = await someHistory();
    files.ensureDirectory(join(directory, 'redo'));
    files.close(files.create(join(directory, 'redo', redo)));
    const content = damage(contentOf(files));
    if (content === null) files.unlink(path);
    else replace(files, content);
    for (let start = 0; start < 3; start++) {
      const ledger = await open(files);
      t.match(ledger.breaks, [expected], `${name}, start ${start}`);
      t.equal(ledger.breaks.length, 1);
      await ledger.close();
    }
    const rotating = await open(files, 100);
    rotating.append({ event: 'clock' });
    await rotating.settle();
    await rotating.settle();
    t.equal(linesOf(contentOf(files))[0]?.event, 'rotated');
    t.same(rotating.breaks, []);
    await rotating.close();
    t.same((await open(files)).breaks, [], name);
  }
});

t.test(
  'the torn end of the last line is what a crash leaves, and a new machine misses nothing',
  async (t) => {
    const files = await someHistory();
    replace(files, contentOf(files).subarray(0, -7));
    const ledger = await open(files);
    t.equal(ledger.cut, tornEnd);
    t.same(ledger.breaks, []);
    await ledger.close();
    t.same((await open(files)).breaks, []);
    t.same((await open(makeFiles())).breaks, []);
  },
);

function flipped(sound: Buffer, at: number): Buffer {
  const damaged = Buffer.from(sound);
  damaged[at]! ^= 1;
  return damaged;
}

t.test(
  'a ledger that grows begins anew with what must be there, and goes on with the same chain',
  async (t) => {
    const files = makeFiles();
    const ledger = await open(files, 4000);
    for (let lsn = 1; lsn <= 60; lsn++) {
      const file = `redo/${lsn.toString(16).padStart(16, '0')}.seg`;
      ledger.append({ event: 'sealed', file, from: lsn, to: lsn, bytes: 10, hash });
      if (lsn > 3) ledger.append({ event: 'pruned', from: 0, to: lsn - 3 });
      await ledger.settle();
    }
    const before = ledger.head;
    await ledger.close();
    const content = contentOf(files);
    t.ok(content.length < 4000 + 1000, 'it stays small');
    const lines = linesOf(content);
    t.equal(lines[0]?.event, 'rotated');
    t.equal(lines.at(-1)?.n, before.n);
    t.ok(lines.every((line, at) => at === 0 || line.n === (lines[at - 1]?.n ?? 0) + 1));
    const previous = linesOf(contentOf(files, `${path}.previous`));
    t.equal((previous.at(-1)?.n ?? 0) + 1, lines[0]?.n, 'the previous one ends where this begins');
    const again = await open(files);
    t.equal(again.cut, null);
    t.same(
      [...again.expected().redo.values()].map(({ from }) => from),
      [58, 59, 60],
    );
  },
);

t.test('a write or sync that fails loses no line: the next settle brings them all', async (t) => {
  for (const call of ['write', 'sync'] as const) {
    const files = makeFiles();
    const ledger = await open(files);
    files.faults.failAt(1, 'EIO', [call]);
    ledger.append({ event: 'clock', why: 'first' });
    await t.rejects(ledger.settle());
    ledger.append({ event: 'clock', why: 'second' });
    await ledger.settle();
    const lines = linesOf(contentOf(files.crash({ mode: 'mixed' })));
    t.same(
      lines.map(({ why }) => why),
      [undefined, 'first', 'second'],
      call,
    );
  }
});

t.test('after a power cut at any call every settled line is there, in a chain that is sound', async (t) => {
  const seed = chooseSeed(t);
  const script = async (files: SimulatedFiles, settled: { n: number }): Promise<void> => {
    const ledger = await open(files, 1500);
    for (let lsn = 1; lsn <= 12; lsn++) {
      ledger.append({ event: 'sealed', file: `redo/${lsn}.seg`, from: lsn, to: lsn, bytes: 1, hash });
      if (lsn % 2 === 0) await ledger.settle();
      settled.n = ledger.head.n;
    }
    await ledger.close();
  };
  const counted = makeFiles();
  await script(counted, { n: 0 });
  for (let call = 1; call <= counted.calls; call++) {
    const files = makeFiles();
    const settled = { n: 0 };
    files.onCall = (_name, n) => {
      if (n >= call) throw new SimulatedCrash(seededRandom(seed + call).next());
    };
    await script(files, settled).catch(() => undefined);
    files.onCall = null;
    const after = files.crash({ seed: seed + call });
    const ledger = await open(after, 1500).catch((error: unknown) => {
      throw new Error(`call ${call}`, { cause: error });
    });
    await ledger.settle();
    if (ledger.head.n <= settled.n) t.fail(`call ${call}: ${ledger.head.n} lines of ${settled.n}`);
    const chain = readChain(contentOf(after), () => undefined);
    if (chain.cut !== null) t.fail(`call ${call}: ${chain.cut}`);
  }
  t.ok(counted.calls > 30, `power was cut at each of ${counted.calls} calls`);
});

t.test('files that are missing and files that nobody speaks of are told apart', (t) => {
  const files = new LedgerFiles();
  for (const lsn of [1, 2, 3])
    files.take({ event: 'sealed', file: `redo/${lsn}.seg`, from: lsn, to: lsn, bytes: 1, hash });
  files.take({ event: 'merged', file: 'undo/0-9.seg', from: 0, to: 9, bytes: 1, hash });
  files.take({ event: 'rolled', file: 'undo/0-9.seg', from: 0, to: 9 });
  files.take({ event: 'missed', file: 'redo/3.seg', from: 3, to: 3 });
  const found = ['redo/1.seg', 'undo/x.seg'].map((file) => ({ file }));
  const { missing, unspoken } = matchFiles(files, found);
  t.same(
    missing.map(({ file }) => file),
    ['redo/2.seg'],
  );
  t.same(unspoken, [{ file: 'undo/x.seg' }]);
  t.same(noHead, { n: 0, hash: '' });
  t.end();
});

t.test('a break counts as long as a point of then can be had, or could be', async (t) => {
  const files = await someHistory();
  const sound = contentOf(files);
  replace(files, flipped(sound, sound.indexOf(10) + 5));
  const { breaks } = await open(files);
  const { time, to } = breaks[0]!;
  const counts = (oldestLsn: number | null, longestMs: number, afterMs: number): boolean =>
    openBreaks(breaks, { oldestLsn, longestMs, now: time + afterMs * 1000 }).length === 1;
  t.ok(counts(to, 1000, 2000), 'the point can still be had');
  t.ok(counts(null, 1000, 2000), 'nobody knows yet what can be had');
  t.ok(counts(to + 1, 1000, 999), 'a rule may want what was there');
  t.notOk(counts(to + 1, 1000, 1000));
});
