// What a hand-over would do, and why it may not, on facts that are made up.
import t from 'tap';
import {
  handOverNote,
  isDone,
  planHandOver,
  refuseFenced,
  refuseReleased,
  refuseUnderWay,
  type HandOverFacts,
} from '../../../../agent/recovery/hand-over.ts';
import { writeBack, type WriteBack } from '../../../../agent/recovery/hand-over-write.ts';
import type { MachineFile } from '../../../../agent/replica/machine-file.ts';
import type { HandOverTarget } from '../../../../core/registration/hand-over-words.ts';
import { machineAddress } from '../../../../core/extents/address.ts';
import { joinRanges } from '../../../../core/extents/join-ranges.ts';
import type { ExtentColumns } from '../../../../core/extents/extent-columns.ts';
import { Pieces } from '../../../../core/extents/pieces.ts';

const here: HandOverTarget = { kind: 'run', listen: 'unix:/run/next.sock' };
const away: HandOverTarget = { kind: 'release', name: 'esx1' };
const second = 1_000_000;

const file: MachineFile = {
  ...{ id: '3f1c', name: 'web', created: '2026-01-01T00:00:00Z', seeding: false },
  disks: [{ name: 'root', size: 1 << 20, replica: { kind: 'file' } }],
};
const cursor: HandOverFacts['cursor'] = {
  ...{ lsn: 100, stepTo: null, pruned: 40, pin: 100, generation: 3, durable: 120 },
  ...{ firstPoint: 0, time: 100 * second, tag: null, gap: null, unknown: [] },
};
const facts: HandOverFacts = {
  file,
  cursor,
  isStepOpen: false,
  durableLsn: 120,
  catalogue: {
    gaps: [{ from: 105, to: 109, reason: 'resync', fromTime: 105 * second, toTime: 109 * second }],
    tags: [
      { lsn: 60, time: 60 * second, name: 'early', consistency: 'crash' },
      { lsn: 110, time: 110 * second, name: 'late', consistency: 'application' },
    ],
  },
  denseLsn: 40,
  kept: [
    {
      ...{ lsn: 10, time: 10 * second, untilTime: 11 * second, point: true },
      tag: { name: 'first', consistency: 'user' },
    },
  ],
  at: null,
  shows: (lsn) => lsn === 10 || lsn >= 40,
  views: [],
  readers: [],
  listen: 'unix:/run/web.sock',
  isSourceConnected: false,
  now: 200 * second,
  timeOf: (lsn) => lsn * second,
  replicaPathOf: ({ name }) => `/replicas/${name}.raw`,
};
const ask = (to: HandOverTarget, more: object = {}): { machine: string; to: HandOverTarget } => ({
  ...{ machine: 'web', to },
  ...more,
});

t.test('what a release gives up and closes is named: how many points, when, and their tags', async (t) => {
  const plan = planHandOver(facts, ask(away));
  t.match(plan, { lsn: 100, stage: 'new', disks: [{ replica: '/replicas/root.raw' }] });
  t.match(plan.givesUp, { count: 16, from: { lsn: 101 }, to: { lsn: 120 }, tags: [{ name: 'late' }] });
  t.match(plan.closes, { count: 62, from: { lsn: 10 }, to: { lsn: 100 } });
  t.same(
    plan.closes?.tags.map(({ name }) => name),
    ['first', 'early'],
  );
  const run = planHandOver(facts, ask(here));
  t.match(run, { givesUp: null, closes: null, source: { path: 'ingest', connected: false } });
  const newest = planHandOver({ ...facts, durableLsn: 100 }, ask(away));
  t.equal(newest.givesUp, null, 'nothing lies behind it');
});

