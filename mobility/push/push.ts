// Keeps a stream to the process server of an assignment, whatever happens to the network.
import { setTimeout as delay } from 'node:timers/promises';
import { openChain } from '../../core/chain/open-chain.ts';
import type { Head, Note, Relay, Welcome } from '../../core/chain/messages.ts';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Assignment, SignedAssignment } from '../../core/identity/assignment.ts';
import type { HostIdentity } from '../../core/identity/host-identity.ts';
import type { Log } from '../../core/log.ts';
import { machineBytes, machineMark } from '../../core/record/record.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { Backoff } from './backoff.ts';
import { PushStream } from './push-stream.ts';

/** Who hears what happens on the stream. */
export interface PushListener {
  /** The process server answered. Called before anything is sent; what it throws ends the stream. */
  welcomed(welcome: Welcome): void;
  disconnected(problem: HomewardError): void;
  note(note: Note): void;
  relay(relay: Relay): void;
  /** What a head says beside its position. */
  describe(): Pick<Head, 'state' | 'dirtyBytes' | 'sync' | 'scan'>;
  /** As of when everything up to `lsn` is, if the records alone say `time`. */
  asOf(lsn: number, time: number): number;
}

export interface PushOptions {
  identity: HostIdentity;
  assignment: Assignment;
  signed: SignedAssignment;
  version: string;
  compress: boolean;
  outbox: Outbox;
  listener: PushListener;
  log: Log;
  open?: typeof openChain;
  backoff?: Backoff;
}

/**
 * From `start` to `stop` there is a stream, or an attempt to have one. After any break it goes on where it
 * stopped.
 */
export class Push {
  readonly #options: PushOptions;
  readonly #ended = new AbortController();
  readonly #backoff: Backoff;
  #stream: PushStream | null = null;
  #running: Promise<void> = Promise.resolve();
  /** The same trouble over and over is logged once. */
  #loggedCode: string | null = null;
  /** Of the stream of the moment, once it was welcomed. */
  #welcomedAt: { spooled: number; ms: number } | null = null;
  /** Streams begin and break with nothing got across: they are tried ever less often, and logged once. */
  #flapping = false;

  constructor(options: PushOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
  }

  start(): void {
    this.#options.outbox.onRecords = () => this.#stream?.pump();
    this.#running = this.#run();
  }

  get connected(): boolean {
    return this.#stream?.welcomedYet ?? false;
  }

  /** False when there is no stream just now. */
  sendNote(note: Note): boolean {
    if (!this.connected) return false;
    this.#stream?.sendNote(note);
    return true;
  }
  sendRelay(relay: Relay): boolean {
    if (!this.connected) return false;
    this.#stream?.sendRelay(relay);
    return true;
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    this.#stream?.end(null);
    await this.#running;
    this.#options.outbox.onRecords = () => undefined;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      this.#welcomedAt = null;
      const problem = await this.#attempt(signal);
      if (signal.aborted) return;
      this.#judge();
      this.#say(problem);
      this.#options.listener.disconnected(problem);
      await delay(this.#backoff.next(), undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** One stream from beginning to end; gives back why it ended. Never rejects. */
  async #attempt(signal: AbortSignal): Promise<HomewardError> {
    const { identity, assignment, open = openChain } = this.#options;
    const { addresses, hostId } = assignment.processServer;
    try {
      const connection = await open({ identity, addresses, hostId, signal });
      if (!signal.aborted) return await this.#converse(connection);
      connection.socket.destroy();
    } catch (error) {
      return toHomewardError(error);
    }
    return new HomewardError('chain-broken', 'the stream was ended here');
  }

  #converse(connection: Awaited<ReturnType<typeof openChain>>): Promise<HomewardError> {
    const { outbox, listener, log, assignment } = this.#options;
    return new Promise((resolve) => {
      this.#stream = new PushStream({
        connection,
        hello: this.#hello(),
        outbox,
        machine: machineMark(machineBytes(assignment.machine)),
        log,
        describe: () => listener.describe(),
        asOf: (lsn, time) => listener.asOf(lsn, time),
        welcomed: (welcome) => this.#welcomed(welcome),
        note: (note) => listener.note(note),
        relay: (relay) => listener.relay(relay),
        closed: (error) => {
          this.#stream = null;
          resolve(error ?? new HomewardError('chain-broken', 'the stream was ended here'));
        },
      });
    });
  }

  #hello() {
    const { version, signed, compress, outbox } = this.#options;
    const { headLsn: head, heldFrom, generation, told: target } = outbox;
    return {
      role: 'source',
      version,
      assignment: signed,
      compress,
      generation,
      head,
      heldFrom,
      target,
    } as const;
  }

  #welcomed(welcome: Welcome): void {
    this.#options.listener.welcomed(welcome);
    this.#welcomedAt = { spooled: welcome.spooled, ms: performance.now() };
    if (this.#flapping) return;
    this.#loggedCode = null;
    this.#options.log.info('process-server-connected', { spooled: welcome.spooled, target: welcome.target });
  }

  /** Whether the stream that has ended was of any use. */
  #judge(): void {
    if (this.#welcomedAt === null) return;
    const { spooled, ms } = this.#welcomedAt;
    const lasted = performance.now() - ms > limits.pushRetryMostMs;
    this.#flapping = !lasted && this.#options.outbox.spooledLsn <= spooled;
    if (!this.#flapping) this.#backoff.reset();
  }

  #say(problem: HomewardError): void {
    if (problem.code === this.#loggedCode) return;
    this.#loggedCode = problem.code;
    const level = problem.code === 'fenced' || problem.code === 'not-assigned' ? 'error' : 'warn';
    this.#options.log[level]('process-server-away', { code: problem.code, error: problem });
  }
}
