// What other programs take of the checks: `homeward check` runs them without a daemon.
export { acceptChecks, withdrawAcceptance } from './accepted-checks.ts';
export { allChecks } from './all-checks.ts';
export { rememberAcceptance, rememberChecks } from './check-summary.ts';
export { liveHost } from './host.ts';
export { judgeRetention, judgeVolumes, type JudgedVolume } from './judge-volumes.ts';
export { dataOf, readCheckContext, usualConfigs, type ContextOptions } from './read-context.ts';
export { runChecks, type CheckedItem, type CheckReport } from './run-checks.ts';
export { readInventory, type Inventory } from './inventory.ts';
