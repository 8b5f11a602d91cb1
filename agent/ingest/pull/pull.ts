// Pulls one machine's records from its process server, for as long as it is assigned: whatever breaks, it
// goes on behind what is durable.
import { openChain } from '../../../core/chain/open-chain.ts';
import type { Head } from '../../../core/chain/messages.ts';
import type { Clock } from '../../../core/clock.ts';
import { HomewardError, toHomewardError } from '../../../core/errors.ts';
import type { Assignment, SignedAssignment } from '../../../core/identity/assignment.ts';
import type { HostIdentity } from '../../../core/identity/host-identity.ts';
import { limits } from '../../../core/limits.ts';
import type { Log } from '../../../core/log.ts';
import { Pause, retryDelay } from '../../../core/registration/pause.ts';
import { HashService } from './hash-service.ts';
import { PullStream } from './pull-stream.ts';
import type { PulledMachine, PullReport } from './pulled-machine.ts';
import { ReachedTime } from './reached.ts';
import type { ReceiveBudget } from './receive-budget.ts';

export interface PullOptions {
  machine: PulledMachine;
  assignment: Assignment;
  signed: SignedAssignment;
  identity: HostIdentity;
  budget: ReceiveBudget;
  clock: Clock;
  log: Log;
  /** What comes before the first record: tells what it does, rejects when it has to be done again. */
  prepare?(tell: (what: string) => void, signal: AbortSignal): Promise<void>;
}

export class Pull {
  readonly #options: PullOptions;
  readonly #stopping = new AbortController();
  readonly #pause = new Pause();
  readonly #reached = new ReachedTime();
  readonly #hashes: HashService;
  readonly #startedMs: number;
  #running: Promise<void> | null = null;
  #stream: PullStream | null = null;
  #head: { head: Head; ms: number } | null = null;
  #problem: HomewardError | null = null;
  #preparing: string | null = null;
  #failures = 0;
  #damaged = { atLsn: -1, times: 0, all: 0 };

  constructor(options: PullOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonicMs();
    this.#hashes = new HashService({
      machine: options.machine,
      log: options.log,
      answer: (relay) => this.#stream?.sendRelay(relay),
    });
  }

  start(): void {
    this.#running ??= this.#run();
  }

  get report(): PullReport {
    const now = this.#options.clock.monotonicMs();
    this.#advance();
    return {
      connected: this.#stream !== null && this.#problem === null,
      head: this.#head?.head ?? null,
      headAgeMs: this.#head === null ? null : now - this.#head.ms,
      ageMs: now - this.#startedMs,
      reachedTime: this.#reached.time,
      problem: this.#problem,
      preparing: this.#preparing,
      damagedRecords: this.#damaged.all,
    };
  }

  /** Resolves when nothing is received any more and all that was received is durable, or has failed to be. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#stream?.destroy();
    this.#pause.cut();
    await this.#running;
    await this.#hashes.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let isPrepared = this.#options.prepare === undefined;
    while (!signal.aborted) {
      try {
        if (!isPrepared) await this.#options.prepare?.((what) => (this.#preparing = what), signal);
        isPrepared = true;
        this.#preparing = null;
        await this.#streamOnce(signal);
      } catch (error) {
        if (signal.aborted) break;
        this.#failed(toHomewardError(error));
      }
      await this.#pause.wait(this.#delayMs());
    }
  }

  /** Resolves or rejects when the stream has ended. */
  async #streamOnce(signal: AbortSignal): Promise<void> {
    const { machine, assignment, signed, identity, budget, log } = this.#options;
    const { processServer } = assignment;
    // What was received before has to be durable or refused: the hello says from where to go on.
    await machine.journal.commit();
    const opened = await openChain({ identity, ...processServer, signal });
    if (signal.aborted) opened.socket.destroy();
    const ended = await new Promise<HomewardError | null>((resolve) => {
      this.#stream = new PullStream({
        opened,
        machine,
        assignment: signed,
        budget,
        log,
        welcome: ({ spooled, oldest }) => {
          const { name: machineName, journal } = machine;
          const fields = { machine: machineName, from: journal.durableLsn + 1, spooled, oldest };
          log.info('pull-connected', { processServer: processServer.hostId, ...fields });
          this.#problem = null;
        },
        head: (head) => this.#takeHead(head),
        relay: (relay) => this.#hashes.take(relay),
        durable: () => {
          this.#failures = 0;
          this.#advance();
          this.#hashes.settle();
        },
        ended: resolve,
      });
      if (signal.aborted) this.#stream.destroy();
    });
    this.#stream = null;
    if (ended !== null) throw ended;
    if (!signal.aborted) throw machine.journal.appendFailure ?? broken();
  }

  #takeHead(head: Head): void {
    const { clock, machine } = this.#options;
    this.#head = { head, ms: clock.monotonicMs() };
    this.#failures = 0;
    const { durableLsn, catalogue } = machine.journal;
    // No later than now: a source whose clock is ahead, or was, must not make its points look newer.
    const { lsn, time } = head;
    this.#reached.head(
      { lsn, time: Math.min(time, clock.now()) },
      durableLsn,
      catalogue.openGap?.from ?? null,
    );
  }

  #advance(): void {
    const { durableLsn, catalogue } = this.#options.machine.journal;
    this.#reached.advance(durableLsn, catalogue.openGap?.from ?? null);
  }

  #failed(error: HomewardError): void {
    const { machine, log } = this.#options;
    const isNew = this.#problem?.code !== error.code;
    this.#problem = error;
    this.#failures += 1;
    const { receivedLsn } = machine.journal;
    if (error.code === 'damaged-record') {
      const times = this.#damaged.atLsn === receivedLsn ? this.#damaged.times + 1 : 1;
      this.#damaged = { atLsn: receivedLsn, times, all: this.#damaged.all + 1 };
      log.warn('damaged-record-received', { machine: machine.name, behind: receivedLsn, times, error });
    } else if (isNew) log.warn('pull-broken', { machine: machine.name, code: error.code, error });
  }

  /** What is refused for good, or comes damaged again and again, is asked for less often. */
  #delayMs(): number {
    const isStubborn =
      this.#damaged.times >= limits.pullDamagedTries && this.#problem?.code === 'damaged-record';
    const isRefused = this.#problem?.code === 'fenced' || this.#problem?.code === 'machine-differs';
    const most = isStubborn || isRefused ? limits.pullRefusedMs : limits.pullRetryMostMs;
    const least = isStubborn ? most : limits.pullRetryLeastMs;
    return retryDelay(Math.max(this.#failures, 1), least, most);
  }
}

const broken = (): HomewardError => new HomewardError('chain-broken', 'the stream was ended here');
