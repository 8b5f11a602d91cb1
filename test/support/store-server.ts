// Starts serve-store.ts as a process of its own, and runs real NBD clients against it.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { temporaryDirectory } from './temporary.ts';

const script = fileURLToPath(new URL('serve-store.ts', import.meta.url));

export interface StoreServer {
  process: ChildProcess;
  /** A directory for the test's own files. */
  directory: string;
  /** For libnbd and qemu. */
  uri: string;
  socketPath: string;
}

/** Serves the export `disk0` on a Unix socket until the test ends; `args` are those of serve-store.ts. */
export async function startStoreServer(t: Test, ...args: string[]): Promise<StoreServer> {
  const directory = temporaryDirectory(t);
  const socketPath = path.join(directory, 'nbd.sock');
  const { child } = await startServing(t, `unix:${socketPath}`, args);
  return { process: child, directory, socketPath, uri: `nbd+unix:///disk0?socket=${socketPath}` };
}

/** Serves on any address; resolves with the one that it listens on. */
export async function startServing(
  t: Test,
  listen: string,
  args: string[],
): Promise<{ child: ChildProcess; address: string }> {
  const child = spawn(process.execPath, [script, '--listen', listen, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  const exited = once(child, 'exit').then(() => {
    throw new Error('serve-store.ts ended before it was ready');
  });
  exited.catch(() => undefined);
  const ready = once(createInterface(child.stdout), 'line');
  const [line] = (await Promise.race([ready, exited])) as [string];
  return { child, address: line.replace('ready ', '') };
}

export interface Ran {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end, for two minutes at most. */
export function run(program: string, ...args: string[]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: 120_000, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

/** Runs a program that has to succeed; returns what it printed. */
export async function succeed(program: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run(program, ...args);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr}${stdout}`);
  return stdout;
}
