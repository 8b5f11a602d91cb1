// The cursor of one machine and the undo behind it, and every way of moving them, in crash order.
import { basename, join } from 'node:path';
import { assert, errnoOf } from '../../core/errors.ts';
import type { Cursor } from './cursor.ts';
import { mending, type Middle, type StepPlan, type TimelineParts } from './timeline-parts.ts';
import { GoneFiles } from './undo/gone-files.ts';
import type { UndoLog } from './undo/undo-log.ts';
import { undoFileName } from './undo/undo-names.ts';
import type { ReplicaWritten, StepJob, UndoMade, UndoNote, UndoStep } from './undo/undo-step.ts';

export type {
  Middle,
  StepEntry,
  StepJournal,
  StepLedger,
  StepPlan,
  TimelineParts,
} from './timeline-parts.ts';

/**
 * Invariants: the undo log joins up to the cursor, or to an open step that begins there; while a step is
 * open nothing but that step is begun; an undo segment is made of a replica that no step is open on.
 * Calls do not overlap: whoever owns this has one under way at a time. Each may fail at any point, and
 * `finish` or the next start goes on from there.
 */
export class Timeline {
  readonly #parts: TimelineParts;
  /** Boundaries that a merge or a drop under way takes away. */
  readonly #leaving = new Set<number>();
  /** Up to here redo is about to go: what lies below and is no boundary goes with it; 0 for nothing. */
  #pruningTo = 0;
  /** A move of the cursor failed: its file may say what it was to say. */
  #isUnsure = false;
  readonly #gone: GoneFiles;

  constructor(parts: TimelineParts) {
    this.#parts = parts;
    this.#gone = new GoneFiles(parts.files, parts.undoDirectory);
  }

  get undo(): UndoLog {
    return this.#parts.undo;
  }

  /** The end of the step that is open and how it is kept, or null. */
  get open(): { to: number; step: UndoStep | null } | null {
    const { lsn, stepTo } = this.#parts.cursor();
    // Undo that begins at the cursor is then of a step that was rolled back; it leads nowhere.
    const step = stepTo === null ? this.undo.open(lsn) : null;
    if (step !== null) return { to: step.to, step };
    // An undo segment that cannot be read does not lead back; what lay below it is unknown.
    const to = stepTo ?? this.undo.brokenOpen(lsn)?.to ?? null;
    return to === null ? null : { to, step: null };
  }

  /** Whether a point is about to go: nobody may begin to read it, though it is there still. */
  isLeaving(lsn: number): boolean {
    return this.#leaving.has(lsn) || (lsn < this.#pruningTo && this.base(lsn) !== lsn);
  }

