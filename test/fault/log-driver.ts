// Drives a segment log on simulated files beside a model of what was attempted, completed and acknowledged.
import type { Test } from 'tap';
import { mock } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../core/clock.ts';
import { silentLog } from '../../core/log.ts';
import { encodeNote } from '../../core/record/notes.ts';
import { checkPayload } from '../../core/record/payload.ts';
import { machineMark, recordHeaderBytes, RecordKind, type RecordHeader } from '../../core/record/record.ts';
import { parseRecordRun } from '../../core/record/record-run.ts';
import { receivedGroup } from '../../core/segment-log/received-group.ts';
import { RecordGroup } from '../../core/segment-log/record-group.ts';
import { SegmentLog } from '../../core/segment-log/segment-log.ts';
import type { Lost } from '../../core/segment-log/scan.ts';
import { microseconds } from '../../core/units.ts';
import { SimulatedCrash, SimulatedFiles } from '../support/simulated-files.ts';

export const machine = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
export const directory = '/retention/redo';
export const segmentBytes = 16 * 1024;
const mark = machineMark(machine);

/** Time stands still unless a test moves it, so that one seed gives one run. */
export function frozenTimers(t: Test): void {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
}

/** One record, as the model remembers it. */
export interface Spec {
  header: RecordHeader;
  payload: Buffer;
}

/** What a record looks like is given by its LSN and by which attempt at that LSN it is. */
export function specOf(lsn: number, attempt: number, payloadBytes: number): Spec {
  const isWrite = lsn % 5 !== 3;
  const payload = isWrite ? Buffer.alloc(payloadBytes, `lsn ${lsn} attempt ${attempt} `) : Buffer.alloc(0);
  return {
    payload,
    header: {
      kind: isWrite ? RecordKind.write : RecordKind.zero,
      flags: 0,
      disk: lsn % 2,
      lsn,
      offset: lsn * 512,
      length: isWrite ? payloadBytes : 4096,
      time: 1_000_000 + lsn,
      generation: attempt,
      payloadBytes: payload.length,
      payloadCrc: checkPayload(payload).crc,
    },
  };
}

function syncBeginSpec(lsn: number, attempt: number): Spec {
  const payload = encodeNote({ reason: `attempt ${attempt}`, disks: [] });
  const { header } = specOf(lsn, attempt, 0);
  const { crc } = checkPayload(payload);
  const kind = RecordKind.syncBegin;
  return {
    payload,
    header: { ...header, kind, disk: 0, length: 0, payloadBytes: payload.length, payloadCrc: crc },
  };
}

/** What recovery told of. */
export class Found {
  readonly records: Spec[] = [];
  readonly lost: Lost[] = [];

  record(header: RecordHeader, position: number, content: Buffer): void {
    const start = position + recordHeaderBytes;
    this.records.push({ header, payload: Buffer.from(content.subarray(start, start + header.payloadBytes)) });
  }

  segmentBegin(): void {
    /* records say where they belong */
  }
  segmentEnd(): void {
    /* likewise */
  }
}

const clock: Clock = { now: () => microseconds(1_700_000_000_000_000), monotonicMs: () => 0 };

export interface Knowledge {
  appliedLsn?: number;
  durableLsn?: number;
}

export async function openLog(
  files: SimulatedFiles,
  { appliedLsn = 0, durableLsn = 0 }: Knowledge = {},
): Promise<{ log: SegmentLog; found: Found }> {
  const found = new Found();
  const log = await SegmentLog.open({
    files,
    clock,
    log: silentLog,
    directory,
    machine,
    segmentBytes,
    syncBytes: 1 << 20,
    syncIntervalMs: 200,
    appliedLsn,
    durableLsn,
    visitor: {
      segmentBegin: () => found.segmentBegin(),
      segmentEnd: () => found.segmentEnd(),
      record: (header, position, content) => found.record(header, position, content),
      lost: (lost) => found.lost.push(lost),
    },
    events: { sealed: () => undefined, relocated: () => undefined, stateChanged: () => undefined },
  });
  return { log, found };
}

export function newFiles(capacityBytes = Infinity): SimulatedFiles {
  return new SimulatedFiles({ directories: [directory], capacityBytes });
}

export class LogDriver {
  files: SimulatedFiles;
  log: SegmentLog | null = null;
  /** By LSN, the newest attempt at it. */
  readonly attempted = new Map<number, Spec>();
  /** First LSNs behind a skip, and what the log ended with when they were appended. */
  readonly skips = new Map<number, number>();
  /** Appends up to here returned; everything up to `acknowledged` was said to be durable. */
  completed = 0;
  acknowledged = 0;
  /** The cursor, which is durable before anything is pruned. */
  applied = 0;
  attempt = 1;

