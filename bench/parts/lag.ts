// Where the cursor of a machine stands before, in the middle of and behind a run.
import { setTimeout as delay } from 'node:timers/promises';
import type { MachineStatus } from '../../agent/control/client.ts';
import { formatSize, GiB } from '../../core/units.ts';
import type { BenchTarget } from './master-target.ts';

const pollMs = 100;

/** Where the cursor stood at three moments of a run. */
export interface Lag {
  begin: MachineStatus;
  half: MachineStatus;
  end: MachineStatus;
}

/** Runs `work` and looks at the cursor before, in the middle of it, and right behind it. */
export async function watchLag<T>(
  target: BenchTarget,
  work: () => Promise<T>,
): Promise<{ result: T; lag: Lag }> {
  const begin = await target.status();
  const seen: MachineStatus[] = [];
  const ended = new AbortController();
  const watching = watch();
  const result = await work();
  const end = await target.status();
  ended.abort();
  await watching;
  return { result, lag: { begin, half: halfOf(seen, begin, end), end } };

  async function watch(): Promise<void> {
    while (!ended.signal.aborted) {
      seen.push(await target.status());
      await delay(pollMs);
    }
  }
}

/** The status at which half of the records had come. */
function halfOf(seen: readonly MachineStatus[], begin: MachineStatus, end: MachineStatus): MachineStatus {
  const middle = (begin.headLsn + end.headLsn) / 2;
  return seen.find(({ headLsn }) => headLsn >= middle) ?? end;
}

/** In words, as the table carries it. */
export function describeLag(target: BenchTarget, { begin, half, end }: Lag): string {
  const one = (name: string, at: MachineStatus): string =>
    `${name} head ${at.headLsn} applied ${at.appliedLsn} redo ${(at.redoBytes / GiB).toFixed(2)} GiB`;
  const grew = target.overdue(end) - target.overdue(half);
  const verdict =
    grew > 0
      ? `the lag grew by ${formatSize(grew)} in the second half`
      : 'the lag did not grow in the second half';
  return `${one('begin', begin)}; ${one('half', half)}; ${one('end', end)}: ${verdict}`;
}
