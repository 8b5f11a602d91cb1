// A whole chain as processes on this machine: configuration server, process server, master target, and
// sources.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import {
  connectControl,
  type ControlClient,
  type MachineStatus,
  type PointsReport,
} from '../../agent/control/client.ts';
import {
  connectConfigServer,
  type ConfigServerClient,
  type OperatorAccess,
} from '../../config-server/client.ts';
import { DaemonProcess } from './daemon-process.ts';
import { homeward, until, type Ended, type RunOptions } from './homeward.ts';
import { temporaryDirectory } from './temporary.ts';

export interface SourceDisk {
  name: string;
  /** Bytes of a new sparse file; left out for a file that is there. */
  size?: number;
  path?: string;
}

export interface Source {
  name: string;
  process: DaemonProcess;
  data: string;
  /** The front's socket. */
  socket: string;
  /** The files behind the disks. */
  files: Map<string, string>;
}

/** A test, or a benchmark that knows its own end. */
export type Owner = Pick<Test, 'teardown' | 'passing' | 'comment'>;

export interface SiteOptions {
  /** Where everything lies; a temporary directory when left out. */
  directory?: string;
  /** More arguments for each of them. */
  processServer?: readonly string[];
  masterTarget?: readonly string[];
  settings?: Record<string, string>;
}

/** Host names are `ps` and `mt`; everything listens on loopback, at ports that were free. */
export class ChainSite {
  readonly directory: string;
  readonly operator: string;
  readonly configServer: DaemonProcess;
  readonly processServer: DaemonProcess;
  readonly masterTarget: DaemonProcess;
  readonly sources = new Map<string, Source>();
  /** The master target's control socket: answers also while the configuration server is away. */
  readonly target: ControlClient;
  readonly #owner: Owner;
  #server: ConfigServerClient | null = null;
  #views = 0;

  private constructor(owner: Owner, options: SiteOptions) {
    this.#owner = owner;
    this.directory = options.directory ?? temporaryDirectory(owner);
    this.operator = this.at('cs', 'operator.json');
    this.target = connectControl(this.at('mt', 'control.sock'));
    owner.teardown(async () => {
      await this.target.close();
      await this.#server?.close();
    });
    const config = this.at('drscout.conf');
    const lines = Object.entries(options.settings ?? {}).map(([key, value]) => `${key} = ${value}\n`);
    fs.writeFileSync(config, `[homeward]\n${lines.join('')}`);
    this.configServer = this.daemon('the configuration server', ['config-server', '--data', this.at('cs')]);
    this.processServer = this.daemon('the process server', ['process-server', '--data', this.at('ps')]);
    this.masterTarget = this.daemon('the master target', [
      'master-target',
      '--data',
      this.at('mt'),
      '--config',
      config,
    ]);
    this.configServer.args = [...this.configServer.args, '--listen', '127.0.0.1:0'];
    this.processServer.args = [
      ...this.processServer.args,
      '--listen',
      '127.0.0.1:0',
      ...(options.processServer ?? []),
    ];
    this.masterTarget.args = [...this.masterTarget.args, ...(options.masterTarget ?? [])];
  }

  /** All three run, and the process server and the master target have joined. */
  static async start(owner: Owner, options: SiteOptions = {}): Promise<ChainSite> {
    const site = new ChainSite(owner, options);
    await site.configServer.start();
    const address = portOf(site.configServer.ready);
    // The next starts are at the same place.
    site.configServer.args = replaceListen(site.configServer.args, address);
    fs.writeFileSync(site.at('passphrase'), (await site.run('passphrase', 'show')).out, { mode: 0o600 });
    const enrol = ['--config-server', address, '--passphrase-file', site.at('passphrase')];
    for (const daemon of [site.processServer, site.masterTarget]) daemon.args = [...daemon.args, ...enrol];
    const started = Promise.all([site.processServer.start(), site.masterTarget.start()]);
    started.catch(() => undefined);
    await site.approveAll(2);
    await started;
    // A master target is ready before it has joined.
    await until('both to have joined', async () =>
      (await site.server.hosts()).every(({ state }) => state === 'joined'),
    );
    site.processServer.args = replaceListen(site.processServer.args, portOf(site.processServer.ready));
    return site;
  }

  at(...names: string[]): string {
    return path.join(this.directory, ...names);
  }
  get enrolment(): string[] {
    const args = this.masterTarget.args;
    return args.slice(args.indexOf('--config-server'), args.indexOf('--config-server') + 4);
  }

  /** What an operator asks, without a process for each question. */
  get server(): ConfigServerClient {
    const read = (): string => fs.readFileSync(this.operator, 'utf8');
    this.#server ??= connectConfigServer(JSON.parse(read()) as OperatorAccess);
    return this.#server;
  }

  /** Says yes to hosts until so many have been let in. */
  async approveAll(count: number): Promise<void> {
    let approved = 0;
    await until(`${count} hosts to ask`, async () => {
      for (const { id, state } of await this.server.hosts()) {
        if (state !== 'waiting') continue;
        await this.server.approveHost(id);
        approved += 1;
      }
      return approved >= count;
    });
  }

