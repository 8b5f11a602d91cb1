// Reads the records of one segment in LSN order, in pieces: along the frames, and by a map of the segment
// behind damage.
import type { Files } from '../files/files.ts';
import { limits } from '../limits.ts';
import { payloadFits } from '../record/payload.ts';
import {
  dataBytesOf,
  decodeRecordHeader,
  recordHeaderBytes,
  type MachineMark,
  type RecordHeader,
} from '../record/record.ts';
import { roundUp } from '../units.ts';
import { decodeGroupHeader, groupHeaderBytes, syncedBlockBytes, type GroupHeader } from './group.ts';
import { readTolerant } from './read-tolerant.ts';
import { mapSegment, type Stretch } from './segment-map.ts';
import type { Segment } from './segment.ts';

/** A stretch of whole records: `bytes` are as they were appended. */
export interface ReadRun {
  kind: 'run';
  bytes: Buffer;
  firstLsn: number;
  lastLsn: number;
}

/** Records [from, to] that are damaged; `header` when one record's header is sound and its payload is not. */
export interface ReadDamage {
  kind: 'damage';
  from: number;
  to: number;
  header: RecordHeader | null;
}

/** Room for frames, alignment and the next header beside the records that are wanted. */
const slackBytes = 64 * 1024;

export interface Wanted {
  mostBytes: number;
  check: boolean;
}

/** Bytes of the file from `start` on. */
interface Window {
  start: number;
  bytes: Buffer;
}

/** What was taken out of a window: stretches of whole records, in order. */
interface Taken {
  firstLsn: number;
  lastLsn: number;
  records: number;
  bytes: number;
  pieces: { start: number; end: number }[];
}

/** What a window does not tell: read on, at least so many bytes; or nothing sound stands where it should. */
type Stop = { kind: 'more'; bytes: number } | { kind: 'unsound' } | { kind: 'full' } | ReadDamage;

const full: Stop = { kind: 'full' };
const unsound: Stop = { kind: 'unsound' };

/**
 * Invariant: the record `#lsn` (0: unknown, at or below the one wanted) stands at `#at` of the group that
 * ends at `#groupEnd`, or in the next group when both are the same.
 */
export class SegmentReader {
  readonly segment: Segment;
  readonly #files: Files;
  readonly #machine: Buffer;
  readonly #mark: MachineMark;
  #lsn = 0;
  #at = 0;
  #groupEnd = 0;
  #identity: Buffer | null = null;
  /** What can be read behind damage; null while reading goes along the frames. */
  #stretches: Stretch[] | null = null;
  #mapEnd = 0;

  constructor(source: { files: Files; machine: Buffer }, mark: MachineMark, segment: Segment) {
    this.segment = segment;
    this.#files = source.files;
    this.#machine = source.machine;
    this.#mark = mark;
  }

