// Steps forward and back over a simulated disk: the replica is at one end or the other, whatever happens.
import t, { type Test } from 'tap';
import { saveUndo } from '../../../../agent/replica/step-save.ts';
import { rollBack, writeReplica } from '../../../../agent/replica/step-write.ts';
import { errnoOf } from '../../../../core/errors.ts';
import { chooseSeed, seededRandom, type Random } from '../../../support/random.ts';
import { SimulatedCrash, SimulatedFiles } from '../../../support/simulated-files.ts';
import {
  blankModel,
  changed,
  layRedo,
  layReplicas,
  Opened,
  randomChanges,
  type Change,
  type Laid,
  type Model,
} from './step-rig.ts';

const directories = ['/redo', '/undo', '/replicas', '/derived'];
const sizes = [300 * 1024 + 512, 64 * 1024];

interface Story {
  laid: Laid;
  /** The state at each boundary, and its LSN. */
  ends: { lsn: number; model: Model }[];
}

/** Redo in several segments, durable, and steps of which some end inside a segment. */
async function layStory(files: SimulatedFiles, random: Random, steps: number): Promise<Story> {
  const all: Change[] = [];
  const redo: Laid['redo'] = [];
  for (let segment = 0; segment < steps + 1; segment++) {
    const changes = randomChanges(random, sizes, 2 + random.below(12));
    const laid = layRedo(files, `/redo/${segment}`, all.length + 1, changes, 1 + random.below(4));
    await files.sync(laid.fd);
    redo.push(laid);
    all.push(...changes);
  }
  await files.syncDirectory('/redo');
  const ends = [{ lsn: 0, model: blankModel(sizes) }];
  for (let step = 0; step < steps; step++) {
    const { lsn, model } = ends.at(-1)!;
    const to =
      step === steps - 1 ? all.length : lsn + 1 + random.below(Math.max(all.length - lsn - steps, 1));
    ends.push({ lsn: to, model: changed(model, all.slice(lsn, to)) });
  }
  return { laid: { redo, replicas: await layReplicas(files, sizes), sizes }, ends };
}

const undoName = (from: number, to: number): string => `/undo/${from}-${to}`;

/** Apply as its owner does it, from the beginning or from where a crash left it. */
async function forward(opened: Opened, from: number, to: number): Promise<number> {
  const { files } = opened;
  let damaged = 0;
  if (!files.list('/undo').includes(`${from}-${to}`)) {
    const saved = await saveUndo(files, opened.saveJob(from, to));
    damaged += saved.damaged.length;
    files.rename(saved.path, undoName(from, to));
  }
  await files.syncDirectory('/undo');
  const written = await writeReplica(files, opened.writeJob(from, to));
  opened.unknown = written.unknown;
  return damaged + written.damaged.length;
}

async function back(opened: Opened, from: number, to: number): Promise<number> {
  const job = opened.backJob(undoName(from, to), from, to);
  const { unknown, damaged } = await rollBack(opened.files, job);
  opened.unknown = unknown;
  opened.files.close(job.undo.fd);
  return damaged.length;
}

t.test('what steps write is the newest redo, and rolled back they give back the old content', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let round = 0; round < 30; round++) {
    const files = new SimulatedFiles({ directories });
    const { laid, ends } = await layStory(files, random, 1 + random.below(4));
    const opened = new Opened(files, laid);
    for (let pass = 0; pass < 2; pass++) {
      for (const [at, { lsn, model }] of ends.entries()) {
        if (at === 0) continue;
        t.equal(await forward(opened, ends[at - 1]!.lsn, lsn), 0, 'nothing is damaged');
        t.same(opened.differences(model), []);
        for (const disk of sizes.keys()) t.same(opened.badBlocks(disk, lsn), []);
      }
      for (let at = ends.length - 1; at > 0; at--) {
        t.equal(await back(opened, ends[at - 1]!.lsn, ends[at]!.lsn), 0);
        t.same(opened.differences(ends[at - 1]!.model), []);
        for (const disk of sizes.keys()) t.same(opened.badBlocks(disk, ends[at - 1]!.lsn), []);
        files.unlink(undoName(ends[at - 1]!.lsn, ends[at]!.lsn));
      }
    }
  }
});

