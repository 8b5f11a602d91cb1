// A disk that counts what is done with it.
import type { BlockStore } from './block-store.ts';
import { wrapStore, type StoreCall } from './wrap-store.ts';

export interface CallStats {
  calls: number;
  bytes: number;
  /** Of the calls, those that failed. */
  failures: number;
}

export interface StatsStore extends BlockStore {
  readonly stats: Readonly<Record<StoreCall['name'], CallStats>>;
}

export function statsStore(base: BlockStore): StatsStore {
  const none = (): CallStats => ({ calls: 0, bytes: 0, failures: 0 });
  const stats = { read: none(), write: none(), zero: none(), flush: none(), extents: none() };
  const store = wrapStore(base, async (call, run) => {
    const counted = stats[call.name];
    counted.calls += 1;
    counted.bytes += call.length;
    try {
      return await run();
    } catch (error) {
      counted.failures += 1;
      throw error;
    }
  });
  return { ...store, stats };
}
