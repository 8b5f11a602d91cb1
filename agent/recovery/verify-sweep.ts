// Goes through the pieces of a history, each as it is at its turn, while the history goes on.
import { setTimeout as pause } from 'node:timers/promises';
import { errnoOf } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { ExpectedFiles } from '../journal/ledger-files.ts';
import type { LentDisk, UndoStep } from '../replica/undo/undo-step.ts';
import type { LentStep } from '../replica/undo/undo-log.ts';
import type { Finding, PieceResult } from './verify-finding.ts';
import { sealOf } from './verify-inventory.ts';
import { inPart, piecesOf, restOfSweep, type Piece, type SweepPlace } from './verify-plan.ts';
import type { Covered } from './verify-report.ts';
import type { PieceJob } from './verify-work.ts';

/** A history that goes on; each call says how it is now. */
export interface SweepHistory {
  machine: Buffer;
  directory: string;
  segments(): readonly Segment[];
  steps(): readonly UndoStep[];
  lend(step: UndoStep): LentStep;
  expected(): ExpectedFiles;
  disks(): readonly (LentDisk & { path: string })[];
  cursor(): { lsn: number; time: number };
  /** Odd while a step is open. */
  counter(): number;
}

export interface SweepRequest {
  part: { n: number; of: number } | null;
  forMs: number | null;
  place: SweepPlace | null;
}

/** Checks one piece, in a thread or where it is called. */
export interface PieceChecker {
  check(job: PieceJob, mostMs: number): Promise<PieceResult>;
}

const confirmTries = 20;
const pauseMs = 5;

export class Sweep {
  readonly findings: Finding[] = [];
  readonly covered: Omit<Covered, 'ledger'>;
  /** Where the next run goes on; null at the end. */
  place: SweepPlace | null = null;
  readonly #history: SweepHistory;
  readonly #checker: PieceChecker;
  readonly #request: SweepRequest;
  readonly #deadline: number;
  #done = 0;
  #total = 0;
  #progress: (done: number, total: number) => void = () => undefined;

  constructor(history: SweepHistory, checker: PieceChecker, request: SweepRequest) {
    this.#history = history;
    this.#checker = checker;
    this.#request = request;
    this.#deadline = request.forMs === null ? Infinity : performance.now() + request.forMs;
    this.covered = {
      ...{ bytes: 0, records: 0, fromLsn: 0, toLsn: 0, complete: false },
      redo: { files: 0, bytes: 0 },
      undo: { files: 0, bytes: 0 },
      replica: { bytes: 0, uncheckedBytes: 0 },
      sweep: { resumed: false, remainingPieces: 0, remainingBytes: 0 },
    };
  }

  async run(progress: (done: number, total: number) => void): Promise<void> {
    const { part, place } = this.#request;
    const history = this.#history;
    const all = piecesOf({ segments: history.segments(), steps: history.steps(), disks: history.disks() });
    const wanted = all.filter((piece) => inPart(piece, part));
    const pieces = restOfSweep(wanted, place);
    this.covered.sweep.resumed = pieces.length < wanted.length || place?.key === pieces[0]?.key;
    this.#total = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#progress = progress;
    for (const [index, piece] of pieces.entries()) {
      const isLate = index > 0 && performance.now() >= this.#deadline;
      const startAt = index === 0 && place?.key === piece.key ? place.at : 0;
      const stoppedAt = isLate ? 0 : await this.#look(piece, startAt);
      if (stoppedAt !== null) {
        this.#stop(pieces.slice(index), stoppedAt);
        return;
      }
    }
    this.covered.complete = !this.covered.sweep.resumed;
  }

