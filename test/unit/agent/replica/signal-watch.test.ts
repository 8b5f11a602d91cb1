// What becomes of an event: the exact first record, one mark that is kept, and an end, also over a restart.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { SignalMark } from '../../../../agent/replica/machine-file.ts';
import { findOnset, firstOfRun } from '../../../../agent/replica/signal/find-onset.ts';
import { heldMarks } from '../../../../agent/replica/signal/marks.ts';
import { noCounts, type SignalPiece } from '../../../../agent/replica/signal/step-counts.ts';
import { SignalWatch, type WatchedMachine } from '../../../../agent/replica/signal/watch.ts';
import { saveUndo } from '../../../../agent/replica/step-save.ts';
import { directStepWork } from '../../../../agent/replica/step-work.ts';
import { writeReplica } from '../../../../agent/replica/step-write.ts';
import type { UndoStep } from '../../../../agent/replica/undo/undo-step.ts';
import { keptPoints } from '../../../../agent/retention/kept-points.ts';
import { HomewardError } from '../../../../core/errors.ts';
import { limits } from '../../../../core/limits.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';
import { layRedo, layReplicas, machine as uuid, Opened, type Change } from './step-rig.ts';

const words = (bytes: number): Buffer => Buffer.alloc(bytes, 'words that are easily told from noise\n');
const write = (offset: number, data: Buffer): Change => ({ kind: 'write', disk: 0, offset, data });

t.test('every record that made noise of something is found, and the first of its run', async (t) => {
  const files = new SimulatedFiles({ directories: ['/redo', '/undo', '/replicas', '/derived'] });
  const size = 512 * KiB;
  const replicas = await layReplicas(files, [size]);
  const first = [write(0, words(256 * KiB))];
  const second = [
    write(300 * KiB, words(8192)),
    write(4096, words(8192)),
    write(20_480, Buffer.concat([randomBytes(700), Buffer.alloc(4096 - 700)])), // the end of a short file
    write(64 * KiB, randomBytes(64 * KiB)),
    write(400 * KiB, randomBytes(8192)), // into free space
  ];
  const redo = layRedo(files, '/redo/1', 1, [...first, ...second]);
  const opened = new Opened(files, { redo: [redo], replicas, sizes: [size] });
  await saveUndo(files, opened.saveJob(0, 1));
  const written = await writeReplica(files, opened.writeJob(0, 1));
  t.ok(written.signal!.every(({ rewritten, fresh }) => rewritten === 0 && fresh > 0));
  const made = await saveUndo(files, opened.saveJob(1, 6));
  const undo = { fd: files.open(made.path), path: made.path, from: 1, to: 6, bytes: made.bytes };
  const job = { machine: uuid, undo, redo: opened.redo, upTo: 6, fresh: false };
  const found = async (more: object): Promise<number[]> =>
    (await findOnset(files, { ...job, ...more })).map(({ lsn }) => lsn);
  t.same(await found({}), [4, 5]);
  t.same(await found({ fresh: true }), [4, 5, 6]);
  t.same(await found({ upTo: 4 }), [4]);
  const after = await writeReplica(files, opened.writeJob(1, 6));
  t.equal(
    after.signal!.reduce((sum, piece) => sum + piece.encrypted, 0),
    1,
    'the counts are of some blocks',
  );
  t.notOk(
    (await writeReplica(files, opened.writeJob(1, 6))).signal,
    'and not known of a step that is repeated',
  );
});

t.test('a run goes back over short pauses', async (t) => {
  const records = [1, 2, 30, 31, 35, 60].map((at) => ({ lsn: at * 10, time: at * 1e6 }));
  t.match(firstOfRun(records, 350, 10e6), { lsn: 300 });
  t.match(firstOfRun(records, 1000, 10e6), { lsn: 600 });
  t.equal(firstOfRun([], 5, 10e6), null);
});

const second = 1e6;
const begin = 1.7e15;
const hot = { written: 256, rewritten: 256, encrypted: 250 };
const calm = { written: 256, rewritten: 256 };

interface Rig {
  watch: SignalWatch;
  machine: WatchedMachine;
  file: { marks?: SignalMark[]; disks: { size: number }[] };
  events: string[];
  gap: { from: number } | null;
  full: boolean;
  clock: { ms: number };
  step(counts: Partial<SignalPiece>, atSecond: number): Promise<void>;
}

