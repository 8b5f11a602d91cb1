// Opens files for threads that read them, and closes each when nobody does any more.
import { assert, errnoOf, HomewardError } from '../../../core/errors.ts';
import type { Files } from '../../../core/files/files.ts';

interface Opened {
  fd: number;
  users: number;
}

/** A file that is lent stays readable after its name has gone. Closing is for who opened: the main thread. */
export class LentFiles {
  readonly #files: Files;
  /** By identity of the file, which a path alone is not. */
  readonly #opened = new Map<string, Opened>();

  constructor(files: Files) {
    this.#files = files;
  }

  /** Files that are open. */
  get count(): number {
    return this.#opened.size;
  }

  /** What is open under this key, or null. */
  fdOf(key: string): number | null {
    return this.#opened.get(key)?.fd ?? null;
  }

  /**
   * `key` stands for this very file; whoever gives another one the same path gives it another key. Throws
   * 'damaged' when the file has gone.
   */
  lend(key: string, path: string): { fd: number; release(): void } {
    const opened = this.#opened.get(key) ?? this.#open(key, path);
    opened.users += 1;
    let isHeld = true;
    const release = (): void => {
      assert(isHeld, 'what is lent is given back once');
      isHeld = false;
      opened.users -= 1;
      if (opened.users > 0) return;
      this.#opened.delete(key);
      this.#files.close(opened.fd);
    };
    return { fd: opened.fd, release };
  }

  #open(key: string, path: string): Opened {
    const opened = { fd: this.#tryOpen(path), users: 0 };
    this.#opened.set(key, opened);
    return opened;
  }

  #tryOpen(path: string): number {
    try {
      return this.#files.open(path);
    } catch (cause) {
      if (errnoOf(cause) !== 'ENOENT') throw cause;
      throw new HomewardError('damaged', `${path} is missing`, { cause });
    }
  }
}
