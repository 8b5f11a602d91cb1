// A thread that is ended while it loads native code must not take the process along.
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { endThread } from '../../../core/end-thread.ts';
import { chooseSeed, seededRandom } from '../../support/random.ts';

const linux = JSON.stringify(new URL('../../../core/linux.ts', import.meta.url).href);
/** Says that it begins, then makes its first native call. */
const code = `
  import { parentPort } from 'node:worker_threads';
  import fs from 'node:fs';
  import { seekData } from ${linux};
  parentPort.postMessage('begins');
  seekData(fs.openSync('/etc/passwd', 'r'), 0);
  parentPort.postMessage('loaded');
  setInterval(() => undefined, 1000);
`;
const file = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
const begin = (): Worker => new Worker(file, { execArgv: [] });

t.test('threads that are ended at any moment of their start leave the process alone', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let n = 0; n < 40; n += 1) {
    const workers = [begin(), begin()];
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const wait = random.below(12);
    if (wait > 0) await setTimeout(wait);
    await Promise.all(workers.map(endThread));
  }
  t.pass('it is still here');
});

t.test('threads begun while another is ended load all the same', async (t) => {
  const first = begin();
  await once(first, 'message');
  const ended = endThread(first);
  const second = begin();
  const said: unknown[] = [];
  second.on('message', (word) => said.push(word));
  while (!said.includes('loaded')) await once(second, 'message');
  await ended;
  await endThread(second);
  t.same(said, ['begins', 'loaded']);
});
