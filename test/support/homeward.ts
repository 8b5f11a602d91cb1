// `bin/homeward` as users run it: single commands, and a master target as a process that can be killed and
// started again.
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import {
  connectControl,
  type ControlClient,
  type MachineStatus,
  type ViewReport,
} from '../../agent/control/client.ts';
import { bin, DaemonProcess } from './daemon-process.ts';
import { temporaryDirectory } from './temporary.ts';

/** Nothing that a test asks for takes longer; a client that hangs is a failure with a name. */
const commandMs = 60_000;

export interface Ended {
  status: number | null;
  out: string;
  err: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** Called with the process as soon as there is one. */
  onStart?: (child: ChildProcess) => void;
  timeoutMs?: number;
}

/** Runs a program to its end, whatever its status. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      timeout: options.timeoutMs ?? commandMs,
      killSignal: 'SIGKILL',
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      out += piece;
    });
    child.stderr.setEncoding('utf8').on('data', (piece: string) => {
      err += piece;
    });
    options.onStart?.(child);
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, out, err }));
  });
}

/** Runs a program that has to end with 0, and gives back its stdout. */
export async function runOk(program: string, args: readonly string[], options?: RunOptions): Promise<string> {
  const { status, out, err } = await run(program, args, options);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${err}${out}`);
  return out;
}

/** One `homeward` command. */
export function homeward(args: readonly string[], options?: RunOptions): Promise<Ended> {
  return run(bin, args, options);
}

/** Names of settings to their values, as in the file. */
export type Settings = Record<string, string>;

/** `homeward master-target` on a data directory of its own; it is killed when the test ends. */
export class MasterTarget {
  readonly directory: string;
  readonly data: string;
  readonly control: string;
  /** The control socket without a process for each question, where many are asked. */
  readonly client: ControlClient;
  readonly #config: string;
  readonly process: DaemonProcess;
  #views = 0;

  private constructor(directory: string, settings: Settings) {
    this.directory = directory;
    this.data = path.join(directory, 'data');
    this.control = path.join(this.data, 'control.sock');
    this.#config = path.join(directory, 'drscout.conf');
    this.client = connectControl(this.control);
    const args = ['master-target', '--data', this.data, '--config', this.#config];
    this.process = new DaemonProcess({ what: 'the master target', args });
    this.configure(settings);
  }

  /** Started and ready. */
  static async start(t: Test, settings: Settings = {}): Promise<MasterTarget> {
    const target = new MasterTarget(temporaryDirectory(t), settings);
    // Before the directory goes: teardowns run last in, first out.
    t.teardown(async () => {
      await target.client.close();
      await target.kill();
      if (!t.passing()) t.comment(target.log);
    });
    await target.restart();
    return target;
  }

  /** What the next start reads. */
  configure(settings: Settings): void {
    const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
    fs.writeFileSync(this.#config, `[homeward]\n${lines.join('')}`);
  }

  /** Everything it has logged, over all starts. */
  get log(): string {
    return this.process.log;
  }
  /** How often it has logged an event, over all starts. */
  logged(event: string): number {
    return this.process.logged(event);
  }
  get pid(): number {
    return this.process.pid;
  }
  inData(...names: string[]): string {
    return path.join(this.data, ...names);
  }
  inDirectory(...names: string[]): string {
    return path.join(this.directory, ...names);
  }

  /** Starts it again; resolves when it says `ready`. */
  async restart(): Promise<void> {
    await this.process.start();
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.process.kill();
  }

  /** SIGTERM; resolves with its exit status. */
  async stop(): Promise<number | null> {
    return this.process.stop();
  }

  /** A command that is put to this master target. */
  command(args: readonly string[], options?: RunOptions): Promise<Ended> {
    return homeward([...args, '--control', this.control], options);
  }

  /** A command that has to succeed, and its JSON document (the last line of long work). */
  async ask<T = unknown>(...args: string[]): Promise<T> {
    const { status, out, err } = await this.command([...args, '--json']);
    if (status !== 0) throw new Error(`homeward ${args.join(' ')} ended with ${status}: ${err}`);
    return JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as T;
  }

  /** A command that has to fail: its exit status and what it says. */
  async refused(...args: string[]): Promise<{ status: number | null; code: string; message: string }> {
    const { status, out, err } = await this.command([...args, '--json']);
    if (status === 0) throw new Error(`homeward ${args.join(' ')} ended with 0: ${out}`);
    const { error } = JSON.parse(err.trimEnd().split('\n').at(-1) ?? '') as {
      error: { code: string; message: string };
    };
    return { status, code: error.code, message: error.message };
  }

  /** Opens direct ingest on a Unix socket, whose path comes back. Disks are spelled NAME=SIZE. */
  async ingest(machine: string, disks: readonly string[], ...more: string[]): Promise<string> {
    const socket = this.inDirectory(`${machine}.sock`);
    const named = disks.flatMap((disk) => ['--disk', disk]);
    await this.ask('ingest', 'open', machine, ...named, '--listen', `unix:${socket}`, ...more);
    return socket;
  }

  async status(machine: string): Promise<MachineStatus> {
    const { machines } = await this.client.status();
    const found = machines.find(({ name }) => name === machine);
    if (found === undefined) throw new Error(`no machine ${machine}`);
    return found;
  }

  /** Opens a view on a socket of its own. */
  async view(machine: string, when: string): Promise<ViewReport & { socket: string }> {
    this.#views += 1;
    const socket = this.inDirectory(`view-${this.#views}.sock`);
    const listen = `unix:${socket}`;
    const report = await this.client.openView({ machine, at: when, listen, writable: false, leaseMs: null });
    return { ...report, socket };
  }

  async closeView(id: string): Promise<void> {
    await this.client.closeViews({ id });
  }
}

/** How NBD clients spell an export on a Unix socket. */
export function nbdUri(socket: string, name: string): string {
  return `nbd+unix:///${name}?socket=${socket}`;
}

/** Resolves when `condition` holds; asked again and again until then. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
