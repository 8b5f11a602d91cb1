// Runs checks one after the other: what they found, and whether the service may start with it.
import { limits } from '../../core/limits.ts';
import type { AcceptedCheck, Check, CheckContext, Finding, Severity } from './check.ts';
import type { Host } from './host.ts';

export interface CheckedItem extends Finding {
  id: string;
  title: string;
  severity: Severity;
  /** Why a failed one may stay so, or null. */
  accepted: { because: string; since: string } | null;
  /** It keeps the service from starting. */
  blocks: boolean;
  /** What was put right before this was found, or why it could not be; null when nothing was tried. */
  fixed: string | null;
}

export interface CheckReport {
  /** RFC 3339. */
  time: string;
  role: string;
  version: string;
  /** None failed but what was accepted. */
  ok: boolean;
  /** One keeps the service from starting. */
  blocked: boolean;
  checks: CheckedItem[];
}

export interface RunOptions {
  /** Those that fail or warn are put right where they can be, and looked at again. */
  fix?: boolean;
  /** Only what may keep the service from starting. */
  hardOnly?: boolean;
  /** Of each check; `limits.checkMs` when left out. */
  timeoutMs?: number;
  /** Told of each as it is done. */
  done?: (item: CheckedItem) => void;
}

/** In the order given, since a table in another order at each run cannot be compared. Never throws. */
export async function runChecks(
  checks: readonly Check[],
  host: Host,
  context: CheckContext,
  options: RunOptions = {},
): Promise<CheckReport> {
  const items: CheckedItem[] = [];
  for (const check of checks) {
    if (check.roles?.includes(context.role) === false) continue;
    if (options.hardOnly === true && check.severity === 'advice') continue;
    const item = await runOne(check, host, context, options);
    items.push(item);
    options.done?.(item);
  }
  return {
    time: new Date(host.now()).toISOString(),
    role: context.role,
    version: context.version,
    ok: items.every(({ result, accepted }) => result !== 'fail' || accepted !== null),
    blocked: items.some(({ blocks }) => blocks),
    checks: items,
  };
}

async function runOne(
  check: Check,
  host: Host,
  context: CheckContext,
  { fix = false, timeoutMs = limits.checkMs }: RunOptions,
): Promise<CheckedItem> {
  const look = (): Promise<Finding> => within(timeoutMs, () => check.run(host, context));
  const before = await look().catch((error: unknown) => notLookedAt(check, error));
  const repair = check.fix?.bind(check);
  if (!fix || repair === undefined || before.result === 'pass' || before.result === 'skipped')
    return judge(check, before, context.accepted, null);
  let fixed: string;
  try {
    // Packages may have to be fetched, however long that takes; the programs it runs have their limits.
    fixed = await repair(host, context);
  } catch (error) {
    return judge(check, before, context.accepted, `not put right: ${messageOf(error)}`);
  }
  const after = await look().catch((error: unknown) => notLookedAt(check, error));
  return judge(check, after, context.accepted, fixed);
}

/** What a finding means: pure, since the installer, the unit and the screen must all say the same. */
export function judge(
  check: Pick<Check, 'id' | 'title' | 'severity'>,
  finding: Finding,
  accepted: readonly AcceptedCheck[],
  fixed: string | null,
): CheckedItem {
  const { id, title, severity } = check;
  const word = severity === 'hard-unless-accepted' ? accepted.find((one) => one.id === id) : undefined;
  const isFailed = finding.result === 'fail';
  return {
    ...{ id, title, severity },
    result: finding.result,
    found: finding.found,
    action: finding.action,
    accepted: isFailed && word !== undefined ? { because: word.because, since: word.since } : null,
    blocks: isFailed && severity !== 'advice' && word === undefined,
    fixed,
  };
}

/** A hard check that could not look has not passed: what it guards against may be there. */
function notLookedAt({ severity, id }: Check, error: unknown): Finding {
  return {
    result: severity === 'advice' ? 'warn' : 'fail',
    found: `could not be looked at: ${messageOf(error)}`,
    action: `Run \`homeward check\` as root; if ${id} stays so, report it with \`homeward support-bundle\`.`,
  };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function within<T>(timeoutMs: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
