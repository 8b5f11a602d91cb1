// A master target for a run: the program as it is shipped, in directories of its own, with one machine.
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectControl, type ControlClient, type MachineStatus } from '../../agent/control/client.ts';
import { ioOf, startServer, type Server } from './processes.ts';

export const machine = 'bench';
export const disk = 'disk0';

const program = fileURLToPath(new URL('../../bin/homeward', import.meta.url));
/** So long without the cursor moving, and it does not catch up. */
const settleMs = 120_000;
const pollMs = 100;
/** Housekeeping has ended when nothing was written for so long. */
const quietMs = 3_000;

export type Settings = Readonly<Record<string, string>>;

/** The two ends of what `ReplicaLag` can be, as rows 8, 9, 11, 12 and 14 have them. */
export const lagModes: readonly { name: string; follows: boolean; settings: Settings }[] = [
  {
    name: 'replica trails by the window',
    follows: false,
    settings: { ReplicaLag: '24h', WindowHours: '24h', KeepRules: 'none' },
  },
  { name: 'replicaLag 0', follows: true, settings: { ReplicaLag: '0', WindowHours: '24h' } },
];

export interface TargetOptions {
  diskBytes: number;
  settings?: Settings;
  environment?: Record<string, string>;
  /** What is written before `control.seeded` is the first copy. */
  seeding?: boolean;
}

export class BenchTarget {
  readonly directory: string;
  readonly uri: string;
  /** Where its disk is written. */
  readonly socket: string;
  readonly #environment: Record<string, string>;
  #settings: Settings = {};
  #server: Server | null = null;
  #control: ControlClient | null = null;

  private constructor(directory: string, environment: Record<string, string>) {
    this.directory = directory;
    this.#environment = environment;
    this.socket = join(directory, 'in.sock');
    this.uri = nbdUri(this.socket, disk);
  }

  /** With one machine of one disk, open for writing. Without settings it keeps every write of the run. */
  static async start(directory: string, options: TargetOptions): Promise<BenchTarget> {
    const { diskBytes, settings = {}, environment = {}, seeding = false } = options;
    fs.mkdirSync(directory);
    const target = new BenchTarget(directory, environment);
    await target.restart(settings);
    await target.openMachine({ name: machine, socket: target.socket, diskBytes, seeding });
    return target;
  }

  get server(): Server {
    if (this.#server === null) throw new Error('the master target is not running');
    return this.#server;
  }

  get control(): ControlClient {
    if (this.#control === null) throw new Error('the master target is not running');
    return this.#control;
  }

  /** Begins anew on the same directories; resolves when the program says that it is ready. */
  async restart(settings: Settings = this.#settings): Promise<void> {
    await this.#end('SIGTERM');
    this.#settings = settings;
    const config = join(this.directory, 'drscout.conf');
    const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
    fs.writeFileSync(config, `[homeward]\n${lines.join('')}`);
    const data = join(this.directory, 'data');
    const command = [program, 'master-target', '--data', data, '--config', config];
    this.#server = await startServer(command, (output) => /\bready\b/.test(output), this.#environment);
    this.#control = connectControl(join(data, 'control.sock'));
  }

  /** As a crash of the program does. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async openMachine(one: {
    name: string;
    socket: string;
    diskBytes: number;
    seeding: boolean;
  }): Promise<void> {
    const { name, socket, diskBytes, seeding } = one;
    const disks = [{ name: disk, sizeBytes: diskBytes }];
    await this.control.openIngest({ machine: name, disks, listen: `unix:${socket}`, seeding });
  }

  async status(): Promise<MachineStatus> {
    const { machines } = await this.control.status();
    const status = machines.find(({ name }) => name === machine);
    if (status === undefined) throw new Error('the machine is not in the status');
    return status;
  }

  /** Bytes of redo that should have been applied by now. */
  overdue({ redoBytes, headLsn, appliedLsn }: MachineStatus): number {
    if (this.#settings['ReplicaLag'] === '0') return appliedLsn === headLsn ? 0 : redoBytes;
    const most = Number(this.#settings['WindowMaxBytes'] ?? 0);
    return most === 0 ? 0 : Math.max(0, redoBytes - most);
  }

  /** Waits until apply has nothing left to do, so that it does not work beside what is measured next. */
  async settle(): Promise<void> {
    let deadline = performance.now() + settleMs;
    let last = -1;
    for (;;) {
      const status = await this.status();
      if (this.overdue(status) === 0 && status.durableLsn === status.headLsn) return;
      if (status.appliedLsn !== last) deadline = performance.now() + settleMs;
      last = status.appliedLsn;
      if (performance.now() > deadline) throw new Error('apply does not catch up');
      await delay(pollMs);
    }
  }

  /** Settled, and what can wait (tables of undo, hashes) is done, too. */
  async quiet(): Promise<void> {
    await this.settle();
    await this.rest();
  }

  /** Wherever the cursor stands: nothing has been read or written for a while. */
  async rest(): Promise<void> {
    let written = -1;
    for (let since = performance.now(); performance.now() - since < quietMs;) {
      const { writtenBytes, readChars } = ioOf(this.server.pid);
      // The question itself is read from a socket, which is not counted in megabytes.
      const now = writtenBytes + Math.floor(readChars / 1e6);
      if (now !== written) since = performance.now();
      written = now;
      await delay(pollMs);
    }
  }

  /** A view of the machine at `lsn`; its disk is read at `path`. */
  async openView(lsn: number): Promise<{ id: string; path: string; uri: string }> {
    const path = join(this.directory, 'view.sock');
    const { id } = await this.control.openView({
      machine,
      at: `lsn:${lsn}`,
      listen: `unix:${path}`,
      writable: false,
      leaseMs: null,
    });
    return { id, path, uri: nbdUri(path, disk) };
  }

  /** The command line of a client of this master target. */
  command(...args: readonly string[]): string[] {
    return [program, '--control', join(this.directory, 'data', 'control.sock'), '--json', ...args];
  }

  /** Recovers the machine at `lsn` to files in `directory`. */
  recoverCommand(lsn: number, format: 'raw' | 'qcow2' | 'vmdk', directory: string): string[] {
    return this.command('recover', machine, '--at', `lsn:${lsn}`, '--to', `${format}:${directory}`);
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    fs.rmSync(this.directory, { recursive: true });
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const [control, server] = [this.#control, this.#server];
    this.#control = null;
    this.#server = null;
    await control?.close();
    if (signal === 'SIGKILL') await server?.kill();
    else await server?.stop();
  }
}

export const nbdUri = (socket: string, name = ''): string => `nbd+unix:///${name}?socket=${socket}`;
