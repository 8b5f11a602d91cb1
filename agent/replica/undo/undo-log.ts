// The undo steps of one machine: which there are, who reads them, and what a view reads them through.
import { assert } from '../../../core/errors.ts';
import { wholeMachine } from '../../../core/extents/address.ts';
import { ContentKind } from '../../../core/extents/extent-columns.ts';
import { ExtentList } from '../../../core/extents/extent-list.ts';
import { ExtentTable } from '../../../core/extents/extent-table.ts';
import type { Files } from '../../../core/files/files.ts';
import type { Log } from '../../../core/log.ts';
import { boundariesOf, type Boundary } from '../points.ts';
import type { ViewSegment } from '../view-content.ts';
import type { NodeJob, NodePart } from './build-node.ts';
import { LentFiles } from './lent-files.ts';
import { chainOf, type UndoHole } from './undo-chain.ts';
import { listUndoFiles, removeUnnamed, setAside, type UndoFile } from './undo-files.ts';
import { firstUndoOrdinal, undoTablePath } from './undo-names.ts';
import { coverSteps, wantedRuns, type StepRun } from './undo-nodes.ts';
import type { LayerSource, LentUndo, UndoStep } from './undo-step.ts';
import { UndoTables } from './undo-tables.ts';

export interface UndoLogOptions {
  files: Files;
  /** Absolute paths of `undo/` and `derived/`; they may be missing. */
  directory: string;
  derived: string;
  /** UUID, 16 bytes. */
  machine: Uint8Array;
  cursorLsn: number;
  log: Log;
}

export interface LentStep {
  undo: LentUndo;
  ordinal: number;
  release(): void;
}

/** What a view reads undo through; everything stays readable until `release`. */
export interface UndoLayers {
  /** Oldest first. */
  undo: LayerSource[];
  /** What extents of the layers point into: every step from the base on. */
  segments: ViewSegment[];
  release(): void;
}

/** A derived table that is missing. */
export interface NodePlan {
  path: string;
  /** Oldest first; they join. */
  inputs: UndoStep[];
  /** The same in the pieces that have tables already. */
  parts: { tablePath: string; steps: UndoStep[] }[];
}

/** Of all machines of the process, so that no two segments that a thread may see have the same. */
let nextOrdinal = firstUndoOrdinal;

/**
 * Holds: steps are in order and do not overlap; where one does not begin at the end of the one before there
 * is a hole. Files are named and unlinked by who calls; what was lent stays open until it is given back.
 */
export class UndoLog {
  readonly #options: UndoLogOptions;
  readonly #steps: UndoStep[];
  #holes: UndoHole[];
  readonly #leftovers: UndoStep[];
  readonly #lent: LentFiles;
  readonly #tables: UndoTables;
  /** Where the newest step ends or ended; the cursor stands there, or has gone on without undo. */
  #end: number;
  /** By identity. */
  readonly #ordinals = new Map<string, number>();

  /** Files that belong nowhere get another name; derived tables that fit no steps go. */
  static open(options: UndoLogOptions): UndoLog {
    const { files, directory, machine, cursorLsn, log } = options;
    removeUnnamed(files, directory, log);
    const found = listUndoFiles(files, directory, machine, log);
    const chain = chainOf(found, cursorLsn);
    for (const file of chain.stray) setAside(files, file, log);
    for (const { from, to, why } of chain.holes) log.error('undo-hole', { from, to, why });
    return new UndoLog(options, chain.steps.flatMap(stepOf), chain.holes, chain.contained.flatMap(stepOf));
  }

  private constructor(options: UndoLogOptions, steps: UndoStep[], holes: UndoHole[], leftovers: UndoStep[]) {
    this.#options = options;
    this.#steps = steps;
    this.#holes = holes;
    this.#leftovers = leftovers;
    this.#end = Math.max(options.cursorLsn, steps.at(-1)?.to ?? 0);
    this.#lent = new LentFiles(options.files);
    this.#tables = new UndoTables(options.files, options.derived, this.#lent);
    this.#tables.refresh(true);
    this.#tables.keepBetween(new Set(steps.flatMap(({ from, to }) => [from, to])));
  }

  /** Oldest first, the open one included. */
  get steps(): readonly UndoStep[] {
    return this.#steps;
  }

  /** Where undo is missing, oldest first; what lies below is unknown unless older undo has it. */
  get holes(): readonly UndoHole[] {
    return this.#holes;
  }

  /**
   * What a crash left behind of a split or a merge: each lies inside a step. They are no part of `steps`, and
   * unlinked by `dropLeftovers`, once the ledger says so.
   */
  get leftovers(): readonly UndoStep[] {
    return this.#leftovers;
  }

