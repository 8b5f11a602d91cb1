// The cursor against a plain model: whatever happens, every LSN that can be shown shows exactly the state after it.
import t, { type Test } from 'tap';
import { chooseSeed } from '../support/random.ts';
import { frozenTimers } from './log-driver.ts';
import { mistakes } from './timeline-mistakes.ts';
import { runModel } from './timeline-run.ts';

const wanted = Number(process.env['HOMEWARD_SEEDS'] ?? 0);
const isLong = wanted > 0 || process.env['HOMEWARD_LONG'] === '1';

// Asked for before time stands still.
t.setTimeout(isLong ? 0 : 110_000);

function begin(t: Test): number {
  t.setTimeout(isLong ? 0 : 100_000);
  frozenTimers(t);
  return chooseSeed(t);
}

t.test('random work: every LSN after every operation, and inside steps', async (t) => {
  const seed = begin(t);
  const runs = wanted > 0 ? wanted : isLong ? 20_000 : 300;
  for (let run = 0; run < runs; run++) {
    try {
      await runModel({ seed: seed + run, actions: 60, readShare: 0.05 });
    } catch (error) {
      return void t.fail(`SEED=${seed + run}: ${String(error)}`, { error });
    }
  }
  t.pass(`${runs} runs`);
});

for (const [name, mistake] of Object.entries(mistakes)) {
  t.test(`the model finds it when ${name}`, async (t) => {
    const seed = begin(t);
    for (let run = 0; run < 300; run++) {
      const found = await runModel({ seed: seed + run, actions: 60, readShare: 0.05, mistake: mistake() }).then(
        () => null,
        (error: unknown) => String(error),
      );
      if (found !== null) return void t.pass(`run ${run}: ${found.slice(0, 160)}`);
    }
    t.fail('nothing was found');
  });
}
