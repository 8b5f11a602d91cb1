// The transmission phase of one connection without its socket: requests out of the inbox, replies into a
// batch.
import type { BlockExtent } from '../block/block-store.ts';
import { toHomewardError } from '../errors.ts';
import { limits } from '../limits.ts';
import type { Log } from '../log.ts';
import { NbdErrno, type NbdExport } from './export.ts';
import { leadingExtents } from './leading-extents.ts';
import { nbdErrnoOf } from './nbd-errno.ts';
import { Command, CommandFlag, requestBytes } from './protocol.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { Inbox } from './receive.ts';
import { beginDataReply, blockStatusReply, dataStart, errorChunk, ReplyBatch } from './replies.ts';
import { checkRequest, emptyHeader, readHeader, type Agreed, type RequestHeader } from './requests.ts';

/** What the connection does for its transmission. */
export interface Wire {
  /**
   * `written` is called when the buffers are not needed any more; not at all when the connection breaks
   * before.
   */
  send(buffers: Buffer[], written?: () => void): void;
  /** Bytes sent that the client has not taken yet. */
  readonly unsentBytes: number;
  /** `advance` returned null because too much was waiting; it is worth calling again. */
  ready(): void;
  /** The client has said goodbye (or talked nonsense) and everything asked before is answered. */
  finished(): void;
}

export interface TransmissionOptions extends Agreed {
  export: NbdExport;
  inbox: Inbox;
  wire: Wire;
  readBuffers: ReadBuffers;
  log: Log;
}

/**
 * Each request is answered exactly once, in the order in which they end. Requests with payload hold their
 * receive block until then. While `stalled` no further request is looked at: the client has to take its
 * replies first.
 */
export class Transmission {
  readonly #export: NbdExport;
  readonly #agreed: Agreed;
  readonly #inbox: Inbox;
  readonly #wire: Wire;
  readonly #readBuffers: ReadBuffers;
  readonly #log: Log;
  readonly #replies = new ReplyBatch();
  readonly #header = emptyHeader();
  #inFlight = 0;
  #readBytes = 0;
  /** Payload still to come of a write that was refused. */
  #drainBytes = 0;
  #stalled = false;
  #ending = false;
  #over = false;
  #advancing = false;
  #flushPlanned = false;

  constructor(options: TransmissionOptions) {
    this.#export = options.export;
    this.#agreed = { structured: options.structured, allocation: options.allocation };
    this.#inbox = options.inbox;
    this.#wire = options.wire;
    this.#readBuffers = options.readBuffers;
    this.#log = options.log;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Takes all whole requests out of the inbox and returns where to receive next; null when there is nothing
   * to receive now.
   */
  advance(): Buffer | null {
    this.#advancing = true;
    const need = this.#parse();
    this.#flush();
    this.#advancing = false;
    if (this.#stalled || this.#ending) {
      this.#inbox.rest();
      this.#finishIfDone();
      return null;
    }
    return this.#inbox.place(need);
  }

  /** Takes no more requests; `finished` is called when those in flight are answered. */
  end(): void {
    this.#ending = true;
    this.#finishIfDone();
  }

  /** Returns the length of the request that is incomplete, 0 when its header is. */
  #parse(): number {
    const inbox = this.#inbox;
    const header = this.#header;
    this.#stalled = false;
    while (!this.#ending) {
      if (this.#drainBytes > 0 && !this.#drain()) return 0;
      if (inbox.pendingBytes < requestBytes) return 0;
      if (this.#crowded()) {
        // The client may take at once what is collected here; if not, it is on the wire to tell us when it
        // has.
        this.#flush();
        this.#stalled = this.#crowded();
        if (this.#stalled) return 0;
      }
      if (!readHeader(inbox.block.bytes, inbox.start, header)) {
        this.#log.debug('nbd.bad-request-magic', { export: this.#export.name });
        this.#ending = true;
        return 0;
      }
      if (header.command === Command.write) {
        const need = this.#write(header);
        if (need > 0) return need;
      } else {
        inbox.consume(requestBytes);
        this.#dispatch(header);
      }
    }
    return 0;
  }

  #crowded(): boolean {
    return this.#inFlight >= limits.nbdRequests || this.#replyBytes > limits.nbdReplyBytes;
  }

  get #replyBytes(): number {
    return this.#readBytes + this.#replies.bytes + this.#wire.unsentBytes;
  }

  /** Drops payload; true when all of it has gone by. */
  #drain(): boolean {
    const count = Math.min(this.#drainBytes, this.#inbox.pendingBytes);
    this.#inbox.consume(count);
    this.#drainBytes -= count;
    return this.#drainBytes === 0;
  }

