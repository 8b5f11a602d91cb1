// Runs the operator's script before and after an application-consistent tag: bounded in time, its output in
// the log.
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';

export type ScriptStep = '--pre' | '--post';

/** `nothing`: it ended with status 3, there is nothing to be made consistent here. */
export type ScriptResult = { state: 'done' | 'nothing' } | { state: 'failed'; detail: string };

export interface ScriptOptions {
  path: string;
  log: Log;
  /** Instead of `limits.customScriptMs`. */
  limitMs?: number;
  /** Hears the process id, which is that of its group as well. */
  onBegun?: (pid: number) => void;
}

/** The exit status that says so. */
const nothingStatus = 3;
/** Between SIGTERM and SIGKILL, both to everything that the script has started. */
const graceMs = 2_000;
/** What it said is read for so long behind its end. */
const outputMs = 1_000;

/** Ends it when the signal is given or its time is over. Never rejects. */
export async function runScript(
  { path, log, limitMs = limits.customScriptMs, onBegun }: ScriptOptions,
  step: ScriptStep,
  signal?: AbortSignal,
): Promise<ScriptResult> {
  const line = (text: string): void => log.info('custom-script', { step, line: text });
  const end = await runBounded({ program: path, args: [step], limitMs, line, begun: onBegun }, signal);
  return end.status === nothingStatus ? { state: 'nothing' } : resultOf(end);
}

export interface BoundedCommand {
  program: string;
  args: readonly string[];
  limitMs: number;
  /** Hears what it says, up to `limits.customScriptBytes` of each of its outputs. */
  line(text: string): void;
  /** Hears its process id, which is that of its group as well. */
  begun?: ((pid: number) => void) | undefined;
}

/** How a program ended: with a status, or `detail` says why without one. */
export type BoundedEnd = { status: number } | { status: null; detail: string };

/** Runs a program of an operator, with everything it starts, bounded in time. Never rejects. */
export function runBounded(command: BoundedCommand, signal?: AbortSignal): Promise<BoundedEnd> {
  const { program, args, limitMs, line, begun } = command;
  if (signal?.aborted) return Promise.resolve({ status: null, detail: 'it was not begun any more' });
  return new Promise((resolve) => {
    let ended: string | null = null;
    let killTimer: NodeJS.Timeout | null = null;
    // A process group of its own, so that what it has started can be ended with it.
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
    if (child.pid !== undefined) begun?.(child.pid);
    readLines(child.stdout, line);
    readLines(child.stderr, line);
    const end = (why: string): void => {
      if (ended !== null) return;
      ended = why;
      killGroup(child, 'SIGTERM');
      killTimer = setTimeout(() => killGroup(child, 'SIGKILL'), graceMs);
    };
    const timer = setTimeout(() => end(`it did not end within ${limitMs / 1000} s`), limitMs);
    const aborted = (): void => end('the service stops');
    signal?.addEventListener('abort', aborted);
    const finish = (result: BoundedEnd): void => {
      clearTimeout(timer);
      if (killTimer !== null) clearTimeout(killTimer);
      signal?.removeEventListener('abort', aborted);
      resolve(result);
    };
    child.once('error', (error) => finish({ status: null, detail: error.message }));
    child.once('exit', (status, by) => {
      // Whatever it left behind goes with it, and its hold on our pipes.
      if (ended !== null) killGroup(child, 'SIGKILL');
      const cut = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, outputMs);
      child.once('close', () => clearTimeout(cut));
      if (ended === null && status !== null) finish({ status });
      else finish({ status: null, detail: ended ?? `it was ended by ${by}` });
    });
  });
}

/** A script that outlived its service: ended with all that it has started. */
export function endScript(path: string, pid: number): void {
  try {
    // The number may be another's by now.
    if (fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(path)) process.kill(-pid, 'SIGKILL');
  } catch {
    // There is none.
  }
}

/** Of a program whose status is 0 or a failure. */
export function resultOf(end: BoundedEnd): { state: 'done' } | { state: 'failed'; detail: string } {
  if (end.status === 0) return { state: 'done' };
  const detail = end.status === null ? end.detail : `it ended with status ${end.status}`;
  return { state: 'failed', detail };
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // There is nobody left in it.
  }
}

function readLines(output: Readable, hear: (line: string) => void): void {
  let bytes = 0;
  const lines = createInterface({ input: output });
  lines.on('line', (line) => {
    bytes += line.length;
    if (bytes <= limits.customScriptBytes) hear(line);
  });
  // Its end is cut off when the script has ended.
  output.on('error', () => lines.close());
}
