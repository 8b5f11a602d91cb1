// Undo segments that are not wanted any more: unlinked at once, and durably gone where that counts.
import { errnoOf } from '../../../core/errors.ts';
import type { Files } from '../../../core/files/files.ts';

export class GoneFiles {
  readonly #files: Files;
  readonly #directory: string;
  /** Those that could not be unlinked. */
  readonly #left = new Set<string>();
  /** Some may be there again after a power cut. */
  #isUnsynced = false;

  constructor(files: Files, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** No failure counts here: until `settle` a start has to find its way with the file. */
  unlink(path: string): void {
    this.#isUnsynced = true;
    try {
      this.#unlinkIfThere(path);
      this.#left.delete(path);
    } catch {
      this.#left.add(path);
    }
  }

  /** Another file has this name now. */
  renamedTo(path: string): void {
    this.#left.delete(path);
  }

  /** All of them are gone for good when it resolves. */
  async settle(): Promise<void> {
    if (!this.#isUnsynced) return;
    for (const path of this.#left) {
      this.#unlinkIfThere(path);
      this.#left.delete(path);
    }
    await this.#files.syncDirectory(this.#directory);
    this.#isUnsynced = false;
  }

  #unlinkIfThere(path: string): void {
    try {
      this.#files.unlink(path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}
