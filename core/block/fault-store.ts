// A disk whose chosen calls fail, for tests of what happens then.
import type { FaultPlan } from '../fault-plan.ts';
import type { BlockStore } from './block-store.ts';
import { wrapStore, type StoreCall } from './wrap-store.ts';

/** Calls that `faults` chooses reject with its errno and do not reach `base`. */
export function faultStore(base: BlockStore, faults: FaultPlan<StoreCall['name']>): BlockStore {
  return wrapStore(base, async (call, run) => {
    faults.check(call.name);
    return await run();
  });
}
