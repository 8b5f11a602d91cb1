// What a verification finds: every kind of damage to every structure, with its place, and nothing else.
import fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Catalogue } from '../../../../agent/journal/catalogue.ts';
import { previousFile } from '../../../../agent/replica/machine-file.ts';
import { undoFileName } from '../../../../agent/replica/undo/undo-names.ts';
import type { MachineVerification } from '../../../../agent/recovery/verify-report.ts';
import { checkPiece } from '../../../../agent/recovery/verify-work.ts';
import { verifyMachine, type ClosableChecker, type Verifiable } from '../../../../agent/recovery/verify.ts';
import { segmentFileName } from '../../../../core/segment-log/segment.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';
import { contentDamage, deletion, swap, type DamageKind } from './damage-kinds.ts';
import { blockBytes, cursorLsn, machine, makeHistory, type SmallHistory } from './small-history.ts';

interface Verified {
  history: SmallHistory;
  subject: Verifiable;
  counter: { now: number };
}

/** A daemon's view of a small history, with everything open. */
async function makeSubject(t: Test): Promise<Verified> {
  const history = await makeHistory(temporaryDirectory(t));
  const { paths, file, segments, steps, ledger, replica } = history;
  const { cursor } = history;
  const replicaFd = fs.openSync(replica, 'r+');
  const counter = { now: 0 };
  t.teardown(async () => {
    for (const { fd } of segments) fs.closeSync(fd);
    fs.closeSync(replicaFd);
    await ledger.close();
  });
  const subject: Verifiable = {
    name: file.name,
    ...{ file, paths, cursor, ledger, ledgerBreaks: ledger.breaks },
    journal: {
      segments,
      catalogue: new Catalogue(),
      commit: () => Promise.resolve(),
      noteDamage: () => undefined,
      source: { machine },
    },
    history: {
      undo: { steps, holes: [], leftovers: [], lend, openFileOf: () => null },
      get counter() {
        return counter.now;
      },
    },
    lentDisks: [
      { fd: replicaFd, size: file.disks[0]?.size ?? 0, sparse: true, sums: join(paths.derived, 'sums-0') },
    ],
    replicaPathOf: () => replica,
  };
  return { history, subject, counter };
}

const lend: Verifiable['history']['undo']['lend'] = ({ path, from, to, bytes }) => {
  const fd = fs.openSync(path, 'r');
  return { undo: { fd, path, from, to, bytes }, ordinal: 0, release: () => fs.closeSync(fd) };
};

/** Most tests need no thread. */
const here: ClosableChecker = {
  check: (job, mostMs) => Promise.resolve().then(() => checkPiece(job, mostMs)),
  close: () => Promise.resolve(),
};

const whole = { machine: 'web', part: null, forMs: null };
const verify = (
  subject: Verifiable,
  request: Partial<typeof whole> | object = {},
): Promise<MachineVerification> =>
  verifyMachine(
    subject,
    { ...whole, ...request },
    () => undefined,
    new AbortController().signal,
    () => here,
  );

t.test('a history that is sound is covered as a whole', async (t) => {
  const { subject } = await makeSubject(t);
  const report = await verify(subject);
  t.same(report.damaged, []);
  t.equal(report.ok, true);
  t.match(report.covered, {
    complete: true,
    fromLsn: 1,
    toLsn: 30,
    redo: { files: 3 },
    undo: { files: 2 },
    replica: { bytes: 64 * blockBytes, uncheckedBytes: 0 },
    ledger: { lines: 5, cut: null },
  });
});

/** The structure, and the file of it that is damaged. */
const structures: { in: string; file(history: SmallHistory): string; kinds: readonly DamageKind[] }[] = [
  { in: 'redo', file: ({ segments }) => segments[1]?.path ?? '', kinds: [...contentDamage, deletion] },
  { in: 'redo', file: ({ segments }) => segments[2]?.path ?? '', kinds: [...contentDamage, deletion] },
  { in: 'undo', file: ({ steps }) => steps[0]?.path ?? '', kinds: [...contentDamage, deletion] },
  { in: 'undo', file: ({ steps }) => steps[1]?.path ?? '', kinds: [...contentDamage, deletion] },
  { in: 'ledger', file: ({ paths }) => paths.ledger, kinds: [...contentDamage, deletion] },
  { in: 'cursor', file: ({ paths }) => paths.cursorFile, kinds: [...contentDamage, deletion] },
  { in: 'machine', file: ({ paths }) => paths.machineFile, kinds: [...contentDamage, deletion] },
  {
    in: 'machine',
    file: ({ paths }) => previousFile(paths.machineFile),
    kinds: [...contentDamage, deletion],
  },
  {
    in: 'replica',
    file: ({ replica }) => replica,
    kinds: [...contentDamage, deletion],
  },
];

