// The redo of a step as one table: what is newest of each extent, read from its segments' record headers.
import { crc32 } from 'node:zlib';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { buildTable } from '../../core/extents/build.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import type { ExtentTable } from '../../core/extents/extent-table.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import {
  machineMark,
  parseRecordHeader,
  recordHeaderBytes,
  type MachineMark,
} from '../../core/record/record.ts';
import { listFrames } from '../../core/segment-log/frames.ts';
import {
  decodeGroupHeader,
  groupHeaderBytes,
  syncedBlockBytes,
  type GroupHeader,
} from '../../core/segment-log/group.ts';
import { readTolerant } from '../../core/segment-log/read-tolerant.ts';
import { scanSegment } from '../../core/segment-log/scan.ts';
import { KiB, roundUp } from '../../core/units.ts';
import { pushLost, pushRecord } from '../journal/reindex.ts';
import type { DamagedPlace, LentRedo, StepJob } from './undo/undo-step.ts';

/** In the table, `segment` is the index in `job.redo`. */
export interface StepRedo {
  table: ExtentTable;
  /** Records that are lost. */
  lost: DamagedPlace[];
}

export type RedoRun = Pick<StepJob, 'machine' | 'from' | 'to' | 'redo'>;

/** One buffer serves all reads of a step: what is in it is good until the next. */
class Memory {
  #buffer = Buffer.alloc(0);

  of(length: number): Buffer {
    if (this.#buffer.length < length) this.#buffer = Buffer.allocUnsafeSlow(length);
    return this.#buffer.subarray(0, length);
  }
}

/** At most one segment is in memory. Lost records may be about anything: all before is unknown. */
export async function readStepRedo(files: Files, run: RedoRun): Promise<StepRedo> {
  const list = new ExtentList(1024);
  const lost: DamagedPlace[] = [];
  const memory = new Memory();
  let reached = run.from;
  for (const [index, segment] of run.redo.entries()) {
    if (segment.precededBy > reached) {
      lost.push(lostPlace(reached + 1, segment));
      pushLost(list, index, 0);
    }
    reached = Math.max(reached, segment.lastLsn);
    const before = list.count;
    if (walkSegment(files, memory, run, index, list)) continue;
    list.count = before;
    await scanWhole(files, memory, run, index, list, lost);
  }
  if (reached < run.to) throw new HomewardError('damaged', `redo of records up to ${run.to} is not there`);
  return { table: buildTable(list), lost };
}

const lostPlace = (lsn: number, { path }: LentRedo): DamagedPlace => ({
  ...{ lsn, disk: null, start: 0, end: 0 },
  file: path,
});

/**
 * Goes from frame to frame and looks only at headers, and those only of groups that are in the step; false
 * when anything is not as it should be.
 */
function walkSegment(files: Files, memory: Memory, run: RedoRun, index: number, list: ExtentList): boolean {
  const segment = run.redo[index]!;
  const machine = Buffer.from(run.machine);
  const mark = machineMark(machine);
  const last = Math.min(run.to, segment.lastLsn);
  const window = new Window(files, memory, segment);
  let identity: Buffer | null = null;
  let nextLsn = segment.firstLsn;
  const frameAt = (position: number): GroupHeader | null => {
    const at = window.find(position, groupHeaderBytes);
    const frame = decodeGroupHeader(window.bytes, at);
    if (frame === null || frame.position !== position || !frame.machine.equals(machine)) return null;
    if (identity !== null && !frame.identity.equals(identity)) return null;
    return frame.firstLsn === nextLsn ? frame : null;
  };
  for (let position = 0; nextLsn <= last;) {
    const frame = frameAt(position) ?? frameAt(roundUp(position, syncedBlockBytes));
    if (frame === null) return false;
    identity = frame.identity;
    nextLsn += frame.records;
    position = frame.position + groupHeaderBytes + frame.bodyBytes;
    if (position > segment.end || frame.bodyBytes > limits.groupBytes) return false;
    if (nextLsn - 1 > run.from && !takeGroup(run, index, frame, window, mark, list)) return false;
  }
  return true;
}

/** Behind so much that nobody asked for there is more of that. */
const skippedLeast = 16 * KiB;
const headersBytes = 4 * KiB;

/** A stretch of a segment file in `memory`, moved when what is asked for does not lie in it. */
class Window {
  bytes: Buffer;
  readonly #files: Files;
  readonly #memory: Memory;
  readonly #segment: LentRedo;
  #start = 0;

  constructor(files: Files, memory: Memory, segment: LentRedo) {
    this.#files = files;
    this.#memory = memory;
    this.#segment = segment;
    this.bytes = memory.of(0);
  }

  /** Where in `bytes` the `wanted` bytes from `position` on are, as far as the file has them. */
  find(position: number, wanted: number): number {
    const end = this.#start + this.bytes.length;
    if (position < this.#start || position + wanted > end) {
      const ahead = Math.abs(position - end) < skippedLeast ? limits.applyWriteBytes : headersBytes;
      this.#move(position, ahead);
    }
    return position - this.#start;
  }

  #move(position: number, ahead: number): void {
    const target = this.#memory.of(Math.min(ahead, Math.max(this.#segment.end - position, 0)));
    this.#start = position;
    try {
      this.bytes = target.subarray(0, this.#files.readSync(this.#segment.fd, target, position));
    } catch (error) {
      if (errnoOf(error) !== 'EIO') throw error;
      // The scan of the whole segment says what it is.
      this.bytes = target.subarray(0, 0);
    }
  }
}

function takeGroup(
  run: RedoRun,
  index: number,
  frame: GroupHeader,
  window: Window,
  mark: MachineMark,
  list: ExtentList,
): boolean {
  const { firstLsn } = run.redo[index]!;
  let position = frame.position + groupHeaderBytes;
  const end = position + frame.bodyBytes;
  let crc = 0;
  for (let count = 0; count < frame.records; count++) {
    if (position + recordHeaderBytes > end) return false;
    const at = window.find(position, recordHeaderBytes);
    if (at + recordHeaderBytes > window.bytes.length) return false;
    crc = crc32(window.bytes.subarray(at, at + recordHeaderBytes), crc);
    const header = parseRecordHeader(window.bytes, at, mark);
    if (header === null || header.lsn !== frame.firstLsn + count) return false;
    if (header.lsn > run.from && header.lsn <= run.to) pushRecord(list, index, firstLsn, header, position);
    position += recordHeaderBytes + header.payloadBytes;
  }
  return position === end && crc === frame.headersCrc;
}

/** By the decision table of the format: all of the step was durable, so what is not sound is lost. */
async function scanWhole(
  files: Files,
  memory: Memory,
  run: RedoRun,
  index: number,
  list: ExtentList,
  places: DamagedPlace[],
): Promise<void> {
  const segment = run.redo[index]!;
  const machine = Buffer.from(run.machine);
  const target = memory.of(segment.end);
  const content = target.subarray(0, await readTolerant(files, segment.fd, target, 0));
  const last = Math.min(run.to, segment.lastLsn);
  scanSegment({
    content,
    frames: listFrames(content, machine, segment.firstLsn),
    machine: machineMark(machine),
    firstLsn: segment.firstLsn,
    cutLsn: last + 1,
    durable: last,
    visitor: {
      record(header, position) {
        if (header.lsn > run.from) pushRecord(list, index, segment.firstLsn, header, position);
      },
      lost(lost) {
        if (lost.to <= run.from) return;
        if (places.length < limits.damagedPlaces) places.push(lostPlace(lost.from, segment));
        pushLost(list, index, lost.from - segment.firstLsn);
      },
    },
  });
}
