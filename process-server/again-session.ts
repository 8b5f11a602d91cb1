// A master target asks for records that it has had and lost: what the spool still has of them, then the end.
import type { ChainConnection, ChainListener } from '../core/chain/chain-connection.ts';
import type { AgainHello } from '../core/chain/messages.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { LogReader } from '../core/segment-log/log-reader.ts';
import type { Spool } from './spool/spool.ts';

export interface AgainSessionOptions {
  connection: ChainConnection;
  hello: AgainHello;
  spool: Spool;
  gone(session: AgainSession): void;
}

/** Changes nothing that is known of the master target: docs/chain.md, section 3, "Again". */
export class AgainSession implements ChainListener {
  readonly #options: AgainSessionOptions;
  #drained: (() => void) | null = null;
  #closed = false;
  #sending: Promise<void> = Promise.resolve();

  constructor(options: AgainSessionOptions) {
    this.#options = options;
  }

  start(): void {
    const { connection, hello, spool } = this.#options;
    const { generation, spooled, target, applied, oldest } = spool;
    connection.sendWelcome({ compress: hello.compress, generation, spooled, target, applied, oldest });
    connection.compress = hello.compress;
    this.#sending = this.#send().catch((error: unknown) => this.fail(toHomewardError(error)));
  }

  drained(): void {
    this.#drained?.();
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#drained?.();
    this.#options.gone(this);
  }

  fail(error: HomewardError): void {
    if (this.#closed) return;
    this.#options.connection.fail(error);
    this.closed();
  }

  /** Resolves when nothing of the spool is read any more. */
  settled(): Promise<void> {
    return this.#sending;
  }

  async #send(): Promise<void> {
    const { connection, hello, spool } = this.#options;
    const { from, to } = hello;
    for (let next = from; next <= to && !this.#closed;) {
      const reader = spool.reader(Math.max(next, spool.oldest), to);
      try {
        next = await this.#sendFrom(reader, to);
      } catch (error) {
        if (!(error instanceof HomewardError) || error.code !== 'pruned') throw error;
        next = reader.nextLsn; // the oldest went just now
      } finally {
        reader.close();
      }
    }
    if (this.#closed) return;
    connection.sendNote({ kind: 'again-end', from, to });
    connection.close();
  }

  /** Where to go on: behind `to` when it has come to the end of what there is. */
  async #sendFrom(reader: LogReader, to: number): Promise<number> {
    const { connection } = this.#options;
    while (!this.#closed) {
      const found = await reader.read(limits.spoolReadBytes, true);
      if (found === null) return to + 1;
      // What is damaged, or missing, here too is left out.
      if (found.kind === 'run' && !this.#closed && !connection.sendRecords([found.bytes]))
        await this.#untilDrained();
    }
    return to + 1;
  }

  #untilDrained(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) return resolve();
      this.#drained = () => {
        this.#drained = null;
        resolve();
      };
    });
  }
}
