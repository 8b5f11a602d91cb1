// The NBD server: listens on a Unix socket or TCP, and keeps count of its connections.
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type ListenOptions, type Server } from 'node:net';
import { errnoOf, HomewardError } from '../errors.ts';
import { limits } from '../limits.ts';
import { ensureRunDirectory } from '../run-directory.ts';
import type { Log } from '../log.ts';
import { Connection } from './connection.ts';
import type { NbdExports } from './export.ts';
import { nbdPort } from './protocol.ts';
import { ReadBuffers } from './read-buffers.ts';
import { ReceivePool } from './receive-pool.ts';
import type { NbdTls } from './tls.ts';

export interface NbdServerOptions {
  exports: NbdExports;
  log: Log;
  /** Null or left out: plain text only. */
  tls?: NbdTls | null;
  /** Shared by all servers of a process, so that one bound holds for all. */
  receivePool?: ReceivePool;
  connectionsMost?: number;
  negotiationMs?: number;
  /** Instead of `limits.nbdStallMs`. */
  stallMs?: number;
}

export type NbdAddress = { path: string } | { host: string; port: number };

export class NbdServer {
  readonly #options: NbdServerOptions;
  readonly #pool: ReceivePool;
  readonly #readBuffers = new ReadBuffers();
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #watch: NodeJS.Timeout | null = null;

  constructor(options: NbdServerOptions) {
    this.#options = options;
    this.#pool = options.receivePool ?? new ReceivePool();
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
    this.#server.maxConnections = options.connectionsMost ?? limits.nbdConnections;
    this.#server.on('drop', () => {
      options.log.warn('nbd.too-many-connections', { most: this.#server.maxConnections });
    });
    this.#server.on('connection', (socket) => this.#accept(socket));
  }

  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Resolves with the address listened on; port 0 takes a free one, and is told. A Unix socket is for its
   * owner only (mode 0600). Errors are those of node:net, with `code` set.
   */
  async listen(address: NbdAddress | { host: string; port?: number }): Promise<NbdAddress> {
    if ('path' in address) {
      if (Buffer.byteLength(address.path) > limits.unixPathBytes) {
        const problem = `"${address.path}" is longer than ${limits.unixPathBytes} bytes`;
        throw new HomewardError('bad-listen', problem);
      }
      ensureRunDirectory(address.path);
      await this.#listenOnPath(address.path);
      chmodSync(address.path, 0o600);
      this.#watchStalls();
      return { path: address.path };
    }
    await this.#listen({ host: address.host, port: address.port ?? nbdPort });
    this.#watchStalls();
    const bound = this.#server.address() as AddressInfo;
    return { host: bound.address, port: bound.port };
  }

  /**
   * Takes no more connections or requests, lets those in flight end for `graceMs`, then closes every socket.
   */
  async close(graceMs: number = limits.nbdCloseMs): Promise<void> {
    if (this.#watch !== null) clearInterval(this.#watch);
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const connection of this.#connections) connection.end();
    const grace = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs);
    await closed;
    clearTimeout(grace);
  }

  #accept(socket: Parameters<Server['emit']>[1]): void {
    const { exports, tls, log, negotiationMs } = this.#options;
    const connection = new Connection(socket, {
      exports,
      tls: tls ?? null,
      pool: this.#pool,
      readBuffers: this.#readBuffers,
      log,
      negotiationMs: negotiationMs ?? limits.nbdNegotiationMs,
      closed: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
  }

  /** A socket file that nobody answers at is what a killed process left behind; it is replaced. */
  async #listenOnPath(path: string): Promise<void> {
    try {
      await this.#listen({ path });
    } catch (error) {
      if (errnoOf(error) !== 'EADDRINUSE' || !(await isLeftBehind(path))) throw error;
      rmSync(path);
      await this.#listen({ path });
    }
  }

  #listen(options: ListenOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(options, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
  }

  /**
   * A client that stopped in the middle of a request may not keep a buffer for ever that others wait for.
   * Those who wait may be of the same kind, and each has its time when it gets one: hence less for each where
   * many wait.
   */
  #watchStalls(): void {
    const most = this.#options.stallMs ?? limits.nbdStallMs;
    const least = Math.min(limits.nbdStallLeastMs, most);
    this.#watch = setInterval(() => {
      if (!this.#pool.waiting) return;
      const allowedMs = Math.max(most / this.#pool.waiters, least);
      for (const connection of this.#connections) {
        const { stalledMs } = connection;
        if (stalledMs <= allowedMs) continue;
        this.#options.log.warn('nbd.stalled-client-dropped', { seconds: Math.round(stalledMs / 1000) });
        connection.destroy();
      }
    }, least / 4).unref();
  }
}

function isLeftBehind(path: string): Promise<boolean> {
  if (!lstatSync(path).isSocket()) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error) => resolve(errnoOf(error) === 'ECONNREFUSED'));
  });
}
