// The cursor against a plain model: whatever happens, every LSN that can be shown shows exactly the state
// after it.
import t, { type Test } from 'tap';
import { chooseSeed } from '../support/random.ts';
import { frozenTimers } from './log-driver.ts';
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
  const runs = wanted > 0 ? wanted : isLong ? 20_000 : 200;
  for (let run = 0; run < runs; run++) {
    try {
      await runModel({ seed: seed + run, actions: isLong ? 60 : 30, readShare: 0.03 });
    } catch (error) {
      return void t.fail(`SEED=${seed + run}: ${String(error)}`, { error });
    }
  }
  t.pass(`${runs} runs`);
});