  /** Bytes of all undo segments. */
  get bytes(): number {
    return this.#steps.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Files that are lent now. */
  get lentFiles(): number {
    return this.#lent.count;
  }

  /** The step that is open while the cursor stands at `cursorLsn`, or null. */
  open(cursorLsn: number): UndoStep | null {
    const newest = this.#steps.at(-1);
    return newest?.from === cursorLsn ? newest : null;
  }

  /** The end of a step that begins at the cursor and whose undo cannot be read, or null. */
  brokenOpen(cursorLsn: number): UndoHole | null {
    return this.#holes.find(({ from, to }) => from === cursorLsn && to > cursorLsn) ?? null;
  }

  /** Where steps begin, and where the newest ends; oldest first. */
  boundaries(): Boundary[] {
    const boundaries = boundariesOf(this.#steps);
    const newest = this.#steps.at(-1);
    if (newest === undefined) return boundaries;
    const { to: lsn, toTime: time, tag, point } = newest;
    return [...boundaries, { lsn, time, untilTime: time + 1, tag, point }];
  }

  /** Takes a step whose file has its name, durably. */
  add(step: UndoStep): void {
    const newest = this.#steps.at(-1);
    const end = newest?.to ?? step.from;
    assert(end <= step.from, 'a new step lies above all others');
    const isKnown = this.#holes.some(({ from, to }) => from <= end && to >= step.from);
    if (end < step.from && !isKnown)
      this.#holes.push({ from: end, to: step.from, why: 'a step was made without undo' });
    this.#steps.push(step);
    this.#end = step.to;
    this.#tables.made(step);
  }

  /** The newest step was rolled back, and its file is about to go. */
  removeNewest(): UndoStep {
    const step = this.#steps.pop();
    assert(step !== undefined, 'there is a step to remove');
    this.#end = step.from;
    this.#forget([step], []);
    return step;
  }

  /** Neighbours give way to others of the same interval, whose files have their names, durably. */
  replace(olds: readonly UndoStep[], news: readonly UndoStep[]): void {
    const at = this.#steps.findIndex(({ identity }) => identity === olds[0]?.identity);
    const isThere = olds.every(({ identity }, index) => this.#steps[at + index]?.identity === identity);
    assert(at >= 0 && isThere, 'what is replaced is there');
    assert(
      olds[0]?.from === news[0]?.from && olds.at(-1)?.to === news.at(-1)?.to,
      'what replaces covers the same',
    );
    this.#steps.splice(at, olds.length, ...news);
    this.#forget(olds, news);
    for (const step of news) this.#tables.made(step);
  }

  /** Takes out the steps that end at or below `lsn`, whose files are about to go. */
  dropBelow(lsn: number): UndoStep[] {
    const count = this.#steps.findIndex(({ to }) => to > lsn);
    const dropped = this.#steps.splice(0, count < 0 ? this.#steps.length : count);
    this.#holes = this.#holes.filter(({ to }) => to > lsn);
    this.#forget(dropped, []);
    return dropped;
  }

  /** The same for all of them, of which the newest may begin at the cursor. */
  dropAll(): UndoStep[] {
    this.#end = this.#steps.at(-1)?.from ?? this.#end;
    return this.dropBelow(Infinity);
  }

  /** A step's file has this name now, and what had been left over under it is gone. */
  named(path: string): void {
    const at = this.#leftovers.findIndex((one) => one.path === path);
    if (at >= 0) this.#leftovers.splice(at, 1);
  }

  /** Unlinks what `leftovers` lists. */
  dropLeftovers(): void {
    const { files } = this.#options;
    for (let one = this.#leftovers[0]; one !== undefined; one = this.#leftovers[0]) {
      files.unlink(one.path);
      this.#leftovers.shift();
    }
  }

  /** The file of a step, for another thread to read. */
  lend(step: UndoStep): LentStep {
    const { path, from, to, bytes, identity } = step;
    const { fd, release } = this.#lent.lend(keyOf(identity), path);
    const ordinal = this.#ordinals.get(identity) ?? nextOrdinal++;
    this.#ordinals.set(identity, ordinal);
    return { undo: { fd, path, from, to, bytes }, ordinal, release };
  }

  /** The file of a step where it is open now, whatever has become of its name since. */
  openFileOf({ identity }: UndoStep): number | null {
    return this.#lent.fdOf(keyOf(identity));
  }

  /**
   * The undo of all steps from the boundary `base` on, with as few tables as there are for it. Behind a hole
   * everything is unknown.
   */
  layersFrom(base: number): UndoLayers {
    const run = this.#runFrom(base);
    const held: { release(): void }[] = [];
    const release = (): void => {
      for (const one of held.splice(0)) one.release();
    };
    try {
      const lent = this.#steps.slice(run.from, run.to).map((step) => {
        const one = this.lend(step);
        held.push(one);
        return one;
      });
      const ordinals = lent.map(({ ordinal }) => ordinal);
      const undo = this.#layersOf(run, (at) => ordinals[at - run.from] ?? 0, held);
      const end = this.#steps[run.to - 1]?.to ?? base;
      if (run.from === run.to ? this.#isInHole(base) : this.#isInHole(end)) undo.push(everythingUnknown());
      return { undo, segments: lent.map(segmentOf), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Derived tables that are missing: those of single steps first, then those of runs. */
  nodesWanted(): NodePlan[] {
    this.#tables.refresh(false);
    const plan = (run: StepRun, parts: readonly StepRun[]): NodePlan => ({
      path: this.#tablePath(run),
      inputs: this.#stepsOf(run),
      parts: parts.map((part) => ({ tablePath: this.#tablePath(part), steps: this.#stepsOf(part) })),
    });
    const singles = this.#steps
      .map((_, at) => ({ from: at, to: at + 1 }))
      .filter((run) => !this.#tables.has(this.#stepsOf(run)));
    if (singles.length > 0) return singles.map((run) => plan(run, [run]));
    const cover = this.#cover({ from: 0, to: this.#steps.length });
    return wantedRuns(this.#steps, cover).map((run) =>
      plan(
        run,
        cover.filter(({ from, to }) => from >= run.from && to <= run.to),
      ),
    );
  }

  /** What another thread needs to make a table. */
  lendNode({ path, parts }: NodePlan): { job: NodeJob; release(): void } {
    const held: LentStep[] = [];
    const lent = (step: UndoStep): NodePart['steps'][number] => {
      const one = this.lend(step);
      held.push(one);
      return { undo: one.undo, identity: step.identity };
    };
    const release = (): void => {
      for (const one of held.splice(0)) one.release();
    };
    try {
      const filled = parts.map(({ tablePath, steps }) => ({ tablePath, steps: steps.map(lent) }));
      return { job: { machine: this.#options.machine, path, parts: filled }, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** A table that was wanted has been made. */
  nodeMade({ inputs }: NodePlan): void {
    const first = inputs[0];
    const last = inputs.at(-1);
    if (first !== undefined && last !== undefined) this.#tables.made({ from: first.from, to: last.to });
  }

  /** Steps from `base` on, up to the end or a hole. */
  #runFrom(base: number): StepRun {
    const from = this.#steps.findIndex((step) => step.from === base);
    if (from < 0) {
      assert(base >= this.#end || this.brokenOpen(base) !== null, 'undo is read from a boundary');
      return { from: 0, to: 0 };
    }
    let to = from + 1;
    while (to < this.#steps.length && this.#steps[to]!.from === this.#steps[to - 1]!.to) to++;
    return { from, to };
  }

  #isInHole(lsn: number): boolean {
    return this.#holes.some(({ from, to }) => from <= lsn && lsn < to);
  }

  #layersOf(run: StepRun, ordinalOf: (at: number) => number, held: { release(): void }[]): LayerSource[] {
    return this.#cover(run).flatMap((part): LayerSource[] => {
      const table = this.#tables.lend(this.#stepsOf(part));
      if (table === null) {
        // It vanished just now. Each time there is one table less, so this ends.
        if (part.to - part.from > 1) return this.#layersOf(part, ordinalOf, held);
        return [{ kind: 'undo-scan', ordinal: ordinalOf(part.from) }];
      }
      held.push(table);
      const ordinals = this.#stepsOf(part).map((_, index) => ordinalOf(part.from + index));
      return [{ kind: 'file', path: table.path, fd: table.fd, ordinals }];
    });
  }

  #cover(run: StepRun): StepRun[] {
    const starting = this.#tables.starting();
    return coverSteps(this.#steps, run, starting, (from, to) =>
      this.#tables.has(this.#steps.slice(from, to)),
    );
  }

  #stepsOf({ from, to }: StepRun): UndoStep[] {
    return this.#steps.slice(from, to);
  }

  #tablePath(run: StepRun): string {
    const steps = this.#stepsOf(run);
    return undoTablePath(this.#options.derived, steps[0]?.from ?? 0, steps.at(-1)?.to ?? 0);
  }

  #forget(steps: readonly UndoStep[], kept: readonly UndoStep[]): void {
    for (const { identity } of steps) this.#ordinals.delete(identity);
    const first = steps[0];
    const last = steps.at(-1);
    if (first !== undefined && last !== undefined) this.#tables.dropOver(first.from, last.to, kept);
  }
}

const stepOf = ({ step }: UndoFile): UndoStep[] => (step === null ? [] : [step]);

const keyOf = (identity: string): string => `undo ${identity}`;

function segmentOf({ undo: { fd, path, from, to, bytes }, ordinal }: LentStep): ViewSegment {
  return { ordinal, fd, path, firstLsn: from, precededBy: from, lastLsn: to, end: bytes };
}

function everythingUnknown(): LayerSource {
  const list = new ExtentList(1);
  list.push(wholeMachine.start, wholeMachine.end, firstUndoOrdinal, 0, 0, ContentKind.unknown);
  return { kind: 'memory', table: ExtentTable.copyOf(list.columns, 1).transferable() };
}
