// A disk that takes its time, for tests of what happens meanwhile.
import type { BlockStore } from './block-store.ts';
import { wrapStore, type StoreCall } from './wrap-store.ts';

/** Each call reaches `base` only when the promise that `wait` gave for it has resolved. */
export function delayStore(base: BlockStore, wait: (call: StoreCall) => Promise<void>): BlockStore {
  return wrapStore(base, async (call, run) => {
    await wait(call);
    return await run();
  });
}
