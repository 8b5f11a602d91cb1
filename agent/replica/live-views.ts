// What open views of one machine read: a plan each, a new one before the replica is changed under them.
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { HeldContent, PlanMessage, ViewContent, ViewPlan } from './view-content.ts';

/** A plan, and what it refers to, held until `release`. */
export interface HeldPlan {
  plan: Omit<ViewPlan, 'counter'>;
  release(): void;
}

interface Open {
  lsn: number;
  port: MessagePort;
  plan(): HeldPlan;
  /** What the reader may still be at, oldest first. */
  held: { counter: number; release: () => void }[];
}

/**
 * The counter is odd while a step is open. A reader that has read from a replica looks at it: when it has
 * moved, a message that says why lies in the reader's port already, since messages go before the counter.
 */
export class LiveViews {
  readonly #counter = new Int32Array(new SharedArrayBuffer(4));
  readonly #open = new Set<Open>();

  get counter(): number {
    return Atomics.load(this.#counter, 0);
  }

  /** LSNs that are shown now. */
  get shown(): number[] {
    return [...this.#open].map(({ lsn }) => lsn);
  }

  /**
   * Content that goes on being true while the cursor moves. `plan` is asked again when a step opens. The
   * reader says now and then which counter it has come to: what older plans held goes.
   */
  hold(content: Omit<ViewContent, 'plan' | 'live'>, plan: () => HeldPlan): HeldContent {
    const { plan: first, release } = plan();
    const { counter } = this;
    const { port1, port2 } = new MessageChannel();
    const open: Open = { lsn: content.lsn, port: port1, plan, held: [{ counter, release }] };
    port1.on('message', (reached: number) => releaseBefore(open, reached));
    port1.unref();
    this.#open.add(open);
    const shared = this.#counter.buffer as SharedArrayBuffer;
    return {
      content: {
        ...content,
        plan: { ...first, counter },
        live: { counter: shared, port: port2 },
      },
      transfer: [port2],
      release: () => {
        if (!this.#open.delete(open)) return;
        port1.close();
        for (const { release: one } of open.held.splice(0)) one();
      },
    };
  }

  /**
   * Call when the replica is about to change; before any byte of it does. All views get their plan, or, when
   * one cannot be made, none: a reader would take what was left behind for the plan of the step that opens
   * next.
   */
  stepOpens(): void {
    const next = this.counter % 2 === 0 ? this.counter + 1 : this.counter + 2;
    for (const [open, { plan, release }] of this.#planAll()) {
      open.held.push({ counter: next, release }); // the reader may be at the old one: both are held
      open.port.postMessage({ plan: { ...plan, counter: next } } satisfies PlanMessage);
    }
    this.#raise(next);
  }

  /** The replica is whole, and durable so: it is the state at `cursor`. */
  stepEnded(cursor: number): void {
    if (this.counter % 2 === 0) return;
    const next = this.counter + 1;
    for (const { port } of this.#open) port.postMessage({ ended: next, cursor } satisfies PlanMessage);
    this.#raise(next);
  }

  #raise(counter: number): void {
    Atomics.store(this.#counter, 0, counter);
    Atomics.notify(this.#counter, 0);
  }

  #planAll(): [Open, HeldPlan][] {
    const planned: [Open, HeldPlan][] = [];
    try {
      for (const open of this.#open) planned.push([open, open.plan()]);
      return planned;
    } catch (error) {
      for (const [, { release }] of planned) release();
      throw error;
    }
  }
}

/** Of the plans up to the counter that the reader has come to it reads by the newest. */
function releaseBefore(open: Open, reached: number): void {
  const newest = open.held.findLastIndex(({ counter }) => counter <= reached);
  for (const { release } of open.held.splice(0, Math.max(newest, 0))) release();
}
