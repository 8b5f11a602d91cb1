// Makes two undo segments of one, at an LSN inside its step, with the help of the redo of the step.
import { assert } from '../../../core/errors.ts';
import { addressDisk } from '../../../core/extents/address.ts';
import { ContentKind, type Extent } from '../../../core/extents/extent-columns.ts';
import type { ExtentTable } from '../../../core/extents/extent-table.ts';
import type { Files } from '../../../core/files/files.ts';
import { machineMark } from '../../../core/record/record.ts';
import { RecordReader } from '../record-reader.ts';
import { readStepRedo } from '../step-redo.ts';
import { EntryContent } from './entry-content.ts';
import { madeBy } from './make-undo.ts';
import { readOrLose, type ReadRecord } from './record-source.ts';
import { scanUndo, type UndoEntry } from './undo-reader.ts';
import type { LentRedo, SplitJob, UndoMade } from './undo-step.ts';
import type { FillContent, UndoWriter } from './undo-writer.ts';

/**
 * (from, to] at n: what redo (from, n] wrote, as it was at `from`; and what redo (n, to] wrote, as it was at
 * n, which is as redo (from, n] left it, or, where that wrote nothing, as it was at `from`. What the undo
 * does not have was written by neither, whatever damaged redo says. What is damaged or unknown stays so.
 */
export async function splitUndo(files: Files, job: SplitJob): Promise<[UndoMade, UndoMade]> {
  const { machine, undo, redo, at } = job;
  assert(undo.from < at && at < undo.to && job.outputs.length === 2, 'a step is split inside');
  const [before, after] = [
    (await readStepRedo(files, { machine, redo, from: undo.from, to: at })).table,
    (await readStepRedo(files, { machine, redo, from: at, to: undo.to })).table,
  ];
  const reader = new RecordReader(machineMark(Buffer.from(machine)), files);
  const source = new RedoContent(redo, (file, target, wanted) => reader.read(file, target, wanted));
  const [first, second] = await madeBy(files, job, job.outputs, async ([older, newer], flush) => {
    assert(older !== undefined && newer !== undefined, 'a split writes two segments');
    const written = new TableWalk(before);
    const writtenForNewer = new TableWalk(before);
    const rewritten = new TableWalk(after);
    for (const entry of scanUndo(files, undo, machine)) {
      const content = new LazyContent(entry);
      written.within(entry.start, entry.end, (start, end, extent) => {
        if (extent !== null) content.addTo(older, start, end);
      });
      rewritten.within(entry.start, entry.end, (from, to, touched) => {
        if (touched === null) return;
        writtenForNewer.within(from, to, (start, end, extent) => {
          if (extent === null) content.addTo(newer, start, end);
          else newer.addExtent(start, end, extent.kind, source.fillFrom(extent, start));
        });
      });
      const due = flush();
      if (due !== null) await due;
    }
  });
  assert(first !== undefined && second !== undefined, 'a split makes two segments');
  return [first, second];
}

/** Goes through a table once, in address order. */
class TableWalk {
  readonly #table: ExtentTable;
  #index = 0;

  constructor(table: ExtentTable) {
    this.#table = table;
  }

  /** Emits all of [start, end), extent by extent; null where the table has nothing. */
  within(
    start: number,
    end: number,
    emit: (start: number, end: number, extent: Extent | null) => void,
  ): void {
    this.#index = this.#table.findAfter(this.#index, start);
    const { starts, ends } = this.#table.columns;
    let low = start;
    let index = this.#index;
    for (; low < end && index < this.#table.count && starts[index]! < end; index++) {
      const from = Math.max(starts[index]!, low);
      if (from > low) emit(low, from, null);
      low = Math.min(ends[index]!, end);
      emit(from, low, this.#table.columns.extent(index));
    }
    if (low < end) emit(low, end, null);
  }
}

/** The old content of one entry of the undo, checked when the first piece of it is wanted. */
class LazyContent {
  readonly #entry: UndoEntry;
  #content: EntryContent | null = null;

  constructor(entry: UndoEntry) {
    this.#entry = entry;
  }

  addTo(writer: UndoWriter, start: number, end: number): void {
    const { kind } = this.#entry;
    if (kind === ContentKind.data) this.#content ??= new EntryContent(this.#entry);
    writer.addExtent(start, end, kind, this.#content?.fillFrom(start) ?? null);
  }
}

/** Reads what extents of the step's redo point at, each checked. */
class RedoContent {
  readonly #redo: readonly LentRedo[];
  readonly #read: ReadRecord;

  constructor(redo: readonly LentRedo[], read: ReadRecord) {
    this.#redo = redo;
    this.#read = read;
  }

  fillFrom({ segment, position, lsnDelta }: Extent, start: number): FillContent {
    const disk = addressDisk(start);
    const file = this.#redo[segment];
    assert(file !== undefined, 'an extent of a step is in its redo');
    const lsn = file.firstLsn + lsnDelta;
    return (target, offset) =>
      readOrLose(this.#read, file, target, {
        ...{ position, lsn, disk },
        ...{ start: offset, end: offset + target.length },
      });
  }
}
