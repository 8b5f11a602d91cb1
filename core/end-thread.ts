// Ends threads, but never while one of them loads native code: Node cannot give that up half-way, and would
// take the whole process along.
import { getEnvironmentData, isMainThread, setEnvironmentData, type Worker } from 'node:worker_threads';

const key = 'homeward.native-code';
/** Should a thread have died while it loaded, others are not held up by it for ever. */
const patienceMs = 10_000;

/** Above 0: so many threads load; below: so many are being ended. Shared with every thread begun later. */
const state = shared();

function shared(): Int32Array {
  const known = getEnvironmentData(key);
  const buffer = known instanceof SharedArrayBuffer ? known : new SharedArrayBuffer(4);
  if (isMainThread) setEnvironmentData(key, buffer);
  return new Int32Array(buffer);
}

/** Terminates `worker`; resolves when it has ended. For whoever began it, in the main thread. */
export async function endThread(worker: Worker): Promise<void> {
  const until = performance.now() + patienceMs;
  for (;;) {
    const now = Atomics.load(state, 0);
    const isStuck = performance.now() > until;
    if (now <= 0 || isStuck) {
      if (Atomics.compareExchange(state, 0, now, Math.min(now, 0) - 1) === now) break;
    } else await Atomics.waitAsync(state, 0, now, patienceMs).value;
  }
  try {
    await worker.terminate();
  } finally {
    Atomics.add(state, 0, 1);
    Atomics.notify(state, 0);
  }
}

/** Loads native code in this thread, which is not ended meanwhile. */
export function loadUndisturbed<T>(load: () => T): T {
  if (isMainThread) return load();
  for (;;) {
    const now = Atomics.load(state, 0);
    if (now < 0) Atomics.wait(state, 0, now);
    else if (Atomics.compareExchange(state, 0, now, now + 1) === now) break;
  }
  try {
    return load();
  } finally {
    Atomics.sub(state, 0, 1);
    Atomics.notify(state, 0);
  }
}
