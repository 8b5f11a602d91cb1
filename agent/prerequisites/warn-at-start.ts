// A daemon that was started by hand looks at its host, too, but only warns: who types it may know better.
import type { Log } from '../../core/log.ts';
import { toHomewardError } from '../../core/errors.ts';
import { allChecks } from './all-checks.ts';
import { rememberChecks } from './check-summary.ts';
import { liveHost } from './host.ts';
import { readCheckContext, type ContextOptions } from './read-context.ts';
import { runChecks, type CheckedItem, type CheckReport } from './run-checks.ts';

/** The unit has run `homeward check --hard` before, outside of the sandbox, and has come this far. */
const isUnit = (environment: ContextOptions['environment']): boolean =>
  environment['NOTIFY_SOCKET'] !== undefined;

/** Nothing of it rejects. One log line for each hard check that has failed. */
export async function warnOfChecks(options: ContextOptions): Promise<CheckReport | null> {
  const { log, environment } = options;
  if (isUnit(environment)) return null;
  try {
    const context = await readCheckContext(options);
    const report = await runChecks(allChecks, liveHost(), context, { hardOnly: true });
    rememberChecks(context.data, report);
    for (const item of report.checks) if (item.blocks) warnOf(log, item);
    return report;
  } catch (error) {
    log.warn('checks-not-run', { error: toHomewardError(error) });
    return null;
  }
}

function warnOf(log: Log, { id, found, action }: CheckedItem): void {
  log.warn('check-failed', { check: id, found, action });
}