  async #whileLeaving<T>(steps: readonly UndoStep[], run: () => Promise<T>): Promise<T> {
    for (const { from } of steps) this.#leaving.add(from);
    try {
      return await run();
    } finally {
      for (const { from } of steps) this.#leaving.delete(from);
    }
  }

  /** The largest boundary at or below `lsn` that a view can be read from, or null. */
  base(lsn: number): number | null {
    const { lsn: cursor } = this.#parts.cursor();
    const most = Math.min(lsn, cursor);
    if (most === cursor) return cursor;
    return this.undo.boundaries().findLast((boundary) => boundary.lsn <= most)?.lsn ?? null;
  }

  /**
   * Moves the cursor forward over the step. Crash order: 1 undo under a temporary name, synced · 2 renamed,
   * directory synced: the step is open · 3 views know · 4 replica, flushed · 5 cursor. Without undo: 1 the
   * cursor says where the step ends: nothing below is shown any more · 2 replica, flushed · 3 cursor.
   */
  async apply(plan: StepPlan): Promise<ReplicaWritten> {
    assert(this.open === null, 'a step begins when none is open');
    assert(plan.note.from === this.#parts.cursor().lsn, 'a step begins at the cursor');
    this.#beSure();
    if (plan.keepUndo) await this.#openStep(plan.note);
    else await this.#openWithoutUndo(plan.note.to);
    return await this.#forward(plan.note.to, plan.note.toTime);
  }

  /** Ends a step that a crash or a failure left open: forward, or back when that is wanted. */
  async finish(direction: 'forward' | 'back'): Promise<void> {
    const { open } = this;
    assert(open !== null, 'there is a step to finish');
    this.#beSure();
    if (this.#parts.cursor().stepTo !== null) await this.#giveUpUndo();
    this.#parts.stepOpens();
    if (open.step === null) await this.#forward(open.to, null);
    else if (direction === 'forward') await this.#forward(open.to, open.step.toTime);
    else await this.#back(open.step);
  }

  /**
   * Takes the newest step back. Crash order: 1 redo of it is found again · 2 cursor: the step is open · 3
   * views know · 4 undo onto the replica, flushed · 5 ledger, undo unlinked.
   */
  async rollBack(): Promise<void> {
    const { undo, journal, cursor } = this.#parts;
    const step = undo.steps.at(-1);
    assert(this.open === null && step !== undefined, 'a step is rolled back when none is open');
    assert(step.to === cursor().lsn, 'the newest step ends at the cursor');
    assert(step.from >= cursor().pruned, 'redo of a step that is rolled back is there');
    this.#beSure();
    await journal.cursorMoved(step.from);
    this.#move({ lsn: step.from, time: step.fromTime });
    this.#parts.stepOpens();
    await this.#back(step);
  }

  /** Makes `at`, inside a step whose redo is there, a boundary. `middle` says what is known of it. */
  async split(step: UndoStep, at: number, middle: Middle): Promise<void> {
    const { undo, journal, work, machine } = this.#parts;
    const { firstTime, ...end } = noteOf(step);
    const begin = firstTime === undefined ? {} : { firstTime };
    const { nextTime, ...boundary } = middle;
    const outputs = [
      this.#output({ ...end, ...begin, to: at, ...boundary }),
      this.#output({
        ...end,
        from: at,
        fromTime: middle.toTime,
        fromTag: middle.tag,
        fromPoint: middle.point,
        firstTime: nextTime,
      }),
    ];
    const lent = journal.lend(step.from, step.to);
    const old = undo.lend(step);
    try {
      const { generation } = journal;
      const job = { machine, generation, undo: old.undo, redo: lent.redo, at, outputs };
      const made = await work.split(job);
      await this.#replace('split', [step], outputs, made);
    } finally {
      old.release();
      lent.release();
    }
  }

  /** Makes one step of neighbours whose redo is gone; the boundaries between them are no points any more. */
  async merge(steps: readonly UndoStep[]): Promise<void> {
    return await this.#whileLeaving(steps.slice(1), () => this.#merge(steps));
  }

  async #merge(steps: readonly UndoStep[]): Promise<void> {
    const { undo, journal, work, machine } = this.#parts;
    const [first] = steps;
    const last = steps.at(-1);
    assert(first !== undefined && last !== undefined && steps.length > 1, 'a merge has steps');
    assert(last.to <= this.#parts.cursor().pruned, 'redo of steps that are merged is gone');
    const { to, toTime, tag, point } = last;
    const output = this.#output({ ...noteOf(first), to, toTime, tag, point });
    const lent = steps.map((step) => undo.lend(step));
    try {
      const { generation } = journal;
      const made = await work.merge({ machine, generation, undo: lent.map((one) => one.undo), output });
      await this.#replace('merged', steps, [output], [made]);
    } finally {
      for (const one of lent) one.release();
    }
  }

  /**
   * Drops the redo up to a boundary at or below the cursor. Crash order: 1 what was split is gone durably: a
   * start would take it for the parts, and their boundaries need redo then · 2 cursor file · 3 ledger · 4
   * files.
   */
  async prune(boundary: number): Promise<number> {
    const { cursor, journal, ledger } = this.#parts;
    const { lsn, pruned } = cursor();
    assert(boundary <= lsn && this.base(boundary) === boundary, 'redo goes up to a boundary');
    if (boundary > pruned) {
      this.#pruningTo = boundary;
      const moved = this.#gone.settle().then(() => this.#move({ pruned: boundary }));
      await moved.finally(() => (this.#pruningTo = 0));
      ledger.append({ event: 'pruned', from: pruned, to: boundary });
      await this.#settleForRoom();
    }
    return journal.prune(boundary);
  }

  /** Gives up all points below `boundary`, whose redo is gone; gives back how many steps went. */
  async dropBelow(boundary: number): Promise<number> {
    const { undo, ledger, cursor } = this.#parts;
    assert(boundary <= cursor().pruned, 'undo goes when its redo has');
    const dropped = undo.steps.filter(({ to }) => to <= boundary);
    const lost = this.#lostBelow(boundary);
    if (dropped.length === 0 && lost.length === 0) return 0;
    for (const { from, to, path } of [...dropped, ...lost])
      ledger.append({ event: 'pruned', file: path, from, to });
    await this.#whileLeaving(dropped, async () => {
      await this.#settleForRoom();
      undo.dropBelow(boundary);
    });
    for (const { path } of dropped) this.#gone.unlink(path);
    return dropped.length;
  }

  /** Files that have gone without us: they are not missed any more, since nobody wants what they led to. */
  #lostBelow(boundary: number): { path: string; from: number; to: number }[] {
    const { undo, ledger, files, undoDirectory } = this.#parts;
    const known = new Set(undo.steps.map(({ path }) => path));
    const asked = [...(ledger.expected?.().undo.values() ?? [])]
      .filter(({ to }) => to <= boundary)
      .map(({ file, from, to }) => ({ path: join(undoDirectory, basename(file)), from, to }))
      .filter(({ path }) => !known.has(path));
    if (asked.length === 0) return [];
    const present = new Set(files.list(undoDirectory));
    return asked.filter(({ path }) => !present.has(basename(path)));
  }

  async #openStep(note: UndoNote): Promise<void> {
    const { work, undo, ledger } = this.#parts;
    const output = this.#output(note);
    const made = await mending(this.#parts, () =>
      this.#withJob(note, (job) => work.saveUndo({ ...job, ...output })),
    );
    await this.#place([{ output, made }]);
    const step = stepOf(output, made, this.#pathOf(note));
    undo.add(step);
    this.#parts.stepOpens();
    const { from, to, bytes, hash } = step;
    ledger.append({ event: 'stepped', file: step.path, from, to, bytes, hash });
  }

  async #openWithoutUndo(to: number): Promise<void> {
    const { lsn, pruned } = this.#parts.cursor();
    this.#move({ stepTo: to, pruned: Math.max(pruned, lsn) });
    await this.#giveUpUndo();
    this.#parts.stepOpens();
  }

  /**
   * Older undo leads to points below a step without undo, which are given up with it. It must be gone before
   * the cursor says that the step has ended: it would seem to lead there from what the replica is then.
   */
  async #giveUpUndo(): Promise<void> {
    const { undo, ledger } = this.#parts;
    const dropped = [...undo.steps];
    if (dropped.length === 0) return;
    for (const step of dropped)
      ledger.append({ event: 'pruned', file: step.path, from: step.from, to: step.to });
    await this.#settleForRoom();
    undo.dropAll();
    for (const { path } of dropped) this.#gone.unlink(path);
    await this.#gone.settle();
  }

  async #forward(to: number, toTime: number | null): Promise<ReplicaWritten> {
    const { work, cursor, journal, flushBytes } = this.#parts;
    const { lsn: from, stepTo, time, pruned } = cursor();
    const written = await mending(this.#parts, () =>
      this.#withJob({ from, to }, (job) => work.writeReplica({ ...job, flushBytes })),
    );
    this.#move({
      lsn: to,
      stepTo: null,
      unknown: written.unknown,
      time: toTime ?? time,
      pruned: stepTo === null ? pruned : to,
    });
    this.#parts.stepEnded(written);
    await journal.cursorMoved(to);
    return written;
  }

  async #back(step: UndoStep): Promise<void> {
    const { work, undo, cursor, ledger, machine } = this.#parts;
    const lent = undo.lend(step);
    try {
      const { unknown } = cursor();
      const disks = this.#parts.disks();
      const written = await work.rollBack({ machine, undo: lent.undo, disks, unknown });
      this.#move({ unknown: written.unknown });
      ledger.append({ event: 'rolled', file: step.path, from: step.from, to: step.to });
      await ledger.settle();
      undo.removeNewest();
      this.#gone.unlink(step.path);
      this.#parts.stepEnded(written);
    } finally {
      lent.release();
    }
  }

  #move(change: Partial<Cursor>): void {
    this.#isUnsure = true;
    this.#parts.moveCursor(change);
    this.#isUnsure = false;
  }

  /** Before the replica is written anew, the file says where the process believes that it is. */
  #beSure(): void {
    if (this.#isUnsure) this.#move({});
  }

  async #withJob<T>(
    { from, to }: { from: number; to: number },
    run: (job: StepJob) => Promise<T>,
  ): Promise<T> {
    const { machine, journal, cursor } = this.#parts;
    const { redo, release } = journal.lend(from, to);
    try {
      const { unknown } = cursor();
      const { generation } = journal;
      return await run({ machine, generation, from, to, redo, disks: this.#parts.disks(), unknown });
    } finally {
      release();
    }
  }

  /** In this order: 1 the new files have their names, durably · 2 ledger · 3 the old ones go. */
  async #replace(
    event: 'split' | 'merged',
    olds: readonly UndoStep[],
    outputs: readonly Output[],
    made: readonly UndoMade[],
  ): Promise<void> {
    const { undo, ledger } = this.#parts;
    const placed = outputs.map((output, at) => ({ output, made: made[at]! }));
    await this.#place(placed);
    const steps = placed.map((one) => stepOf(one.output, one.made, this.#pathOf(one.output.note)));
    for (const { path: file, from, to, bytes, hash } of steps)
      ledger.append({ event, file, from, to, bytes, hash });
    for (const { path: file, from, to } of olds) ledger.append({ event: 'pruned', file, from, to });
    await ledger.settle();
    undo.replace(olds, steps);
    for (const { path } of olds) this.#gone.unlink(path);
  }

  /** Temporary names become the real ones. What cannot be named durably is as if it had not been made. */
  async #place(all: readonly { output: Output; made: UndoMade }[]): Promise<void> {
    const { files, undo, undoDirectory } = this.#parts;
    try {
      for (const { output, made } of all) {
        const path = this.#pathOf(output.note);
        files.rename(made.path, path);
        this.#gone.renamedTo(path);
        undo.named(path);
      }
      await files.syncDirectory(undoDirectory);
    } catch (error) {
      for (const { output, made } of all)
        for (const path of [made.path, this.#pathOf(output.note)]) this.#gone.unlink(path);
      throw error;
    }
  }

  #output(note: UndoNote): Output {
    const name = undoFileName(note.from, note.to);
    const tablePath = join(this.#parts.derived, `undo-${name.replace('.seg', '.table')}`);
    return { undoPath: `${this.#pathOf(note)}.new`, tablePath, note };
  }

  #pathOf({ from, to }: { from: number; to: number }): string {
    return join(this.#parts.undoDirectory, undoFileName(from, to));
  }

  /**
   * A full volume must get room: there the line comes later, and a crash before would show as a missing file.
   */
  async #settleForRoom(): Promise<void> {
    try {
      await this.#parts.ledger.settle();
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== 'ENOSPC' && errno !== 'EDQUOT') throw error;
    }
  }
}

interface Output {
  undoPath: string;
  tablePath: string;
  note: UndoNote;
}

/** What a step says of itself, without what its file is like. */
function noteOf(step: UndoStep): UndoNote {
  const { path: _path, identity: _identity, bytes: _bytes, hash: _hash, ...note } = step;
  return note;
}

const stepOf = ({ note }: Output, { identity, bytes, hash }: UndoMade, path: string): UndoStep => ({
  ...note,
  path,
  identity,
  bytes,
  hash,
});
