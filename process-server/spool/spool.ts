// The spool of one machine: its records in a segment log, and what is known about them beside.
import fs from 'node:fs';
import path from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { ensureDirectorySync } from '../../core/directory.ts';
import { assert, HomewardError, toHomewardError } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { decodeSyncBegin } from '../../core/record/notes.ts';
import type { RecordRun } from '../../core/record/record-run.ts';
import {
  machineBytes,
  machineMark,
  recordHeaderBytes,
  RecordKind,
  type MachineMark,
  type RecordHeader,
} from '../../core/record/record.ts';
import { LogReader } from '../../core/segment-log/log-reader.ts';
import { receivedGroup } from '../../core/segment-log/received-group.ts';
import type { PayloadOwner } from '../../core/segment-log/record-group.ts';
import type { RecoveryVisitor } from '../../core/segment-log/recover.ts';
import { parseSegmentFileName } from '../../core/segment-log/segment.ts';
import { SegmentLog } from '../../core/segment-log/segment-log.ts';
import { payloadAtFits } from '../../core/segment-log/scan.ts';
import { Amends, type SyncScope } from './amends.ts';
import { ByteMarks } from './byte-marks.ts';
import { takeInOrder } from './order.ts';
import type { RoomSegment } from './room.ts';
import { planAround, planServing, type ServingPlan } from './serving-plan.ts';
import {
  damagedStateName,
  emptyState,
  readSpoolState,
  writeSpoolState,
  type SpoolState,
} from './spool-state.ts';

export interface SpoolOptions {
  files: Files;
  clock: Clock;
  log: Log;
  /** Made when it is not there. */
  directory: string;
  /** UUID. */
  machine: string;
  segmentBytes: number;
  /** Space on the volume that stays free. */
  reserveBytes: number;
  syncBytes: number;
  syncIntervalMs: number;
  /** Records are taken again, after the log had failed. */
  changed(): void;
  /** A further segment has been begun. */
  grown(): void;
}

export interface AppendOptions {
  owner: PayloadOwner | null;
  /** Called once: with null when all of the run is durable, else with why not. */
  durable(error: Error | null): void;
  /** Called for each sync that begins in it. */
  syncBegan(lsn: number, scope: SyncScope): void;
}

/** What recovery found in the log beside its records. */
interface Found {
  generation: number;
  syncs: { lsn: number; before: number; scope: SyncScope }[];
  /** The newest LSN that was accounted for. */
  last: number;
  lost: { from: number; to: number }[];
}

/** Invariants: what is above `droppable` is never dropped; `prunedTo` is on disk before a segment goes. */
export class Spool {
  readonly machine: string;
  readonly directory: string;
  readonly mark: MachineMark;
  readonly amends: Amends;
  /** What an operator should know, newest last. */
  readonly problems: string[] = [];
  readonly #options: SpoolOptions;
  readonly #log: SegmentLog;
  readonly #marks: ByteMarks;
  readonly #state: SpoolState;
  /** Of the newest record. */
  #generation: number;
  /** Whoever has everything up to `have` cannot be given what lies between there and `to`. */
  #useless = { have: 0, to: 0 };
  #savedAt = -Infinity;
  #unsaved = false;