  /** Returns 0, or the length of the whole request while it is incomplete. */
  #write({ flags, offset, length, cookieHigh, cookieLow }: RequestHeader): number {
    const inbox = this.#inbox;
    const wrong = checkRequest(this.#header, this.#export, this.#agreed);
    if (wrong !== NbdErrno.ok) {
      inbox.consume(requestBytes);
      this.#drainBytes = length;
      this.#simple(cookieHigh, cookieLow, wrong);
      return 0;
    }
    const need = requestBytes + length;
    if (inbox.pendingBytes < need) return need;
    const { block, start } = inbox;
    inbox.consume(need);
    block.retain();
    this.#inFlight += 1;
    this.#export.write(
      block.bytes.subarray(start + requestBytes, start + need),
      offset,
      (flags & CommandFlag.fua) !== 0,
      block,
      (errno) => {
        block.release();
        this.#inFlight -= 1;
        this.#simple(cookieHigh, cookieLow, errno);
      },
    );
    return 0;
  }

  #dispatch(header: RequestHeader): void {
    const { command, flags, offset, length, cookieHigh, cookieLow } = header;
    if (command === Command.disconnect) {
      this.#ending = true;
      return;
    }
    const wrong = checkRequest(header, this.#export, this.#agreed);
    if (wrong !== NbdErrno.ok) {
      this.#refuse(command, cookieHigh, cookieLow, wrong);
      return;
    }
    this.#inFlight += 1;
    if (command === Command.read) return this.#read(cookieHigh, cookieLow, offset, length);
    if (command === Command.blockStatus) {
      return this.#blockStatus(cookieHigh, cookieLow, offset, length, (flags & CommandFlag.reqOne) !== 0);
    }
    const done = (errno: NbdErrno): void => {
      this.#inFlight -= 1;
      this.#simple(cookieHigh, cookieLow, errno);
    };
    if (command === Command.flush) return this.#export.flush(done);
    const discard = command === Command.trim;
    const punch = (flags & CommandFlag.noHole) === 0;
    this.#export.zero(offset, length, { discard, punch, fua: (flags & CommandFlag.fua) !== 0 }, done);
  }

  #read(cookieHigh: number, cookieLow: number, offset: number, length: number): void {
    const { structured } = this.#agreed;
    const start = dataStart(structured);
    const borrowed = this.#readBuffers.take(start + length);
    const reply = borrowed?.subarray(0, start + length) ?? Buffer.allocUnsafe(start + length);
    beginDataReply(reply, structured, cookieHigh, cookieLow, offset);
    this.#readBytes += length;
    this.#export.read(reply.subarray(start), offset, (errno) => {
      this.#inFlight -= 1;
      this.#readBytes -= length;
      if (errno === NbdErrno.ok) {
        this.#add(reply, borrowed);
        return;
      }
      if (borrowed !== null) this.#readBuffers.give(borrowed);
      this.#refuse(Command.read, cookieHigh, cookieLow, errno);
    });
  }

  #blockStatus(cookieHigh: number, cookieLow: number, offset: number, length: number, one: boolean): void {
    const answered = (extents: BlockExtent[]): void => {
      this.#inFlight -= 1;
      this.#add(blockStatusReply(cookieHigh, cookieLow, extents, one));
    };
    const failed = (error: unknown): void => {
      this.#inFlight -= 1;
      this.#log.warn('nbd.extents-failed', { export: this.#export.name, error: toHomewardError(error) });
      this.#refuse(Command.blockStatus, cookieHigh, cookieLow, nbdErrnoOf(error));
    };
    leadingExtents(this.#export, offset, length).then(answered, failed);
  }

  /**
   * READ has to be answered in chunks once those are agreed on, BLOCK_STATUS always; the rest need not be.
   */
  #refuse(command: number, cookieHigh: number, cookieLow: number, errno: NbdErrno): void {
    const chunk = this.#agreed.structured && (command === Command.read || command === Command.blockStatus);
    if (chunk) this.#add(errorChunk(cookieHigh, cookieLow, errno));
    else this.#simple(cookieHigh, cookieLow, errno);
  }

  #simple(cookieHigh: number, cookieLow: number, errno: NbdErrno): void {
    this.#replies.simple(cookieHigh, cookieLow, errno);
    this.#planFlush();
  }

  #add(reply: Buffer, borrowed: Buffer | null = null): void {
    this.#replies.add(reply, borrowed);
    this.#planFlush();
  }

  /** Requests tend to end in groups; their replies leave together when whoever ended them has finished. */
  #planFlush(): void {
    if (this.#flushPlanned || this.#advancing) return;
    this.#flushPlanned = true;
    process.nextTick(this.#flushNow);
  }

  #flushNow = (): void => {
    this.#flushPlanned = false;
    this.#flush();
    if (this.#stalled && !this.#crowded()) this.#wire.ready();
    this.#finishIfDone();
  };

  #flush(): void {
    if (this.#replies.empty) return;
    const { buffers, borrowed } = this.#replies.take();
    if (borrowed.length === 0) this.#wire.send(buffers);
    else
      this.#wire.send(buffers, () => {
        for (const buffer of borrowed) this.#readBuffers.give(buffer);
      });
  }

  #finishIfDone(): void {
    if (!this.#ending || this.#inFlight > 0 || this.#over || !this.#replies.empty) return;
    this.#over = true;
    this.#wire.finished();
  }
}