/** Every call of the second step, forward or back, is once the last. */
async function crashEverywhere(t: Test, direction: 'forward' | 'back', seed: number): Promise<void> {
  for (let call = 1, ended = false; !ended; call++) {
    const random = seededRandom(seed);
    const files = new SimulatedFiles({ directories });
    const { laid, ends } = await layStory(files, random, 2);
    const [start, from, to] = ends as [Story['ends'][0], Story['ends'][0], Story['ends'][0]];
    const opened = new Opened(files, laid);
    await forward(opened, start.lsn, from.lsn);
    const known = opened.unknown;
    if (direction === 'back') await forward(opened, from.lsn, to.lsn);
    const behind = opened.unknown;
    const last = files.calls + call;
    files.onCall = (_name, n) => {
      if (n === last) throw new SimulatedCrash(((call * 7) % 10) / 10);
    };
    const run = direction === 'forward' ? forward : back;
    const failure: unknown = await run(opened, from.lsn, to.lsn).then(
      () => null,
      (error: unknown) => error,
    );
    ended = failure === null;
    if (failure !== null && !(failure instanceof SimulatedCrash)) throw failure;
    const left = call % 2 === 0 ? files.crash({ seed: seed + call }) : files.kill();
    const again = new Opened(left, laid);
    again.unknown = direction === 'forward' ? known : behind;
    // An open step may be finished either way.
    const isOpen = direction === 'back' || left.list('/undo').includes(`${from.lsn}-${to.lsn}`);
    const turns = !ended && isOpen && call % 3 === 0;
    const forth = turns ? direction === 'back' : direction === 'forward';
    if (turns && forth) again.unknown = behind;
    const damaged = await (forth ? forward : back)(again, from.lsn, to.lsn);
    const end = forth ? to : from;
    const where = `call ${call} of ${direction}${turns ? ', turned' : ''}`;
    t.equal(damaged, 0, `no false alarm: ${where}`);
    t.same(again.differences(end.model), [], where);
    for (const disk of sizes.keys()) t.same(again.badBlocks(disk, end.lsn), [], `sums: ${where}`);
    if (forth) await back(again, from.lsn, to.lsn);
    t.same(again.differences(from.model), [], `and back: ${where}`);
    for (const disk of sizes.keys()) t.same(again.badBlocks(disk, from.lsn), [], `and its sums: ${where}`);
  }
}

for (const direction of ['forward', 'back'] as const) {
  t.test(`a step ${direction} that is cut off at any call can be repeated, or turned`, async (t) => {
    const seed = chooseSeed(t);
    for (let round = 0; round < 2; round++) await crashEverywhere(t, direction, seed + round);
  });

  t.test(
    `a step ${direction} of which any call fails says so, or does without, and can be repeated`,
    async (t) => {
      const seed = chooseSeed(t);
      for (const errno of ['EIO', 'ENOSPC']) {
        for (const lasting of [false, true]) {
          for (let call = 1, ended = false; !ended; call++) {
            const files = new SimulatedFiles({ directories });
            const { laid, ends } = await layStory(files, seededRandom(seed), 2);
            const [start, from, to] = ends as [Story['ends'][0], Story['ends'][0], Story['ends'][0]];
            const opened = new Opened(files, laid);
            await forward(opened, start.lsn, from.lsn);
            if (direction === 'back') await forward(opened, from.lsn, to.lsn);
            if (lasting) files.faults.failFrom(call, errno);
            else files.faults.failAt(call, errno);
            const run = direction === 'forward' ? forward : back;
            const failure: unknown = await run(opened, from.lsn, to.lsn).catch((error: unknown) => error);
            ended = files.faults.injected === 0;
            files.faults.clear();
            const where = `${errno}, call ${call}${lasting ? ' and later' : ''}`;
            if (failure instanceof Error) {
              t.equal(errnoOf(failure), errno, where);
              t.equal(await run(opened, from.lsn, to.lsn), 0, where);
            } else t.equal(failure, 0, where);
            const end = direction === 'forward' ? to : from;
            t.same(opened.differences(end.model), [], where);
            for (const disk of sizes.keys()) t.same(opened.badBlocks(disk, end.lsn) ?? [], [], where);
          }
        }
      }
    },
  );
}
