// Watches what the steps of one machine do to its content, and marks the moment before a mass encryption.
import { toHomewardError } from '../../../core/errors.ts';
import { limits } from '../../../core/limits.ts';
import type { Log } from '../../../core/log.ts';
import type { SignalReport } from '../../control/service.ts';
import type { Catalogue } from '../../journal/catalogue.ts';
import type { StepJournal } from '../timeline.ts';
import type { SignalMark } from '../machine-file.ts';
import type { UndoLog } from '../undo/undo-log.ts';
import type { RandomRecord, StepWork, UndoNote, UndoStep, WriteReplicaJob } from '../undo/undo-step.ts';
import {
  blankDetector,
  leastOf,
  observe,
  silence,
  type DetectorState,
  type Onset,
  type SignalEvent,
} from './detector.ts';
import { firstOfRun } from './find-onset.ts';
import { makeMark, markTime, spellTime, withMark } from './marks.ts';
import { SignalMinutes } from './minutes.ts';
import type { SignalPiece } from './step-counts.ts';
import { describeSignal } from './report.ts';

/** The machine whose steps are watched. */
export interface WatchedMachine {
  readonly name: string;
  readonly file: { readonly marks?: SignalMark[]; readonly disks: readonly { size: number }[] };
  readonly journal: Pick<StepJournal, 'lend'> & {
    readonly catalogue: Pick<Catalogue, 'gapAt'>;
    readonly source: { readonly machine: Buffer };
  };
  readonly history: { readonly undo: Pick<UndoLog, 'steps' | 'lend'> };
  readonly oldestLsn: number | null;
  timeOf(lsn: number): number | null;
  /** Durable when it returns; nothing has changed when it throws. */
  changeFile(change: { marks: SignalMark[] }): void;
}

interface StepSeen {
  note: Pick<UndoNote, 'from' | 'to' | 'fromTime' | 'toTime' | 'firstTime'>;
  pieces: SignalPiece[];
}

type Change = { kind: 'begun'; event: SignalEvent } | { kind: 'ended'; time: number };

/** What is usual for the machine is in memory only. An event that has not ended is found in its mark. */
export class SignalWatch {
  readonly minutes = new SignalMinutes();
  readonly #work: StepWork;
  readonly #log: Log;
  /** Milliseconds of a clock that does not jump. */
  readonly #now: () => number;
  #state: DetectorState = blankDetector;
  #note: UndoNote | null = null;
  #seen: StepSeen[] = [];
  #seenLsn = 0;
  #lastSeenMs: number;
  /** What has not been written down yet. */
  readonly #changes: Change[] = [];
  #isKnown = false;
  #failed = false;

  constructor(
    work: StepWork,
    log: Log,
    marks: readonly SignalMark[] = [],
    now = (): number => performance.now(),
  ) {
    this.#work = work;
    this.#log = log;
    this.#now = now;
    this.#lastSeenMs = now();
    const last = marks.at(-1);
    if (last === undefined || last.ended !== undefined) return;
    const lsn = last.lsn + 1;
    const time = markTime(last.since ?? last.time);
    const onset = { firstLsn: lsn, lastLsn: lsn, time, fresh: false };
    this.#state = { ...blankDetector, event: { onset, share: last.share ?? 0, bytes: 0, foundTime: 0 } };
  }

  /** The work of steps, which is seen in passing. */
  get work(): StepWork {
    const work = this.#work;
    return {
      saveUndo: (job) => {
        this.#note = job.note;
        return work.saveUndo(job);
      },
      writeReplica: async (job) => {
        const written = await work.writeReplica(job);
        this.#take(job, written.signal);
        return written;
      },
      rollBack: (job) => work.rollBack(job),
      split: (job) => work.split(job),
      merge: (job) => work.merge(job),
      findOnset: (job) => work.findOnset(job),
    };
  }

