// A host's link to the configuration server: enrols once, then heartbeats, takes work and answers calls.
import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { errorTable, ExitStatus, toHomewardError, type ErrorCode, type HomewardError } from '../errors.ts';
import type { SignedAssignment } from '../identity/assignment.ts';
import type { HostIdentity } from '../identity/host-identity.ts';
import { checkAnswer, httpClient, type HttpClient } from '../identity/http-client.ts';
import { limits } from '../limits.ts';
import type { Log } from '../log.ts';
import { readVersion } from '../version.ts';
import { AssignmentDelivery } from './assignment-delivery.ts';
import { CallDesk, type CallAnswer } from './call-desk.ts';
import { briefly, readCheckSummary } from './check-summary.ts';
import { CertificateRenewal } from './certificate-renewal.ts';
import { heartbeatAnswerSchema, hostWorkSchema, type Heartbeat, type HostCall } from './messages.ts';
import { Pause, retryDelay, unlessAborted } from './pause.ts';

export { ensureEnrolled, type EnrolOptions } from './ensure-enrolled.ts';

export interface RegistrationOptions {
  /** A renewed certificate is put into it, and into DATA/identity. */
  identity: HostIdentity;
  /** The daemon's data directory. */
  data: string;
  clock: Clock;
  log: Log;
  /** What the next heartbeat says. */
  heartbeat(): Promise<Omit<Heartbeat, 'version' | 'time'>>;
  /**
   * Called with everything assigned whenever that changes; the caller checks signatures with its book. Called
   * again with the next heartbeat when it failed.
   */
  assignments(signed: readonly SignedAssignment[]): Promise<void> | void;
  /** Serves a call; the answer is streamed to the operator. Left out: the host serves none. */
  call?(call: HostCall): Promise<CallAnswer>;
  /** The certificate was renewed: servers of this host have to show it from now on. */
  renewed?(): void;
  heartbeatMs?: number;
}

/** Goes on by itself whatever happens to the configuration server; nothing here rejects. */
export class Registration {
  readonly #options: RegistrationOptions;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #heartbeatMs: number;
  readonly #version = readVersion();
  /** Tells the server that an older run of this program will not answer the calls that it took. */
  readonly #run = randomUUID();
  readonly #stopping = new AbortController();
  readonly #client: HttpClient;
  readonly #calls: CallDesk | null;
  readonly #delivery: AssignmentDelivery;
  readonly #renewal: CertificateRenewal;
  readonly #beatPause = new Pause();
  readonly #workPause = new Pause();
  #loops: Promise<unknown> = Promise.resolve();
  #lastContact: number | null = null;
  #skewUs: number | null = null;
  #clockWarned = false;
  /** The daemon failed to say anything; logged once. */
  #silent = false;
  /** Why the last heartbeat failed, or null. */
  #lost: ErrorCode | null = null;
  #revision = 0;

