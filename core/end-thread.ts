// Ends threads, but never in the midst of native code that Node cannot give up half-way: it would take the
// whole process along.
import { getEnvironmentData, isMainThread, setEnvironmentData, type Worker } from 'node:worker_threads';

const key = 'homeward.native-code';
/** Should a thread have died in the midst of it, others are not held up by it for ever. */
const patienceMs = 10_000;

/** So many threads are within such code, plus this for each that is being ended: who is not within waits. */
const ender = 2 ** 16;
/** Shared with every thread begun later. */
const state = shared();
/** How deep this thread is within. */
let depth = 0;

function shared(): Int32Array {
  const known = getEnvironmentData(key);
  const buffer = known instanceof SharedArrayBuffer ? known : new SharedArrayBuffer(4);
  if (isMainThread) setEnvironmentData(key, buffer);
  return new Int32Array(buffer);
}

/** Terminates `worker`; resolves when it has ended. For whoever began it, in the main thread. */
export async function endThread(worker: Worker): Promise<void> {
  const until = performance.now() + patienceMs;
  Atomics.add(state, 0, ender);
  try {
    for (;;) {
      const now = Atomics.load(state, 0);
      const left = until - performance.now();
      if (now % ender === 0 || left <= 0) break;
      await Atomics.waitAsync(state, 0, now, left).value;
    }
    await worker.terminate();
  } finally {
    change(-ender);
  }
}

/** Waits until the process may end although threads still run; for the main thread, at its very end. */
export function awaitThreads(): void {
  const until = performance.now() + patienceMs;
  Atomics.add(state, 0, ender);
  for (;;) {
    const now = Atomics.load(state, 0);
    const left = until - performance.now();
    if (now % ender === 0 || left <= 0) return;
    Atomics.wait(state, 0, now, left);
  }
}

/** Runs native code in this thread, which is not ended meanwhile: what loads a library, or makes a handle. */
export function undisturbed<T>(run: () => T): T {
  if (isMainThread) return run();
  if (depth === 0) enter();
  depth += 1;
  try {
    return run();
  } finally {
    depth -= 1;
    if (depth === 0) change(-1);
  }
}

function enter(): void {
  for (;;) {
    const now = Atomics.load(state, 0);
    if (now >= ender) Atomics.wait(state, 0, now);
    else if (Atomics.compareExchange(state, 0, now, now + 1) === now) return;
  }
}

function change(by: number): void {
  Atomics.add(state, 0, by);
  Atomics.notify(state, 0);
}
