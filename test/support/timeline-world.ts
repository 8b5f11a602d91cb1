// One small machine on simulated files: real journal, undo, timeline and history, a cursor cell and a
// ledger that only counts, beside the truth. It can be ended at any I/O call and opened again from what
// is left.
import { mock } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { History, type HistoryParts } from '../../agent/replica/history.ts';
import { Journal } from '../../agent/journal/journal.ts';
import type { Cursor } from '../../agent/replica/cursor.ts';
import { directStepWork } from '../../agent/replica/step-work.ts';
import { UndoLog } from '../../agent/replica/undo/undo-log.ts';
import type { LentDisk, StepWork } from '../../agent/replica/undo/undo-step.ts';
import type { HeldContent, ViewContent, ViewDisk } from '../../agent/replica/view-content.ts';
import type { Noted } from '../../agent/retention/boundary.ts';
import type { Clock } from '../../core/clock.ts';
import { BackgroundMerger } from '../../core/extents/background-merger.ts';
import type { Files } from '../../core/files/files.ts';
import { silentLog } from '../../core/log.ts';
import { microseconds } from '../../core/units.ts';
import { SimulatedFiles, type CrashMode } from './simulated-files.ts';
import { TimelineIo, type Trouble } from './timeline-io.ts';
import { Truth, truthDiskBytes, truthDisks } from './timeline-truth.ts';
import type { TimelineView } from './timeline-views.ts';

const directories = ['/m/redo', '/m/undo', '/m/derived', '/r'];
const segmentBytes = 12 * 1024;
const machine = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const merger = new BackgroundMerger(silentLog);
let now = 1_700_000_000_000_000;
const clock: Clock = { now: () => microseconds((now += 10)), monotonicMs: () => 0 };

export const undoDirectory = '/m/undo';
export const derived = '/m/derived';

/** What is left of a world when its process has ended, and what its successor is measured by. */
export interface Remains {
  files: SimulatedFiles;
  cursor: Cursor;
  truth: Truth;
  /** This LSN has to be there. */
  least: number;
  /** Points that have to be there, as far as their LSNs are. */
  kept: readonly number[];
  /** Points below were given up. */
  droppedBelow: number;
  isRotten: boolean;
}

/** Parts that a test puts in the place of the right ones. */
export interface Mistake {
  undo?(undo: UndoLog, world: TimelineWorld): UndoLog;
  journal?(journal: Journal): Journal;
  work?(work: StepWork, world: TimelineWorld): StepWork;
  moveCursor?(change: Partial<Cursor>, world: TimelineWorld): void;
  content?(content: ViewContent, world: TimelineWorld): ViewContent;
  beforeOpen?(remains: Remains): void;
}

interface Opened {
  io: TimelineIo;
  journal: Journal;
  undo: UndoLog;
  replicas: number[];
}

export class TimelineWorld implements Noted {
  readonly io: TimelineIo;
  readonly truth: Truth;
  readonly journal: Journal;
  readonly undo: UndoLog;
  readonly history: History;
  readonly kept: Set<number>;
  readonly replicas: readonly number[];
  readonly mistake: Mistake;
  acknowledged: number;
  droppedBelow: number;
  /** Something on disk was damaged: what is refused then need not be there. */
  isRotten: boolean;
  views: TimelineView[] = [];
  /** The first thing that was found wrong inside a call, where throwing would be taken for a failing disk. */
  failure: Error | null = null;
  /** What the file says, and what the process believes. */
  #durable: Cursor;
  #cursor: Cursor;

  static blank(): Remains {
    const files = new SimulatedFiles({ directories });
    for (let disk = 0; disk < truthDisks; disk++) {
      const fd = files.create(`/r/${disk}`);
      files.allocate(fd, truthDiskBytes);
      files.close(fd);
    }
    const truth = new Truth();
    const rest = { least: 0, kept: [], droppedBelow: 0, isRotten: false };
    return { files: files.crash({ mode: 'keep' }), cursor: blankCursor(), truth, ...rest };
  }

  /** `io` says which calls fail, or end the process, from the first on. */
  static async open(
    remains: Remains,
    mistake: Mistake = {},
    trouble: Partial<Trouble> = {},
  ): Promise<TimelineWorld> {
    mistake.beforeOpen?.(remains);
    const { files, cursor, truth, least } = remains;
    const io = Object.assign(new TimelineIo(files), trouble);
    const journal = await Journal.open({
      ...{ files, clock, merger, machine, segmentBytes, derived, log: silentLog },
      directory: '/m/redo',
      syncBytes: 1 << 20,
      syncIntervalMs: 200,
      generation: cursor.generation,
      flooredLsn: cursor.pruned,
      appliedLsn: cursor.lsn,
      durableLsn: cursor.durable,
      openGap: cursor.gap,
      spillExtents: 4,
    });
    const undo = UndoLog.open({
      ...{ files, machine, derived, directory: undoDirectory, log: silentLog },
      cursorLsn: cursor.lsn,
    });
    const { headLsn } = journal;
    if (!remains.isRotten && journal.catalogue.lost.length > 0)
      throw new Error(`lost ${JSON.stringify(journal.catalogue.lost)}`);
    // Damage above what any frame on disk says was durable cannot be told from a torn tail.
    if (!remains.isRotten && headLsn < least)
      throw new Error(`LSN ${least} has to be there, but the journal ends at ${headLsn}`);
    truth.restart(headLsn);
    const replicas = Array.from({ length: truthDisks }, (_, disk) => files.open(`/r/${disk}`));
    return new TimelineWorld(remains, mistake, { io, journal, undo, replicas });
  }