for (const structure of structures)
  for (const kind of structure.kinds)
    t.test(`${structure.in}: ${kind.name}: found, and nothing else is`, async (t) => {
      const { history, subject } = await makeSubject(t);
      const file = structure.file(history);
      kind.apply(file);
      const report = await verify(subject);
      t.equal(report.ok, false);
      t.not(report.damaged.length, 0);
      for (const found of report.damaged) {
        t.match(found, { machine: 'web', file, in: structure.in });
        t.ok(found.recoverable.length > 10, found.recoverable);
      }
    });

t.test('a flipped byte is told of with its disk, bytes, records and time', async (t) => {
  const { history, subject } = await makeSubject(t);
  const [, redo] = history.segments;
  const [undo] = history.steps;
  if (redo === undefined || undo === undefined) throw new Error('there are files');
  flipAt(redo.path, 96 + 64 + 100);
  // Behind the note's group comes the content of the first block that the step changed.
  const content = fs.readFileSync(undo.path).indexOf(Buffer.alloc(100));
  flipAt(undo.path, content + 50);
  flipAt(history.replica, 3 * blockBytes + 5);
  const { damaged } = await verify(subject);
  t.match(damaged, [
    { in: 'undo', disk: 'root', fromLsn: 0, toLsn: 10, fromTime: '2023-11-14T22:13:20.000000Z' },
    {
      ...{ in: 'redo', disk: 'root', start: ((9 * 7) % 24) * blockBytes, fromLsn: 9, toLsn: 9 },
      ...{ fromTime: '2023-11-14T22:13:29.000000Z', what: 'content does not fit its checksum' },
    },
    { in: 'replica', disk: 'root', start: 3 * blockBytes, end: 4 * blockBytes, fromLsn: cursorLsn },
  ]);
  t.match(damaged[1]?.recoverable, /from lsn:9 up to lsn:10/);
  t.match(damaged[0]?.recoverable, /all points from lsn:10 on/);
});

t.test('a record that was lost in the last segment touches only later points', async (t) => {
  const { history, subject } = await makeSubject(t);
  flipAt(history.segments[2]?.path ?? '', (history.segments[2]?.end ?? 0) - 100);
  const { damaged } = await verify(subject);
  t.equal(damaged.length, 1);
  t.match(damaged[0], { fromLsn: 30, disk: 'root', recoverable: /^all points before lsn:30;/ });
});

t.test('two files that changed places are both found', async (t) => {
  for (const pick of [
    ({ segments }: SmallHistory) => [segments[0]?.path ?? '', segments[1]?.path ?? ''] as const,
    ({ steps }: SmallHistory) => [steps[0]?.path ?? '', steps[1]?.path ?? ''] as const,
    ({ segments, steps }: SmallHistory) => [segments[0]?.path ?? '', steps[0]?.path ?? ''] as const,
    ({ paths }: SmallHistory) => [paths.cursorFile, paths.machineFile] as const,
    ({ paths }: SmallHistory) => [paths.cursorFile, paths.ledger] as const,
  ]) {
    const { history, subject } = await makeSubject(t);
    const [one, other] = pick(history);
    swap(one, other);
    const { damaged } = await verify(subject);
    t.same([...new Set(damaged.map(({ file }) => file))].sort(), [one, other].sort());
  }
});

t.test('a copy of a file under another name, and a foreign file, are found', async (t) => {
  const { history, subject } = await makeSubject(t);
  const { redo, undo } = history.paths;
  const doubled = join(redo, segmentFileName(4));
  fs.copyFileSync(history.segments[0]?.path ?? '', doubled);
  const doubledUndo = join(undo, undoFileName(3, 10));
  fs.copyFileSync(history.steps[0]?.path ?? '', doubledUndo);
  const foreign = join(undo, 'notes.txt');
  fs.writeFileSync(foreign, 'not ours');
  const { damaged } = await verify(subject);
  t.same(damaged.map(({ file }) => file).sort(), [doubled, doubledUndo, foreign].sort());
});

