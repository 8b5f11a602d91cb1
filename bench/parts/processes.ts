// Servers and commands under measurement: started, waited for, their processor time and memory read, ended.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { KiB } from '../../core/units.ts';

/** A tick of /proc/PID/stat, the same on every Linux that Node runs on. */
const tickSeconds = 0.01;
const sampleMs = 10;
const startMs = 20_000;
const stopMs = 30_000;

export interface Usage {
  cpuSeconds: number;
  /** The most memory the process ever had. */
  peakBytes: number;
}

export interface Server {
  pid: number;
  /** Ends it with SIGTERM and waits; throws when it has not ended in time. */
  stop(): Promise<void>;
  /** Ends it with SIGKILL and waits. */
  kill(): Promise<void>;
}

const running = new Set<ChildProcess>();

/** For the end of the program, however it comes. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Starts a server and resolves when `ready` does not give back false any more. */
export async function startServer(
  command: readonly string[],
  ready: (output: string) => boolean | Promise<boolean>,
  environment: Record<string, string> = {},
): Promise<Server> {
  const { child, output } = start(command, environment);
  const deadline = performance.now() + startMs;
  while (!(await ready(output()))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`${command.join(' ')} did not start: ${output()}`);
    }
    await delay(sampleMs);
  }
  const pid = child.pid ?? 0;
  return { pid, stop: () => stop(child, command), kill: () => kill(child) };
}

/** A port of this machine on which nothing listens just now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Whether something listens on a port of this machine. */
export async function portAnswers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Runs a command to its end; throws when it fails. */
export async function runCommand(
  command: readonly string[],
): Promise<{ output: string; seconds: number; usage: Usage }> {
  const from = performance.now();
  const { child, output } = start(command);
  let usage: Usage = { cpuSeconds: 0, peakBytes: 0 };
  const sampler = setInterval(() => {
    usage = tryUsageOf(child.pid ?? 0) ?? usage;
  }, sampleMs);
  let seconds = 0;
  child.once('exit', () => {
    seconds = (performance.now() - from) / 1000;
  });
  const [status] = await closed(child);
  clearInterval(sampler);
  if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}: ${output().slice(-2000)}`);
  return { output: output(), seconds, usage };
}

/** Processor time of the process and of the children it has waited for, and its peak of memory. */
export function usageOf(pid: number): Usage {
  const usage = tryUsageOf(pid);
  if (usage === null) throw new Error(`process ${pid} has ended`);
  return usage;
}

/** Memory of the process that is in use now. */
export function residentOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * KiB;
}

/** What the process has had written to disks since it started, and read from anywhere, caches included. */
export function ioOf(pid: number): { writtenBytes: number; readChars: number } {
  const text = fs.readFileSync(`/proc/${pid}/io`, 'latin1');
  const of = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1]);
  return { writtenBytes: of('write_bytes'), readChars: of('rchar') };
}

function tryUsageOf(pid: number): Usage | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in brackets may hold anything; utime is the 14th field, the 12th behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    // A process that has ended and is not waited for yet has no memory any more.
    return peak === undefined ? null : { cpuSeconds: ticks * tickSeconds, peakBytes: Number(peak) * KiB };
  } catch {
    return null;
  }
}

function start(
  command: readonly string[],
  environment: Record<string, string> = {},
): { child: ChildProcess; output: () => string } {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let output = '';
  running.add(child);
  const take = (text: Buffer): void => {
    output += text.toString();
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  child.once('error', (error) => {
    output += error.message;
  });
  child.once('close', () => running.delete(child));
  return { child, output: () => output };
}

async function stop(child: ChildProcess, command: readonly string[]): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = closed(child);
  child.kill('SIGTERM');
  const late = delay(stopMs, 'late' as const, { ref: false });
  if ((await Promise.race([ended, late])) !== 'late') return;
  child.kill('SIGKILL');
  throw new Error(`${command.join(' ')} did not end within ${stopMs / 1000} s of SIGTERM`);
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = closed(child);
  child.kill('SIGKILL');
  await ended;
}

function closed(child: ChildProcess): Promise<[status: number | null]> {
  return new Promise((resolve) => {
    child.once('error', () => resolve([null]));
    child.once('close', (status) => resolve([status]));
  });
}
