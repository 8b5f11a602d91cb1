// One NBD client: socket, negotiation, transmission, and the order in which they end.
import type { Socket } from 'node:net';
import { limits } from '../limits.ts';
import type { Log } from '../log.ts';
import type { NbdExports } from './export.ts';
import { Negotiation, type Step } from './negotiate.ts';
import type { ReadBuffers } from './read-buffers.ts';
import { Inbox } from './receive.ts';
import type { ReceivePool } from './receive-pool.ts';
import { copyingSource, directSource, type Sink, type Source } from './socket-source.ts';
import { startTls, type NbdTls } from './tls.ts';
import { Transmission, type Wire } from './transmission.ts';

export interface ConnectionOptions {
  exports: NbdExports;
  tls: NbdTls | null;
  pool: ReceivePool;
  readBuffers: ReadBuffers;
  log: Log;
  negotiationMs: number;
  /** The socket is gone and all that it held is given back, except to requests still in flight. */
  closed(): void;
}

/**
 * Lives from accept to the socket's 'close'. Bytes land in the inbox; until `transmit` the negotiation takes
 * them out again at once, after it the transmission does. `#paused`: the source waits for `resume`.
 */
export class Connection implements Sink, Wire {
  readonly #options: ConnectionOptions;
  readonly #inbox: Inbox;
  readonly #negotiation: Negotiation;
  readonly #deadline: NodeJS.Timeout;
  #socket: Socket;
  #source: Source;
  #transmission: Transmission | null = null;
  #paused = false;
  #closing = false;
  /** When the client last did something, or we last let it go on. */
  #lastProgressMs = performance.now();

  constructor(accepted: Socket, options: ConnectionOptions) {
    this.#options = options;
    this.#inbox = new Inbox(options.pool, {
      room: () => this.ready(),
      moved: (place) => this.#source.move(place),
    });
    const tlsMode = options.tls === null ? 'none' : options.tls.required === false ? 'offered' : 'required';
    this.#negotiation = new Negotiation(options.exports, tlsMode);
    this.#deadline = setTimeout(() => this.#drop('negotiation took too long'), options.negotiationMs);
    const place = this.#firstPlace();
    if (options.tls === null) {
      const direct = directSource(accepted, this, place);
      this.#socket = direct.socket;
      this.#source = direct.source;
    } else {
      // A socket that TLS may take over has to be an ordinary one.
      this.#socket = accepted;
      this.#source = copyingSource(accepted, this, place);
      accepted.resume();
    }
    this.#socket.once('close', () => this.#closed());
    this.#watch(this.#socket);
    this.#socket.write(this.#negotiation.greeting());
  }

  /**
   * For how many milliseconds the client, in the middle of a request, has kept a block that others may want,
   * and sent nothing; 0 as long as it is we who do not go on.
   */
  get stalledMs(): number {
    const { pendingBytes, holdsBlock, waitsForBlock } = this.#inbox;
    if (pendingBytes === 0 || !holdsBlock || waitsForBlock) return 0;
    if (this.#paused && (this.#transmission?.inFlight ?? 0) > 0) return 0;
    return performance.now() - this.#lastProgressMs;
  }

  /** Reads no more, lets requests in flight be answered, then closes. */
  end(): void {
    this.#source.stop();
    if (this.#transmission === null) this.#socket.destroy();
    else this.#transmission.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  landed(count: number): Buffer | null {
    this.#lastProgressMs = performance.now();
    this.#inbox.landed(count);
    const next = this.#transmission === null ? this.#negotiate() : this.#transmission.advance();
    this.#paused = next === null;
    return next;
  }

  ready(): void {
    if (!this.#paused || this.#closing || this.#transmission === null) return;
    this.#lastProgressMs = performance.now();
    const next = this.#transmission.advance();
    if (next === null) return;
    this.#paused = false;
    this.#source.resume(next);
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  send(buffers: Buffer[], written?: () => void): void {
    const socket = this.#socket;
    if (socket.destroyed || !socket.writable) return;
    // While it was paused for the requests that are answered here, its time did not run.
    if (this.#paused) this.#lastProgressMs = performance.now();
    // After an error nobody knows whether the system still reads from the buffers: then they are not used
    // again.
    const done =
      written &&
      ((error: Error | null | undefined): void => {
        if (!error) written();
      });
    let left = buffers.length;
    if (left > 1) socket.cork();
    for (const buffer of buffers) socket.write(buffer, --left === 0 ? done : undefined);
    if (buffers.length > 1) socket.uncork();
  }

  finished(): void {
    this.#closing = true;
    this.#source.stop();
    const socket = this.#socket;
    // 'finish' comes when the last reply has left; the client may never close its side, nor take its replies.
    socket.end(() => socket.destroy());
    setTimeout(() => socket.destroy(), limits.nbdCloseMs).unref();
  }

  /** Negotiation leaves nothing in the inbox, so there is always room at home. */
  #firstPlace(): Buffer {
    const place = this.#inbox.place(0);
    if (place === null) throw new Error('a new connection has no room');
    return place;
  }

  #negotiate(): Buffer | null {
    const { start, block, pendingBytes } = this.#inbox;
    const steps = this.#negotiation.take(block.bytes.subarray(start, start + pendingBytes));
    for (const step of steps) {
      if (step.do === 'send') this.send([step.bytes]);
      else return this.#leaveNegotiation(step, pendingBytes);
    }
    this.#inbox.consume(pendingBytes);
    if (this.unsentBytes > limits.nbdReplyBytes) {
      this.#drop('does not take answers');
      return null;
    }
    return this.#inbox.place(0);
  }

  #leaveNegotiation(step: Exclude<Step, { do: 'send' }>, pendingBytes: number): Buffer | null {
    const { log, readBuffers } = this.#options;
    if (step.do === 'close') {
      log.debug('nbd.negotiation-ended', { reason: step.reason });
      this.finished();
      return null;
    }
    if (step.do === 'start-tls') {
      this.#inbox.consume(pendingBytes);
      this.#secure();
      return null;
    }
    clearTimeout(this.#deadline);
    this.#inbox.consume(pendingBytes - step.rest);
    log.debug('nbd.connected', { export: step.export.name, structured: step.structured });
    this.#transmission = new Transmission({
      export: step.export,
      structured: step.structured,
      allocation: step.allocation,
      inbox: this.#inbox,
      wire: this,
      readBuffers,
      log,
    });
    return this.#transmission.advance();
  }

  #secure(): void {
    const { tls, log } = this.#options;
    const plain = this.#socket;
    if (tls === null) return;
    this.#source.stop();
    startTls(plain, tls).then(
      (secure) => {
        this.#socket = secure;
        this.#watch(secure);
        this.#negotiation.secured();
        this.#paused = false;
        this.#source = copyingSource(secure, this, this.#firstPlace());
        secure.once('close', () => plain.destroy());
      },
      (error: Error) => {
        log.info('nbd.tls-refused', { error });
        plain.destroy();
      },
    );
  }

  #watch(socket: Socket): void {
    socket.on('error', (error) => this.#options.log.debug('nbd.socket-error', { error }));
    socket.on('end', () => this.end());
    socket.on('drain', () => this.ready());
  }

  #drop(reason: string): void {
    this.#options.log.debug('nbd.dropped', { reason });
    this.#socket.destroy();
  }

  #closed(): void {
    clearTimeout(this.#deadline);
    this.#closing = true;
    this.#inbox.close();
    this.#options.closed();
  }
}
