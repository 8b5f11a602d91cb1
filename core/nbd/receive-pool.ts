// The memory that requests are received into: blocks that all connections share, counted by who still needs
// them.
import { limits } from '../limits.ts';
import type { ReceiveBuffer } from './export.ts';

/** Goes back to where it came from when the last `release` has been called. */
export class ReceiveBlock implements ReceiveBuffer {
  readonly bytes: Buffer;
  references = 0;
  readonly #free: (block: ReceiveBlock) => void;

  constructor(size: number, free: (block: ReceiveBlock) => void) {
    this.bytes = Buffer.allocUnsafeSlow(size);
    this.#free = free;
  }

  retain(): void {
    this.references += 1;
  }

  release(): void {
    this.references -= 1;
    if (this.references === 0) this.#free(this);
  }
}

/** Somebody who holds a block without need, and can be asked for it. */
export interface BlockHolder {
  /** Gives its block back if it can do without; true if it did. */
  giveBack(): boolean;
}

interface Waiter {
  bytes: number;
  take: (block: ReceiveBlock) => void;
}

/**
 * Invariants: `heldBytes` (blocks in use, and reservations) never exceeds `bytesMost`; blocks in use and idle
 * together neither. Waiters are served in order, so a large request is not starved by small ones.
 */
export class ReceivePool {
  readonly #bytesMost: number;
  readonly #blockBytes: number;
  #heldBytes = 0;
  #idle: ReceiveBlock[] = [];
  #idleBytes = 0;
  readonly #waiters = new Set<Waiter>();
  readonly #holders = new Set<BlockHolder>();
  #reclaiming = false;

  constructor(bytesMost: number = limits.unsyncedBytes, blockBytes: number = limits.nbdBlockBytes) {
    this.#bytesMost = bytesMost;
    this.#blockBytes = blockBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }
  get idleBytes(): number {
    return this.#idleBytes;
  }
  get waiting(): boolean {
    return this.#waiters.size > 0;
  }
  get waiters(): number {
    return this.#waiters.size;
  }

  /** Counts memory that a connection keeps for itself for as long as it lasts. */
  reserve(bytes: number): void {
    this.#heldBytes += bytes;
    this.#trim();
  }

  unreserve(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#serve();
  }

  addHolder(holder: BlockHolder): void {
    this.#holders.add(holder);
  }
  removeHolder(holder: BlockHolder): void {
    this.#holders.delete(holder);
  }

  /**
   * A block of at least `bytes` with one reference, or null when the bound is reached or others wait already.
   */
  tryTake(bytes: number): ReceiveBlock | null {
    return this.waiting ? null : this.#tryTake(bytes);
  }

  /** Calls `take` when a block of at least `bytes` is free; returns how to stop waiting. */
  wait(bytes: number, take: (block: ReceiveBlock) => void): () => void {
    const waiter = { bytes, take };
    this.#waiters.add(waiter);
    this.#reclaim();
    return () => {
      if (this.#waiters.delete(waiter)) this.#serve();
    };
  }

  #tryTake(bytes: number): ReceiveBlock | null {
    const size = Math.ceil(bytes / this.#blockBytes) * this.#blockBytes;
    if (this.#heldBytes + size > this.#bytesMost) return null;
    const block = this.#takeIdle(size) ?? new ReceiveBlock(size, this.#giveBack);
    this.#heldBytes += size;
    block.references = 1;
    this.#trim();
    return block;
  }

  /** The most recently used one of this size: it is the likeliest to be in the processor's cache. */
  #takeIdle(size: number): ReceiveBlock | null {
    const at = this.#idle.findLastIndex((block) => block.bytes.length === size);
    const block = at < 0 ? undefined : this.#idle.splice(at, 1)[0];
    if (block === undefined) return null;
    this.#idleBytes -= size;
    return block;
  }

  #giveBack = (block: ReceiveBlock): void => {
    this.#heldBytes -= block.bytes.length;
    this.#idle.push(block);
    this.#idleBytes += block.bytes.length;
    this.#trim();
    this.#serve();
  };

  /** Lets go of the idle blocks that were not used for longest. */
  #trim(): void {
    const most = Math.min(this.#bytesMost / 2, this.#bytesMost - this.#heldBytes);
    while (this.#idleBytes > most && this.#idle.length > 0) {
      this.#idleBytes -= this.#idle.shift()?.bytes.length ?? 0;
    }
  }

  #serve(): void {
    for (const waiter of this.#waiters) {
      const block = this.#tryTake(waiter.bytes);
      if (block === null) break;
      this.#waiters.delete(waiter);
      waiter.take(block);
    }
    if (this.waiting) this.#reclaim();
  }

  /** Idle connections sit on blocks that they were busy with; somebody needs them now. */
  #reclaim(): void {
    if (this.#reclaiming) return;
    this.#reclaiming = true;
    for (const holder of this.#holders) {
      if (!this.waiting) break;
      holder.giveBack();
    }
    this.#reclaiming = false;
  }
}
