// A stream before and after its hello: who comes is looked at once, then what arrives goes to the session.
import { ChainConnection, type ChainListener } from '../core/chain/chain-connection.ts';
import type { Hello } from '../core/chain/messages.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import type { Peer } from '../core/identity/tls.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import type { Duplex } from 'node:stream';

export interface VisitOptions {
  socket: Duplex;
  first: Buffer;
  peer: Peer;
  log: Log;
  /** The session of whoever is let in. What it throws or rejects with is said to the peer. */
  admit(hello: Hello, peer: Peer, connection: ChainConnection): Promise<ChainListener>;
}

/** Takes a stream; nothing is left to do for the caller. */
export function receiveVisit(options: VisitOptions): ChainConnection {
  const { socket, first, peer, log } = options;
  const visit = new Visit(options);
  const connection = new ChainConnection({ socket, first, listener: visit, log });
  visit.begin(connection, peer);
  return connection;
}

class Visit implements ChainListener {
  readonly #options: VisitOptions;
  #connection: ChainConnection | null = null;
  #peer: Peer | null = null;
  #session: ChainListener | null = null;
  #greeted = false;
  #closed = false;
  #deadline: NodeJS.Timeout | null = null;

  constructor(options: VisitOptions) {
    this.#options = options;
  }

  begin(connection: ChainConnection, peer: Peer): void {
    this.#connection = connection;
    this.#peer = peer;
    const late = new HomewardError('timed-out', `no hello came within ${limits.streamHelloMs} ms`);
    this.#deadline = setTimeout(() => connection.fail(late), limits.streamHelloMs).unref();
  }

  hello(hello: Hello): void {
    if (this.#greeted) throw new HomewardError('chain-broken', 'a second hello');
    this.#greeted = true;
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    // Whoever does not wait for the welcome has to wait here.
    this.#connection?.pause();
    void this.#admit(hello);
  }

  async #admit(hello: Hello): Promise<void> {
    const { admit, log } = this.#options;
    const [connection, peer] = [this.#connection, this.#peer];
    if (connection === null || peer === null) return;
    try {
      const session = await admit(hello, peer, connection);
      this.#session = session;
      if (this.#closed) session.closed(null);
      else connection.resume();
    } catch (error) {
      const refusal = toHomewardError(error);
      log.warn('stream-refused', { host: peer.hostId, role: hello.role, code: refusal.code, error: refusal });
      connection.fail(refusal);
    }
  }

  records(body: Buffer): void {
    this.#inside().records?.(body);
  }
  ack(ack: Parameters<NonNullable<ChainListener['ack']>>[0]): void {
    this.#inside().ack?.(ack);
  }
  head(head: Parameters<NonNullable<ChainListener['head']>>[0]): void {
    this.#inside().head?.(head);
  }
  relay(relay: Parameters<NonNullable<ChainListener['relay']>>[0]): void {
    this.#inside().relay?.(relay);
  }
  note(note: Parameters<NonNullable<ChainListener['note']>>[0]): void {
    this.#inside().note?.(note);
  }
  drained(): void {
    this.#session?.drained?.();
  }
  closed(error: HomewardError | null): void {
    this.#closed = true;
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#session?.closed(error);
  }

  #inside(): ChainListener {
    if (this.#session === null) throw new HomewardError('chain-broken', 'something came before the hello');
    return this.#session;
  }
}
