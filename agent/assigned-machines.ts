// The machines that the configuration server has assigned to this master target: each is made when it is
// new, and pulled for as long as it is assigned.
import { join } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import {
  openAssignmentBook,
  type Assignment,
  type AssignmentBook,
  type SignedAssignment,
} from '../core/identity/assignment.ts';
import type { HostIdentity } from '../core/identity/host-identity.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import { ChainMachine } from './chain-machine.ts';
import { Pull } from './ingest/pull/pull.ts';
import { pullAgain } from './ingest/pull/pull-again.ts';
import type { PullReport } from './ingest/pull/pulled-machine.ts';
import { ReceiveBudget } from './ingest/pull/receive-budget.ts';
import { showGeneration } from './ingest/pull/show-generation.ts';
import type { Machines } from './machines.ts';
import { plantSeeds } from './plant-seeds.ts';

export interface AssignedMachinesOptions {
  data: string;
  machines: Machines;
  clock: Clock;
  log: Log;
}

/** An assignment that could not be followed, and why. */
export interface RefusedMachine {
  id: string;
  name: string;
  error: HomewardError;
}

export class AssignedMachines {
  readonly #options: AssignedMachinesOptions;
  readonly #budget = new ReceiveBudget(limits.unsyncedBytes, limits.pullBytes);
  readonly #pulls = new Map<string, { pull: Pull; epoch: number }>();
  readonly #refused = new Map<string, RefusedMachine>();
  /** Epochs whose process server knows that the machine is handed over. */
  readonly #shown = new Map<string, number>();
  readonly #stopping = new AbortController();
  #identity: HostIdentity | null = null;
  #book: AssignmentBook | null = null;
  #work: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(options: AssignedMachinesOptions) {
    this.#options = options;
  }

  /**
   * The host has an identity: what is in its book is pulled, whether the configuration server is there or
   * not.
   */
  start(identity: HostIdentity): Promise<void> {
    this.#identity = identity;
    this.#book = openAssignmentBook(join(this.#options.data, 'assignments.json'), identity.authority);
    this.#retry = setInterval(() => void this.#followAll(this.#refusedOnes()), limits.pullRefusedMs);
    this.#retry.unref();
    return this.#followAll(this.#book.list());
  }

  /** Takes in what the configuration server says; resolves when it is followed. */
  accept(signed: readonly SignedAssignment[]): Promise<void> {
    const changed: Assignment[] = [];
    for (const one of signed) {
      try {
        const taken = this.#book?.accept(one);
        if (taken?.changed === true) changed.push(taken.assignment);
      } catch (error) {
        this.#options.log.warn('assignment-refused', { error: toHomewardError(error) });
      }
    }
    return this.#followAll(changed);
  }

  /** Null for a machine that is not pulled. */
  reportOf(id: string): PullReport | null {
    return this.#pulls.get(id)?.pull.report ?? null;
  }
  /** Null for a machine that was never assigned. */
  assignmentOf(id: string): Assignment | null {
    return this.#book?.get(id) ?? null;
  }
  get refused(): RefusedMachine[] {
    return [...this.#refused.values()];
  }

  /** The process server of a machine that is handed over now is told so; never rejects. */
  shutOut(id: string): Promise<void> {
    const assignment = this.#book?.get(id) ?? null;
    return assignment === null || assignment.ended ? Promise.resolve() : this.#followAll([assignment]);
  }

  /** Nothing is pulled any more when this resolves, and what was received is durable or refused. */
  async fence(id: string): Promise<void> {
    this.#work = this.#work.then(() => this.#endPull(id));
    await this.#work;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopping.abort();
    if (this.#retry !== null) clearInterval(this.#retry);
    // A step that waits for records stays open; the next start ends it.
    await Promise.all(this.#options.machines.list().map(({ heal }) => heal.stop()));
    await this.#work;
    await Promise.all([...this.#pulls.values()].map(({ pull }) => pull.stop()));
    this.#pulls.clear();
  }

  #refusedOnes(): Assignment[] {
    return (this.#book?.list() ?? []).filter(({ machine }) => this.#refused.has(machine));
  }

  /** One after another; never rejects. */
  #followAll(assignments: readonly Assignment[]): Promise<void> {
    this.#work = this.#work.then(async () => {
      for (const assignment of assignments) await this.#follow(assignment);
    });
    return this.#work;
  }

  async #follow(assignment: Assignment): Promise<void> {
    const { machine: id, name, epoch } = assignment;
    const { log } = this.#options;
    if (this.#stopped) return;
    try {
      const isOurs = !assignment.ended && assignment.masterTarget === this.#identity?.hostId;
      await this.#endPull(id);
      if (isOurs) await this.#beginPull(assignment);
      else log.info('assignment-ended', { machine: name, epoch });
      this.#refused.delete(id);
    } catch (thrown) {
      const error = toHomewardError(thrown);
      if (this.#refused.get(id)?.error.message !== error.message)
        log[error.code === 'fenced' ? 'warn' : 'error']('assignment-not-followed', {
          ...{ machine: name, epoch, code: error.code, error },
        });
      this.#refused.set(id, { id, name, error });
    }
  }

  async #beginPull(assignment: Assignment): Promise<void> {
    const { machines, clock, log } = this.#options;
    const signed = this.#book?.signed(assignment.machine) ?? null;
    const identity = this.#identity;
    if (signed === null || identity === null) throw new HomewardError('bug', 'an assignment without a book');
    await this.#showFence(assignment, signed, identity);
    const machine = await machines.ensureAssigned(assignment);
    const pull = new Pull({
      machine: new ChainMachine(machine, log),
      assignment,
      signed,
      identity,
      budget: this.#budget,
      clock,
      log,
      prepare: (tell, signal) => plantSeeds({ machine, seeds: assignment.seeds, tell, signal, log }),
    });
    this.#pulls.set(assignment.machine, { pull, epoch: assignment.epoch });
    pull.start();
    const { journal, heal } = machine;
    heal.attach((asked, signal) => {
      const { generation, source } = journal;
      return pullAgain({
        ...asked,
        assignment,
        signed,
        identity,
        generation,
        mark: source.mark,
        log,
        signal,
      });
    });
  }

  /** A process server that cannot be reached now is told at the next try. */
  async #showFence(assignment: Assignment, signed: SignedAssignment, identity: HostIdentity): Promise<void> {
    const { machines, log } = this.#options;
    const { machine: id, name, epoch } = assignment;
    const handOver = machines.handedOver(id)?.handOver;
    if (handOver?.fence === undefined || this.#shown.get(id) === epoch) return;
    try {
      const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(limits.serverAnswerMs)]);
      const shown = { assignment, signed, identity, ...handOver.fence, applied: handOver.lsn, log, signal };
      await showGeneration(shown);
      this.#shown.set(id, epoch);
      log.info('source-shut-out', { machine: name, ...handOver.fence });
    } catch (error) {
      log.warn('source-not-shut-out', { machine: name, error: toHomewardError(error) });
    }
  }

  async #endPull(id: string): Promise<void> {
    const known = this.#pulls.get(id);
    this.#pulls.delete(id);
    this.#options.machines.find(id)?.heal.attach(null);
    await known?.pull.stop();
  }
}
