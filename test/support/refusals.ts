// Commands that have to fail, and what they say: the exit status, the code, the message and the hint.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Test } from 'tap';
import { run as runHere } from '../../cli/run.ts';
import { capturedIo } from './captured-io.ts';
import { homeward, type MasterTarget, type RunOptions } from './homeward.ts';

export interface Refusal {
  status: number | null;
  code: string;
  message: string;
  hint: string;
}

/** A daemon that must not start with these arguments. */
export async function startRefused(args: readonly string[], options?: RunOptions): Promise<Refusal> {
  const command = ['master-target', ...args, '--json'];
  const { status, out, err } = await homeward(command, { timeoutMs: 20_000, ...options });
  const line = err.split('\n').find((each) => each.startsWith('{"error"'));
  if (line === undefined) throw new Error(`homeward ${args.join(' ')} ended with ${status}: ${out}${err}`);
  return { status, ...(JSON.parse(line) as { error: Omit<Refusal, 'status'> }).error };
}

export type Expected = [args: string[], status: number, code: string, message: RegExp];

/** Puts each command to the daemon: it is refused in just this way, and says nothing on stdout. */
export async function allRefused(t: Test, target: MasterTarget, cases: readonly Expected[]): Promise<void> {
  for (const [args, status, code, message] of cases) {
    const about = args.join(' ').slice(0, 100);
    t.match(await refused(target, args), { status, out: '', code, message, hint: /\w/ }, about);
  }
}

/** The real command against the real daemon, but in this process: a hundred processes would take minutes. */
async function refused(target: MasterTarget, args: readonly string[]): Promise<unknown> {
  const io = capturedIo();
  const status = await runHere([...args, '--json', '--control', target.control], io);
  await nextTurn();
  return { status, out: io.out(), ...(JSON.parse(io.err()) as { error: object }).error };
}
