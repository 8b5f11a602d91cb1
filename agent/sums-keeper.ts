// Sees to it that all of a machine's replicas has checksums: a part at each look that has nothing else to do.
import { limits } from '../core/limits.ts';
import type { Cursor } from './replica/cursor.ts';
import type { MachineFile } from './replica/machine-file.ts';
import { Rest } from './replica/replica-sums.ts';
import type { StepThread } from './replica/step-thread.ts';
import type { LentDisk } from './replica/undo/undo-step.ts';

/** What is kept of a machine. */
export interface Summed {
  readonly file: Pick<MachineFile, 'handOver' | 'seeding'>;
  readonly journal: { readonly source: { readonly machine: Uint8Array } };
  readonly cursor: Pick<Cursor, 'lsn' | 'stepTo'>;
  readonly lentDisks: readonly LentDisk[];
}

interface Pass {
  disk: number;
  at: number;
  number: number;
  all: boolean;
}

export class SumsKeeper {
  #pass: Pass | null = null;
  /** All is looked at once after a start, and when a verification has found some that are not known. */
  #all = true;
  #dueAt = 0;

  /** Some are not known. */
  wake(): void {
    this.#all = true;
    this.#dueAt = 0;
  }

  /**
   * A part of what there is to do; nothing while a step is open, when the replicas are another's, or during
   * the first copy: a seed is laid into a replica past its sums.
   */
  async look(
    { file, journal, cursor, lentDisks }: Summed,
    work: Pick<StepThread, 'fillSums'>,
  ): Promise<void> {
    if (cursor.stepTo !== null || file.handOver !== undefined || file.seeding) return;
    if (this.#pass === null && performance.now() < this.#dueAt) return;
    this.#pass ??= this.#begin(0);
    const { disk, at, number: pass, all } = this.#pass;
    const lent = lentDisks[disk];
    if (lent === undefined) {
      this.#end();
      return;
    }
    const { machine } = journal.source;
    const job = { machine, disk, lent, lsn: cursor.lsn, at, pass, all };
    const { next, lost } = await work.fillSums(job);
    if (lost) this.#pass = null;
    else if (next === null) this.#pass = { ...this.#begin(disk + 1), all };
    else this.#pass.at = next;
  }

  #begin(disk: number): Pass {
    const number = Rest.leastPass + Math.floor(Math.random() * (2 ** 32 - Rest.leastPass));
    return { disk, at: 0, number, all: this.#all };
  }

  #end(): void {
    if (this.#pass?.all === true) this.#all = false;
    this.#pass = null;
    this.#dueAt = performance.now() + limits.sumsLookMs;
  }
}
