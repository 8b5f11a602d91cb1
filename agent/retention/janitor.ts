// Looks after every machine in turn: the cursor follows at its lag, and history is kept as the policy says.
import type { Clock } from '../../core/clock.ts';
import { toHomewardError, type HomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { formatSize } from '../../core/units.ts';
import { Follower, isFull, type Followed, type FollowPolicy } from './follow.ts';
import type { PrunePolicy } from './prune.ts';
import { retain, type RetainDemand, type Retained } from './retain.ts';

export interface Kept extends Followed, Retained {
  readonly id: string;
  readonly name: string;
  readonly history: Retained['history'];
  /** Looks at what the last step did to content, before anything is pruned. Never rejects. */
  lookAtSignal?(): Promise<void>;
  /** Writes down how much is known durable, if that has grown. */
  noteDurable(): void;
}

/** What is asked of one machine just now. */
export interface KeepOrder {
  follow: FollowPolicy;
  retain: PrunePolicy;
  demand: RetainDemand;
}

export interface JanitorOptions<M extends Kept> {
  machines(): readonly M[];
  /** By machine, in the order of `machines`; `now` is in microseconds. */
  orders(machines: readonly M[], now: number): KeepOrder[];
  /** Work that may wait for everything else: tables of undo, hashes. */
  afterwards(machine: M): void;
  /** Nothing has been written to any machine for some looks, after something was. */
  rests(): void;
  /** Ends the thread that carries out steps: one under way is left open. */
  endWork(): Promise<void>;
  clock: Clock;
  log: Log;
  intervalMs: number;
}

const looksToRest = 3;

export class Janitor<M extends Kept> {
  readonly #options: JanitorOptions<M>;
  readonly #problems = new Map<string, HomewardError>();
  readonly #followers = new WeakMap<M, Follower>();
  /** Head LSNs of the last look, by machine. */
  readonly #heads = new Map<string, number>();
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #isUnread = false;
  /** Looks in a row at which nothing had been written; null before anything was. */
  #idleLooks: number | null = null;
  #stopped = false;

  constructor(options: JanitorOptions<M>) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), this.#options.intervalMs);
  }

  /** Why the cursor of a machine does not move, or null. */
  problemOf(id: string): HomewardError | null {
    return this.#problems.get(id) ?? null;
  }

  /** Looks at all machines now. */
  wake(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#running ??= this.#work().finally(() => {
      this.#running = null;
    });
  }

  /** Resolves when all that `wake` asked for has been looked at. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** A step under way is left open: it is finished after the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#options.endWork();
    await this.#running;
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      const { machines, orders, clock } = this.#options;
      const all = machines();
      const wanted = this.#tryOrders(() => orders(all, clock.now()));
      if (wanted === null) return;
      for (const [at, machine] of all.entries()) {
        const order = wanted[at];
        if (order !== undefined) await this.#tidy(machine, order);
      }
      this.#noteRest();
    }
  }

  /** The cursor moves: there may be more to do, and this is no rest. */
  #lookAgain(): void {
    this.#again = true;
    this.#idleLooks = 0;
  }

  #noteRest(): void {
    if (this.#idleLooks === null) return;
    this.#idleLooks += 1;
    if (this.#idleLooks < looksToRest) return;
    this.#idleLooks = null;
    this.#options.rests();
  }

  /** Null while the volume cannot be read, which is told once. */
  #tryOrders(orders: () => KeepOrder[]): KeepOrder[] | null {
    try {
      const wanted = orders();
      this.#isUnread = false;
      return wanted;
    } catch (error) {
      if (!this.#isUnread) this.#options.log.error('volume-not-read', { error: toHomewardError(error) });
      this.#isUnread = true;
      return null;
    }
  }

  /** Never rejects: a machine whose apply fails keeps its redo, and the others go on. */
  async #tidy(machine: M, order: KeepOrder): Promise<void> {
    const { log } = this.#options;
    try {
      machine.journal.retrySpace();
      let full: unknown = null;
      const moved = await this.#follow(machine, order).catch((error: unknown) => {
        if (!isFull(error)) throw error;
        full = error;
        return false;
      });
      await this.#retain(machine, full === null ? order : withRoomForStep(order));
      if (full !== null) throw full;
      if (moved) this.#lookAgain();
      else {
        this.#noteIdle(machine);
        this.#options.afterwards(machine);
      }
      this.#problems.delete(machine.id);
    } catch (error) {
      const problem = toHomewardError(error);
      if (this.#stopped) return;
      if (!this.#problems.has(machine.id))
        log.error('apply-failed', { machine: machine.name, code: problem.code, error: problem });
      this.#problems.set(machine.id, problem);
    }
  }

  /** At most one step, so that the others have their turn and the next one is of a new order. */
  async #follow(machine: M, order: KeepOrder): Promise<boolean> {
    const { clock, log } = this.#options;
    const follower = this.#followers.get(machine) ?? new Follower(machine, log);
    this.#followers.set(machine, follower);
    this.#holdBack(machine, follower, order);
    await follower.finish();
    await machine.lookAtSignal?.();
    if (this.#stopped || !(await follower.step(order.follow, clock.now()))) return false;
    await machine.lookAtSignal?.();
    this.#holdBack(machine, follower, order);
    return true;
  }

  /** Ingest is not slowed by apply until it is late by too much. */
  #holdBack(machine: M, follower: Follower, { follow }: KeepOrder): void {
    const { journal } = machine;
    const late = follower.backlogBytes(follow, this.#options.clock.now());
    const bound = journal.heldBack === null ? follow.backlogBytes : follow.backlogBytes * 0.75;
    const why = `${formatSize(late)} wait to be applied to the replica, more than ApplyBacklogBytes`;
    journal.hold(late > bound ? why : null);
  }

  async #retain(machine: M, { retain: policy, demand }: KeepOrder): Promise<void> {
    const { log, clock } = this.#options;
    if (this.#stopped) return;
    const done = await retain(machine, policy, { ...demand, now: clock.now() });
    const { firstPoint } = machine.cursor;
    const oldest = machine.history.denseLsn;
    // A gap that the cursor has not left is remembered.
    if (done.segments > 0 && firstPoint !== null && oldest !== null)
      machine.journal.catalogue.forgetBelow(Math.min(Math.max(firstPoint, machine.cursor.pruned), oldest));
    this.#again ||= done.again;
    const { pruned, lsn: appliedLsn } = machine.cursor;
    const { name } = machine;
    const { segments, steps, merged } = done;
    if (segments > 0) log.info('redo-pruned', { machine: name, segments, pruned, appliedLsn });
    if (steps > 0) log.info('undo-dropped', { machine: name, steps, oldestLsn: machine.history.oldestLsn });
    if (merged > 0) log.debug('undo-merged', { machine: name, steps: merged });
    for (const given of done.givenUp) log.warn('point-given-up', { machine: machine.name, lsn: given });
  }

  /** The cursor of an idle machine says what is durable: should its newest file vanish, that is missed. */
  #noteIdle(machine: M): void {
    const { headLsn, durableLsn } = machine.journal;
    if (durableLsn === headLsn && this.#heads.get(machine.id) === headLsn) {
      machine.noteDurable();
      machine.journal.trimSpares();
    }
    if (this.#heads.get(machine.id) !== headLsn) this.#idleLooks = 0;
    this.#heads.set(machine.id, headLsn);
  }
}

/** The step that follows has no room: history gives it, unless it may not. */
function withRoomForStep({ follow, retain: policy, demand }: KeepOrder): KeepOrder {
  const { stepBytes, mayShorten } = follow;
  const freeBytes = Math.max(demand.freeBytes, mayShorten ? stepBytes : 0);
  return { follow, retain: policy, demand: { ...demand, freeBytes, stuck: true } };
}
