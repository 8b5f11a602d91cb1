// The records that the process server does not have: the newest in memory, what that cannot hold on disk.
import type { Clock } from '../../core/clock.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { encodeRecord, recordBytes } from '../../core/record/record-run.ts';
import {
  machineMark,
  parseRecordHeader,
  type MachineMark,
  type RecordHeader,
} from '../../core/record/record.ts';
import type { ReadDamage, ReadRun } from '../../core/segment-log/log-reader.ts';
import { MiB } from '../../core/units.ts';
import { BatchQueue, type Batch, type BatchPlace } from './batch-queue.ts';
import { Spill } from './spill.ts';

export interface HeldRecordsOptions {
  /** Absolute path of the directory that is spilled to. */
  directory: string;
  /** UUID, 16 bytes. */
  machine: Buffer;
  files: Files;
  clock: Clock;
  log: Log;
  /** From three quarters of it on batches are spilled; twice of it is exceeded by one record at the most. */
  memoryBytes: number;
  /** Most bytes on disk; 0: nothing is spilled. */
  diskBytes: number;
  segmentBytes?: number;
  batchBytes?: number;
}

/** Records in memory that come next; `place` speeds up the next question. */
export interface MemoryRun {
  bytes: Buffer;
  firstLsn: number;
  lastLsn: number;
  place: BatchPlace;
}

/**
 * Invariant: what is held follows each other in LSN order without holes, the older part on disk and the
 * newer in memory; what is on disk and not durable there is in memory as well.
 */
export class HeldRecords {
  readonly #options: HeldRecordsOptions;
  readonly #machine: MachineMark;
  readonly #queue: BatchQueue;
  readonly #spill: Spill;
  #spilling = false;
  #spillFails = false;
  #pressed = false;
  /** See `Outbox.onPressure`. */
  onPressure: (pressed: boolean) => void = () => undefined;

