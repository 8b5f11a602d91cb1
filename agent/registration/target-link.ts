// A master target's link to the configuration server: enrols in the background, then reports and takes work.
import { hostname } from 'node:os';
import type { Clock } from '../../core/clock.ts';
import { toHomewardError, type HomewardError } from '../../core/errors.ts';
import type { SignedAssignment } from '../../core/identity/assignment.ts';
import { parseAddress } from '../../core/identity/address.ts';
import { HostRole, type HostIdentity } from '../../core/identity/host-identity.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { TargetReport } from '../../core/registration/messages.ts';
import { Pause } from '../../core/registration/pause.ts';
import { ensureEnrolled, Registration } from '../../core/registration/registration.ts';
import { readHostDisks } from './host-disks.ts';
import { callServer, type CallServer } from './serve-call.ts';

export interface TargetLinkOptions {
  data: string;
  /** `HOST:PORT`. */
  configServer: string;
  passphraseFile: string | null;
  /** What people call this host; its host name when left out. */
  name?: string;
  /** What people see of where this host is: nobody calls it there. */
  addresses: readonly string[];
  /** Where the control socket answers: calls of operators are served there. */
  control: string;
  clock: Clock;
  log: Log;
  report(): Promise<TargetReport>;
  /** Called once, when this host has an identity. */
  enrolled(identity: HostIdentity): Promise<void>;
  assignments(signed: readonly SignedAssignment[]): Promise<void>;
}

export interface LinkReport {
  /** As it was given. */
  configServer: string;
  hostId: string | null;
  /** Seconds since the configuration server answered, or null. */
  contactSeconds: number | null;
  /** Why this host has not enrolled, or null. */
  problem: HomewardError | null;
}

/**
 * Nothing of it rejects: a master target serves and recovers whatever happens to the configuration server.
 */
export class TargetLink {
  readonly #options: TargetLinkOptions;
  readonly #stopping = new AbortController();
  readonly #pause = new Pause();
  readonly #calls: CallServer;
  #identity: HostIdentity | null = null;
  #registration: Registration | null = null;
  #problem: HomewardError | null = null;
  #enrolling: Promise<void> | null = null;

  /** Throws 'usage' for what is no address. */
  constructor(options: TargetLinkOptions) {
    parseAddress(options.configServer);
    this.#options = options;
    this.#calls = callServer(options.control);
  }

  start(): void {
    this.#enrolling ??= this.#run();
  }

  get report(): LinkReport {
    const contact = this.#registration?.lastContactMs ?? null;
    return {
      configServer: this.#options.configServer,
      hostId: this.#identity?.hostId ?? null,
      contactSeconds: contact === null ? null : contact / 1000,
      problem: this.#problem,
    };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#pause.cut();
    await this.#enrolling;
    await this.#registration?.stop();
    await this.#calls.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#begin(signal);
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        const error = toHomewardError(thrown);
        const isNew = this.#problem?.code !== error.code;
        this.#problem = error;
        if (isNew) this.#options.log.error('not-enrolled', { code: error.code, error, hint: error.hint });
        await this.#pause.wait(limits.enrolRetryMs);
      }
    }
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const { data, configServer, passphraseFile, clock, log } = this.#options;
    const identity = await ensureEnrolled({
      data,
      role: HostRole.masterTarget,
      name: this.#options.name ?? hostname(),
      configServer,
      passphraseFile,
      clock,
      log,
      signal,
    });
    await this.#options.enrolled(identity);
    this.#identity = identity;
    this.#problem = null;
    this.#registration = new Registration({
      identity,
      data,
      clock,
      log,
      heartbeat: async () => ({
        addresses: [...this.#options.addresses],
        disks: readHostDisks(),
        target: await this.#options.report(),
      }),
      assignments: (signed) => this.#options.assignments(signed),
      call: (call) => this.#calls.serve(call),
    });
    this.#registration.start();
  }
}
