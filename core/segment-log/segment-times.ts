// Finds the stamps of records in a segment by reading a few headers near them, blocking the thread shortly.
import type { Files } from '../files/files.ts';
import {
  decodeRecordHeader,
  recordHeaderBytes,
  type MachineMark,
  type RecordHeader,
} from '../record/record.ts';
import { roundUp } from '../units.ts';
import { decodeGroupHeader, groupHeaderBytes, syncedBlockBytes, type GroupHeader } from './group.ts';
import type { Segment } from './segment.ts';

/** Whose segment it is, and where it is read. */
export interface TimesSource {
  files: Pick<Files, 'readSync'>;
  machine: Buffer;
  mark: MachineMark;
}

/** Enough for the groups between two known places, but for large payloads, which are passed over. */
const windowBytes = 64 * 1024;

/** The stamp of a record of the segment; null when something on the way to it is not sound. */
export function stampNear(source: TimesSource, segment: Segment, lsn: number): number | null {
  let time: number | null = null;
  walk(source, segment, segment.places.before(lsn), (header) => {
    if (header.lsn === lsn) ({ time } = header);
    return header.lsn < lsn;
  });
  return time;
}

/**
 * The newest LSN of the segment that is stamped at or before `time`, which is not before its first stamp;
 * null when something on the way to it is not sound. Stamps never go back.
 */
export function lsnNear(source: TimesSource, segment: Segment, time: number): number | null {
  const { places } = segment;
  let low = 0;
  let high = places.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const header = firstAt(source, segment, places.position(middle));
    if (header === null) return null;
    if (header.time <= time) low = middle + 1;
    else high = middle;
  }
  let found: number | null = null;
  const isSound = walk(source, segment, places.position(Math.max(low - 1, 0)), (header) => {
    if (header.time <= time) found = header.lsn;
    return header.time <= time;
  });
  return isSound ? found : null;
}

function firstAt(source: TimesSource, segment: Segment, position: number): RecordHeader | null {
  let first: RecordHeader | null = null;
  walk(source, segment, position, (header) => {
    first = header;
    return false;
  });
  return first;
}

/**
 * Shows headers from the group at `position` on, as long as `visit` wants more, up to the end of the segment;
 * false when something is not as it should be.
 */
function walk(
  source: TimesSource,
  segment: Segment,
  position: number,
  visit: (header: RecordHeader) => boolean,
): boolean {
  const window = new Window(source, segment);
  let next: number | null = null;
  for (let at = position; at < segment.end;) {
    const frame = frameAt(source, segment, window, at);
    if (frame === null || (next !== null && frame.firstLsn !== next)) return false;
    at = frame.position + groupHeaderBytes;
    next = frame.firstLsn;
    for (let count = 0; count < frame.records; count++, next++) {
      const bytes = window.read(at, recordHeaderBytes);
      const header = bytes === null ? null : decodeRecordHeader(bytes, 0, source.mark);
      if (header === null || header.lsn !== next) return false;
      if (header.lsn > segment.lastLsn || !visit(header)) return true;
      at += recordHeaderBytes + header.payloadBytes;
    }
    if (at !== frame.position + groupHeaderBytes + frame.bodyBytes) return false;
  }
  return true;
}

/** The next group's frame: right there, or at the next block when a sync had begun. */
function frameAt(
  { machine }: TimesSource,
  { identity }: Segment,
  window: Window,
  position: number,
): GroupHeader | null {
  for (const at of [position, roundUp(position, syncedBlockBytes)]) {
    const bytes = window.read(at, groupHeaderBytes);
    const frame = bytes === null ? null : decodeGroupHeader(bytes, 0);
    const isOurs = frame !== null && frame.position === at && frame.machine.equals(machine);
    if (isOurs && frame.identity.toString('hex') === identity) return frame;
  }
  return null;
}

/** The part of a segment that was read last. */
class Window {
  readonly #source: TimesSource;
  readonly #segment: Segment;
  readonly #buffer = Buffer.allocUnsafe(windowBytes);
  #start = 0;
  #bytes = 0;

  constructor(source: TimesSource, segment: Segment) {
    this.#source = source;
    this.#segment = segment;
  }

  /** Bytes of the file that stay until the next call, or null when it does not have them all. */
  read(position: number, length: number): Buffer | null {
    if (position < this.#start || position + length > this.#start + this.#bytes) {
      const wanted = Math.min(windowBytes, this.#segment.bytes - position);
      if (wanted < length) return null;
      this.#start = position;
      this.#bytes = this.#source.files.readSync(this.#segment.fd, this.#buffer.subarray(0, wanted), position);
      if (this.#bytes < length) return null;
    }
    const at = position - this.#start;
    return this.#buffer.subarray(at, at + length);
  }
}
