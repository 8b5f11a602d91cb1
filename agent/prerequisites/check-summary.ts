// Remembers what runs of the checks have found, for the daemon to report.
import { errnoOf } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import {
  readCheckSummary,
  writeCheckSummary,
  type CheckedSummary,
  type CheckSummary,
} from '../../core/registration/check-summary.ts';
import type { CheckedItem, CheckReport } from './run-checks.ts';

/**
 * What a run did not look at stays as it was. False where the directory is not there or may not be
 * written, as for somebody who is not root: then nothing is remembered.
 */
export function rememberChecks(data: string, report: CheckReport): boolean {
  return tryWrite(data, () => {
    const before = readCheckSummary(data)?.checks ?? [];
    const now = report.checks.map((item) => summaryOf(item, report.time));
    const kept = before.filter(({ id }) => now.every((one) => one.id !== id));
    return { time: report.time, checks: [...now, ...kept].slice(0, limits.hostChecks) };
  });
}

/** Somebody has accepted a finding, or (null) does not any more: known at once, not with the next run. */
export function rememberAcceptance(data: string, id: string, because: string | null): boolean {
  return tryWrite(data, () => {
    const before = readCheckSummary(data);
    if (before === null) return null;
    const checks = before.checks.map((one) =>
      one.id === id && one.result === 'fail' ? { ...one, because } : one,
    );
    return { ...before, checks };
  });
}

function tryWrite(data: string, make: () => CheckSummary | null): boolean {
  try {
    const summary = make();
    if (summary === null) return false;
    writeCheckSummary(data, summary);
    return true;
  } catch (error) {
    if (errnoOf(error) !== null) return false;
    throw error;
  }
}

function summaryOf(
  { id, severity, result, found, action, accepted }: CheckedItem,
  time: string,
): CheckedSummary {
  const cut = (text: string): string => text.slice(0, limits.checkTextCharacters);
  return {
    ...{ id, severity, result, time },
    found: cut(found),
    action: action === null ? null : cut(action),
    because: accepted?.because ?? null,
  };
}
