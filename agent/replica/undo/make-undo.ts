// What making undo segments out of others has in common: all of them or none, flushed as they grow.
import type { Files } from '../../../core/files/files.ts';
import { limits } from '../../../core/limits.ts';
import type { UndoMade, UndoNote } from './undo-step.ts';
import { UndoWriter } from './undo-writer.ts';

export interface UndoOutput {
  undoPath: string;
  tablePath: string;
  note: UndoNote;
}

/**
 * Begins the outputs, has `fill` write to them in address order, and ends them, tables included. `fill` calls
 * `flush` after each piece and waits when that is not null: so commits of the journal get their turn. When
 * anything fails nothing is left of them.
 */
export async function madeBy(
  files: Files,
  { machine, generation }: { machine: Uint8Array; generation: number },
  outputs: readonly UndoOutput[],
  fill: (writers: readonly UndoWriter[], flush: () => Promise<void> | null) => Promise<void>,
): Promise<UndoMade[]> {
  const writers: UndoWriter[] = [];
  try {
    for (const { undoPath: path, tablePath, note } of outputs)
      writers.push(UndoWriter.begin(files, { path, machine, generation, note, tablePath }));
    await fill(writers, () => {
      const due = writers.find(({ unsynced }) => unsynced >= limits.applyFlushBytes);
      return due?.flush() ?? null;
    });
    const made: UndoMade[] = [];
    for (const writer of writers) made.push(await writer.finish());
    return made;
  } catch (error) {
    for (const writer of writers) writer.tryAbandon();
    throw error;
  }
}
