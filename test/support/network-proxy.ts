// A network between two programs that can be cut, slowed down, or close each connection after so many bytes.
import { once } from 'node:events';
import net from 'node:net';
import type { Owner } from './chain-site.ts';

export class NetworkProxy {
  /** `127.0.0.1:PORT`, where it listens. */
  readonly address: string;
  /** Bytes that have gone through, both ways. */
  bytes = 0;
  /** Connections that it has taken. */
  connections = 0;
  /** A connection is closed when it has carried this much. */
  closeAfterBytes = Infinity;
  /** Each direction of a connection carries no more than this a second. */
  bytesPerSecond = Infinity;
  #to: string;
  #isCut = false;
  readonly #pairs = new Set<Pair>();

  private constructor(server: net.Server, to: string) {
    this.#to = to;
    this.address = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
    server.on('connection', (socket) => this.#accept(socket));
  }

  /** `to` is `host:port`; it may be set later. */
  static async start(owner: Owner, to = ''): Promise<NetworkProxy> {
    const server = net.createServer({ pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new NetworkProxy(server, to);
    owner.teardown(() => {
      server.close();
      proxy.breakAll();
    });
    return proxy;
  }

  set to(address: string) {
    this.#to = address;
  }

  /** As when a cable is pulled: what is sent is swallowed, connections hang, new ones get no answer. */
  cut(): void {
    this.#isCut = true;
    for (const pair of this.#pairs) pair.hold();
  }

  /** The cable is back. What hung is broken, as after a reboot of the router. */
  restore(): void {
    this.#isCut = false;
    this.breakAll();
  }

  /** The cable is back after a moment: what hung goes on. */
  mend(): void {
    this.#isCut = false;
    for (const pair of this.#pairs) pair.release();
  }

  /** Every connection is reset. */
  breakAll(): void {
    for (const pair of this.#pairs) pair.destroy();
  }

  /** A connection, paused, that somebody else has accepted. */
  take(client: net.Socket): void {
    this.#accept(client);
  }

  #accept(client: net.Socket): void {
    this.connections += 1;
    const at = this.#to.lastIndexOf(':');
    const server = net.connect({ host: this.#to.slice(0, at), port: Number(this.#to.slice(at + 1)) });
    const pair = new Pair(this, client, server);
    this.#pairs.add(pair);
    server.once('close', () => this.#pairs.delete(pair));
    if (this.#isCut) pair.hold();
    else client.resume();
  }
}

class Pair {
  readonly #proxy: NetworkProxy;
  readonly #client: net.Socket;
  readonly #server: net.Socket;
  #carried = 0;
  #held = false;

  constructor(proxy: NetworkProxy, client: net.Socket, server: net.Socket) {
    this.#proxy = proxy;
    this.#client = client;
    this.#server = server;
    this.#carry(client, server);
    this.#carry(server, client);
    for (const socket of [client, server]) {
      socket.on('error', () => this.destroy());
      socket.on('close', () => this.destroy());
    }
  }

  hold(): void {
    this.#held = true;
    this.#client.pause();
    this.#server.pause();
  }

  release(): void {
    this.#held = false;
    this.#client.resume();
    this.#server.resume();
  }

  destroy(): void {
    this.#client.destroy();
    this.#server.destroy();
  }

  #carry(from: net.Socket, to: net.Socket): void {
    from.on('data', (piece: Buffer) => {
      this.#carried += piece.length;
      this.#proxy.bytes += piece.length;
      const drained = to.write(piece);
      if (this.#carried >= this.#proxy.closeAfterBytes) return this.destroy();
      const waitMs = (piece.length / this.#proxy.bytesPerSecond) * 1000;
      if (drained && waitMs < 1) return;
      from.pause();
      const resume = (): void => {
        if (!this.#held) from.resume();
      };
      if (waitMs >= 1) setTimeout(resume, waitMs);
      else to.once('drain', resume);
    });
    from.on('end', () => to.end());
  }
}