t.test('what was cut off and filled up again with the same length is found by its hash', async (t) => {
  const { history, subject } = await makeSubject(t);
  const [first] = history.steps;
  if (first === undefined) throw new Error('there is undo');
  // The ledger knows another file: every checksum in this one fits.
  history.ledger.append({
    event: 'stepped',
    file: first.path,
    from: 0,
    to: 10,
    bytes: 1,
    hash: 'ab'.repeat(32),
  });
  const { damaged } = await verify(subject);
  t.match(damaged, [{ file: first.path, what: /another hash/ }]);
});

t.test('t runs with --part n/t look at everything exactly once', async (t) => {
  const { subject, history } = await makeSubject(t);
  const all = await verify(subject);
  for (const parts of [1, 2, 3, 7]) {
    const sum = { redo: 0, undo: 0, replica: 0, records: 0 };
    for (let n = 1; n <= parts; n++) {
      const { covered } = await verify(subject, { part: { n, of: parts } });
      sum.redo += covered.redo.files;
      sum.undo += covered.undo.files;
      sum.replica += covered.replica.bytes;
      sum.records += covered.records;
    }
    t.same(
      sum,
      { redo: 3, undo: 2, replica: all.covered.replica.bytes, records: all.covered.records },
      `${parts} parts`,
    );
  }
  t.equal(history.segments.length, 3);
});

t.test(
  'a run with a bound in time goes on where the one before stopped, until all was looked at',
  async (t) => {
    const { subject } = await makeSubject(t);
    let runs = 0;
    let records = 0;
    let replica = 0;
    for (let isDone = false; !isDone && runs < 50; runs++) {
      const { covered } = await verify(subject, { forMs: 0.001 });
      records += covered.records;
      replica += covered.replica.bytes;
      t.equal(covered.sweep.resumed, runs > 0);
      isDone = covered.sweep.remainingPieces === 0;
    }
    const { covered } = await verify(subject);
    t.ok(runs > 5, `${runs} runs`);
    t.same([records, replica], [covered.records, covered.replica.bytes]);
    t.equal((await verify(subject, { forMs: 60_000 })).covered.complete, true, 'then it begins anew');
  },
);

t.test('what a step changes while it is looked at is not damage', async (t) => {
  const { subject, history, counter } = await makeSubject(t);
  const fd = fs.openSync(history.replica, 'r+');
  t.teardown(() => fs.closeSync(fd));
  const before = Buffer.alloc(blockBytes);
  fs.readSync(fd, before, 0, blockBytes, 0);
  fs.writeSync(fd, Buffer.alloc(blockBytes, 'x'), 0, blockBytes, 0);
  counter.now = 1; // a step is open
  const running = verify(subject);
  const ended = new Promise((resolve) => setImmediate(resolve)).then(() => {
    fs.writeSync(fd, before, 0, blockBytes, 0);
    counter.now = 2;
  });
  t.same((await running).damaged, []);
  await ended;
});

t.test('a thread finds the same', async (t) => {
  const { subject, history } = await makeSubject(t);
  flipAt(history.replica, 3 * blockBytes + 5);
  flipAt(history.steps[1]?.path ?? '', 200);
  const { signal } = new AbortController();
  t.same(await verifyMachine(subject, whole, () => undefined, signal), await verify(subject));
});

t.test('an interruption ends it, and nothing is lent any more', async (t) => {
  const { subject, history } = await makeSubject(t);
  const abort = new AbortController();
  abort.abort();
  await t.rejects(
    verifyMachine(subject, whole, () => undefined, abort.signal),
    { code: 'interrupted' },
  );
  t.same(
    history.segments.map(({ users }) => users),
    [0, 0, 0],
  );
});

function flipAt(path: string, at: number): void {
  const fd = fs.openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  fs.readSync(fd, byte, 0, 1, at);
  byte[0]! ^= 8;
  fs.writeSync(fd, byte, 0, 1, at);
  fs.closeSync(fd);
}
