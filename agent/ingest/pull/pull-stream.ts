// One stream from a process server: records into the journal, acknowledgements back, in order and within
// memory.
import type { Duplex } from 'node:stream';
import { ChainConnection } from '../../../core/chain/chain-connection.ts';
import type { Head, Relay, Welcome } from '../../../core/chain/messages.ts';
import type { HomewardError } from '../../../core/errors.ts';
import type { SignedAssignment } from '../../../core/identity/assignment.ts';
import { limits } from '../../../core/limits.ts';
import type { Log } from '../../../core/log.ts';
import { parseRecordRun } from '../../../core/record/record-run.ts';
import { readVersion } from '../../../core/version.ts';
import type { PulledMachine } from './pulled-machine.ts';
import type { BudgetShare, ReceiveBudget } from './receive-budget.ts';

export interface PullStreamOptions {
  opened: { socket: Duplex; first: Buffer };
  machine: PulledMachine;
  assignment: SignedAssignment;
  budget: ReceiveBudget;
  log: Log;
  welcome(welcome: Welcome): void;
  head(head: Head): void;
  relay(relay: Relay): void;
  /** Records became durable. */
  durable(): void;
  /** Called once, last: why it ended, or null when it was closed here. */
  ended(error: HomewardError | null): void;
}

export class PullStream {
  readonly #options: PullStreamOptions;
  readonly #connection: ChainConnection;
  readonly #share: BudgetShare;
  readonly #signs: NodeJS.Timeout;
  #paused = false;
  #ackScheduled = false;
  #ended = false;

  constructor(options: PullStreamOptions) {
    this.#options = options;
    const { opened, machine, assignment, budget, log } = options;
    this.#share = budget.share(() => this.#resumeIfRoom());
    this.#connection = new ChainConnection({
      ...opened,
      log,
      listener: {
        welcome: (welcome) => options.welcome(welcome),
        records: (body) => this.#receive(body),
        head: (head) => options.head(head),
        relay: (relay) => options.relay(relay),
        closed: (error) => this.#closed(error),
      },
    });
    this.#connection.sendHello({
      role: 'target',
      version: readVersion(),
      assignment,
      compress: true,
      generation: machine.journal.generation,
      durable: machine.journal.durableLsn,
      applied: machine.appliedLsn,
    });
    this.#signs = setInterval(() => this.#sendAck(), limits.chainAckMs);
    this.#signs.unref();
  }

  sendRelay(relay: Relay): void {
    if (!this.#ended) this.#connection.sendRelay(relay);
  }

  /** Ends without a word; what has been received is still made durable. */
  destroy(): void {
    this.#connection.destroy();
  }

  /**
   * What this throws ends the stream, and the process server is told; the next one goes on behind `durable`.
   */
  #receive(body: Buffer): void {
    const { machine } = this.#options;
    const run = parseRecordRun(body, machine.journal.source.mark, { payloads: true });
    this.#share.take(body.length);
    let given = false;
    const give = (): void => {
      if (!given && !this.#ended) this.#share.give(body.length);
      given = true;
    };
    try {
      machine.receive(run, (error) => {
        give();
        if (error === null) this.#durable();
        else this.#connection.fail(error);
      });
    } catch (error) {
      give();
      throw error;
    }
    if (!this.#share.full || this.#ended) return;
    this.#paused = true;
    this.#connection.pause();
  }

  #durable(): void {
    this.#options.durable();
    if (this.#ackScheduled || this.#ended) return;
    this.#ackScheduled = true;
    setImmediate(() => {
      this.#ackScheduled = false;
      this.#sendAck();
    });
  }

  #sendAck(): void {
    if (this.#ended) return;
    const { machine } = this.#options;
    const { durableLsn } = machine.journal;
    this.#connection.sendAck({ spooled: durableLsn, target: durableLsn, applied: machine.appliedLsn });
  }

  #resumeIfRoom(): void {
    if (!this.#paused || this.#share.full || this.#ended) return;
    this.#paused = false;
    this.#connection.resume();
  }

  #closed(error: HomewardError | null): void {
    this.#ended = true;
    clearInterval(this.#signs);
    this.#share.end();
    this.#options.ended(error);
  }
}