/** A machine whose steps have 100 records and take 30 seconds; `marks` are those of its file. */
function makeRig(marks?: SignalMark[]): Rig {
  const events: string[] = [];
  const note = (event: string): void => void events.push(event);
  const log = { error: note, warn: note, info: note, debug: note } as never;
  const clock = { ms: 0 };
  let pieces: SignalPiece[] = [];
  const inner = directStepWork(new SimulatedFiles({ directories: [] }));
  const work = {
    ...inner,
    saveUndo: async () => ({}) as never,
    writeReplica: async () => ({ bytes: 0, unknown: [], damaged: [], signal: pieces }),
  };
  const file: Rig['file'] = { disks: [{ size: MiB }], ...(marks === undefined ? {} : { marks }) };
  const machine: WatchedMachine = {
    name: 'box',
    file,
    journal: {
      lend: () => ({ redo: [], release: () => undefined }),
      catalogue: { gapAt: () => rig.gap as never },
      source: { machine: uuid },
    },
    history: { undo: { steps: [] as UndoStep[], lend: () => ({}) as never } },
    oldestLsn: 0,
    timeOf: (lsn) => begin + lsn * second,
    changeFile(change) {
      if (rig.full) throw new HomewardError('no-space', 'full');
      Object.assign(file, change);
    },
  };
  const rig: Rig = {
    ...{ machine, file, events, gap: null, full: false, clock },
    watch: new SignalWatch(work, log, marks, () => clock.ms),
    async step(counts, atSecond) {
      const [from, to] = [atSecond * 10, atSecond * 10 + 100];
      const time = begin + atSecond * second;
      const range = { firstLsn: from + 1, lastLsn: to };
      pieces = [{ ...noCounts, ...counts, ...range }];
      const stepNote = { from, to, fromTime: time, toTime: time + 9 * second, tag: null, point: true };
      await rig.watch.work.saveUndo({ note: stepNote } as never);
      await rig.watch.work.writeReplica({ from, to } as never);
      await rig.watch.look(machine);
    },
  };
  return rig;
}

const reportOf = ({ watch, machine }: Rig): ReturnType<SignalWatch['report']> => watch.report(machine);

async function encrypt(rig: Rig, from: number): Promise<void> {
  for (let at = from; at < from + 30; at += 10) await rig.step(hot, at);
}
async function calmDown(rig: Rig, from: number): Promise<void> {
  for (let at = from; at < from + 90; at += 10) await rig.step(calm, at);
}

t.test('an event is marked once, and its mark says when it ended', async (t) => {
  const rig = makeRig();
  t.match(reportOf(rig), { state: 'unknown' });
  await calmDown(rig, 10);
  t.match(reportOf(rig), { state: 'normal', lastClean: null });
  await encrypt(rig, 100);
  t.match(rig.file.marks, [{ lsn: 1000, kind: 'signal', name: /^before-encryption-/, share: Number }]);
  t.match(reportOf(rig), { state: 'suspected', lastClean: { lsn: 1000 }, ended: null });
  await encrypt(rig, 130);
  await calmDown(rig, 160);
  t.match(reportOf(rig), { state: 'ended', lastClean: { lsn: 1000 }, ended: String });
  t.same(rig.events, ['encryption-suspected', 'encryption-ended']);
  await encrypt(rig, 100);
  t.equal(rig.file.marks?.length, 1, 'steps that are carried out once more are no news');
});

t.test('the clean moment lies in no gap; a volume that is full gets its mark later', async (t) => {
  const rig = makeRig();
  rig.gap = { from: 701 };
  rig.full = true;
  await encrypt(rig, 100);
  t.same(rig.file.marks, undefined);
  t.match(reportOf(rig), { state: 'suspected', lastClean: null });
  rig.full = false;
  await rig.step(hot, 130);
  t.match(rig.file.marks, [{ lsn: 700 }]);
  t.same(rig.events, ['signal-failed', 'encryption-suspected']);
});

t.test('over a restart it is the same event, and silence ends it', async (t) => {
  const before = makeRig();
  await encrypt(before, 100);
  const after = makeRig(before.file.marks);
  t.match(reportOf(after), { state: 'suspected', lastClean: { lsn: 1000 } });
  await encrypt(after, 130);
  t.equal(after.file.marks?.length, 1);
  after.clock.ms = limits.signalWindowMs + 1;
  await after.watch.look(after.machine);
  t.match(reportOf(after), { state: 'ended' });
  t.same(after.events, ['encryption-ended']);
});

t.test('a mark is kept as long as tags are, at least for the window, and no longer', async (t) => {
  const rig = makeRig();
  await encrypt(rig, 100);
  const time = begin + 1000 * second;
  const held = (windowMs: number, keep: { tags?: number }, now: number): number[] =>
    heldMarks(rig.file.marks, { windowMs, keep }, now).map(({ lsn }) => lsn);
  t.same(held(1000, { tags: 5000 }, time + 4 * second), [1000]);
  t.same(held(5000, { tags: 1000 }, time + 4 * second), [1000]);
  t.same(held(1000, {}, time + 4 * second), []);
  const now = time + 4 * second;
  const locks = heldMarks(rig.file.marks, { windowMs: 1000, keep: { tags: 5000 } }, now);
  const points = [{ lsn: 1000, time, point: true, tag: null }];
  t.match(keptPoints(points, { rules: {}, locks, windowMs: 1000, now }), [
    { lsn: 1000, reasons: ['locked'] },
  ]);
});
