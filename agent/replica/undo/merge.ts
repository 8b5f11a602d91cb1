// Makes one undo segment of neighbouring ones: where several have old content, the earliest is the one.
import { assert } from '../../../core/errors.ts';
import { ContentKind } from '../../../core/extents/extent-columns.ts';
import type { Files } from '../../../core/files/files.ts';
import { EntryContent } from './entry-content.ts';
import { madeBy } from './make-undo.ts';
import type { MergeJob, UndoMade } from './undo-step.ts';
import { scanUndo, type UndoEntry } from './undo-reader.ts';
import type { UndoWriter } from './undo-writer.ts';

/**
 * Streams: of each input one group is in memory, and none is read twice. What does not fit its checksum is
 * unknown in what is made, and so is what was unknown before.
 */
export async function mergeUndo(files: Files, job: MergeJob): Promise<UndoMade> {
  const { undo, machine, output } = job;
  assert(undo.length > 0, 'a merge has something to merge');
  undo.forEach((one, at) => assert(at === 0 || one.from === undo[at - 1]!.to, 'what is merged joins'));
  const [made] = await madeBy(files, job, [output], async ([writer], flush) => {
    assert(writer !== undefined, 'a merge writes one segment');
    const inputs = undo.map((one) => new Input(scanUndo(files, one, machine)));
    for (let low = 0; ;) {
      const input = firstOf(inputs, low);
      if (input === null) break;
      const start = Math.max(input.start, low);
      low = endOf(inputs, input);
      input.addTo(writer, start, low);
      for (const one of inputs) one.skipTo(low);
      const due = flush();
      if (due !== null) await due;
    }
  });
  assert(made !== undefined, 'a merge makes one segment');
  return made;
}

/** The input that has the next address that any has; of several, the oldest. */
function firstOf(inputs: readonly Input[], low: number): Input | null {
  let first: Input | null = null;
  let least = Infinity;
  for (const input of inputs) {
    const start = Math.max(input.start, low);
    if (start >= least) continue;
    least = start;
    first = input;
  }
  return first;
}

/** Where the extent of an input ends, or an older one begins. */
function endOf(inputs: readonly Input[], input: Input): number {
  let { end } = input;
  for (const older of inputs) {
    if (older === input) break;
    end = Math.min(end, older.start);
  }
  return end;
}

/** Where reading stands in one input; at the end `start` and `end` are Infinity. */
class Input {
  readonly #entries: Generator<UndoEntry>;
  #entry: UndoEntry | null = null;
  #content: EntryContent | null = null;
  start = 0;
  end = 0;

  constructor(entries: Generator<UndoEntry>) {
    this.#entries = entries;
    this.#take();
  }

  /** Goes to the first entry that ends after `address`. */
  skipTo(address: number): void {
    while (this.end <= address) this.#take();
  }

  addTo(writer: UndoWriter, start: number, end: number): void {
    const entry = this.#entry;
    assert(entry !== null, 'there is an entry to add');
    if (entry.kind === ContentKind.data) this.#content ??= new EntryContent(entry);
    writer.addExtent(start, end, entry.kind, this.#content?.fillFrom(start) ?? null);
  }

  #take(): void {
    const { value, done } = this.#entries.next();
    this.#entry = done === true ? null : value;
    this.#content = null;
    this.start = this.#entry?.start ?? Infinity;
    this.end = this.#entry?.end ?? Infinity;
  }
}
