// Takes runs of records that another host numbered: checks their order, and appends them as they are.
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { splitRun, type RecordRun } from '../../core/record/record-run.ts';
import { RecordKind } from '../../core/record/record.ts';
import { receivedGroup } from '../../core/segment-log/received-group.ts';
import type { PayloadOwner } from '../../core/segment-log/record-group.ts';
import type { SegmentLog } from '../../core/segment-log/segment-log.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { AppendHealth } from './append-health.ts';

/** How far a sequence of records has come. */
export interface Reached {
  lsn: number;
  /** The highest seen. */
  generation: number;
}

/**
 * The part of a run that follows `reached`, in pieces without a skip. What was had before is left out.
 * Throws 'fenced' for a lower generation, and 'chain-broken' for a record that is not the next: LSN + 1,
 * or a `sync-begin` further on with a higher generation.
 */
export function followingRuns(run: RecordRun, reached: Reached): RecordRun[] {
  let { lsn, generation } = reached;
  for (const header of run.headers) {
    if (header.lsn <= reached.lsn) continue;
    if (header.generation < generation) {
      const message = `record ${header.lsn} is of generation ${header.generation}, below ${generation}`;
      throw new HomewardError('fenced', message);
    }
    const mayStand =
      header.lsn === lsn + 1 ||
      (header.lsn > lsn && header.kind === RecordKind.syncBegin && header.generation > generation);
    if (!mayStand) throw new HomewardError('chain-broken', `record ${header.lsn} came behind record ${lsn}`);
    lsn = header.lsn;
    generation = header.generation;
  }
  const from = run.headers.findIndex((header) => header.lsn > reached.lsn);
  if (from < 0) return [];
  return splitRun(from === 0 ? run : restOf(run, from)).flatMap(groupsOf);
}

function restOf({ bytes, headers, positions }: RecordRun, from: number, to = headers.length): RecordRun {
  const start = positions[from] ?? 0;
  return {
    bytes: bytes.subarray(start, positions[to] ?? bytes.length),
    headers: headers.slice(from, to),
    positions: positions.slice(from, to).map((position) => position - start),
  };
}

/** A group is bounded in bytes, and what is read of one segment at a time should not be one large group. */
function groupsOf(run: RecordRun): RecordRun[] {
  const groups: RecordRun[] = [];
  const { bytes, positions } = run;
  for (let from = 0, at = 0; at < positions.length; at++) {
    const end = positions[at + 1] ?? bytes.length;
    const next = positions[at + 2] ?? bytes.length;
    const start = positions[from] ?? 0;
    const isFull = next - start > limits.groupBytesUsual || at + 1 - from >= limits.groupRecords;
    if (at + 1 < positions.length && !isFull) continue;
    groups.push(end - start === bytes.length ? run : restOf(run, from, at + 1));
    from = at + 1;
  }
  return groups;
}

interface Waiting {
  groups: RecordRun[];
  owner: PayloadOwner | null;
  reached: Reached;
  done: (error: HomewardError | null) => void;
}

export interface ReceivedOptions {
  log: SegmentLog;
  health: AppendHealth;
  /** The highest generation in the journal. */
  generation(): number;
  /** One record was appended; `content` holds it at `at`. */
  inserted(segment: Segment, position: number, run: RecordRun, index: number): void;
}

export class ReceivedQueue {
  readonly #options: ReceivedOptions;
  #waiting: Waiting[] = [];
  #appending = false;

  constructor(options: ReceivedOptions) {
    this.#options = options;
  }

  /** Where the next run has to go on. */
  get reached(): Reached {
    const { log, generation } = this.#options;
    return this.#waiting.at(-1)?.reached ?? { lsn: log.appendedLsn, generation: generation() };
  }

  /**
   * Throws as `followingRuns` does; `done` is called once, when all of the run is durable or why it is not.
   */
  add(run: RecordRun, owner: PayloadOwner | null, done: (error: HomewardError | null) => void): void {
    const { reached } = this;
    const groups = followingRuns(run, reached);
    const last = groups.at(-1)?.headers.at(-1);
    this.#waiting.push({ groups, owner, done, reached: last ?? reached });
    this.appendAll();
  }

  /** Appends what is waiting, unless a failed sync is being healed: then it stays waiting. */
  appendAll(): void {
    if (this.#appending) return;
    this.#appending = true;
    try {
      while (this.#waiting.length > 0 && !this.#options.health.isWaiting) {
        const [first] = this.#waiting.splice(0, 1);
        if (first !== undefined) this.#append(first);
      }
    } finally {
      this.#appending = false;
    }
  }

  #append({ groups, owner, done }: Waiting): void {
    const { log, health } = this.#options;
    try {
      for (const run of groups) this.#appendGroup(run, owner);
    } catch (error) {
      const failure = toHomewardError(error);
      health.failed(failure);
      // What waits behind it does not follow any more.
      for (const { done: refused } of [{ done }, ...this.#waiting.splice(0)]) refused(failure);
      return;
    }
    health.appended();
    log.commit(log.appendedLsn, (error) => done(error === null ? null : toHomewardError(error)));
  }

  #appendGroup(run: RecordRun, owner: PayloadOwner | null): void {
    const { log, inserted } = this.#options;
    const group = receivedGroup(run, owner);
    let segment: Segment;
    try {
      segment = log.append(group);
    } catch (error) {
      group.release();
      throw error;
    }
    const body = log.lastBodyPosition;
    for (const [index, position] of run.positions.entries()) inserted(segment, body + position, run, index);
  }
}