  #stop(rest: readonly Piece[], at: number): void {
    const [next] = rest;
    this.place = next === undefined ? null : { key: next.key, at };
    this.covered.sweep.remainingPieces = rest.length;
    this.covered.sweep.remainingBytes = rest.reduce((sum, { bytes }) => sum + bytes, -at);
  }

  /** Where it stopped in the piece since the time was up, or null when it is done or gone. */
  #look(piece: Piece, startAt: number): Promise<number | null> {
    if (piece.kind === 'redo') return this.#lookAtRedo(piece.segment);
    if (piece.kind === 'undo') return this.#lookAtUndo(piece.step, startAt);
    return this.#lookAtReplica(piece, startAt);
  }

  async #lookAtRedo(segment: Segment): Promise<null> {
    if (!this.#history.segments().includes(segment) || segment.lastLsn < segment.firstLsn) return null;
    const { ordinal, fd, path, firstLsn, precededBy, lastLsn, end } = segment;
    const { machine, directory, expected } = this.#history;
    const sealed = sealOf(expected().redo.get(path.slice(directory.length + 1)));
    const lent = { ordinal, fd, path, firstLsn, precededBy, lastLsn, end };
    segment.users += 1;
    try {
      const result = await this.#check({ kind: 'redo', machine, segment: lent, sealed });
      this.#count('redo', result);
    } finally {
      segment.users -= 1;
    }
    const { covered } = this;
    covered.redo.files += 1;
    covered.fromLsn = covered.fromLsn === 0 ? firstLsn : Math.min(covered.fromLsn, firstLsn);
    covered.toLsn = Math.max(covered.toLsn, lastLsn);
    return null;
  }

  async #lookAtUndo(step: UndoStep, from: number): Promise<number | null> {
    if (!this.#history.steps().includes(step)) return null;
    const { machine, directory, expected } = this.#history;
    const known = sealOf(expected().undo.get(step.path.slice(directory.length + 1)));
    const lent = tryLend(this.#history, step);
    if (lent === null) return null;
    const undo = { ...step, fd: lent.undo.fd, hash: known?.hash ?? null };
    try {
      for (let startAt = from; ;) {
        // A file that can be looked at as a whole in one go is compared with its hash too.
        const mostMs = Math.max(this.#deadline - performance.now(), limits.verifyTurnMs);
        const result = await this.#check({ kind: 'undo', machine, undo, startAt }, mostMs);
        this.#count('undo', result);
        if (result.stoppedAt === null) break;
        if (performance.now() >= this.#deadline) return result.stoppedAt;
        startAt = result.stoppedAt;
      }
    } finally {
      lent.release();
    }
    this.covered.undo.files += 1;
    return null;
  }

  async #lookAtReplica(piece: Piece & { kind: 'replica' }, from: number): Promise<number | null> {
    for (let at = piece.start + from; at < piece.end;) {
      const counter = await this.#untilNoStepIsOpen();
      const result = counter === null ? null : await this.#checkReplica(piece.disk, at, piece.end);
      const isSure = counter !== null && this.#history.counter() === counter;
      if (result === null || (isSure && result.uncheckedBytes > 0)) {
        this.covered.replica.uncheckedBytes += piece.end - at;
        break;
      }
      if (result.uncheckedBytes > 0) continue; // a step began: once more
      const { findings } = result;
      this.covered.replica.uncheckedBytes += result.unknownBytes ?? 0;
      this.#count('replica', { ...result, findings: isSure ? findings : await this.#confirm(findings) });
      at = result.stoppedAt ?? piece.end;
      if (at < piece.end && performance.now() >= this.#deadline) return at - piece.start;
    }
    return null;
  }

  async #checkReplica(index: number, start: number, end: number): Promise<PieceResult | null> {
    const disk = this.#history.disks()[index];
    if (disk === undefined || typeof disk.sums !== 'string' || start >= disk.size) return null;
    const { lsn, time } = this.#history.cursor();
    const { fd, path, sparse, sums } = disk;
    return this.#check({
      kind: 'replica',
      machine: this.#history.machine,
      disk: index,
      replica: { fd, path, sparse, sums },
      start,
      end: Math.min(end, disk.size),
      cursor: { lsn, time },
    });
  }

  /** What was found while a step began counts only if it is still found while none is open. */
  async #confirm(findings: readonly Finding[]): Promise<Finding[]> {
    const sure: Finding[] = [];
    for (const { disk, start, end } of findings) {
      for (let tries = 0; tries < confirmTries; tries++) {
        const counter = await this.#untilNoStepIsOpen();
        if (counter === null) break;
        const again = await this.#checkReplica(disk ?? 0, start ?? 0, end ?? 0);
        if (this.#history.counter() !== counter) continue;
        sure.push(...(again?.findings ?? []));
        break;
      }
    }
    return sure;
  }

  /** The counter then, or null when steps come too fast. */
  async #untilNoStepIsOpen(): Promise<number | null> {
    const patience = performance.now() + limits.verifyPatienceMs;
    while (performance.now() < patience) {
      const counter = this.#history.counter();
      if (counter % 2 === 0) return counter;
      await pause(pauseMs);
    }
    return null;
  }

  #check(job: PieceJob, mostMs: number = limits.verifyTurnMs): Promise<PieceResult> {
    return this.#checker.check(job, mostMs);
  }

  #count(kind: 'redo' | 'undo' | 'replica', { bytes, records, findings }: PieceResult): void {
    this.covered[kind].bytes += bytes;
    this.covered.bytes += bytes;
    this.covered.records += records;
    this.findings.push(...findings);
    this.#done += bytes;
    this.#progress(Math.min(this.#done, this.#total), this.#total);
  }
}

/** Null when the file is not there, which is told of with what is missing. */
function tryLend(history: SweepHistory, step: UndoStep): LentStep | null {
  try {
    return history.lend(step);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}
