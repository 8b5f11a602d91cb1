// Writes groups one behind the other into the current segment: position, alignment, frame, one `writev`.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Files } from '../files/files.ts';
import { roundUp } from '../units.ts';
import { encodeGroupHeader, groupHeaderBytes, syncedBlockBytes } from './group.ts';
import type { Group } from './record-group.ts';
import { isEmpty, type Segment } from './segment.ts';

export interface SegmentWriterOptions {
  files: Files;
  clock: Clock;
  /** UUID, 16 bytes. */
  machine: Buffer;
  /** The highest LSN known to be durable, which every frame states. */
  durableLsn(): number;
}

/**
 * Invariant: no write touches a 4 KiB block that a sync has covered, nor bytes behind which a write
 * failed.
 */
export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  #segment: Segment | null = null;
  /** A write to it failed: what is behind its content is not known. */
  #suspect = false;
  #identity: Buffer = Buffer.alloc(16);
  #position = 0;
  #alignNext = false;
  #notedDurable = 0;
  #bodyPosition = 0;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
  }

  /** The segment being written, or null before the first. */
  get segment(): Segment | null {
    return this.#segment;
  }

  /** Where the body of the group written last begins. */
  get bodyPosition(): number {
    return this.#bodyPosition;
  }

  /** Takes a new file into use, from its beginning; null ends the use of the one before. */
  begin(segment: Segment | null): void {
    this.#segment = segment;
    this.#suspect = false;
    this.#identity = randomBytes(16);
    if (segment !== null) segment.identity = this.#identity.toString('hex');
    this.#position = 0;
    this.#alignNext = false;
  }

  /** What has been written so far may be on disk: the next group keeps off its last block. */
  syncBegins(): void {
    this.#alignNext = true;
  }

  /** Whether the group can go behind what is there. */
  hasRoom(group: Group): boolean {
    this.#align();
    const need = groupHeaderBytes + group.bodyBytes;
    return this.#segment !== null && !this.#suspect && this.#position + need <= this.#segment.bytes;
  }

  /** Writes a group for which there is room. What fails throws as it came, and the segment takes no more. */
  write(segment: Segment, group: Group): void {
    const { records, bodyBytes } = group;
    const body = { records, bodyBytes, crc: group.headersCrc() };
    const arrival = this.#encodeFrame(segment, group.frame, group.firstLsn, body);
    try {
      this.#options.files.write(segment.fd, group.parts, this.#position);
    } catch (error) {
      this.#suspect = true;
      segment.recyclable = false;
      throw error;
    }
    segment.places.add(group.firstLsn, this.#position);
    this.#bodyPosition = this.#position + groupHeaderBytes;
    this.#position = this.#bodyPosition + bodyBytes;
    if (isEmpty(segment)) segment.firstTime = group.firstTime;
    segment.lastTime = group.lastTime;
    segment.lastArrival = arrival;
    segment.lastLsn = group.lastLsn;
    segment.end = this.#position;
  }

  /**
   * An empty group: it says what is durable, so that damage to the newest records is not taken for a torn
   * tail. Null when that has been said already, or there is no room.
   */
  writeNote(nextLsn: number): Segment | null {
    const segment = this.#segment;
    if (segment === null || this.#suspect || this.#notedDurable >= this.#options.durableLsn()) return null;
    this.#align();
    if (this.#position + groupHeaderBytes > segment.bytes) return null;
    const frame = Buffer.alloc(groupHeaderBytes);
    this.#encodeFrame(segment, frame, nextLsn, { records: 0, bodyBytes: 0, crc: 0 });
    this.#options.files.write(segment.fd, [frame], this.#position);
    this.#position += groupHeaderBytes;
    return segment;
  }

  #align(): void {
    if (this.#alignNext) this.#position = roundUp(this.#position, syncedBlockBytes);
    this.#alignNext = false;
  }

  /** Gives back the arrival that the frame states. */
  #encodeFrame(
    segment: Segment,
    target: Buffer,
    firstLsn: number,
    body: { records: number; bodyBytes: number; crc: number },
  ): number {
    const { machine, clock, durableLsn } = this.#options;
    const arrival = clock.now();
    this.#notedDurable = durableLsn();
    encodeGroupHeader(target, {
      machine,
      identity: this.#identity,
      firstLsn,
      previousDurable: this.#notedDurable,
      arrival,
      position: this.#position,
      records: body.records,
      bodyBytes: body.bodyBytes,
      headersCrc: body.crc,
      skippedFrom: segment.precededBy === segment.firstLsn - 1 ? 0 : segment.precededBy + 1,
    });
    return arrival;
  }
}
