// A configuration server in this process, and hosts that enrol with it and say what they are told to.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import {
  connectConfigServer,
  type ConfigServerClient,
  type OperatorAccess,
} from '../../config-server/client.ts';
import { startDaemon, type RunningServer } from '../../config-server/daemon.ts';
import { hostClock, type Clock } from '../../core/clock.ts';
import type { SignedAssignment } from '../../core/identity/assignment.ts';
import type { HostIdentity, HostRole } from '../../core/identity/host-identity.ts';
import { createLog, type Log } from '../../core/log.ts';
import type { Heartbeat, SourceReport } from '../../core/registration/messages.ts';
import {
  ensureEnrolled,
  Registration,
  type RegistrationOptions,
} from '../../core/registration/registration.ts';
import { until } from './homeward.ts';
import { temporaryDirectory } from './temporary.ts';

export type Said = Omit<Heartbeat, 'version' | 'time'>;

export interface TestHost {
  identity: HostIdentity;
  /** What its heartbeats say from now on. */
  said: Said;
  /** What it was told last. */
  assignments: readonly SignedAssignment[];
  registration: Registration;
}

export interface HostOptions {
  said?: Partial<Said>;
  call?: NonNullable<RegistrationOptions['call']>;
  /** Where its clock is. */
  clock?: Clock;
  data?: string;
  passphraseFile?: string | null;
}

export class ConfigSite {
  readonly directory: string;
  readonly data: string;
  readonly logged: string[] = [];
  readonly #t: Test;
  readonly #log: Log;
  #server: RunningServer | null = null;
  #client: ConfigServerClient | null = null;

  private constructor(t: Test) {
    this.#t = t;
    this.directory = temporaryDirectory(t);
    this.data = path.join(this.directory, 'cs');
    this.#log = createLog('debug', (line) => this.logged.push(line));
  }

  static async start(t: Test, trusted: readonly string[] = []): Promise<ConfigSite> {
    const site = new ConfigSite(t);
    t.teardown(() => site.stop());
    await site.restart('127.0.0.1:0', trusted);
    return site;
  }

  /** Again, at the same address when none is given. */
  async restart(listen = this.address, trusted: readonly string[] = []): Promise<void> {
    await this.stop();
    this.#server = await startDaemon({
      data: this.data,
      listen,
      trusted: new Set(trusted),
      operator: { file: null, home: this.directory },
      log: this.#log,
      version: '0.1.0',
    });
    this.#client = connectConfigServer(this.operator);
  }

  async stop(): Promise<void> {
    await this.#client?.close();
    await this.#server?.stop();
    this.#client = null;
    this.#server = null;
  }

  get address(): string {
    return this.operator.address;
  }
  get operator(): OperatorAccess {
    return JSON.parse(fs.readFileSync(path.join(this.data, 'operator.json'), 'utf8')) as OperatorAccess;
  }
  get operatorFile(): string {
    return path.join(this.data, 'operator.json');
  }
  get client(): ConfigServerClient {
    if (this.#client === null) throw new Error('the configuration server does not run');
    return this.#client;
  }

  /** The enrolment of a host, which may have to wait. */
  enrol(role: HostRole, name: string, options: HostOptions = {}): Promise<HostIdentity> {
    const stopping = new AbortController();
    this.#t.teardown(() => stopping.abort());
    const { passphraseFile = path.join(this.data, 'passphrase') } = options;
    return ensureEnrolled({
      data: options.data ?? path.join(this.directory, `${role}-${name}`),
      configServer: this.address,
      clock: options.clock ?? hostClock(),
      log: this.#log,
      signal: stopping.signal,
      ...{ role, name, passphraseFile },
    });
  }

  /** Enrolled, approved where that is needed, and heard. */
  async host(role: HostRole, name: string, options: HostOptions = {}): Promise<TestHost> {
    const enrolled = this.enrol(role, name, options);
    if (role !== 'mobility') await this.approve(name);
    return this.report(await enrolled, options);
  }

  /** Says yes as soon as it asks. */
  async approve(which: string): Promise<void> {
    await until(`${which} to ask`, async () => {
      const hosts = await this.client.hosts();
      return hosts.some(({ id, name, state }) => (id === which || name === which) && state === 'waiting');
    });
    await this.client.approveHost(which);
  }

  /** Heartbeats and work of an enrolled host, until the test ends; resolves when it has been heard. */
  async report(identity: HostIdentity, { said, call, clock, data }: HostOptions = {}): Promise<TestHost> {
    const host: Omit<TestHost, 'registration'> = {
      identity,
      said: { addresses: [], disks: [], ...said },
      assignments: [],
    };
    const registration = new Registration({
      identity,
      data: data ?? path.join(this.directory, `${identity.role}-${identity.name}`),
      clock: clock ?? hostClock(),
      log: this.#log,
      heartbeat: async () => host.said,
      assignments: (signed) => {
        host.assignments = signed;
      },
      ...(call === undefined ? {} : { call }),
      heartbeatMs: 50,
    });
    registration.start();
    this.#t.teardown(() => registration.stop());
    await until(`${identity.name} to be heard`, () => registration.lastContactMs !== null);
    return Object.assign(host, { registration });
  }

  /** A process server, a master target and a source with the disk `root`, everybody heard. */
  async chain(machine = 'web'): Promise<{ spool: TestHost; target: TestHost; source: TestHost }> {
    const spool = await this.host('process-server', 'ps', { said: { addresses: ['127.0.0.1:9443'] } });
    const target = await this.host('master-target', 'mt');
    const source = await this.source(machine);
    return { spool, target, source };
  }

  source(machine: string, report: Partial<SourceReport> = {}, options: HostOptions = {}): Promise<TestHost> {
    const said = { source: sourceReport(machine, report) };
    return this.host('mobility', machine, { ...options, said });
  }
}

export const GiB = 1024 ** 3;

/** Of a machine with one disk, whose writes are all at the process server. */
export function sourceReport(name: string, report: Partial<SourceReport> = {}): SourceReport {
  return {
    machine: crypto.randomUUID(),
    name,
    disks: [{ name: 'root', size: 20 * GiB, kind: 'front' }],
    head: { lsn: 10, time: Date.now() * 1000, state: 'ok', backlogBytes: 0, dirtyBytes: 0, sync: null },
    connected: true,
    problem: null,
    ...report,
  };
}
