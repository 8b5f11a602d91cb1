// What becomes of a recovery that did not end: what it wrote is kept for the next run, or taken back.
import { dirname } from 'node:path';
import { HomewardError, type ErrorCode } from '../../core/errors.ts';
import type { RecoverPlan } from '../control/service.ts';
import type { RecoveryTarget } from './recovery-target.ts';
import { noSpace, noSpaceOnDevice, targetError } from './target-error.ts';

/** The place is taken or will not do: going on would not help. */
const hopeless: readonly ErrorCode[] = ['exists', 'conflict', 'bad-target'];

interface Failed {
  plan: RecoverPlan;
  signal: AbortSignal;
}

/**
 * Takes back what is not worth keeping, and gives back the error that says what happened and how to go on.
 */
export function explainFailure(
  error: unknown,
  { plan, signal }: Failed,
  targets: readonly RecoveryTarget[],
): HomewardError {
  const failure = asTargetError(error, plan);
  const isKept = !hopeless.includes(failure.code) && targets.some(({ note }) => note.stretches > 0);
  const left = isKept ? [] : targets.map((target) => target.tryDiscard()).filter((why) => why !== null);
  const said = signal.aborted ? interrupted(plan, isKept, error) : failure;
  if (left.length === 0) return said;
  return new HomewardError(said.code, [said.message, ...left].join('; '), { cause: error, hint: said.hint });
}

function interrupted(plan: RecoverPlan, isKept: boolean, cause: unknown): HomewardError {
  const what = `the recovery of ${plan.machine} as of lsn:${plan.lsn} was interrupted`;
  if (!isKept) {
    return new HomewardError(
      'interrupted',
      `${what}; it had not come far, and what it wrote does not count`,
      {
        cause,
        hint: 'Run the same command again.',
      },
    );
  }
  return new HomewardError('interrupted', `${what}; what it wrote is kept`, {
    cause,
    hint: `Run it again with --at lsn:${plan.lsn} to go on where it was, or with --fresh to begin anew.`,
  });
}

/** The threads say what happened, not where. */
function asTargetError(error: unknown, plan: RecoverPlan): HomewardError {
  const isOntoDevices = plan.disks[0]?.wwid !== undefined;
  const devices = plan.disks.map(({ to }) => to).join(', ');
  const place = isOntoDevices ? devices : dirname(plan.disks[0]?.to ?? '');
  const failure = targetError(error, place);
  if (failure.code !== 'no-space') return failure;
  return isOntoDevices ? noSpaceOnDevice(place, error) : noSpace(place, error);
}
