// Makes what the threads of a recovery have written durable while they go on, and notes it.
import { lentFileStore, type FileStore } from '../../core/block/file-store.ts';
import { limits } from '../../core/limits.ts';
import { writtenRanges } from './formats/image-plan.ts';
import type { ImageFormat, StretchDone } from './formats/stretch.ts';
import type { RecoveryNote } from './recovery-note.ts';
import { WriteBehind } from './write-behind.ts';

/**
 * Order: 1 stretches are written · 2 the file is synced · 3 those that were written before 2 began are
 * noted, and the note is synced. So the note never names what a crash may have undone. Between syncs, which
 * hold up others, the disk writes already.
 */
export class Checkpoints {
  readonly #store: FileStore;
  readonly #format: ImageFormat;
  readonly #behind: WriteBehind;
  readonly #note: RecoveryNote;
  readonly #failed: (error: unknown) => void;
  /** Written, but neither synced nor noted. */
  #written: StretchDone[] = [];
  #writtenBytes = 0;
  /** When the last began; the first is made as soon as it is worth it. */
  #begunAt = -Infinity;
  #running: Promise<void> | null = null;
  #isBroken = false;

  /** `failed` hears of a sync in the background that failed. */
  constructor(
    { fd, format }: { fd: number; format: ImageFormat },
    note: RecoveryNote,
    failed: (error: unknown) => void,
  ) {
    this.#store = lentFileStore(fd);
    this.#format = format;
    this.#behind = new WriteBehind(fd);
    this.#note = note;
    this.#failed = failed;
  }

  add(stretch: StretchDone): void {
    this.#written.push(stretch);
    this.#writtenBytes += stretch.bytesWritten;
    this.#behind.add(writtenRanges(this.#format, stretch));
    const isDue = performance.now() - this.#begunAt >= limits.recoveryNoteMs;
    if (!isDue || this.#writtenBytes < limits.exportFlushBytes || this.#running !== null) return;
    this.#running = this.#take()
      .catch(this.#failed)
      .finally(() => {
        this.#running = null;
      });
  }

  /** Everything is durable and noted, unless a sync has failed: then nobody knows what of it is. */
  async finish(): Promise<void> {
    await this.#running;
    await this.#behind.close();
    if (!this.#isBroken) await this.#take();
  }

  async #take(): Promise<void> {
    const written = this.#written;
    this.#written = [];
    this.#writtenBytes = 0;
    this.#begunAt = performance.now();
    try {
      await this.#store.flush();
    } catch (error) {
      this.#isBroken = true;
      throw error;
    }
    if (written.length > 0) await this.#note.add(written);
  }
}
