// One connection's received bytes: where the next ones go, and the part not parsed yet, always in one piece.
import { assert } from '../errors.ts';
import { limits } from '../limits.ts';
import { KiB } from '../units.ts';
import { requestBytes } from './protocol.ts';
import { ReceiveBlock, type BlockHolder, type ReceivePool } from './receive-pool.ts';

/**
 * With more than this to come of a request, a read ends with it, so that the next request starts on fresh
 * ground.
 */
const largeBytes = 64 * KiB;
/** A read shorter than this is not worth the call, unless it completes a request. */
const leastReadBytes = 4 * KiB;

export interface InboxEvents {
  /** A place was refused before; it is worth asking again. Called from a later turn of the loop. */
  room(): void;
  /** The place given last is not to be used any more; this one is. */
  moved(place: Buffer): void;
}

/**
 * `busy`: being parsed; `reading`: a place is given out; `resting`: not reading until somebody asks for a
 * place again.
 */
type InboxState = 'busy' | 'reading' | 'resting' | 'closed';

/**
 * Bytes land in `[end, …)` of the current block and are parsed from `[start, end)`. Payloads stay where they
 * landed: what still needs them holds the block. Only the bytes of an incomplete request are ever moved, to a
 * block where it fits.
 *
 * A connection starts in a small *home* block of its own and returns to it when that is free; a connection
 * that keeps more than that in flight takes blocks from the pool. Whoever waits for a block moves home as
 * soon as it can, so that those who wait never hold what the others wait for.
 */
export class Inbox implements BlockHolder {
  readonly #pool: ReceivePool;
  readonly #events: InboxEvents;
  readonly #home: ReceiveBlock;
  #state: InboxState = 'resting';
  #block: ReceiveBlock;
  #start = 0;
  #end = 0;
  /** The request being received is so long; 0 while its header is incomplete. */
  #need = 0;
  /** Length of the last request if it was large: the next one is probably alike. */
  #expect = 0;
  #stopWaiting: (() => void) | null = null;
  #granted: ReceiveBlock | null = null;

  constructor(pool: ReceivePool, events: InboxEvents) {
    this.#pool = pool;
    this.#events = events;
    this.#home = new ReceiveBlock(limits.nbdHomeBytes, () => this.#homeFree());
    this.#home.retain();
    this.#block = this.#home;
    pool.reserve(limits.nbdHomeBytes);
    pool.addHolder(this);
  }

  /** The block that holds the pending bytes, from `start` on. Both change when a place is asked for. */
  get block(): ReceiveBlock {
    return this.#block;
  }
  get start(): number {
    return this.#start;
  }
  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  /** It holds memory that others may be waiting for. */
  get holdsBlock(): boolean {
    return this.#block !== this.#home;
  }
  /** It is not receiving because there is no room: its client can do nothing about that. */
  get waitsForBlock(): boolean {
    return this.#stopWaiting !== null || this.#granted !== null;
  }

  landed(count: number): void {
    this.#state = 'busy';
    this.#end += count;
  }

  /** One request, or a part of one that is not wanted, has been dealt with. */
  consume(count: number): void {
    this.#start += count;
    this.#expect = count > largeBytes ? count : 0;
  }

  /**
   * Where to receive next, or null when there is no room now (`room` is called later). `need` is the whole
   * length of the request that the pending bytes begin, 0 when that is not known yet.
   */
  place(need: number): Buffer | null {
    this.#need = need;
    this.#state = 'busy';
    if (this.pendingBytes === 0) this.#startAfresh();
    if (!this.#fits()) {
      const next = this.#next();
      if (next === null) {
        this.#pause();
        return null;
      }
      this.#moveTo(next);
    } else if (this.#pool.waiting && this.#stopWaiting === null && this.#canGoHome()) {
      this.#moveTo(this.#takeHome());
    }
    this.#leaveQueue();
    this.#state = 'reading';
    return this.#view();
  }