  constructor(files = newFiles()) {
    this.files = files;
  }

  /** Opens and compares what is found with the model; `least` has to be there. */
  async open(least = this.completed): Promise<void> {
    const { log, found } = await openLog(this.files, { appliedLsn: this.applied, durableLsn: this.applied });
    this.log = log;
    this.#compare(found, least);
    this.completed = log.appendedLsn;
    this.acknowledged = log.durableLsn;
  }

  append(...sizes: number[]): void {
    const log = this.#open();
    const group = new RecordGroup(log.appendedLsn + 1, sizes.length);
    for (const [index, size] of sizes.entries())
      this.#add(group, specOf(group.firstLsn + index, this.attempt, size));
    log.append(group);
    this.completed = group.lastLsn;
  }

  /** Appends a `sync-begin` at `lsn`, which skips those between, and records behind it, as received bytes. */
  skipTo(lsn: number, ...sizes: number[]): void {
    const log = this.#open();
    const built = new RecordGroup(lsn, sizes.length + 1);
    this.#add(built, syncBeginSpec(lsn, this.attempt));
    for (const [index, size] of sizes.entries())
      this.#add(built, specOf(lsn + 1 + index, this.attempt, size));
    this.skips.set(lsn, log.appendedLsn);
    const bytes = Buffer.concat(built.parts.slice(1));
    log.append(receivedGroup(parseRecordRun(bytes, mark, { payloads: true }), null));
    this.completed = built.lastLsn;
  }

  #add(group: RecordGroup, spec: Spec): void {
    this.attempted.set(spec.header.lsn, spec);
    group.add(spec.header, mark, null, spec.payload, null);
  }

  /** False when it was refused. */
  async commit(): Promise<boolean> {
    const { completed } = this;
    const isDone = await this.#open()
      .flush()
      .then(
        () => true,
        () => false,
      );
    if (isDone) this.acknowledged = Math.max(this.acknowledged, completed, this.#open().durableLsn);
    return isDone;
  }

  /** Appends while a sync is under way, which does not cover it. */
  async appendDuringCommit(...sizes: number[]): Promise<void> {
    const done = this.commit();
    for (const size of sizes) this.append(size);
    await done;
  }

  roll(): void {
    this.#open().roll();
  }

  /** Moves the cursor to what is durable and drops what lies below. */
  prune(): void {
    this.applied = this.acknowledged;
    this.#open().prune(this.applied);
  }

  /** Lets time pass, and what it sets going end. */
  async wait(ms: number): Promise<void> {
    mock.timers.tick(ms);
    for (let turn = 0; turn < 8; turn++) await nextTurn();
  }

  async reopen(): Promise<void> {
    await this.#open().close();
    this.acknowledged = this.completed;
    await this.open();
  }

  /** The process ends: what follows happens to another, which finds `files`. */
  restartOn(files: SimulatedFiles): void {
    this.log?.close().catch(() => undefined);
    this.log = null;
    this.files = files;
    this.attempt += 1;
  }

  #open(): SegmentLog {
    if (this.log === null) throw new Error('the log is not open');
    return this.log;
  }

  #compare(found: Found, least: number): void {
    const last = this.#open().appendedLsn;
    const above = found.records.filter(({ header }) => header.lsn > this.applied);
    const lsns = above.map(({ header }) => header.lsn);
    if (found.lost.length > 0) throw new Error(`lost ${JSON.stringify(found.lost)}`);
    let before = this.applied;
    for (const lsn of lsns) {
      if (lsn !== before + 1 && this.skips.get(lsn) !== before) throw new Error(`LSN ${lsn} after ${before}`);
      before = lsn;
    }
    if (last !== before) throw new Error(`${last} is not the last found, which is ${before}`);
    if (last < least) throw new Error(`${least} has to be there, but the log ends at ${last}`);
    for (const record of found.records) this.#same(record);
    for (const lsn of [...this.attempted.keys()]) if (lsn > last) this.attempted.delete(lsn);
  }

  #same({ header, payload }: Spec): void {
    const spec = this.attempted.get(header.lsn);
    const isSame =
      spec !== undefined &&
      payload.equals(spec.payload) &&
      spec.header.generation === header.generation &&
      spec.header.payloadCrc === header.payloadCrc &&
      spec.header.offset === header.offset;
    if (!isSame)
      throw new Error(`LSN ${header.lsn} (attempt ${header.generation}) is not what was appended last`);
  }
}

/** Everything from I/O call `n` on fails: the process has ended. Of a write under way, `part` is there. */
export function crashAt(files: SimulatedFiles, n: number, part = 0): void {
  files.onCall = (_name, call) => {
    if (call >= n) throw new SimulatedCrash(call === n ? part : 0);
  };
}