  constructor(options: RegistrationOptions) {
    const { identity, log, clock } = options;
    this.#options = options;
    this.#log = log;
    this.#clock = clock;
    this.#heartbeatMs = options.heartbeatMs ?? limits.heartbeatMs;
    this.#client = httpClient({ ...identity.configServer, identity, expect: { role: 'config-server' } });
    const { signal } = this.#stopping;
    this.#calls =
      options.call === undefined ? null : new CallDesk(this.#client, options.call.bind(options), log, signal);
    this.#delivery = new AssignmentDelivery(options.assignments.bind(options), log);
    this.#renewal = new CertificateRenewal({ ...options, client: this.#client, signal });
  }

  start(): void {
    this.#loops = Promise.all([this.#beat(), this.#work()]);
  }

  /** Milliseconds of the monotonic clock since the last answer, or null. */
  get lastContactMs(): number | null {
    return this.#lastContact === null ? null : this.#clock.monotonicMs() - this.#lastContact;
  }
  /** How far the server's clock is ahead, in microseconds, at the last heartbeat; null before. */
  get skewUs(): number | null {
    return this.#skewUs;
  }
  /** Sends a heartbeat now: something changed that others wait for. */
  wake(): void {
    this.#beatPause.cut();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#beatPause.cut();
    this.#workPause.cut();
    await this.#client.close();
    await this.#loops;
    await this.#calls?.ended();
    await this.#delivery.ended();
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #beat(): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      const begun = this.#clock.monotonicMs();
      const answered = await this.#heartbeat();
      failures = answered ? 0 : failures + 1;
      const delay = answered
        ? this.#heartbeatMs
        : retryDelay(failures, this.#heartbeatMs, limits.serverRetryMs);
      await this.#beatPause.wait(delay);
      // However often it is woken, it does not fill the network.
      const soonest = limits.heartbeatLeastMs - (this.#clock.monotonicMs() - begun);
      if (soonest > 0 && !this.#stopped) await this.#beatPause.wait(soonest);
    }
  }

  /** Whether there was an answer. */
  async #heartbeat(): Promise<boolean> {
    const said = await this.#gather();
    if (said === null) return false;
    const sent = this.#clock.now();
    try {
      const answer = await this.#client.json({
        method: 'POST',
        path: '/api/v1/host/heartbeat',
        body: { version: this.#version, time: sent, ...said, ...this.#checks() } satisfies Heartbeat,
        signal: this.#stopping.signal,
      });
      const { time, revision } = checkAnswer(heartbeatAnswerSchema, answer, this.#client.address);
      this.#noteClock(time - (sent + this.#clock.now()) / 2);
      this.#noteContact();
      // A server that was set up from an older copy begins with lower revisions.
      if (revision < this.#revision) this.#revision = 0;
    } catch (error) {
      if (!this.#stopped) this.#noteLost(toHomewardError(error));
      return false;
    }
    this.#delivery.retry();
    await this.#renewal.renewWhenDue();
    return true;
  }

  /** What `homeward check` has found on this host, once it was run. */
  #checks(): Pick<Heartbeat, 'checks'> {
    const checks = readCheckSummary(this.#options.data);
    return checks === null ? {} : { checks: briefly(checks) };
  }

  /** What the daemon says, or null when it cannot. */
  async #gather(): Promise<Awaited<ReturnType<RegistrationOptions['heartbeat']>> | null> {
    try {
      const said = await unlessAborted(this.#options.heartbeat(), this.#stopping.signal);
      this.#silent = false;
      return said;
    } catch (error) {
      if (!this.#silent && !this.#stopped)
        this.#log.error('heartbeat-failed', { error: toHomewardError(error) });
      this.#silent = true;
      return null;
    }
  }

  async #work(): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      try {
        await this.#takeWork();
        failures = 0;
      } catch (error) {
        failures += 1;
        if (this.#stopped) return;
        // That nobody answers is what the heartbeat finds too, and says.
        const known = toHomewardError(error);
        if (failures === 1 && errorTable[known.code].exit !== ExitStatus.unreachable) {
          this.#log.warn('work-not-received', { server: this.#client.address, error: known });
        }
        await this.#workPause.wait(retryDelay(failures, this.#heartbeatMs, limits.serverRetryMs));
      }
    }
  }

  async #takeWork(): Promise<void> {
    const answer = await this.#client.json({
      method: 'GET',
      path: `/api/v1/host/work?after=${this.#revision}&waitMs=${limits.workAskMs}&run=${this.#run}`,
      signal: this.#stopping.signal,
      timeoutMs: limits.workAskMs + limits.serverAnswerMs,
    });
    const work = checkAnswer(hostWorkSchema, answer, this.#client.address);
    this.#calls?.take(work.calls);
    this.#delivery.offer(work.assignments);
    this.#revision = work.revision;
  }

  #noteContact(): void {
    this.#lastContact = this.#clock.monotonicMs();
    if (this.#lost === null) return;
    this.#lost = null;
    this.#log.info('config-server-back', { server: this.#client.address });
    this.#workPause.cut();
  }

  #noteLost(error: HomewardError): void {
    // What was away and now says no is news; the ways of being away are not.
    const away = errorTable[error.code].exit === ExitStatus.unreachable;
    if (this.#lost === error.code || (this.#lost !== null && away)) return;
    this.#lost = error.code;
    const fields = { server: this.#client.address, code: error.code, error };
    if (away) this.#log.warn('config-server-lost', fields);
    else this.#log.error('config-server-lost', { ...fields, hint: error.hint });
  }

  #noteClock(skewUs: number): void {
    this.#skewUs = Math.round(skewUs);
    const apart = Math.abs(skewUs) > limits.clockSkewMs * 1000;
    if (apart && !this.#clockWarned) {
      const aheadSeconds = Math.round(skewUs / 1_000_000);
      this.#log.warn('clock-apart', { server: this.#client.address, aheadSeconds });
    }
    this.#clockWarned = apart;
  }
}
