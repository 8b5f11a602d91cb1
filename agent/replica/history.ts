// Every moment of one machine that can be shown: redo, undo and the cursor between them, and what open views
// hold of it.
import { HomewardError } from '../../core/errors.ts';
import type { Journal } from '../journal/journal.ts';
import type { RedoLayers } from '../journal/lend-layers.ts';
import type { Cursor } from './cursor.ts';
import { LiveViews, type HeldPlan } from './live-views.ts';
import { denseFrom, keptBelow, type Boundary, type PointFacts } from './points.ts';
import { Timeline, type TimelineParts } from './timeline.ts';
import type { UndoLog } from './undo/undo-log.ts';
import type { DamagedRead, HeldContent, ViewDisk } from './view-content.ts';

export interface HistoryParts extends Omit<TimelineParts, 'stepOpens' | 'stepEnded' | 'journal' | 'machine'> {
  /** What people call the machine. */
  name(): string;
  /** What it is being handed over at: held like what a view shows. */
  handOverLsn(): number | null;
  journal: Journal;
}

const noRedo: RedoLayers = {
  redo: [],
  floor: { segment: 0, lsnDelta: -1 },
  segments: [],
  release: () => undefined,
};

export class History {
  readonly timeline: Timeline;
  readonly #parts: HistoryParts;
  readonly #live = new LiveViews();
  #writtenBytes = 0;

  constructor(parts: HistoryParts) {
    this.#parts = parts;
    this.timeline = new Timeline({
      ...parts,
      machine: parts.journal.source.machine,
      stepOpens: () => this.#live.stepOpens(),
      stepEnded: ({ bytes }) => {
        this.#writtenBytes += bytes;
        this.#live.stepEnded(this.#cursor.lsn);
      },
    });
  }

  get undo(): UndoLog {
    return this.#parts.undo;
  }
  get #cursor(): Readonly<Cursor> {
    return this.#parts.cursor();
  }
  get #facts(): PointFacts {
    const { catalogue } = this.#parts.journal;
    return { cursor: this.#cursor, steps: this.undo.steps, gapAt: (lsn) => catalogue.gapAt(lsn) };
  }

  /** Where the dense window begins: from here on every LSN can be shown; null while there is no point. */
  get denseLsn(): number | null {
    return denseFrom(this.#facts);
  }
  /** The points below the dense window, oldest first, without those that are just being given up. */
  get kept(): Boundary[] {
    return keptBelow(this.#facts).filter(({ lsn }) => !this.timeline.isLeaving(lsn));
  }
  /** The least LSN that can be shown; null while there is no point. */
  get oldestLsn(): number | null {
    return this.kept[0]?.lsn ?? this.denseLsn;
  }
  /** LSNs that open views show, and what it is being handed over at. */
  get shownLsns(): number[] {
    const handOver = this.#parts.handOverLsn();
    return handOver === null ? this.#live.shown : [...this.#live.shown, handOver];
  }
  /** What steps have written to the replica since the start, forward and back. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }
  /** Odd while a step is open; for readers in this thread. */
  get counter(): number {
    return this.#live.counter;
  }

  /** The stamp of a boundary below the cursor in microseconds, or null. */
  boundaryTime(lsn: number): number | null {
    return this.undo.steps.find(({ from }) => from === lsn)?.fromTime ?? null;
  }

  /**
   * Content at `lsn`, a point. Until `release`, nothing that it needs is given up. Throws 'outside-window'
   * when it has just gone.
   */
  hold(lsn: number, disks: ViewDisk[]): HeldContent {
    if (!this.shows(lsn)) {
      const what = `lsn:${lsn} has just left the window, which begins at lsn:${this.denseLsn}`;
      throw new HomewardError('outside-window', what);
    }
    return this.#hold(lsn, disks);
  }

  /** Whether a point is there still. */
  shows(lsn: number): boolean {
    const dense = this.denseLsn;
    const isThere = dense !== null && (lsn >= dense || this.kept.some((point) => point.lsn === lsn));
    return isThere && !this.timeline.isLeaving(lsn);
  }

  /**
   * The same for the state that a sync compares with, whether it is a point or not. Throws 'pruned' when it
   * is gone.
   */
  holdForSync(lsn: number, disks: ViewDisk[]): HeldContent {
    const { pruned, stepTo } = this.#cursor;
    const base = this.timeline.base(lsn);
    const isThere = base !== null && (base === lsn || base >= pruned) && lsn >= (stepTo ?? 0);
    if (!isThere || this.timeline.isLeaving(lsn) || lsn > this.#parts.journal.headLsn) {
      const what = `the state of ${this.#parts.name()} at lsn:${lsn} is not there any more`;
      throw new HomewardError('pruned', what);
    }
    return this.#hold(lsn, disks);
  }

  /** What plans refer to lies elsewhere: every view gets a new one. */
  replan(): void {
    const isOpen = this.#live.counter % 2 === 1;
    this.#live.stepOpens();
    if (!isOpen) this.#live.stepEnded(this.#cursor.lsn);
  }

  #hold(lsn: number, disks: ViewDisk[]): HeldContent {
    const { machine, mark } = this.#parts.journal.source;
    const held = this.#live.hold({ mark, machine, lsn, disks }, () => this.#plan(lsn));
    return { ...held, damaged: (found) => this.#noteDamage(found, disks) };
  }

  /** What lay in a file that was healed meanwhile is not damaged any more. */
  #noteDamage({ fd, file, ...found }: DamagedRead, disks: readonly ViewDisk[]): void {
    const { journal } = this.#parts;
    const segment = journal.segments.find(({ path }) => path === file);
    if (segment !== undefined && segment.fd !== fd) return;
    journal.noteDamage({ ...found, file, disk: disks[found.disk]?.name ?? null });
  }

  #plan(lsn: number): HeldPlan {
    const base = this.timeline.base(lsn);
    if (base === null) throw new HomewardError('outside-window', `lsn:${lsn} cannot be shown any more`);
    // A boundary needs no redo, and below the dense window there is none.
    const redo = base === lsn ? noRedo : this.#parts.journal.layers(base, lsn);
    const release = (): void => redo.release();
    try {
      const undo = this.undo.layersFrom(base);
      const segments = [...redo.segments, ...undo.segments];
      const { unknown, lsn: low } = this.#cursor;
      const replicas = { low, high: this.timeline.open?.to ?? low };
      return {
        plan: { replicas, redo: redo.redo, floor: redo.floor, undo: undo.undo, segments, unknown },
        release: () => {
          release();
          undo.release();
        },
      };
    } catch (error) {
      release();
      throw error;
    }
  }
}
