// Takes requests as they come and makes groups of them: one append for all that arrived in a turn of the
// event loop.
import { type HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { checkPayload } from '../../core/record/payload.ts';
import {
  isNoteKind,
  recordHeaderBytes,
  type MachineMark,
  type RecordHeader,
  type RecordKind,
} from '../../core/record/record.ts';
import { RecordGroup, type PayloadOwner } from '../../core/segment-log/record-group.ts';
import type { SegmentLog } from '../../core/segment-log/segment-log.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { AppendHealth } from './append-health.ts';

/** One request, to become one record. */
export interface Intake {
  kind: RecordKind;
  flags: number;
  disk: number;
  offset: number;
  length: number;
  payload: Buffer | null;
  owner: PayloadOwner | null;
  /** Completes when durable rather than when appended. */
  durable: boolean;
  /** Called once: with null when done, else with why not. Time is in microseconds. */
  done: (error: HomewardError | null, lsn: number, time: number) => void;
}

export interface IntakeOptions {
  log: SegmentLog;
  health: AppendHealth;
  mark: MachineMark;
  generation(): number;
  /** A stamp that never goes back. */
  stamp(): number;
  inserted(segment: Segment, header: RecordHeader, position: number, payload: () => Buffer): void;
}

export class IntakeQueue {
  readonly #options: IntakeOptions;
  #waiting: Intake[] = [];
  #scheduled = false;
  #appending = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  add(request: Intake): void {
    this.#waiting.push(request);
    this.schedule();
  }

  /**
   * Appends what is waiting after the sockets of this turn have been read, so that a group holds all of
   * them.
   */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.appendAll();
    });
  }

  /**
   * Appends what is waiting now, unless a failed sync is being healed or writers are held: then it stays
   * waiting. Called once more by a request that completes meanwhile, it leaves the rest to the call under
   * way.
   */
  appendAll(): void {
    if (this.#appending) return;
    this.#appending = true;
    const waiting = this.#waiting;
    let from = 0;
    try {
      while (from < waiting.length && !this.#options.health.isWaiting) {
        const to = groupEnd(waiting, from);
        this.#appendGroup(waiting.slice(from, to));
        from = to;
      }
    } finally {
      this.#waiting = from === waiting.length ? [] : waiting.slice(from);
      this.#appending = false;
    }
  }

  #appendGroup(requests: readonly Intake[]): void {
    const { log, health, inserted } = this.#options;
    const { group, headers } = this.#makeGroup(requests);
    let segment: Segment;
    try {
      segment = log.append(group);
    } catch (error) {
      group.release();
      const failure = toHomewardError(error);
      health.failed(failure);
      for (const request of requests) request.done(failure, 0, 0);
      return;
    }
    health.appended();
    const body = log.lastBodyPosition;
    for (const [index, header] of headers.entries()) {
      const payload = (): Buffer => requests[index]?.payload ?? nothing;
      inserted(segment, header, body + (group.positions[index] ?? 0), payload);
    }
    this.#complete(requests, group);
  }

  #makeGroup(requests: readonly Intake[]): { group: RecordGroup; headers: RecordHeader[] } {
    const { log, mark } = this.#options;
    const group = new RecordGroup(log.appendedLsn + 1, requests.length);
    const headers: RecordHeader[] = [];
    const time = this.#options.stamp();
    const generation = this.#options.generation();
    for (const { kind, flags, disk, offset, length, payload, owner } of requests) {
      const check = payload === null ? noPayload : checkPayload(payload);
      const payloadBytes = (payload?.length ?? 0) + (check.table?.length ?? 0);
      const lsn = group.firstLsn + group.records;
      const header: RecordHeader = {
        kind,
        flags,
        disk,
        lsn,
        offset,
        length,
        time,
        generation,
        payloadBytes,
        payloadCrc: check.crc,
      };
      group.add(header, mark, check.table, payload, owner);
      headers.push(header);
    }
    return { group, headers };
  }

  #complete(requests: readonly Intake[], group: RecordGroup): void {
    const time = group.lastTime;
    let durable = false;
    for (const [index, request] of requests.entries()) {
      if (request.durable) durable = true;
      else request.done(null, group.firstLsn + index, time);
    }
    if (!durable) return;
    this.#options.log.commit(group.lastLsn, (error) => {
      const failure = error === null ? null : toHomewardError(error);
      for (const [index, request] of requests.entries()) {
        if (request.durable) request.done(failure, group.firstLsn + index, time);
      }
    });
  }
}

const nothing = Buffer.alloc(0);
const noPayload = { table: null, crc: 0 };

/**
 * How far one group reaches: bounded in records and in bytes, at least one request. Notes go by themselves,
 * since they may be taken where content is not.
 */
function groupEnd(requests: readonly Intake[], from: number): number {
  let bytes = 0;
  let to = from;
  while (to < requests.length && to - from < limits.groupRecords) {
    const request = requests[to];
    if (request === undefined || isNote(request) !== isNote(requests[from])) break;
    bytes += recordHeaderBytes + (request.payload?.length ?? 0);
    if (to > from && bytes > limits.groupBytesUsual) break;
    to += 1;
  }
  return to;
}

const isNote = (request: Intake | undefined): boolean => request !== undefined && isNoteKind(request.kind);
