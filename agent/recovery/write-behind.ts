// Has a file written to its disk behind those who fill it, and then lets go of the memory that cached it.
import fs from 'node:fs';
import { dropCached, writeOut } from '../../core/linux.ts';
import type { ByteRange } from './formats/disk-source.ts';

/**
 * Nothing is durable by this: a sync has less to do. A recovery would else push out of memory what others
 * read, and on a virtual machine memory that was never used before takes several times as long to fill. One
 * call is under way at a time: it keeps a thread of the pool, where commits of the journal wait for theirs.
 */
export class WriteBehind {
  #fd: number | null;
  readonly #waiting: ByteRange[] = [];
  #running: Promise<void> | null = null;

  /** Of a file that stays open for longer. */
  constructor(fd: number) {
    this.#fd = tryOpenAgain(fd);
  }

  /**
   * Bytes of the file that were written, and will not be again soon; what lies between them, and may still
   * be written to, is no more than a stretch or two.
   */
  add(ranges: readonly ByteRange[]): void {
    if (this.#fd === null || ranges.length === 0) return;
    this.#waiting.push([
      Math.min(...ranges.map(([start]) => start)),
      Math.max(...ranges.map(([, end]) => end)),
    ]);
    this.#running ??= this.#work(this.#fd).finally(() => {
      this.#running = null;
    });
  }

  /** What waits is left to the sync; nothing is under way any more when it resolves. May be called again. */
  async close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = null;
    this.#waiting.length = 0;
    await this.#running;
    if (fd !== null) fs.closeSync(fd);
  }

  async #work(fd: number): Promise<void> {
    for (let range = this.#waiting.shift(); range !== undefined; range = this.#waiting.shift()) {
      const [start, end] = range;
      try {
        await writeOut(fd, start, end - start);
        await dropCached(fd, start, end - start);
      } catch {
        // The sync meets what is wrong, since it goes by another open file: each is told of a failure once.
      }
    }
  }
}

/** Another open file of the same: a failure that it hears of is not taken from those who sync. */
function tryOpenAgain(fd: number): number | null {
  try {
    return fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_RDONLY);
  } catch {
    return null; // all goes on without
  }
}