t.test('it is refused where it cannot be, each time in its own words', async (t) => {
  const refused = (
    change: Partial<HandOverFacts>,
    to: HandOverTarget,
    code: string,
    message: RegExp,
  ): void => {
    t.throws(() => planHandOver({ ...facts, ...change }, ask(to)), { code, message });
  };
  refused({ cursor: { ...cursor, pin: null } }, here, 'conflict', /not pinned/);
  refused({ cursor: { ...cursor, pin: 90 } }, here, 'conflict', /on its way to lsn:90/);
  refused({ isStepOpen: true }, away, 'conflict', /on its way/);
  refused({ cursor: { ...cursor, unknown: [[0, 512]] } }, away, 'damaged', /unknown/);
  refused({ isSourceConnected: true }, here, 'source-connected', /still connected/);
  refused({ listen: 'unix:/run/next.sock' }, here, 'conflict', /the writes of its source/);
  refused({ views: ['1a2b'] }, away, 'conflict', /views of web are open: 1a2b/);
  refused({ readers: ['verify'] }, away, 'conflict', /being read: verify/);
  const before = [{ lsn: 101, disks: [{ name: 'root', size: 512 }] }];
  refused({ file: { ...file, before } }, here, 'conflict', /had other disks/);
  const locks = [{ lsn: 10, until: '2026-01-31T00:00:00Z' }];
  refused({ file: { ...file, locks } }, away, 'locked', /lsn:10 of web is locked/);

  t.equal(
    planHandOver({ ...facts, views: ['1a2b'] }, ask(here)).lsn,
    100,
    'views stay exact on one that runs',
  );
  const allowed = { sourceIsOff: true, allowDamaged: true };
  const unclean = { ...facts, isSourceConnected: true, cursor: { ...cursor, unknown: [[0, 512]] } } as const;
  t.equal(planHandOver({ ...unclean, cursor: { ...cursor } }, ask(here, allowed)).lsn, 100);
  t.throws(() => planHandOver(facts, ask(here, { lsn: 99 })), {
    code: 'conflict',
    message: /not from lsn:99/,
  });
});

t.test(
  'with a moment it need not be pinned, as long as that is shown and nothing is given away',
  async (t) => {
    const free = { ...facts, cursor: { ...cursor, pin: null }, isStepOpen: true };
    for (const at of [10, 60, 110])
      t.match(planHandOver({ ...free, at }, ask(here)), { lsn: at, time: /^1970/, stage: 'new' });
    t.equal(planHandOver({ ...facts, at: 60 }, ask(here)).lsn, 60, 'pinned elsewhere');
    const gone = { code: 'outside-window', message: /lsn:30 of web has just left/ };
    t.throws(() => planHandOver({ ...free, at: 30 }, ask(here)), gone);
    t.throws(() => planHandOver({ ...facts, at: 60 }, ask(away)), { code: 'usage', hint: /--to in-place/ });
    const before = [{ lsn: 61, disks: [{ name: 'root', size: 512 }] }];
    const other = { ...free, file: { ...file, before }, at: 60 };
    t.throws(() => planHandOver(other, ask(here)), { code: 'conflict', message: /had other disks/ });
    const handOver = handOverNote({ to: here, lsn: 60, time: null }, false, 200 * second);
    const begun = { ...free, file: { ...file, handOver }, at: 60 };
    t.equal(planHandOver(begun, ask(here)).stage, 'resumes');
    const elsewhere = { code: 'conflict', message: /from lsn:60 now, not from lsn:70/ };
    t.throws(() => planHandOver({ ...begun, at: 70 }, ask(here)), elsewhere);
  },
);

t.test('one that was begun is ended as it was begun, and only so', async (t) => {
  const begun = handOverNote({ to: here, lsn: 100, time: null }, true, 200 * second);
  t.match(begun, { stage: 'begun', allowDamaged: true, begun: /^1970-01-01T00:03:20/ });
  const under = { ...facts, file: { ...file, handOver: begun }, isSourceConnected: true };
  t.equal(planHandOver(under, ask(here)).stage, 'resumes', 'what was asked then is not asked again');
  t.equal(planHandOver(under, ask({ kind: 'run', listen: 'unix:/other' })).stage, 'resumes');
  t.throws(() => planHandOver(under, ask(away)), {
    code: 'conflict',
    message: /being handed over at lsn:100/,
  });
  t.throws(() => refuseUnderWay(under.file), { code: 'conflict', hint: /--run unix:\/run\/next.sock/ });
  t.throws(() => refuseFenced(under.file), { code: 'fenced', hint: /homeward unprotect web/ });
  t.doesNotThrow(() => refuseReleased(under.file));

  const done = { ...file, handOver: { ...begun, stage: 'done' as const } };
  t.doesNotThrow(() => refuseUnderWay(done));
  t.throws(() => refuseFenced(done), { code: 'fenced' });
  const then = { file: done, cursor: { ...cursor, pin: null }, at: null };
  t.ok(isDone(then, here));
  t.ok(isDone({ ...then, at: 100 }, here));
  t.notOk(isDone({ ...then, at: 90 }, here), 'from another point it is another one');
  t.notOk(isDone({ ...then, cursor }, here), 'pinned again it can be handed over again');
  const released = { ...file, handOver: { ...begun, to: away } };
  t.throws(() => refuseReleased(released), {
    code: 'released',
    message: /web was released to esx1 at lsn:100/,
  });
});

