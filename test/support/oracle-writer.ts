// Writes the changes of an oracle to an NBD export over one connection, with many in flight, and knows which
// were sent, completed and flushed.
import { NbdErrno } from '../../core/nbd/export.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { MiB } from '../../core/units.ts';
import { NbdClient } from './nbd-client.ts';
import { sectorBytes, type Change, type Oracle } from './oracle.ts';
import type { Random } from './random.ts';

export interface WriterOptions {
  oracle: Oracle;
  random: Random;
  /** Requests without an answer yet. */
  window?: number;
  /** How likely a flush follows a change. */
  flush?: number;
  onlyWrites?: boolean;
}

const commands = { write: Command.write, zero: Command.writeZeroes, discard: Command.trim } as const;
const flushCookies = 0x80000000;

/** Changes go out in their order on one connection, so the server numbers them in their order. */
export class OracleWriter {
  readonly #client: NbdClient;
  readonly #options: Required<WriterOptions>;
  /** Sequences of changes that have been answered. */
  readonly completed = new Set<number>();
  /** Every change up to this one was completed before a flush that has been answered. */
  flushed = 0;
  #completedUpTo: number;
  #inFlight = 0;
  #flushes = new Map<number, number>();
  #lastFlush = flushCookies;

  private constructor(client: NbdClient, options: Required<WriterOptions>) {
    this.#client = client;
    this.#options = options;
    this.#completedUpTo = options.oracle.changes.length;
  }

  static async connect(socket: string, disk: string, options: WriterOptions): Promise<OracleWriter> {
    const client = await NbdClient.open({ path: socket }, disk, { structured: false });
    return new OracleWriter(client, { window: 32, flush: 0.03, onlyWrites: false, ...options });
  }

  /** Writes until `enough` says so (true) or the server goes away (false). Nothing is in flight then. */
  async write(enough: () => boolean): Promise<boolean> {
    const { oracle, random, window, flush, onlyWrites } = this.#options;
    try {
      while (!enough()) {
        this.#send(oracle.next(random, onlyWrites));
        if (random.chance(flush)) this.#sendFlush();
        while (this.#inFlight >= window) await this.#answer();
      }
      while (this.#inFlight > 0) await this.#answer();
      return true;
    } catch (error) {
      if (error instanceof Error && error.message === 'closed by the server') return false;
      throw error;
    }
  }

  /** So many changes more. */
  async writeMore(count: number): Promise<boolean> {
    const until = this.#options.oracle.changes.length + count;
    return this.write(() => this.#options.oracle.changes.length >= until);
  }

  /** One change that the caller has chosen, answered. */
  async change(change: Change): Promise<void> {
    this.#send(change);
    while (this.#inFlight > 0) await this.#answer();
  }

  async flush(): Promise<void> {
    this.#sendFlush();
    while (this.#inFlight > 0) await this.#answer();
  }

  async close(): Promise<void> {
    this.#client.send(Command.disconnect, 0, 0, 0);
    this.#client.socket.end();
    await this.#client.closed();
    this.#client.socket.destroy();
  }

  #send(change: Change): void {
    const { kind, sequence, first, count } = change;
    const payload = kind === 'write' ? this.#options.oracle.data(change) : undefined;
    this.#client.send(commands[kind], sequence, first * sectorBytes, count * sectorBytes, payload);
    this.#inFlight += 1;
  }

  #sendFlush(): void {
    this.#lastFlush += 1;
    this.#flushes.set(this.#lastFlush, this.#completedUpTo);
    this.#client.send(Command.flush, this.#lastFlush, 0, 0);
    this.#inFlight += 1;
  }

  async #answer(): Promise<void> {
    const { cookie, errno } = await this.#client.reply();
    if (errno !== NbdErrno.ok) throw new Error(`request ${cookie} failed with errno ${errno}`);
    this.#inFlight -= 1;
    const covered = this.#flushes.get(cookie);
    if (covered !== undefined) {
      this.#flushes.delete(cookie);
      this.flushed = Math.max(this.flushed, covered);
      return;
    }
    this.completed.add(cookie);
    while (this.completed.has(this.#completedUpTo + 1)) this.#completedUpTo += 1;
  }
}

/** Everything that an export holds. */
export async function readExport(socket: string, disk: string, sizeBytes: number): Promise<Buffer> {
  const client = await NbdClient.open({ path: socket }, disk, { structured: false });
  const image = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 4 * MiB) {
    const length = Math.min(4 * MiB, sizeBytes - at);
    const { errno, data } = await client.ask(Command.read, at, length);
    if (errno !== NbdErrno.ok || data === null)
      throw new Error(`reading at ${at} failed with errno ${errno}`);
    data.copy(image, at);
  }
  client.send(Command.disconnect, 0, 0, 0);
  client.socket.destroy();
  return image;
}
