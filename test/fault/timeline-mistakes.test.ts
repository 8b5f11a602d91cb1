// That the model of the cursor can fail: each tempting mistake is found by it.
import t, { type Test } from 'tap';
import { chooseSeed } from '../support/random.ts';
import { frozenTimers } from './log-driver.ts';
import { mistakes } from './timeline-mistakes.ts';
import { runModel } from './timeline-run.ts';

// Asked for before time stands still.
t.setTimeout(110_000);

function begin(t: Test): number {
  t.setTimeout(100_000);
  frozenTimers(t);
  return chooseSeed(t);
}

for (const [name, mistake] of Object.entries(mistakes)) {
  t.test(`the model finds it when ${name}`, async (t) => {
    const seed = begin(t);
    for (let run = 0; run < 300; run++) {
      const found = await runModel({
        seed: seed + run,
        actions: 60,
        readShare: 0.05,
        mistake: mistake(),
      }).then(
        () => null,
        (error: unknown) => String(error),
      );
      if (found !== null) return void t.pass(`run ${run}: ${found.slice(0, 160)}`);
    }
    t.fail('nothing was found');
  });
}
