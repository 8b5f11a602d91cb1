// Enrols beside everything else: the disks are served whether the configuration server can be reached or not.
import { setTimeout as delay } from 'node:timers/promises';
import { errorTable, toHomewardError, type HomewardError } from '../core/errors.ts';
import { parseAddress } from '../core/identity/address.ts';
import { readIdentity, type HostIdentity } from '../core/identity/host-identity.ts';
import { limits } from '../core/limits.ts';
import { ensureEnrolled, type EnrolOptions } from '../core/registration/registration.ts';

export interface EnrolmentOptions extends EnrolOptions {
  /** Called once, with the identity that counts from then on. */
  enrolled(identity: HostIdentity): void;
  enrol?: typeof ensureEnrolled;
  firstMs?: number;
}

/** What asking again does not mend by itself is tried no more often than this. */
const refusedRetryMs = 60_000;

/**
 * Resolves when the first attempt has ended, or waits for an approval. What asking again does not mend is
 * thrown, but only by a host that never enrolled: one that did serves its disks on, and tries on. `done`
 * ends with the signal.
 */
export async function beginEnrolment(options: EnrolmentOptions): Promise<{ done: Promise<void> }> {
  const { data, signal, firstMs = limits.firstEnrolmentMs } = options;
  // What was typed is wrong also for a host that enrolled long ago.
  parseAddress(options.configServer);
  const isNew = readIdentity(data) === null;
  const first = attempt(options);
  const timer = new AbortController();
  const outcome = await Promise.race([
    first,
    delay(firstMs, 'waiting' as const, { signal: timer.signal }).catch(() => 'waiting' as const),
  ]);
  timer.abort();
  if (outcome === null) return { done: Promise.resolve() };
  if (outcome !== 'waiting' && isNew && !errorTable[outcome.code].retry) throw outcome;
  return { done: signal.aborted ? Promise.resolve() : tryOn(options, first) };
}

async function tryOn(options: EnrolmentOptions, first: Promise<HomewardError | null>): Promise<void> {
  const { signal, log } = options;
  let logged: string | null = null;
  for (let problem = await first; problem !== null && !signal.aborted; problem = await attempt(options)) {
    if (problem.code !== logged)
      log.error('enrolment-failed', { code: problem.code, error: problem, hint: problem.hint });
    logged = problem.code;
    const waitMs = errorTable[problem.code].retry ? limits.serverRetryMs : refusedRetryMs;
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
  }
}

/** Null when it worked. */
async function attempt(options: EnrolmentOptions): Promise<HomewardError | null> {
  const { enrol = ensureEnrolled, enrolled } = options;
  let identity: HostIdentity;
  try {
    identity = await enrol(options);
  } catch (error) {
    return toHomewardError(error);
  }
  if (!options.signal.aborted) enrolled(identity);
  return null;
}