  /**
   * Nothing will be received until `place` is called again; the bytes pending are kept at home, if they fit
   * there. A block that was waited for and cannot be used now is for others.
   */
  rest(): void {
    if (this.#granted !== null) this.#leaveQueue();
    this.#pause();
  }

  giveBack(): boolean {
    const reading = this.#state === 'reading';
    if (!reading && this.#state !== 'resting') return false;
    if (!this.#canGoHome()) return false;
    this.#moveTo(this.#takeHome());
    if (reading) this.#events.moved(this.#view());
    return true;
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#pool.removeHolder(this);
    this.#leaveQueue();
    this.#block.release();
    this.#pool.unreserve(this.#home.bytes.length);
  }

  /**
   * In the middle of receiving a large request there is nowhere to go; a beginning that only waits can be
   * kept at home.
   */
  #canGoHome(): boolean {
    const { length } = this.#home.bytes;
    if (this.#block === this.#home || this.#home.references > 0 || this.pendingBytes > length) return false;
    return this.#state === 'resting' || this.#need <= length;
  }

  #pause(): void {
    this.#state = 'resting';
    if (this.#pool.waiting) this.giveBack();
  }

  #view(): Buffer {
    const { bytes } = this.#block;
    const missing = this.#need - this.pendingBytes;
    if (missing > largeBytes) return bytes.subarray(this.#end, this.#end + missing);
    // Less than a home holds, so that the beginning of a large request can always be moved there.
    const most = this.#home.bytes.length - requestBytes;
    return bytes.subarray(this.#end, Math.min(bytes.length, this.#end + most));
  }

  #fits(): boolean {
    const { length } = this.#block.bytes;
    return this.#need > 0 ? length - this.#start >= this.#need : length - this.#end >= leastReadBytes;
  }

  /**
   * Nothing is pending: chooses the block by what the last request was like, and begins it again if nobody
   * needs it.
   */
  #startAfresh(): void {
    const modest = this.#expect === 0 || this.#pool.waiting;
    if (modest && this.#home.references === 0) this.#moveTo(this.#takeHome());
    if (this.#block.references === 1) this.#start = this.#end = 0;
    if (this.#expect > this.#block.bytes.length - this.#end) {
      const block = this.#pool.tryTake(this.#expect);
      if (block !== null) this.#moveTo(block);
    }
  }

  /** A block in which the request fits, or null, and then it is waited for. */
  #next(): ReceiveBlock | null {
    if (this.#home.references === 0 && this.#need <= this.#home.bytes.length) return this.#takeHome();
    const granted = this.#granted;
    this.#granted = null;
    if (granted !== null && granted.bytes.length >= this.#need) return granted;
    granted?.release();
    if (this.#stopWaiting !== null) return null;
    const bytes = Math.max(this.#need, 1);
    const block = this.#pool.tryTake(bytes);
    if (block === null) this.#stopWaiting = this.#pool.wait(bytes, (taken) => this.#grant(taken));
    return block;
  }

  #grant(block: ReceiveBlock): void {
    this.#stopWaiting = null;
    this.#granted = block;
    this.#askAgain();
  }

  #leaveQueue(): void {
    this.#stopWaiting?.();
    this.#stopWaiting = null;
    this.#granted?.release();
    this.#granted = null;
  }

  #takeHome(): ReceiveBlock {
    this.#home.retain();
    return this.#home;
  }

  #homeFree(): void {
    // It may have been asked for its block while it had nowhere to go.
    if (this.#pool.waiting) this.giveBack();
    if (this.#state === 'resting' && this.#stopWaiting !== null) this.#askAgain();
  }

  /** Not at once: whoever released a block is in the middle of something else. */
  #askAgain(): void {
    setImmediate(() => {
      if (this.#state === 'resting') this.#events.room();
    });
  }

  /** Takes over the caller's reference to `target`. */
  #moveTo(target: ReceiveBlock): void {
    const pending = this.pendingBytes;
    assert(pending <= target.bytes.length, 'the pending bytes fit in the next receive block');
    this.#block.bytes.copy(target.bytes, 0, this.#start, this.#end);
    const left = this.#block;
    this.#block = target;
    this.#start = 0;
    this.#end = pending;
    left.release();
  }
}