  /**
   * To be called behind each step, before anything is pruned, and now and then. Never rejects: what cannot be
   * marked now is tried again.
   */
  async look(machine: WatchedMachine): Promise<void> {
    try {
      for (const step of this.#seen.splice(0)) this.#judge(machine, step);
      const { event, buckets } = this.#state;
      if (event !== null && this.#now() - this.#lastSeenMs > limits.signalWindowMs) {
        this.#changes.push({ kind: 'ended', time: buckets.at(-1)?.toTime ?? event.onset.time });
        this.#state = silence(this.#state);
      }
      for (let change = this.#changes[0]; change !== undefined; change = this.#changes[0]) {
        if (change.kind === 'begun') await this.#mark(machine, change.event);
        else this.#end(machine, change.time);
        this.#changes.shift();
      }
      this.#failed = false;
    } catch (error) {
      if (!this.#failed)
        this.#log.warn('signal-failed', { machine: machine.name, error: toHomewardError(error) });
      this.#failed = true;
    }
  }

  report({ file, oldestLsn }: Pick<WatchedMachine, 'file' | 'oldestLsn'>): SignalReport {
    // Told when the mark is there, unless that cannot be written.
    const isMarked = this.#failed || this.#changes.length === 0;
    const event = isMarked ? this.#state.event : null;
    return describeSignal({ marks: file.marks ?? [], oldestLsn, event, isKnown: this.#isKnown });
  }

  #take({ from, to }: WriteReplicaJob, pieces: SignalPiece[] | undefined): void {
    const note = this.#note;
    if (pieces === undefined || note?.from !== from || note.to !== to) return;
    // What is written once more after a roll back is no news.
    if (from < this.#seenLsn) return;
    this.#seenLsn = to;
    this.#seen.push({ note, pieces });
  }

  #judge({ file }: WatchedMachine, { note, pieces }: StepSeen): void {
    const least = leastOf(file.disks.reduce((sum, { size }) => sum + size, 0));
    this.#isKnown = true;
    this.#lastSeenMs = this.#now();
    for (const piece of pieces) {
      const time = timeWithin(note, piece.lastLsn);
      this.minutes.note(time, piece);
      const { state, change } = observe(this.#state, { ...piece, time }, least);
      this.#state = state;
      if (change === 'begun' && state.event !== null)
        this.#changes.push({ kind: 'begun', event: state.event });
      if (change === 'ended') this.#changes.push({ kind: 'ended', time });
    }
  }

  async #mark(machine: WatchedMachine, event: SignalEvent): Promise<void> {
    const first = (await this.#firstRecord(machine, event)) ?? {
      lsn: event.onset.firstLsn,
      time: event.onset.time,
    };
    const gap = machine.journal.catalogue.gapAt(first.lsn - 1);
    const lsn = Math.max(gap === null ? first.lsn - 1 : gap.from - 1, 0);
    const time = machine.timeOf(lsn) ?? first.time;
    const mark = makeMark({ lsn, time, sinceTime: first.time, share: event.share });
    machine.changeFile({ marks: withMark(machine.file.marks ?? [], mark, machine.oldestLsn) });
    const { name, since, share } = mark;
    const { bytes } = event;
    this.#log.warn('encryption-suspected', {
      machine: machine.name,
      ...{ since, share, bytes, lastCleanLsn: lsn, tag: name },
    });
  }

  /** Exact, where the steps are there: the one that it was found in, and the one before it. */
  async #firstRecord(machine: WatchedMachine, { onset }: SignalEvent): Promise<RandomRecord | null> {
    const { steps } = machine.history.undo;
    const at = steps.findIndex(({ from, to }) => from < onset.firstLsn && onset.firstLsn <= to);
    if (at < 0) return null;
    const records: RandomRecord[] = [];
    for (const step of steps.slice(Math.max(at - 1, 0), at + 1))
      records.push(...(await this.#recordsOf(machine, step, onset)));
    return firstOfRun(records, onset.firstLsn, limits.signalOnsetQuietMs * 1000);
  }

  /** Nothing, where redo of the step is gone. */
  async #recordsOf(
    { journal, history }: WatchedMachine,
    step: UndoStep,
    { lastLsn: upTo, fresh }: Onset,
  ): Promise<RandomRecord[]> {
    const lent = journal.lend(step.from, step.to);
    try {
      const [first] = lent.redo;
      if (first === undefined || first.precededBy > step.from || lent.redo.at(-1)!.lastLsn < step.to)
        return [];
      const undo = history.undo.lend(step);
      try {
        const { machine } = journal.source;
        return await this.#work.findOnset({ machine, undo: undo.undo, redo: lent.redo, upTo, fresh });
      } finally {
        undo.release();
      }
    } finally {
      lent.release();
    }
  }

  #end(machine: WatchedMachine, time: number): void {
    const marks = machine.file.marks ?? [];
    const last = marks.at(-1);
    const ended = spellTime(time);
    if (last !== undefined && last.ended === undefined)
      machine.changeFile({ marks: [...marks.slice(0, -1), { ...last, ended }] });
    this.#log.info('encryption-ended', { machine: machine.name, ended });
  }
}

/** Stamps of the records between are read from nowhere: this is good enough to sort them into minutes. */
function timeWithin({ from, to, fromTime, firstTime, toTime }: StepSeen['note'], lsn: number): number {
  const begin = firstTime ?? fromTime;
  return begin + ((toTime - begin) * (lsn - from)) / (to - from);
}
