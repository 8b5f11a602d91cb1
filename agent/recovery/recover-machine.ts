// Recovers a machine: holds the moment for as long as the threads read it, and says in the log what became
// of it.
import { toHomewardError } from '../../core/errors.ts';
import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { OnProgress, RecoverPlan, RecoverReport, RecoverRequest } from '../control/service.ts';
import type { RedoHeal } from '../journal/redo-heal.ts';
import type { DamagedRead, HeldContent } from '../replica/view-content.ts';
import { ExportCrew, recoveryThreads } from './export-crew.ts';
import { stretchesOf } from './formats/stretch.ts';
import { executeRecovery, type RecoverOutcome } from './recover.ts';

export interface MachineRecovery {
  machine: {
    id: string;
    name: string;
    hold(lsn: number): HeldContent;
    readonly heal?: Pick<RedoHeal, 'settle'>;
  };
  plan: RecoverPlan;
  request: RecoverRequest;
  /** The directory of the notes of recoveries onto devices. */
  notes: string;
  clock: Clock;
  log: Log;
  progress: OnProgress;
  signal: AbortSignal;
}

export async function recoverMachine(recovery: MachineRecovery): Promise<RecoverReport> {
  const { machine, plan, clock, log } = recovery;
  const { lsn } = plan;
  const begun = clock.monotonicMs();
  log.info('recovery-begins', { machine: machine.name, lsn, to: plan.disks.map(({ to }) => to).join(' ') });
  try {
    const outcome = await recoverHealing(recovery);
    const { bytesWritten, damaged, differing } = outcome;
    log.info('recovery-done', {
      machine: machine.name,
      lsn,
      bytesWritten,
      damaged: damaged.length,
      differing: differing?.length ?? 0,
    });
    return { ...plan, ...outcome, seconds: (clock.monotonicMs() - begun) / 1000 };
  } catch (thrown) {
    const error = toHomewardError(thrown);
    log.warn('recovery-failed', { machine: machine.name, lsn, code: error.code, error });
    throw error;
  }
}

/** Goes on once more where it met damage that was healed by then. */
async function recoverHealing(recovery: MachineRecovery): Promise<RecoverOutcome> {
  const damaged = new Set<string>();
  try {
    return await recoverOnce(recovery, damaged);
  } catch (error) {
    const { machine, request, signal } = recovery;
    const isDamaged = toHomewardError(error).code === 'damaged' && damaged.size > 0;
    if (!isDamaged || machine.heal === undefined || signal.aborted) throw error;
    if (!(await machine.heal.settle(damaged))) throw error;
    // What was written before is not begun anew.
    return await recoverOnce({ ...recovery, request: { ...request, fresh: false } }, damaged);
  }
}

/** What does not fit its checksums is told, and its files are added to `damaged`. */
async function recoverOnce(recovery: MachineRecovery, damaged: Set<string>): Promise<RecoverOutcome> {
  const { machine, plan, request: options, notes, progress, signal } = recovery;
  const held = holdForThreads(machine, plan);
  const contents = held.map((one) => ({
    ...one,
    damaged: (found: DamagedRead) => {
      damaged.add(found.file);
      one.damaged?.(found);
    },
  }));
  try {
    return await executeRecovery({ plan, machine: machine.id, contents, notes, options, progress, signal });
  } finally {
    for (const { release } of held) release();
  }
}

/** The plan with the bytes of data of each disk. */
export async function countData(
  machine: MachineRecovery['machine'],
  plan: RecoverPlan,
  signal: AbortSignal,
): Promise<RecoverPlan> {
  const contents = holdForThreads(machine, plan);
  const crew = new ExportCrew(contents);
  try {
    const disks: RecoverPlan['disks'] = [];
    for (const disk of plan.disks) {
      let dataBytes = 0;
      const index = contents[0]?.content.disks.findIndex(({ name }) => name === disk.name) ?? -1;
      const todo = Array.from({ length: stretchesOf(disk.size) }, (_, at) => at);
      const task = { kind: 'count', format: 'raw', fd: -1, allowDamaged: false } as const;
      await crew.run(
        { ...task, disk: index, todo, free: {} },
        (reply) => {
          if ('counted' in reply) dataBytes += reply.counted.dataBytes;
        },
        signal,
      );
      disks.push({ ...disk, dataBytes });
    }
    return { ...plan, disks };
  } finally {
    await crew.close();
    for (const held of contents) held.release();
  }
}

/** The same content once for each thread: what keeps it true speaks to one of them only. */
function holdForThreads(machine: MachineRecovery['machine'], { lsn, disks }: RecoverPlan): HeldContent[] {
  const contents: HeldContent[] = [];
  const threads = recoveryThreads(disks.map(({ size }) => size));
  try {
    for (let at = 0; at < threads; at++) contents.push(machine.hold(lsn));
  } catch (error) {
    for (const held of contents) held.release();
    throw error;
  }
  return contents;
}
