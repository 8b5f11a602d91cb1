// One daemon of ours as a process: started until it says `ready`, killed, started again; its log is counted
// by event.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

export const bin = path.resolve(import.meta.dirname, '../../bin/homeward');

export interface DaemonCommand {
  /** In messages. */
  what: string;
  args: readonly string[];
  env?: Record<string, string>;
}

export class DaemonProcess {
  readonly what: string;
  /** What the next start is given. */
  args: readonly string[];
  readonly #env: Record<string, string>;
  #child: ChildProcess | null = null;
  #log = '';
  #ready = '';
  readonly #events = new Map<string, number>();

  constructor({ what, args, env = {} }: DaemonCommand) {
    this.what = what;
    this.args = args;
    this.#env = env;
  }

  /** Everything it has logged, over all starts. */
  get log(): string {
    return this.#log;
  }
  /** The line that it said when it was ready last. */
  get ready(): string {
    return this.#ready;
  }
  /** How often it has logged an event, over all starts. */
  logged(event: string): number {
    return this.#events.get(event) ?? 0;
  }
  /** The newest line of an event, or an empty one. */
  lineOf(event: string): string {
    return this.#log.split('\n').findLast((line) => line.includes(` event=${event} `)) ?? '';
  }
  get pid(): number {
    return this.#child?.pid ?? 0;
  }
  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it; resolves when it says `ready`. */
  async start(): Promise<void> {
    const ended = this.launch();
    const child = this.#child;
    if (child?.stdout === null || child === null) throw new Error('a process without stdout');
    const failed = ended.then((how) => {
      throw new Error(`${this.what} ended with ${how} before it was ready: ${this.#log.slice(-2000)}`);
    });
    failed.catch(() => undefined);
    const lines = createInterface({ input: child.stdout });
    const isReady = new Promise<void>((resolve) => {
      lines.on('line', (line) => {
        if (!line.includes('ready')) return;
        this.#ready = line;
        resolve();
      });
    });
    await Promise.race([isReady, failed]);
  }

  /** Starts it without waiting; resolves with its exit status or signal when it has ended. */
  launch(): Promise<number | string> {
    const child = spawn(bin, this.args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // What a host is good for is not what these tests are about.
      env: { ...process.env, HOMEWARD_CHECK_AT_START: 'no', ...this.#env },
    });
    this.#child = child;
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.#log += `${line}\n`;
      const event = / event=(\S+)/.exec(line)?.[1] ?? '';
      this.#events.set(event, this.logged(event) + 1);
    });
    return once(child, 'exit').then(([status, signal]) => (status ?? signal) as number | string);
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** SIGTERM; resolves with its exit status. */
  async stop(): Promise<number | null> {
    return this.end('SIGTERM');
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (child === null) return null;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
    }
    this.#child = null;
    return child.exitCode;
  }
}