  private constructor(remains: Remains, mistake: Mistake, { io, journal, undo, replicas }: Opened) {
    this.io = io;
    this.truth = remains.truth;
    this.journal = journal;
    this.mistake = mistake;
    this.undo = mistake.undo?.(undo, this) ?? undo;
    this.replicas = replicas;
    this.acknowledged = journal.headLsn;
    this.kept = new Set(remains.kept.filter((lsn) => lsn <= journal.headLsn));
    this.droppedBelow = remains.droppedBelow;
    this.isRotten = remains.isRotten;
    this.#durable = remains.cursor;
    this.#cursor = remains.cursor;
    this.history = new History(this.#parts());
  }

  get cursor(): Readonly<Cursor> {
    return this.#cursor;
  }

  /** At or above this every LSN has to be shown. */
  get floorLsn(): number {
    return Math.max(this.#cursor.pruned, this.#cursor.stepTo ?? 0);
  }

  timeOf(lsn: number): number | null {
    if (lsn === this.journal.headLsn && this.journal.lastTime > 0) return this.journal.lastTime;
    if (lsn === this.#cursor.lsn) return this.#cursor.time;
    return this.history.boundaryTime(lsn) ?? this.journal.timeOf(lsn);
  }

  /** As the cursor file: when it throws the process believes the old one, and the file may say either. */
  moveCursor(change: Partial<Cursor>): void {
    const { durableLsn: durable, generation, catalogue } = this.journal;
    const moved = { ...this.#cursor, durable, generation, ...change };
    const gap = catalogue.gapAt(moved.lsn);
    const isLater = gap !== null && gap.from > (moved.firstPoint ?? Infinity);
    moved.gap = isLater ? { from: gap.from, time: gap.fromTime, reason: gap.reason } : null;
    this.io.point();
    this.#durable = moved;
    this.io.point();
    this.#cursor = moved;
  }

  /** Content at an LSN, as a point where it is one. */
  hold(lsn: number): HeldContent {
    const { journal, history } = this;
    const dense = history.denseLsn;
    const isPoint = journal.catalogue.gapAt(lsn) === null && lsn <= journal.durableLsn && dense !== null;
    const isShown = isPoint && (lsn >= dense || history.kept.some((point) => point.lsn === lsn));
    return isShown || this.kept.has(lsn)
      ? history.hold(lsn, this.#viewDisks())
      : history.holdForSync(lsn, this.#viewDisks());
  }

  /** The process ends here: killed, or with the power cut. */
  end(how: CrashMode | 'kill', seed: number): Remains {
    const { files } = this.io;
    const { isRotten, droppedBelow } = this;
    const isKill = how === 'kill';
    const left = isKill ? null : files.crash({ seed, mode: how });
    this.truth.catchUp(this.journal.headLsn);
    const least = isKill ? this.truth.head : this.acknowledged;
    this.io.watch = null;
    this.io.ended = true;
    const after = files.kill();
    for (const view of this.views) view.abandon();
    this.journal.close().catch(() => undefined);
    const rest = { truth: this.truth.copy(), kept: [...this.kept], least, isRotten, droppedBelow };
    return { files: left ?? after, cursor: this.#durable, ...rest };
  }

  /** Everything as it is now, durably; the world goes on. */
  copy(): Remains {
    const { truth, kept, droppedBelow, isRotten, acknowledged } = this;
    const files = this.io.files.crash({ mode: 'keep' });
    const rest = { truth: truth.copy(), kept: [...kept], droppedBelow, isRotten, least: acknowledged };
    return { files, cursor: this.#durable, ...rest };
  }

  /** Steps as their thread does them, over files of which some calls are others. */
  workOn(change: Partial<Files>): StepWork {
    return directStepWork(this.io.filesOfWork(change));
  }

  async wait(ms: number): Promise<void> {
    mock.timers.tick(ms);
    for (let turn = 0; turn < 8; turn++) await nextTurn();
  }

  #parts(): HistoryParts {
    const { io, journal, undo, mistake } = this;
    const work = this.workOn({});
    return {
      ...{ undo, undoDirectory, derived, files: io.files, flushBytes: 4096 },
      name: () => 'small',
      handOverLsn: () => null,
      work: mistake.work?.(work, this) ?? work,
      journal: mistake.journal?.(journal) ?? journal,
      ledger: {
        append: () => undefined,
        settle: async () => {
          io.point();
          await nextTurn();
          io.point();
        },
      },
      disks: () => this.#lentDisks(),
      cursor: () => this.#cursor,
      moveCursor: (change) => {
        if (mistake.moveCursor === undefined) this.moveCursor(change);
        else mistake.moveCursor(change, this);
      },
    };
  }

  #lentDisks(): LentDisk[] {
    return this.replicas.map((fd, disk) => {
      return { fd, size: truthDiskBytes, sparse: true, sums: `${derived}/sums-${disk}` };
    });
  }

  #viewDisks(): ViewDisk[] {
    return this.#lentDisks().map(({ fd, size, sparse, sums }, disk) => {
      return { fd, size, sparse, sums: sums ?? null, name: String(disk) };
    });
  }
}

function blankCursor(): Cursor {
  return {
    ...{ lsn: 0, stepTo: null, pruned: 0, pin: null, generation: 1, durable: 0, firstPoint: 0 },
    ...{ time: 1, tag: null, gap: null, unknown: [] },
  };
}
