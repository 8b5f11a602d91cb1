// Saves the old content of what a step will write, out of the replicas into an undo segment.
import { HomewardError } from '../../core/errors.ts';
import { addressDisk, addressOffset, machineAddress } from '../../core/extents/address.ts';
import { ContentKind } from '../../core/extents/extent-columns.ts';
import type { ExtentTable } from '../../core/extents/extent-table.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { OldBlocks } from './signal/step-counts.ts';
import { beginOld, rememberOld } from './signal/step-memory.ts';
import { OldContent } from './step-old-content.ts';
import { readStepRedo } from './step-redo.ts';
import { keepStepRedo } from './step-redo-kept.ts';
import { TrailingFlush } from './step-flush.ts';
import { UnknownCutter } from './step-unknown.ts';
import type { SaveUndoJob, UndoSaved } from './undo/undo-step.ts';
import { UndoWriter, type FillContent } from './undo/undo-writer.ts';

/**
 * Writes `job.undoPath`. Crash order is the caller's: nothing but files of that name and of the table is
 * touched, and both are made anew by the next try.
 */
export async function saveUndo(files: Files, job: SaveUndoJob): Promise<UndoSaved> {
  const redo = await readStepRedo(files, job);
  const { undoPath: path, tablePath, machine, generation, note } = job;
  const writer = UndoWriter.begin(files, { path, tablePath, machine, generation, note });
  const flushes = new TrailingFlush(() => writer.flush(), limits.applyFlushBytes);
  const sources: OldContent[] = [];
  try {
    for (const [disk, lent] of job.disks.entries())
      sources.push(new OldContent(files, lent, { machine, disk, lsn: job.from }));
    const old = beginOld();
    const saver = new Saver(writer, sources, job.unknown, old);
    for (const stretch of stretchesOf(redo.table)) {
      for (const _ of saver.save(stretch))
        if (writer.unsynced >= limits.applyFlushBytes) await flushes.next();
    }
    await flushes.drain();
    const made = await writer.finish();
    rememberOld(files, job, old);
    keepStepRedo(files, job, redo);
    const damaged = [...redo.lost, ...sources.flatMap((source) => source.damaged)];
    return { ...made, damaged: damaged.slice(0, limits.damagedPlaces) };
  } catch (error) {
    await flushes.settle();
    writer.tryAbandon();
    throw error;
  } finally {
    for (const source of sources) source.close();
  }
}

/** Neighbouring extents of one disk: they are read together. */
interface Stretch {
  start: number;
  end: number;
  /** The step makes them unknown; it does not write there. */
  isLost: boolean;
}

function* stretchesOf({ columns, count }: ExtentTable): Generator<Stretch> {
  const { starts, ends, kinds } = columns;
  let next: Stretch | null = null;
  for (let index = 0; index < count; index++) {
    const start = starts[index]!;
    const isLost = kinds[index] === ContentKind.unknown;
    if (next !== null && next.end === start && next.isLost === isLost && start % limits.diskBytes !== 0)
      next.end = ends[index]!;
    else {
      if (next !== null) yield next;
      next = { start, end: ends[index]!, isLost };
    }
  }
  if (next !== null) yield next;
}

class Saver {
  readonly #writer: UndoWriter;
  readonly #sources: readonly OldContent[];
  readonly #cutter: UnknownCutter;
  /** What is saved is looked at in passing. */
  readonly #old: OldBlocks;
  #lostBytes = 0;

  constructor(
    writer: UndoWriter,
    sources: readonly OldContent[],
    unknown: readonly [number, number][],
    old: OldBlocks,
  ) {
    this.#old = old;
    this.#writer = writer;
    this.#sources = sources;
    this.#cutter = new UnknownCutter(unknown);
  }

  /** Yields after each piece, so that what was added can be flushed. */
  *save({ start, end, isLost }: Stretch): Generator<void> {
    for (const part of this.#cutter.cut(start, end)) {
      if (part.isUnknown) this.#writer.addExtent(part.start, part.end, ContentKind.unknown, null);
      else yield* this.#saveKnown(part.start, part.end, isLost);
    }
  }

  /** A lost record may be about all disks and what lies beyond their ends: there is nothing to keep there. */
  *#saveKnown(start: number, end: number, isLost: boolean): Generator<void> {
    for (let at = start; at < end;) {
      const disk = addressDisk(at);
      const offset = addressOffset(at);
      const base = at - offset;
      const stop = Math.min(end, base + limits.diskBytes);
      const source = this.#sources[disk];
      const known = Math.min(stop, Math.max(base + (source?.size ?? 0), at));
      if (known < stop && !isLost)
        throw new HomewardError(
          'damaged',
          `byte ${known - base} of disk ${disk} is written, which the replica lacks`,
        );
      if (source !== undefined && known > at) yield* this.#saveOf(source, disk, offset, known - base, isLost);
      if (known < stop) this.#writer.addExtent(known, stop, ContentKind.unknown, null);
      at = stop;
    }
  }

  *#saveOf(source: OldContent, disk: number, from: number, to: number, isLost: boolean): Generator<void> {
    const fill: FillContent = (target, offset) => {
      const bad = source.fill(target, offset);
      if (bad.length === 0) this.#old.saw(machineAddress(disk, offset), target);
      return bad;
    };
    for (const { start, end, kind } of source.pieces(from, to)) {
      // Bounded: with records lost it may be everything. Points before the step then lose that.
      const isOver = isLost && kind === ContentKind.data && this.#lostBytes >= limits.undoOfUnknownBytes;
      if (isLost && kind === ContentKind.data) this.#lostBytes += end - start;
      this.#writer.add(disk, start, end - start, isOver ? ContentKind.unknown : kind, fill);
      yield;
    }
  }
}