  /** One process server more, enrolled and approved; `id` is what `protect` calls it. */
  async otherProcessServer(directory: string): Promise<{ id: string; process: DaemonProcess }> {
    const before = new Set((await this.server.hosts()).map(({ id }) => id));
    const args = ['process-server', '--data', this.at(directory), '--listen', '127.0.0.1:0'];
    const daemon = this.daemon(`the process server ${directory}`, [...args, ...this.enrolment]);
    const started = daemon.start();
    started.catch(() => undefined);
    await this.approveAll(1);
    await started;
    daemon.args = replaceListen(daemon.args, portOf(daemon.ready));
    const found = (await this.server.hosts()).find(
      ({ id, role }) => role === 'process-server' && !before.has(id),
    );
    return { id: found?.id ?? '', process: daemon };
  }

  /** A mobility service; its front is ready when it resolves. Not protected yet. */
  async source(name: string, disks: readonly SourceDisk[], ...more: string[]): Promise<Source> {
    const socket = this.at(`${name}.sock`);
    const files = new Map(disks.map((disk) => [disk.name, disk.path ?? this.at(`${name}-${disk.name}.img`)]));
    for (const { name: disk, size } of disks) {
      const file = files.get(disk) ?? '';
      if (size === undefined) continue;
      fs.writeFileSync(file, '');
      fs.truncateSync(file, size);
    }
    const data = this.at(`source-${name}`);
    const named = [...files].flatMap(([disk, file]) => ['--disk', `${disk}=${file}`]);
    const args = ['mobility', '--data', data, '--machine', name, ...named, '--listen', `unix:${socket}`];
    const daemon = this.daemon(`the source ${name}`, [...args, ...this.enrolment, ...more]);
    const source: Source = { name, process: daemon, data, socket, files };
    this.sources.set(name, source);
    await daemon.start();
    return source;
  }

  /** Protects a machine and waits until its first copy is done. */
  async protect(name: string, ...more: string[]): Promise<void> {
    await this.protectOnly(name, ...more);
    await this.settled(name);
  }

  /** The machine is known when it resolves, and protected; its first copy goes on. */
  async protectOnly(name: string, ...more: string[]): Promise<void> {
    await until(`${name} to be known`, async () =>
      (await this.server.machines()).some((machine) => machine.name === name),
    );
    await this.ask('protect', name, ...more);
  }

  /** Everything that the source has numbered is durable at the master target, and no sync goes on. */
  async settled(name: string, timeoutMs = 60_000): Promise<MachineStatus> {
    const since = performance.now();
    let found: MachineStatus | null = null;
    await until(
      `${name} to be ok with nothing waiting`,
      async () => {
        const asked = performance.now();
        found = await this.status(name);
        if (found?.state !== 'ok') return false;
        const { backlog, rpoSeconds } = found;
        // A point that is younger than this call: what was written before it is there.
        const isOfNow = asked - (rpoSeconds ?? Infinity) * 1000 > since;
        return isOfNow && backlog.source === 0 && backlog.processServer === 0;
      },
      timeoutMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(found)}`);
    });
    return found as unknown as MachineStatus;
  }

  /** Null while the configuration server does not know the machine. */
  async status(name: string): Promise<MachineStatus | null> {
    const { machines } = await this.server.status();
    return machines.find((machine) => machine.name === name) ?? null;
  }

  points(name: string): Promise<PointsReport> {
    return this.server.control.points(name);
  }

  /** Opens a view on a socket of its own, by the configuration server. */
  async view(name: string, when: string): Promise<{ id: string; lsn: number; socket: string }> {
    this.#views += 1;
    const socket = this.at(`view-${this.#views}.sock`);
    const request = { machine: name, at: when, listen: `unix:${socket}`, writable: false, leaseMs: null };
    const report = await this.server.control.openView(request);
    return { ...report, socket };
  }

  run(...args: string[]): Promise<Ended> {
    return homeward([...args, '--operator', this.operator], this.#options());
  }

  /** A command that has to succeed, and its JSON document (the last line of long work). */
  async ask<T = unknown>(...args: string[]): Promise<T> {
    const { status, out, err } = await this.run(...args, '--json');
    if (status !== 0) throw new Error(`homeward ${args.join(' ')} ended with ${status}: ${err}`);
    return JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as T;
  }

  /** A command that has to fail: its exit status and what it says. */
  async refused(...args: string[]): Promise<{ status: number | null; code: string; message: string }> {
    const { status, out, err } = await this.run(...args, '--json');
    if (status === 0) throw new Error(`homeward ${args.join(' ')} ended with 0: ${out}`);
    const { error } = JSON.parse(err.trimEnd().split('\n').at(-1) ?? '') as {
      error: { code: string; message: string };
    };
    return { status, code: error.code, message: error.message };
  }

  /** The operator file of a first start goes into the test's own directory. */
  #options(): RunOptions {
    return { env: { HOME: this.directory } };
  }

  /** Another program of this site, killed when the test ends. */
  daemon(what: string, args: string[]): DaemonProcess {
    const daemon = new DaemonProcess({
      what,
      args: [...args, '--json'],
      env: { HOME: this.directory },
    });
    this.#owner.teardown(async () => {
      await daemon.kill();
      if (!this.#owner.passing()) this.#owner.comment(`${what}:\n${daemon.log.slice(-8000)}`);
    });
    return daemon;
  }
}

/** The address in a line that says ready. */
function portOf(ready: string): string {
  const port = /127\.0\.0\.1:(\d+)/.exec(ready)?.[1];
  if (port === undefined) throw new Error(`no address in ${ready}`);
  return `127.0.0.1:${port}`;
}

const replaceListen = (args: readonly string[], address: string): string[] =>
  args.map((arg, at) => (args[at - 1] === '--listen' ? address : arg));
