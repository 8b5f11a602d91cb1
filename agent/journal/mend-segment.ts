// Makes a damaged redo segment sound again from what is sound of it and records that were had again: pure.
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import {
  decodeRecordHeader,
  findRecordMagic,
  recordHeaderBytes,
  RecordKind,
  machineMark,
  type MachineMark,
  type RecordHeader,
} from '../../core/record/record.ts';
import { listFrames } from '../../core/segment-log/frames.ts';
import {
  encodeGroupHeader,
  groupHeaderBytes,
  syncedBlockBytes,
  type GroupHeader,
} from '../../core/segment-log/group.ts';
import { payloadAtFits, scanSegment } from '../../core/segment-log/scan.ts';
import { roundUp } from '../../core/units.ts';
import { bytesInGroups, layOutGroups } from './lay-out-groups.ts';
import { writeGroups, type GroupsPlace } from './write-groups.ts';

export interface MendedPlace {
  /** UUID, 16 bytes. */
  machine: Buffer;
  firstLsn: number;
  precededBy: number;
  lastLsn: number;
  /** Where content ends. */
  end: number;
}

/** Records [from, to] that are damaged, or lost. */
export type LsnRange = [from: number, to: number];

/** In words, for people. */
export const spellRanges = (ranges: readonly LsnRange[]): string =>
  ranges.map(([from, to]) => (from === to ? String(from) : `${from} to ${to}`)).join(', ');

export interface Unsound {
  ranges: LsnRange[];
  /** Records that no frame tells of: known only as far as they are sound in themselves. */
  unframed: LsnRange[];
  /** Generations never go back: else a record is there that a fence stands against. */
  isOrdered: boolean;
}

export const isSound = ({ ranges, unframed }: Unsound): boolean => ranges.length + unframed.length === 0;

export interface Mended {
  /** Longer than before where the file had been cut off. */
  content: Buffer;
  /** Where content ends now. */
  end: number;
  /** What is still unsound. */
  left: Unsound;
  /** Records lie elsewhere than they did, are found that were lost, or say again what is no content. */
  isRelaid: boolean;
}

/** What of a complete segment cannot be read as it was written. */
export function findUnsound(content: Buffer, place: MendedPlace): Unsound {
  const { machine, firstLsn, lastLsn, end } = place;
  const used = content.subarray(0, end);
  const frames = listFrames(used, machine, firstLsn);
  const ranges: LsnRange[] = [];
  const add = (from: number, to: number): void => {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] + 1 === from) last[1] = to;
    else ranges.push([from, to]);
  };
  let generation = 0;
  let isOrdered = true;
  const parts = { content: used, frames, machine: machineMark(machine), firstLsn };
  scanSegment({
    ...parts,
    cutLsn: lastLsn + 1,
    durable: lastLsn,
    visitor: {
      record(header, position) {
        isOrdered &&= header.generation >= generation;
        ({ generation } = header);
        if (!payloadAtFits(used, header, position)) add(header.lsn, header.lsn);
      },
      lost: ({ from, to }) => add(from, to),
    },
  });
  const unframed: LsnRange[] = [];
  let next = firstLsn;
  for (const frame of frames.frames) {
    if (frame.firstLsn > next) unframed.push([next, frame.firstLsn - 1]);
    next = frame.firstLsn + frame.records;
  }
  if (next <= lastLsn) unframed.push([next, lastLsn]);
  return { ranges, unframed, isOrdered };
}

/**
 * As much as can be had; null when that is nothing. `records` have been checked, each for itself; `before` is
 * what is unsound of `content`.
 */
export function mendSegment(
  content: Buffer,
  place: MendedPlace,
  records: ReadonlyMap<number, Buffer>,
  before: Unsound = findUnsound(content, place),
): Mended | null {
  const mending = new Mending(content, place, records);
  const isRelaid = mending.run() || mending.hasNotes;
  if (isRelaid) mending.renew();
  const { content: mended, end } = mending;
  const left = findUnsound(mended, { ...place, end });
  if (countOf(left) >= countOf(before) || !left.isOrdered) return null;
  return { content: mended, end, left, isRelaid };
}

const countOf = ({ ranges, unframed }: Unsound): number =>
  [...ranges, ...unframed].reduce((sum, [from, to]) => sum + to + 1 - from, 0);

/** A record and where it is to lie. */
interface Piece {
  position: number;
  bytes: Buffer;
}

/** The frame behind a hole, or where content ends. */
interface HoleEnd {
  position: number;
  arrival?: number;
  isLast?: true;
}

class Mending {
  content: Buffer;
  end: number;
  /** A tag or the like is sound again: what was derived of the segment may not have it. */
  hasNotes = false;
  readonly #identity: Buffer;
  readonly #place: MendedPlace;
  readonly #records: ReadonlyMap<number, Buffer>;
  readonly #mark: MachineMark;
  readonly #frames: GroupHeader[];

  constructor(content: Buffer, place: MendedPlace, records: ReadonlyMap<number, Buffer>) {
    this.content = Buffer.from(content);
    this.end = place.end;
    this.#place = place;
    this.#records = records;
    this.#mark = machineMark(place.machine);
    this.#frames = listFrames(content.subarray(0, place.end), place.machine, place.firstLsn).frames;
    this.#identity = this.#frames[0]?.identity ?? randomBytes(16);
    const last = this.#frames.at(-1);
    if (last !== undefined) this.#reach(last.position + groupHeaderBytes + last.bodyBytes);
  }

