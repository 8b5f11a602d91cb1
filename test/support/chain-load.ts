// A workload on a protected disk that outlives its source: cut off, it connects again and repeats what had no
// answer, so that the disk is as its oracle says.
import type { Oracle } from './oracle.ts';
import { OracleWriter } from './oracle-writer.ts';
import type { Random } from './random.ts';

export interface LoadOptions {
  socket: string;
  disk: string;
  oracle: Oracle;
  random: Random;
  /** Requests without an answer yet. */
  window?: number;
}

export class ChainLoad {
  readonly oracle: Oracle;
  readonly #options: LoadOptions;
  #writer: OracleWriter | null = null;
  /** Changes that were made before this connection. */
  #before = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.oracle = options.oracle;
  }

  /** Writes until `enough` says so; false when the source went away before. */
  async write(enough: () => boolean): Promise<boolean> {
    const writer = this.#writer ?? (await this.#connect());
    const whole = await writer.write(enough);
    if (!whole) return false;
    await writer.flush();
    return true;
  }

  async writeMore(count: number): Promise<void> {
    const until = this.oracle.changes.length + count;
    if (!(await this.write(() => this.oracle.changes.length >= until)))
      throw new Error('the source went away in the middle of a write');
  }

  /** The source is back: all from the first change without an answer on is made once more, in order. */
  async resume(): Promise<void> {
    const lost = this.#writer;
    const again =
      lost === null ? [] : this.oracle.changes.slice(firstMissing(lost.completed, this.#before) - 1);
    const writer = await this.#connect();
    for (const change of again) await writer.change(change);
  }

  async close(): Promise<void> {
    await this.#writer?.close();
    this.#writer = null;
  }

  async #connect(): Promise<OracleWriter> {
    const { socket, disk, oracle, random, window = 32 } = this.#options;
    this.#before = oracle.changes.length;
    this.#writer = await OracleWriter.connect(socket, disk, { oracle, random, window });
    return this.#writer;
  }
}

function firstMissing(completed: ReadonlySet<number>, before: number): number {
  let sequence = before + 1;
  while (completed.has(sequence)) sequence += 1;
  return sequence;
}
