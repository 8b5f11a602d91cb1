// A cursor whose process ends at any I/O call of any short sequence of operations.
import t, { type Test } from 'tap';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { checkEverything, turns } from '../support/timeline-views.ts';
import { TimelineWorld, type Remains } from '../support/timeline-world.ts';
import { frozenTimers } from './log-driver.ts';
import {
  again,
  EndedInStart,
  isRefusal,
  operate,
  prepared,
  sequences,
  useAll,
} from './timeline-sequences.ts';

const isLong = process.env['HOMEWARD_LONG'] === '1';
const ways = ['kill', 'mixed', 'keep', 'drop'] as const;
type Way = (typeof ways)[number];

// Asked for before time stands still.
t.setTimeout(isLong ? 0 : 110_000);

function begin(t: Test): number {
  t.setTimeout(isLong ? 0 : 100_000);
  frozenTimers(t);
  return chooseSeed(t);
}

/** What the sequence leaves when the process ends at this call; null when it is through before. */
async function cutShort(
  start: Remains,
  sequence: readonly string[],
  call: number,
  way: Way,
  seed: number,
): Promise<{ remains: Remains; isThrough: boolean }> {
  let world = await TimelineWorld.open(again(start));
  world.io.crashAt = world.io.calls + call;
  world.io.crashPart = seededRandom(seed).next();
  for (const name of sequence) {
    try {
      world = await operate(world, name);
    } catch (error) {
      if (error instanceof EndedInStart)
        return { remains: cutAgain(error.remains, way, seed), isThrough: false };
      if (!isRefusal(error, world)) throw error;
    }
    if (world.io.ended) break;
  }
  const isThrough = !world.io.ended;
  const remains = world.end(way, seed);
  remains.files.capacityBytes = Infinity;
  await turns(1);
  return { remains, isThrough };
}

function cutAgain(remains: Remains, way: Way, seed: number): Remains {
  const { files } = remains;
  const left = way === 'kill' ? files.kill() : files.crash({ seed, mode: way });
  left.capacityBytes = Infinity;
  return { ...remains, files: left };
}

/** All is there; an open step can be finished either way; and it goes on. */
async function goOn(remains: Remains): Promise<void> {
  for (const direction of ['forward', 'back'] as const) {
    const world = await TimelineWorld.open(again(remains));
    checkEverything(world);
    const { timeline } = world.history;
    const isOpen = timeline.open !== null;
    if (isOpen) {
      await timeline.finish(direction);
      checkEverything(world);
    }
    await useAll(world);
    world.end('kill', 1);
    if (!isOpen) return;
  }
}

/** At each `stride`-th call. */
async function endEverywhere(
  t: Test,
  chosen: readonly string[][],
  seed: number,
  stride: number,
): Promise<void> {
  const start = await prepared();
  const random = seededRandom(seed);
  let runs = 0;
  for (const sequence of chosen) {
    for (let call = 1 + random.below(stride); ; call += stride) {
      let isThrough = true;
      for (const way of isLong ? ways : [random.pick(ways)]) {
        runs += 1;
        try {
          const left = await cutShort(start, sequence, call, way, seed + runs);
          isThrough = left.isThrough;
          await goOn(left.remains);
        } catch (error) {
          const when = `${sequence.join(', ')}: ${way} at call ${call}, SEED=${seed}`;
          return void t.fail(`${when}: ${String(error)}`, { error });
        }
      }
      if (isThrough) break;
    }
  }
  t.pass(`${chosen.length} sequences, ${runs} runs`);
}

t.test('up to three operations, and the process ends at any call', async (t) => {
  const seed = begin(t);
  const random = seededRandom(seed);
  const share = (sequence: readonly string[]): number => [1, 1, 0.12, 0.01][sequence.length] ?? 0;
  const chosen = sequences().filter((sequence) => isLong || random.chance(share(sequence)));
  await endEverywhere(t, chosen, seed, isLong ? 1 : 7);
});
