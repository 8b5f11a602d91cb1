// The plan that a view reads by, kept true while steps open and end in another thread.
import { receiveMessageOnPort } from 'node:worker_threads';
import { HomewardError } from '../../core/errors.ts';
import type { LiveFeed, PlanMessage, ReplicaSpan, ViewPlan } from './view-content.ts';

/** What has become of the plan since it was looked at last: nothing, it holds on, or there is a new one. */
export type PlanChange = 'none' | 'ended' | 'replaced';

export class PlanFeed {
  plan: ViewPlan;
  readonly #live: LiveFeed | null;
  readonly #counter: Int32Array | null;
  /** The newest counter that the plan is known to hold for. */
  #heldFor: number;
  #replicas: ReplicaSpan | null;
  #said: number;

  constructor(plan: ViewPlan, live: LiveFeed | null) {
    this.plan = plan;
    this.#live = live;
    this.#counter = live === null ? null : new Int32Array(live.counter);
    this.#heldFor = this.#said = plan.counter;
    this.#replicas = plan.replicas ?? null;
  }

  /** What the replicas are as of; null when nobody said. */
  get replicas(): ReplicaSpan | null {
    return this.#replicas;
  }

  /**
   * To be asked after every read of a replica, and before its bytes are believed. The counter is raised after
   * the plan was posted and before the replica is written: as long as it stands where it stood, what was read
   * is what the plan says.
   */
  take(): PlanChange {
    if (this.#counter === null || this.#live === null) return 'none';
    const now = Atomics.load(this.#counter, 0);
    if (this.#isUpTo(now)) return 'none';
    const before = this.plan;
    while (!this.#isUpTo(now)) {
      const received = receiveMessageOnPort(this.#live.port);
      if (received === undefined) throw new HomewardError('bug', `no plan was posted for step ${now}`);
      this.#apply(received.message as PlanMessage);
    }
    return this.plan === before ? 'ended' : 'replaced';
  }

  /** Lets the thread that does the steps go on for so long, or until it begins or ends one. */
  wait(ms: number): void {
    if (this.#counter !== null) Atomics.wait(this.#counter, 0, Atomics.load(this.#counter, 0), ms);
  }

  /** Says how far it has come. Not in the midst of a read: what an older plan held goes then. */
  acknowledge(): void {
    if (this.#said === this.#heldFor) return;
    this.#said = this.#heldFor;
    this.#live?.port.postMessage(this.#heldFor);
  }

  /** The port keeps its thread alive as long as it is open. */
  close(): void {
    this.#live?.port.close();
  }

  #apply(message: PlanMessage): void {
    if ('plan' in message) {
      this.plan = message.plan;
      this.#heldFor = message.plan.counter;
      this.#replicas = message.plan.replicas ?? null;
    } else {
      this.#heldFor = message.ended;
      const { cursor } = message;
      this.#replicas = cursor === undefined ? null : { low: cursor, high: cursor };
    }
  }

  /** The counter may wrap, so it is the distance that counts. */
  #isUpTo(counter: number): boolean {
    return ((this.#heldFor - counter) | 0) >= 0;
  }
}
