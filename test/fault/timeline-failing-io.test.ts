// A cursor whose disk fails at any I/O call, once or from there on: nothing is wrong, and the next try
// goes on.
import t, { type Test } from 'tap';
import { chooseSeed } from '../support/random.ts';
import type { IoFault } from '../support/timeline-io.ts';
import { checkEverything } from '../support/timeline-views.ts';
import { TimelineWorld, type Remains } from '../support/timeline-world.ts';
import { frozenTimers } from './log-driver.ts';
import { again, isRefusal, operate, prepared, useAll } from './timeline-sequences.ts';

const isLong = process.env['HOMEWARD_LONG'] === '1';

// Asked for before time stands still.
t.setTimeout(isLong ? 0 : 110_000);

function begin(t: Test): number {
  t.setTimeout(isLong ? 0 : 100_000);
  frozenTimers(t);
  return chooseSeed(t);
}

const script = [
  ...[
    'write',
    'apply',
    'overlapping write',
    'tag',
    'apply',
    'zero',
    'flush',
    'apply',
    'roll back',
    'discard',
  ],
  ...['tag', 'apply', 'prune', 'thin', 'restart', 'write', 'flush', 'apply', 'roll back', 'prune', 'thin'],
];

/** True when the disk failed once at least. */
async function failAt(start: Remains, fault: IoFault): Promise<boolean> {
  let world = await TimelineWorld.open(again(start));
  world.io.fault = { ...fault, n: world.io.calls + fault.n };
  let injected = 0;
  for (const name of script) {
    try {
      world = await operate(world, name);
    } catch (error) {
      if (!isRefusal(error, world)) throw error;
    }
    injected += world.io.injected;
    // What the disk does not give back, again and again, may count as damaged.
    if (world.io.failedReads > 2) world.isRotten = true;
    checkEverything(world);
  }
  world.io.fault = null;
  await world.wait(1000);
  const { timeline } = world.history;
  if (timeline.open !== null) await timeline.finish(fault.n % 2 === 0 ? 'forward' : 'back');
  checkEverything(world);
  await useAll(world);
  return injected > 0;
}

for (const errno of ['EIO', 'ENOSPC']) {
  for (const isLasting of [false, true]) {
    const when = isLasting ? 'at every call from the n-th on' : 'at the n-th call';
    t.test(`${errno} ${when}: nothing is wrong, and the next try goes on`, async (t) => {
      const seed = begin(t);
      const start = await prepared();
      const step = isLong ? 1 : 25;
      const first = isLong ? 1 : 1 + (seed % step);
      for (let n = first; ; n += step) {
        try {
          if (!(await failAt(start, { n, errno, isLasting }))) return void t.ok(n > 50, `${n} calls`);
        } catch (error) {
          return void t.fail(`call ${n}: ${String(error)}`, { error });
        }
      }
    });
  }
}