t.test('what redo and history have touched is joined, and holes are left out', async (t) => {
  const pieces = new Pieces();
  const columns = {} as ExtentColumns;
  for (const [start, end, is] of [
    [0, 512, false],
    [512, 1024, true],
    [1024, 4096, true],
    [4096, 8192, false],
    [8192, 8704, true],
  ] as const)
    pieces.push(machineAddress(1, start), machineAddress(1, end - 1) + 1, is ? columns : null, 0);
  const touched = pieces.touched();
  t.same(touched, [
    [512, 4096],
    [8192, 8704],
  ]);
  t.same(joinRanges([...touched, [0, 600], [4096, 5000], [8192, 8200]]), [
    [0, 5000],
    [8192, 8704],
  ]);
});

/** A disk of 4 MiB of which redo has touched the first two; the state has data, and a hole in the second. */
function work(change: Partial<WriteBack> = {}): { job: WriteBack; records: string[] } {
  const MiB = 1 << 20;
  const records: string[] = [];
  const job: WriteBack = {
    journal: {
      turns: 0,
      resolveHead(disk, _offset, _length, into) {
        into.push(machineAddress(disk, 0), machineAddress(disk, 2 * MiB), {} as ExtentColumns, 0);
        return into;
      },
      write(disk, offset, payload, fua, _owner, done) {
        const filled = payload.every((byte) => byte === payload[0]) ? payload[0] : 'mixed';
        records.push(`write ${disk} ${offset} ${payload.length} ${filled} ${fua}`);
        setImmediate(done, null);
      },
      zero(disk, offset, length, { discard, fua }, done) {
        records.push(`zero ${disk} ${offset} ${length} ${discard} ${fua}`);
        setImmediate(done, null);
      },
    },
    reader: {
      async extents(_disk, offset, length) {
        const data = Math.max(0, Math.min(length, MiB + 4096 - offset));
        return [
          { length: data, zero: false },
          { length: length - data, zero: true },
        ];
      },
      async outside() {
        return [];
      },
      async content(_disk, offset, length) {
        const damaged: [number, number][] = offset === 0 ? [] : [[offset, offset + 4096]];
        return { content: Buffer.alloc(length, offset === 0 ? 7 : 0), damaged };
      },
    },
    disks: [{ name: 'root', size: 4 * MiB }],
    unknown: [],
    isLost: false,
    allowDamaged: true,
    isTrial: false,
    progress: () => undefined,
    signal: new AbortController().signal,
    ...change,
  };
  return { job, records };
}

t.test(
  'what was touched is written back, durably, and damage becomes zeros only where that is allowed',
  async (t) => {
    const MiB = 1 << 20;
    const { job, records } = work();
    t.same(await writeBack(job), {
      bytesWritten: MiB + 4096,
      damaged: [{ disk: 'root', start: MiB, end: MiB + 4096 }],
    });
    t.same(records, [
      `write 0 0 ${MiB} 7 true`,
      `write 0 ${MiB} 4096 0 true`,
      `zero 0 ${MiB + 4096} ${MiB - 4096} true true`,
    ]);
    const strict = work({ allowDamaged: false });
    await t.rejects(writeBack(strict.job), { code: 'damaged', hint: /--allow-damaged/ });
    const trial = work({ isTrial: true });
    t.equal((await writeBack(trial.job)).damaged.length, 1);
    t.same(trial.records, [], 'a trial writes nothing');
    const unknown = work({ unknown: [[machineAddress(0, 3 * MiB), machineAddress(0, 3 * MiB) + 512]] });
    await writeBack(unknown.job);
    t.equal(
      unknown.records.at(-1),
      `zero 0 ${MiB + 4096} ${3 * MiB - 4096} true true`,
      'what is unknown, too',
    );
    const lost = work({ isLost: true });
    await writeBack(lost.job);
    t.equal(lost.records.at(-1), unknown.records.at(-1), 'and where records are lost');
  },
);

t.test('what the cursor goes back over between the two looks is written back as well', async (t) => {
  const MiB = 1 << 20;
  const { job, records } = work({ disks: [{ name: 'root', size: 4 * MiB }] });
  // What was in history comes to lie in redo while history is asked.
  let turns = 0;
  const touched: number[] = [];
  const journal: WriteBack['journal'] = {
    ...job.journal,
    get turns() {
      return turns;
    },
    resolveHead(disk, _offset, _length, into) {
      touched.push(turns);
      into.clear();
      if (turns > 0) into.push(machineAddress(disk, 0), machineAddress(disk, 4096), {} as ExtentColumns, 0);
      return into;
    },
  };
  const outside = async (): Promise<[number, number][]> => {
    turns = 1;
    return [];
  };
  await writeBack({ ...job, journal, reader: { ...job.reader, outside } });
  t.same(touched, [0, 1]);
  t.equal(records[0], 'write 0 0 4096 7 true');
});