  /** Records from `from` on, up to `upTo` at most; both are in the segment. */
  async read(from: number, upTo: number, wanted: Wanted): Promise<ReadRun | ReadDamage> {
    if (this.#lsn !== from) this.#seek(from);
    let least = 0;
    for (;;) {
      const window = await this.#readWindow(Math.max(least, wanted.mostBytes) + slackBytes);
      const taken: Taken = { firstLsn: 0, lastLsn: 0, records: 0, bytes: 0, pieces: [] };
      const stop = this.#walk(window, taken, from, upTo, wanted);
      if (taken.records > 0) return runOf(window.bytes, taken);
      if (stop.kind === 'damage') return stop;
      if (stop.kind === 'more' && this.#mayHold(window, stop.bytes)) least = stop.bytes;
      else await this.#takeMap(from);
    }
  }

  #seek(from: number): void {
    this.#lsn = 0;
    this.#at = this.segment.places.before(from);
    this.#groupEnd = this.#at;
    this.#stretches = null;
  }

  /** Whether a larger window, or one that begins further on, can hold more. */
  #mayHold(window: Window, bytes: number): boolean {
    if (this.#at !== window.start) return this.#at + bytes <= this.segment.bytes;
    return window.bytes.length < bytes && this.#at + bytes <= this.segment.end;
  }

  async #takeMap(from: number): Promise<void> {
    const { lastLsn, end } = this.segment;
    const owner = { machine: this.#machine, mark: this.#mark };
    this.#stretches = await mapSegment(this.#files, owner, this.segment, { from, upTo: lastLsn });
    this.#mapEnd = end;
    this.#lsn = from;
    this.#at = this.#groupEnd = end;
  }

  /** Takes whole records that are in the window, as far as it goes; says why not further. */
  #walk(window: Window, taken: Taken, from: number, upTo: number, wanted: Wanted): Stop {
    while (taken.records < limits.runRecords) {
      if (this.#lsn > upTo) return full;
      const stop =
        this.#at === this.#groupEnd
          ? this.#enterGroup(window, taken, from)
          : this.#takeRecord(window, taken, from, wanted);
      if (stop !== null) return stop;
    }
    return full;
  }

  #enterGroup(window: Window, taken: Taken, from: number): Stop | null {
    if (this.#stretches !== null) return this.#enterStretch(this.#stretches, taken);
    const position = this.#at - window.start;
    const aligned = roundUp(this.#at, syncedBlockBytes) - window.start;
    const frame = this.#frameAt(window, position, from) ?? this.#frameAt(window, aligned, from);
    if (frame === null) {
      const need = aligned - position + groupHeaderBytes;
      return position + need > window.bytes.length ? { kind: 'more', bytes: need } : unsound;
    }
    this.#identity = frame.identity;
    this.#lsn = frame.firstLsn;
    this.#at = frame.position + groupHeaderBytes;
    this.#groupEnd = this.#at + frame.bodyBytes;
    return null;
  }

  /**
   * The frame there when it is this segment's next: the one of `#lsn`, or of one at or below `from` after a
   * seek.
   */
  #frameAt(window: Window, at: number, from: number): GroupHeader | null {
    const frame = at < 0 ? null : decodeGroupHeader(window.bytes, at);
    if (frame === null || frame.position !== window.start + at) return null;
    if (!frame.machine.equals(this.#machine)) return null;
    if (this.#identity !== null && !this.#identity.equals(frame.identity)) return null;
    const isNext =
      this.#lsn === 0
        ? frame.firstLsn >= this.segment.firstLsn && frame.firstLsn <= from
        : frame.firstLsn === this.#lsn;
    return isNext ? frame : null;
  }

  /** Goes on behind the stretch that has been read: with the next, or along the frames behind the last. */
  #enterStretch(stretches: Stretch[], taken: Taken): Stop | null {
    const next = stretches.find(({ to }) => to >= this.#lsn);
    if (next === undefined) {
      this.#stretches = null;
      this.#at = this.#groupEnd = this.#mapEnd;
      return null;
    }
    if (next.kind === 'lost') return taken.records > 0 ? full : this.#damage(next.to, null);
    this.#lsn = next.from;
    this.#at = next.start;
    this.#groupEnd = next.end;
    return null;
  }

  #takeRecord(window: Window, taken: Taken, from: number, wanted: Wanted): Stop | null {
    const at = this.#at - window.start;
    if (at < 0 || at + recordHeaderBytes > window.bytes.length)
      return { kind: 'more', bytes: recordHeaderBytes };
    const header = decodeRecordHeader(window.bytes, at, this.#mark);
    const bytes = recordHeaderBytes + (header?.payloadBytes ?? 0);
    if (header === null || header.lsn !== this.#lsn || this.#at + bytes > this.#groupEnd)
      return this.#stretches === null || taken.records > 0 ? unsound : this.#lostStretch();
    if (header.lsn < from) return this.#pass(bytes);
    if (taken.records > 0 && taken.bytes + bytes > wanted.mostBytes) return full;
    if (at + bytes > window.bytes.length) return { kind: 'more', bytes };
    if (wanted.check && !payloadIn(window.bytes, at, header))
      return taken.records > 0 ? full : this.#damagedRecord(header, bytes);
    take(taken, header.lsn, at, at + bytes);
    return this.#pass(bytes);
  }

  #pass(bytes: number): null {
    this.#at += bytes;
    this.#lsn += 1;
    return null;
  }

  #damagedRecord(header: RecordHeader, bytes: number): ReadDamage {
    this.#at += bytes;
    return this.#damage(header.lsn, header);
  }

  /** What the map found sound is not so any more. */
  #lostStretch(): ReadDamage {
    const here = this.#stretches?.find(({ to }) => to >= this.#lsn);
    this.#at = this.#groupEnd;
    return this.#damage(here?.to ?? this.#lsn, null);
  }

  #damage(to: number, header: RecordHeader | null): ReadDamage {
    const from = this.#lsn;
    this.#lsn = to + 1;
    return { kind: 'damage', from, to, header };
  }

  async #readWindow(bytes: number): Promise<Window> {
    const start = this.#at;
    const length = Math.max(Math.min(bytes, this.segment.end - start), 0);
    const target = Buffer.allocUnsafe(length);
    const read = await readTolerant(this.#files, this.segment.fd, target, start);
    return { start, bytes: target.subarray(0, read) };
  }
}

function take(taken: Taken, lsn: number, start: number, end: number): void {
  if (taken.records === 0) taken.firstLsn = lsn;
  taken.lastLsn = lsn;
  taken.records += 1;
  taken.bytes += end - start;
  const last = taken.pieces.at(-1);
  if (last !== undefined && last.end === start) last.end = end;
  else taken.pieces.push({ start, end });
}

/** The records as one buffer: as they lie, or moved together within the window. */
function runOf(window: Buffer, { firstLsn, lastLsn, bytes, pieces }: Taken): ReadRun {
  const start = pieces[0]?.start ?? 0;
  let end = start;
  for (const piece of pieces) {
    if (piece.start !== end) window.copyWithin(end, piece.start, piece.end);
    end += piece.end - piece.start;
  }
  return { kind: 'run', bytes: window.subarray(start, start + bytes), firstLsn, lastLsn };
}

function payloadIn(window: Buffer, at: number, header: RecordHeader): boolean {
  const start = at + recordHeaderBytes;
  return payloadFits(
    window.subarray(start, start + header.payloadBytes),
    header.payloadCrc,
    dataBytesOf(header),
  );
}
