// Recovery in place: the cursor is pinned at a moment and moved there; records go on arriving, and nothing is
// given up.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HomewardError } from '../../core/errors.ts';
import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { OnProgress, RecoverPlan, RecoverReport } from '../control/service.ts';
import type { Cursor } from '../replica/cursor.ts';
import type { History } from '../replica/history.ts';

/** A machine whose cursor can be held. */
export interface Pinnable {
  readonly name: string;
  readonly cursor: Readonly<Cursor>;
  readonly history: History;
  readonly file: { disks: readonly { name: string; size: number }[] };
  moveCursor(change: Partial<Cursor>): void;
}

/** Looks after machines; `settled` resolves when it has looked at all of them once more. */
export interface Keeper {
  wake(): void;
  settled(): Promise<void>;
  problemOf(id: string): HomewardError | null;
}

/**
 * Throws 'conflict' when the cursor cannot go there: it can roll back only over redo that is there, and with
 * undo of all of it; or when the disks were others then.
 */
export function refuseUnreachable(machine: Pinnable, lsn: number, disks: readonly { size: number }[]): void {
  const { cursor, file, name, history } = machine;
  const cannot = `the replica of ${name} cannot go back to lsn:${lsn}`;
  if (isGone(cursor, lsn)) {
    throw new HomewardError('conflict', `${cannot}: writes after it are not kept one by one any more`, {
      hint:
        'Recover that moment to raw:, qcow2:, vmdk: or block:, open a view of it, or let the machine run ' +
        `from there: homeward hand-over ${name} --at lsn:${lsn} --run LISTEN`,
    });
  }
  const hole = history.undo.holes.find(({ from, to }) => from < cursor.lsn && to > lsn && to <= cursor.lsn);
  if (hole !== undefined) {
    throw new HomewardError('conflict', `${cannot}: undo of lsn:${hole.from} to lsn:${hole.to} is lost`, {
      hint: '`homeward verify` says what is damaged. Choose a later moment, or put the missing file back.',
    });
  }
  const same =
    disks.length === file.disks.length && disks.every(({ size }, at) => size === file.disks[at]?.size);
  if (same) return;
  const hint = 'Recover that moment to raw:, qcow2:, vmdk: or block:, which makes the disks of then.';
  throw new HomewardError('conflict', `at lsn:${lsn} ${name} had other disks than its replicas are`, {
    hint,
  });
}

/** The way back there leads over redo that has gone. */
const isGone = (cursor: Readonly<Cursor>, lsn: number): boolean => lsn < cursor.pruned && lsn < cursor.lsn;

export interface InPlace {
  machine: Pinnable & { readonly id: string };
  plan: RecoverPlan;
  keeper: Keeper;
  clock: Clock;
  log: Log;
  progress: OnProgress;
  signal: AbortSignal;
}

/** Resolves when the replica is the state at the plan's LSN. Interrupted, the pin is taken away again. */
export async function recoverInPlace(recovery: InPlace): Promise<RecoverReport> {
  const { machine, plan, clock, log } = recovery;
  const begun = clock.monotonicMs();
  const before = machine.history.writtenBytes;
  await movePinned(recovery);
  const bytesWritten = machine.history.writtenBytes - before;
  log.info('recovered-in-place', { machine: plan.machine, lsn: plan.lsn, bytesWritten });
  return { ...plan, bytesWritten, seconds: (clock.monotonicMs() - begun) / 1000 };
}

async function movePinned({ machine, plan, keeper, progress, signal }: InPlace): Promise<void> {
  const { lsn } = plan;
  const begin = machine.cursor.lsn;
  const total = Math.abs(lsn - begin);
  machine.moveCursor({ pin: lsn });
  while (machine.cursor.lsn !== lsn || machine.history.timeline.open !== null) {
    if (machine.cursor.pin !== lsn) {
      throw new HomewardError('conflict', `another command has taken the pin at lsn:${lsn} away`, {
        hint: `Nothing is lost; \`homeward status\` says where the replica of ${machine.name} is.`,
      });
    }
    if (signal.aborted) {
      machine.moveCursor({ pin: null });
      throw new HomewardError('interrupted', 'the recovery in place was interrupted; the cursor goes on', {
        hint: 'Nothing is lost: give it again when you like.',
      });
    }
    if (isGone(machine.cursor, lsn)) {
      // It went between the look at it and the pin, which keeps it from then on.
      machine.moveCursor({ pin: null });
      refuseUnreachable(machine, lsn, machine.file.disks);
    }
    keeper.wake();
    await keeper.settled();
    await nextTurn(); // others are served also where there is nothing to do
    const problem = keeper.problemOf(machine.id);
    if (problem !== null) throw problem;
    progress({ done: Math.min(Math.abs(machine.cursor.lsn - begin), total), total, what: machine.name });
  }
}

/** The cursor follows again; false when it was not held. */
export function unpin(machine: Pinnable): boolean {
  if (machine.cursor.pin === null) return false;
  machine.moveCursor({ pin: null });
  return true;
}