  constructor(options: HeldRecordsOptions) {
    this.#options = options;
    const { machine, memoryBytes } = options;
    this.#machine = machineMark(machine);
    const batchBytes = options.batchBytes ?? Math.min(limits.outboxBatchBytes, memoryBytes / 8);
    this.#queue = new BatchQueue(this.#machine, batchBytes);
    this.#spill = new Spill({
      ...options,
      segmentBytes: options.segmentBytes ?? segmentBytesFor(options.diskBytes),
      syncBytes: Math.min(limits.syncBytes, memoryBytes / 8),
      ready: () => this.#spillLater(),
      durable: (lsn) => {
        this.#queue.freeSpilled(lsn);
        this.#press();
      },
    });
  }

  /** Takes up [from, to], which a clean stop left; false when it is not all there. */
  resume(from: number, to: number): Promise<boolean> {
    return this.#spill.resume(from, to);
  }

  /** Removes whatever an earlier run left. */
  clear(): void {
    this.#spill.clear();
  }

  /** The first LSN held, or null. */
  get firstLsn(): number | null {
    return this.#onDisk?.first ?? this.#queue.firstLsn;
  }
  /** When the first record held was made, or one shortly before it; null when none is. */
  get firstTime(): number | null {
    return this.#onDisk === null ? this.#queue.firstTime : this.#spill.firstTime;
  }
  /** Bytes of records, those included that lie in front of the first wanted one in its batch or file. */
  get bytes(): number {
    return this.#queue.waitingBytes + this.#spill.heldBytes;
  }
  /** So much that what can wait should. */
  get crowded(): boolean {
    return this.#queue.waitingBytes > this.#options.memoryBytes / 2 || this.#onDisk !== null;
  }

  /** Whether one more record can be kept, however large. */
  get hasRoom(): boolean {
    const { memoryBytes } = this.#options;
    const { heldBytes } = this.#queue;
    return heldBytes < memoryBytes || (heldBytes < 2 * memoryBytes && !this.#spillFails);
  }

  /** Keeps a record for which there is room; `data` is copied. */
  add(record: Omit<RecordHeader, 'payloadBytes' | 'payloadCrc'>, data: Buffer | null): void {
    const batch = this.#queue.room(recordBytes(data?.length ?? 0), record.lsn);
    this.#queue.added(batch, encodeRecord(batch.buffer, batch.end, record, data, this.#machine));
    if (this.#queue.waitingBytes > this.#options.memoryBytes * openPart) this.#spillLater();
    this.#press();
  }

  /** When the record at `lsn` was made, if it is in memory. */
  timeOf(lsn: number): number | null {
    const place = this.#queue.find(lsn, null);
    if (place?.lsn !== lsn) return null;
    return parseRecordHeader(place.batch.buffer, place.at, this.#machine)?.time ?? null;
  }

  /**
   * What comes at or behind `lsn`, about 4 MiB of it: from memory, or 'disk' when it has to be read by
   * `readDisk`; null when there is nothing.
   */
  next(lsn: number, hint: BatchPlace | null): MemoryRun | 'disk' | null {
    const place = this.#queue.find(lsn, hint);
    if (place?.lsn !== lsn && lsn <= (this.#onDisk?.last ?? -1)) return 'disk';
    if (place === null) return null;
    const { batch, at } = place;
    const end = { batch, at: batch.end, lsn: batch.lastLsn + 1 };
    return {
      bytes: batch.buffer.subarray(at, batch.end),
      firstLsn: place.lsn,
      lastLsn: batch.lastLsn,
      place: end,
    };
  }

  readDisk(lsn: number): Promise<ReadRun | ReadDamage | null> {
    return this.#spill.read(Math.max(lsn, this.#onDisk?.first ?? 0));
  }

  /** What is at or below `lsn` is not needed any more. */
  free(lsn: number): void {
    this.#queue.free(lsn);
    this.#spill.free(lsn);
    this.#press();
  }

  drop(): void {
    this.#queue.drop();
    this.#spill.drop();
    this.#spillFails = false;
    this.#press();
  }

  /** Drops everything; resolves when nothing is left on disk. */
  async discard(): Promise<void> {
    this.drop();
    await this.#spill.discard();
  }

  /** Makes everything durable for `resume`; null when that fails, else the first LSN held, or Infinity. */
  async close(): Promise<number | null> {
    if (!(await this.#spillAll())) return null;
    const first = this.#onDisk?.first ?? Infinity;
    await this.#spill.close();
    return first;
  }

  get #onDisk(): { first: number; last: number } | null {
    const range = this.#spill.range;
    return range === null || range.last < range.first ? null : range;
  }

  #press(): void {
    const { memoryBytes, diskBytes } = this.#options;
    const { heldBytes } = this.#queue;
    const pressed = heldBytes > (this.#pressed ? memoryBytes * spillPart : memoryBytes) && diskBytes > 0;
    if (pressed === this.#pressed) return;
    this.#pressed = pressed;
    this.onPressure(pressed);
  }

  /** In a turn of its own: the writes of this one get their answers first. */
  #spillLater(): void {
    if (this.#spilling) return;
    this.#spilling = true;
    setImmediate(() => {
      this.#spilling = false;
      const { memoryBytes } = this.#options;
      const { waitingBytes } = this.#queue;
      if (waitingBytes > memoryBytes * spillPart) this.#spillOldest(memoryBytes / 2);
      else if (waitingBytes > memoryBytes * openPart) this.#openSpill();
    });
  }

  /** Until no more than `bytes` are in memory alone, or it cannot be gone on with just now. */
  #spillOldest(bytes: number): void {
    while (this.#queue.waitingBytes > bytes) {
      const batch = this.#queue.oldestUnspilled();
      if (batch === null) return;
      if (this.#options.diskBytes > 0 && !this.#isReadyFor(batch)) return;
      this.#spillFails = !this.#spill.append(batch);
      if (this.#spillFails) return;
      this.#queue.spilled(batch);
    }
  }

  /** Ahead of need, as that takes a while. */
  #openSpill(): void {
    const batch = this.#queue.oldestUnspilled();
    if (batch === null || this.#options.diskBytes === 0) return;
    if (this.#spill.range === null && !this.#spill.wasteful) this.#spill.start(batch.firstLsn);
  }

  /** Whether there is a log that the batch goes on with; else one is begun with it. */
  #isReadyFor(batch: Batch): boolean {
    const range = this.#spill.range;
    if (range?.last === batch.firstLsn - 1) return true;
    // It was begun with records that have been acknowledged, or given up, since.
    this.#spill.drop();
    this.#spill.start(batch.firstLsn);
    this.#spillFails = this.#spill.failing;
    return false;
  }

  /** Everything that is held goes to disk; false when that fails. */
  async #spillAll(): Promise<boolean> {
    await this.#spill.settled();
    this.#spillOldest(0);
    await this.#spill.settled();
    this.#spillOldest(0);
    return this.#queue.oldestUnspilled() === null;
  }
}

/** The parts of the memory behind which a log for batches is opened, and batches go to it. */
const openPart = 1 / 4;
const spillPart = 3 / 4;

/** Several to what the disk may take: they are allocated, and given back, as a whole. */
function segmentBytesFor(diskBytes: number): number {
  const part = Math.floor(diskBytes / 16 / MiB) * MiB;
  return Math.min(limits.segmentBytes, Math.max(part, MiB));
}
