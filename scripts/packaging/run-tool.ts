// Runs one program of the build to its end; what it says comes back, or is in the error.
import { spawnSync } from 'node:child_process';

export interface ToolOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
}

/** Its stdout. Nothing is asked of a terminal, and sorting is that of bytes. */
export function runTool(program: string, args: readonly string[], options: ToolOptions = {}): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  });
  if (error !== undefined) throw new Error(`${program} could not be run`, { cause: error });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}:\n${stderr}${stdout}`);
  return stdout;
}
