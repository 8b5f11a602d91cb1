// What stands in for a cursor that is lost, by what the other files tell; docs/journal-format.md, section 7.
import { HomewardError } from '../../../core/errors.ts';
import type { Catalogue } from '../../journal/catalogue.ts';
import { readCursor, type Cursor } from '../../replica/cursor.ts';
import type { MachineFile } from '../../replica/machine-file.ts';
import type { UndoFile } from '../../replica/undo/undo-files.ts';
import type { UndoStep } from '../../replica/undo/undo-step.ts';
import type { RescuedLedger } from './rescue-ledger.ts';

/** The cursor in `file`, or what there is to do without it. */
export function readOrReplace(
  file: string,
  undo: readonly UndoFile[],
  ledger: RescuedLedger,
): Cursor | LostCursor {
  try {
    return readCursor(file);
  } catch (error) {
    if (error instanceof HomewardError) return new LostCursor(error.message, undo, ledger);
    throw error;
  }
}

/** What is known once redo was read. */
export interface RedoSeen {
  /** First LSN of the records that are there; null when there are none. */
  firstLsn: number | null;
  /** Stamp of a record in microseconds, or null. */
  timeOf(lsn: number): number | null;
  catalogue: Catalogue;
}

export class LostCursor {
  readonly gap = null;
  /** Where redo is known to be pruned to, and what is known to be durable, before redo was read. */
  readonly pruned: number;
  readonly durable: number;
  readonly #why: string;
  /** Ledger and undo say the same of where the last step ended. */
  readonly #agrees: boolean;
  readonly #steps: readonly UndoStep[];
  readonly #endLsn: number;
  /** Behind it redo begins. */
  #begin: number;

  constructor(why: string, undo: readonly UndoFile[], ledger: RescuedLedger) {
    this.#why = why;
    this.#steps = undo.map(({ step }) => step).filter((step) => step !== null);
    const end = Math.max(0, ...this.#steps.map(({ to }) => to));
    const told = Math.max(0, ...[...ledger.files.undo.values()].map(({ to }) => to));
    this.pruned = ledger.prunedTo;
    this.#begin = ledger.prunedTo;
    this.durable = Math.max(ledger.durable, end);
    this.#endLsn = Math.max(end, told);
    // Undo of a step that no line tells of yet is what a crash leaves.
    this.#agrees = ledger.isWhole && told > 0 && told <= end;
  }

  /** Why it is lost, and what was taken in its place. */
  spell({ lsn }: Cursor): string {
    const whence = this.#agrees
      ? `the end of the last step, by ledger and undo, is taken in its place: lsn:${lsn}`
      : `in its place is taken what redo, undo and ledger tell: lsn:${lsn}`;
    return `${this.#why}; ${whence}. No replica is used`;
  }

  /** Redo begins behind `lsn`; gives back the gap that is open there, whose begin is not kept. */
  beginsAt(lsn: number): Cursor['gap'] {
    this.#begin = Math.max(this.#begin, lsn);
    const from = this.#begin;
    const [before, behind] = [this.#stepTo(from), this.#stepFrom(from)];
    const time = before?.toTime ?? behind?.fromTime ?? 0;
    const isPoint = before?.point ?? behind?.fromPoint ?? true;
    return isPoint ? null : { from, time, reason: 'a sync whose begin is not kept' };
  }

  settle(file: MachineFile, redo: RedoSeen): Cursor {
    const pruned = this.#begin;
    const lsn = Math.max(this.#endLsn, pruned);
    const step = this.#stepTo(lsn);
    const created = Date.parse(file.created) * 1000;
    const first = redo.firstLsn === null ? null : redo.timeOf(redo.firstLsn);
    const time = step?.toTime ?? redo.timeOf(lsn) ?? (lsn === 0 ? created : (first ?? created));
    return {
      ...{ lsn, pruned, time, stepTo: null, pin: null, generation: 0, gap: null, unknown: [] },
      durable: Math.max(this.durable, lsn),
      firstPoint: this.#firstPoint(file, redo),
      tag: step?.tag ?? null,
    };
  }

  /** Steps have undo only from the first point on. */
  #firstPoint({ seeding }: MachineFile, { firstLsn, catalogue }: RedoSeen): number | null {
    const [gap] = catalogue.gaps;
    const lost = catalogue.lost.find(({ from }) => from === 1);
    const hasFirst = this.#begin === 0 && firstLsn !== null && lost === undefined;
    if (hasFirst) return gap !== undefined && gap.from <= 1 ? gap.to : 0;
    const oldest = this.#steps.reduce((least, { from }) => Math.min(least, from), Infinity);
    if (oldest < Infinity) return oldest;
    if (seeding) return gap?.to ?? null;
    return firstLsn === null ? null : Math.max(this.#begin, lost?.to ?? 0);
  }

  #stepTo(lsn: number): UndoStep | undefined {
    return this.#steps.find(({ to }) => to === lsn);
  }

  #stepFrom(lsn: number): UndoStep | undefined {
    return this.#steps.find(({ from }) => from === lsn);
  }
}