  private constructor(
    options: SpoolOptions,
    opened: { log: SegmentLog; marks: ByteMarks; state: SpoolState; found: Found },
  ) {
    const { log, marks, state, found } = opened;
    this.machine = options.machine;
    this.directory = options.directory;
    this.mark = machineMark(log.options.machine);
    this.#options = options;
    this.#log = log;
    this.#marks = marks;
    this.#state = state;
    this.#generation = found.generation;
    this.amends = new Amends({
      state,
      changed: () => (this.#unsaved = true),
      save: () => {
        if (this.#unsaved) this.#save();
      },
      problem: (text) => this.noteProblem(text),
    });
    for (const { from, to } of found.lost)
      this.noteProblem(`records ${from} to ${to} are damaged in the spool`);
  }

  /** Reads back what is there. Throws 'foreign-segment' when it is another machine's. */
  static async open(options: SpoolOptions): Promise<Spool> {
    const { directory, machine, changed, grown } = options;
    ensureDirectorySync(directory);
    const state = readState(options);
    const marks = new ByteMarks();
    const found: Found = { generation: 0, syncs: [], last: state.prunedTo, lost: [] };
    const log = await SegmentLog.open({
      ...options,
      machine: machineBytes(machine),
      appliedLsn: state.prunedTo,
      durableLsn: state.spooled,
      visitor: visitorOf(marks, found),
      events: { sealed: grown, relocated: () => undefined, stateChanged: changed },
    });
    addForgotten(state, found.syncs);
    state.generation = Math.max(state.generation, found.generation);
    return new Spool(options, { log, marks, state, found });
  }

  get spooled(): number {
    return this.#log.durableLsn;
  }
  get appended(): number {
    return this.#log.appendedLsn;
  }
  /** Durable, and applied, at the master target. */
  get target(): number {
    return this.#state.target;
  }
  get applied(): number {
    return this.#state.applied;
  }
  /** The highest generation seen. */
  get generation(): number {
    return this.#state.generation;
  }
  /** The first LSN that can be read; `spooled` + 1 when there is none. */
  get oldest(): number {
    const first = this.#log.segments.find(({ firstLsn, lastLsn }) => lastLsn >= firstLsn);
    return first === undefined || first.firstLsn > this.spooled ? this.spooled + 1 : first.firstLsn;
  }
  get bytes(): number {
    return this.#log.bytes;
  }
  /** Nobody needs what lies up to here: the master target has it, or cannot be given it any more. */
  get droppable(): number {
    const { have, to } = this.#useless;
    return this.target >= have ? Math.max(this.target, to) : this.target;
  }
  /** Bytes of records that the master target has not made durable. */
  get backlogBytes(): number {
    return this.#marks.above(this.target);
  }
  /** Why records are not taken just now, or null. A failed sync that is being healed is one reason. */
  get closedBecause(): 'healing' | Error | null {
    return this.#log.suspended ? 'healing' : this.#log.failure;
  }
  get allocationFailure(): Error | null {
    return this.#log.allocationFailure;
  }

  /**
   * Appends what is new in a checked run. Throws as `takeInOrder`, and 'no-space' or 'journal-failed': then
   * the same run may be given again later, and only what is missing is taken.
   */
  append(run: RecordRun, { owner, durable, syncBegan }: AppendOptions): void {
    const place = { last: this.appended, generation: this.#generation, fence: this.generation };
    for (const piece of takeInOrder(run, place)) {
      const group = receivedGroup(piece, owner);
      try {
        this.#log.append(group);
      } catch (error) {
        group.release();
        throw error;
      }
      const last = piece.headers.at(-1);
      assert(last !== undefined, 'a piece of a run has records');
      this.#generation = last.generation;
      this.#state.generation = Math.max(this.generation, last.generation);
      this.#marks.add(last.lsn, piece.bytes.length);
      for (const [index, header] of piece.headers.entries())
        if (header.kind === RecordKind.syncBegin)
          syncBegan(header.lsn, scopeOf(header, piece.bytes, piece.positions[index] ?? 0));
    }
    this.#unsaved = true;
    this.#log.commit(this.appended, durable);
  }

  /** A generation that somebody has shown: lower ones are refused from now on. */
  noteGeneration(generation: number): void {
    if (generation <= this.generation) return;
    this.#state.generation = generation;
    this.#unsaved = true;
  }

  /** The master target has said what it has; that may be less than before, when its journal is gone. */
  noteTarget(durable: number, applied: number): void {
    if (durable === this.target && applied === this.applied) return;
    this.amends.reached(this.target, durable);
    const isBack = durable < this.target;
    this.#state.target = durable;
    this.#state.applied = applied;
    this.#unsaved = true;
    // At once: after a crash nothing may be pruned that it had before and needs again.
    if (isBack) this.#save();
  }

  /** What the master target that has everything up to `position` is given next. */
  plan(position: number): ServingPlan {
    return planServing(this.#place(position));
  }

  /** The same when [from, to] cannot be had. */
  planAround(from: number, to: number): ServingPlan {
    return planAround(this.#place(from - 1), from, to);
  }

  #place(position: number): Parameters<typeof planServing>[0] {
    const { oldest, spooled } = this;
    const { jumps, told } = this.amends;
    return { position, oldest, spooled, jumps, told };
  }

  /** A master target that has everything up to `have` cannot be given what lies between there and `to`. */
  noteUseless(have: number, to: number): void {
    this.#useless = { have, to };
  }

  /** A master target begins anew. */
  targetBegins(): void {
    this.#useless = { have: 0, to: 0 };
    this.amends.targetBegins();
  }

  noteProblem(text: string): void {
    if (this.problems.at(-1) === text) return;
    this.problems.push(text);
    if (this.problems.length > limits.spoolProblems) this.problems.shift();
    this.#options.log.warn('spool-problem', { machine: this.machine, problem: text });
  }

  /** Reads from `from` on, up to what is durable, and up to `last`. */
  reader(from: number, last = Infinity): LogReader {
    const upTo = (): number => Math.min(last, this.spooled);
    return new LogReader({ log: this.#log, machine: this.mark, from, upTo });
  }

  /** Segments that may be asked for in `prune`, oldest first: all but the one being written. */
  roomSegments(): RoomSegment[] {
    return this.#log.segments.slice(0, -1);
  }

  /**
   * Drops segments that end at or below `lsn`. Crash order: 1 `prunedTo` is on disk · 2 the files go. On a
   * disk that is full altogether they go all the same: the next start takes them for lost, and nobody asks
   * for them.
   */
  prune(lsn: number): number {
    const upTo = Math.min(lsn, this.droppable, this.spooled);
    const last = this.roomSegments().findLast(({ lastLsn }) => lastLsn <= upTo);
    if (last === undefined) return 0;
    this.#state.prunedTo = Math.max(this.#state.prunedTo, last.lastLsn);
    this.amends.pruned(last.lastLsn);
    try {
      this.#save();
    } catch (error) {
      if (toHomewardError(error).code !== 'no-space') throw error;
    }
    const count = this.#log.prune(last.lastLsn);
    this.#log.trimSpares();
    this.#marks.forget(last.lastLsn);
    return count;
  }

  /** Looks for room again, after there was none. */
  retrySpace(): boolean {
    return this.#log.retrySpace();
  }

  /** Writes down what has changed, not more often than about once a second. */
  saveSometimes(): void {
    if (this.#unsaved && this.#options.clock.monotonicMs() - this.#savedAt >= limits.spoolSaveMs)
      this.#save();
  }

  async close(): Promise<void> {
    try {
      await this.#log.close();
    } finally {
      this.#save();
    }
  }

  #save(): void {
    this.#state.spooled = this.spooled;
    writeSpoolState(this.directory, this.#state);
    this.#unsaved = false;
    this.#savedAt = this.#options.clock.monotonicMs();
  }
}

/** Without a sound spool.json the files say where the spool begins; nothing is known of the master target. */
function readState({ directory, log, files }: SpoolOptions): SpoolState {
  let state: SpoolState | null = null;
  try {
    state = readSpoolState(directory);
  } catch (error) {
    if (!(error instanceof HomewardError) || error.code !== 'damaged') throw error;
    log.error('spool-state-damaged', { directory, error });
    fs.renameSync(path.join(directory, 'spool.json'), path.join(directory, damagedStateName));
  }
  if (state !== null) return state;
  const firsts = files
    .list(directory)
    .map(parseSegmentFileName)
    .filter((lsn) => lsn !== null);
  return { ...emptyState(), prunedTo: firsts.length === 0 ? 0 : Math.max(0, Math.min(...firsts) - 1) };
}

function visitorOf(marks: ByteMarks, found: Found): RecoveryVisitor {
  return {
    segmentBegin: () => undefined,
    segmentEnd: () => undefined,
    record(header, position, content) {
      const { lsn } = header;
      marks.add(lsn, recordHeaderBytes + header.payloadBytes);
      found.generation = header.generation;
      // One whose note is damaged can be given to nobody.
      if (header.kind === RecordKind.syncBegin && payloadAtFits(content, header, position))
        found.syncs.push({ lsn, before: found.last, scope: scopeOf(header, content, position) });
      found.last = lsn;
    },
    lost({ from, to }) {
      found.lost.push({ from, to });
      found.last = to;
    },
  };
}

/**
 * Syncs that came after the last writing of spool.json. What the source had been told when one of them began
 * may be newer as well, but no record that was not there before.
 */
function addForgotten(state: SpoolState, syncs: Found['syncs']): void {
  for (const { lsn, before, scope } of syncs) {
    const known = state.jumps.find((jump) => jump.lsn === lsn);
    // Nor is it known any more who has been given it.
    if (known?.base === null) known.base = before;
    if (known !== undefined || scope.part) continue;
    const covers = scope.full ? 0 : Math.max(state.told, before);
    state.jumps.push({ lsn, covers, ...(scope.checksums && { base: before }) });
  }
  state.jumps.sort((a, b) => a.lsn - b.lsn);
}

/** What the sync copies that begins with the record at `position`. */
function scopeOf({ payloadBytes }: RecordHeader, content: Buffer, position: number): SyncScope {
  const start = position + recordHeaderBytes;
  return decodeSyncBegin(content.subarray(start, start + payloadBytes));
}
