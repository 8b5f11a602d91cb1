// A thread that is ended while it loads native code, or makes a handle, must not take the process along.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
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
const asFile = (text: string): URL => new URL(`data:text/javascript,${encodeURIComponent(text)}`);
const begin = (): Worker => new Worker(asFile(code), { execArgv: [] });

const urlOf = (file: string): string => JSON.stringify(new URL(`../../../${file}`, import.meta.url).href);
/** Compresses for ever: Node aborts when a handle of zlib is given up before it is set up. */
const packing = `
  import { parentPort } from 'node:worker_threads';
  import { packGrain } from ${urlOf('agent/recovery/formats/pack-grain.ts')};
  parentPort.postMessage('begins');
  for (;;) packGrain(Buffer.alloc(512, 7));
`;

/** Two at a time, ended at some moment after they have said that they begin. */
async function endOften(t: Test, times: number, beginOne: () => Worker): Promise<void> {
  const random = seededRandom(chooseSeed(t));
  for (let n = 0; n < times; n += 1) {
    const workers = [beginOne(), beginOne()];
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const wait = random.below(12);
    if (wait > 0) await setTimeout(wait);
    await Promise.all(workers.map(endThread));
  }
  t.pass('it is still here');
}

t.test('threads that are ended at any moment of their start leave the process alone', async (t) => {
  await endOften(t, 40, begin);
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

t.test('threads that compress are ended between two grains, however busy they are', async (t) => {
  await endOften(t, 30, () => new Worker(asFile(packing), { execArgv: [] }));
});

t.test('a process that ends while threads compress ends with its own status', async (t) => {
  const main = `
    import { Worker } from 'node:worker_threads';
    import { awaitThreads } from ${urlOf('core/end-thread.ts')};
    process.on('exit', awaitThreads);
    const file = new URL(${JSON.stringify(asFile(packing).href)});
    const [worker] = [new Worker(file), new Worker(file)];
    worker.on('message', () => setTimeout(() => process.exit(7), Number(process.argv[1])));
  `;
  for (let wait = 0; wait < 12; wait += 1) {
    const args = ['--input-type=module', '-e', main, String(wait)];
    const { status, signal, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    t.same({ status, signal }, { status: 7, signal: null }, stderr.slice(0, 200));
  }
});