  /** True when records lie elsewhere than before, or some are there that were not found. */
  run(): boolean {
    const { firstLsn, lastLsn } = this.#place;
    let next = firstLsn;
    let at = 0;
    let isRelaid = false;
    for (const frame of this.#frames) {
      if (frame.firstLsn > next) isRelaid = this.#fillHole(next, frame.firstLsn - 1, at, frame) || isRelaid;
      isRelaid = this.#mendGroup(frame) || isRelaid;
      next = frame.firstLsn + frame.records;
      at = frame.position + groupHeaderBytes + frame.bodyBytes;
    }
    if (next <= lastLsn)
      isRelaid = this.#fillHole(next, lastLsn, at, { position: this.end, isLast: true }) || isRelaid;
    return isRelaid;
  }

  /** Content goes up to `end`, which lies behind the end of a file that was cut off. */
  #reach(end: number): void {
    this.end = Math.max(this.end, end);
    const lacking = roundUp(end, syncedBlockBytes) - this.content.length;
    if (end > this.content.length) this.content = Buffer.concat([this.content, Buffer.alloc(lacking)]);
  }

  /**
   * It is another use of the file now: what was derived of the old one does not speak of it. Frames behind
   * the content say what is durable.
   */
  renew(): void {
    const { machine, firstLsn } = this.#place;
    const identity = randomBytes(16);
    for (const frame of listFrames(this.content, machine, firstLsn).frames)
      encodeGroupHeader(this.content.subarray(frame.position), { ...frame, identity });
  }

  /**
   * Behind a sound frame every record has its place. Where headers are damaged the whole group counts only
   * when it is again what the frame says; true then.
   */
  #mendGroup(frame: GroupHeader): boolean {
    const stop = frame.position + groupHeaderBytes + frame.bodyBytes;
    const pieces: Piece[] = [];
    let position = frame.position + groupHeaderBytes;
    let crc = 0;
    for (let lsn = frame.firstLsn; lsn < frame.firstLsn + frame.records; lsn++) {
      const own = this.#headerAt(position, lsn);
      const bytes = own === null ? this.#records.get(lsn) : this.#bytesOf(own, position);
      if (bytes === undefined || position + bytes.length > stop) return false;
      if (own === null) pieces.push({ position, bytes });
      crc = crc32(bytes.subarray(0, recordHeaderBytes), crc);
      position += bytes.length;
    }
    if (position !== stop || crc !== frame.headersCrc) return false;
    for (const piece of pieces) piece.bytes.copy(this.content, piece.position);
    return pieces.length > 0;
  }

  /** The record there, made whole where its payload is damaged and the same record was had again. */
  #bytesOf(header: RecordHeader, position: number): Buffer {
    const own = this.content.subarray(position, position + recordHeaderBytes + header.payloadBytes);
    if (payloadAtFits(this.content, header, position)) return own;
    const again = this.#records.get(header.lsn);
    const isSame = again !== undefined && sameHeader(again, own) && again.length === own.length;
    if (isSame) again.copy(own);
    this.hasNotes ||= isSame && header.kind >= RecordKind.tag;
    return own;
  }

  #headerAt(position: number, lsn: number): RecordHeader | null {
    const header = decodeRecordHeader(this.content, position, this.#mark);
    if (header === null || header.lsn !== lsn) return null;
    return position + recordHeaderBytes + header.payloadBytes <= this.end ? header : null;
  }

  /**
   * No frame tells of the records [from, to] any more, which lay in [start, next.position): when all of them
   * can be had they get new frames there, which take no more room than the old ones did.
   */
  #fillHole(from: number, to: number, start: number, next: HoleEnd): boolean {
    const own = this.#salvage(from, to, start, next.position);
    const records: Buffer[] = [];
    for (let lsn = from; lsn <= to; lsn++) {
      const bytes = own.get(lsn) ?? this.#records.get(lsn);
      if (bytes === undefined) return false;
      records.push(Buffer.from(bytes));
    }
    const sizes = records.map(({ length }) => length);
    const groups = layOutGroups(sizes, start, next.isLast === true ? null : next.position);
    if (groups === null) return false;
    this.content.fill(0, start, next.position);
    if (next.isLast === true) this.#reach(start + bytesInGroups(sizes, groups.length));
    const arrival = this.#frames.findLast(({ position }) => position < start)?.arrival ?? next.arrival ?? 0;
    const { machine, firstLsn, precededBy } = this.#place;
    const place: GroupsPlace = { machine, identity: this.#identity, firstLsn, precededBy, arrival };
    writeGroups(this.content, { records, from, groups }, place);
    return true;
  }

  /** Records that are sound in themselves, or become so. */
  #salvage(from: number, to: number, start: number, end: number): Map<number, Buffer> {
    const found = new Map<number, Buffer>();
    let next = from;
    for (let at = findRecordMagic(this.content, start); at >= 0 && at < end && next <= to;) {
      const header = decodeRecordHeader(this.content, at, this.#mark);
      const isNext = header !== null && header.lsn >= next && header.lsn <= to;
      const bytes = isNext && this.#headerAt(at, header.lsn) !== null ? this.#bytesOf(header, at) : null;
      if (bytes === null || header === null || !payloadAtFits(this.content, header, at)) {
        at = findRecordMagic(this.content, at + 1);
        continue;
      }
      found.set(header.lsn, bytes);
      next = header.lsn + 1;
      at = findRecordMagic(this.content, at + bytes.length);
    }
    return found;
  }
}

const sameHeader = (one: Buffer, other: Buffer): boolean =>
  one.compare(other, 0, recordHeaderBytes, 0, recordHeaderBytes) === 0;
