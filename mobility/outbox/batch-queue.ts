// The records in memory that the process server does not have yet, encoded one behind the other in large
// buffers.
import { assert } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { parseRecordHeader, recordHeaderBytes, type MachineMark } from '../../core/record/record.ts';

/**
 * `buffer` holds the records [firstLsn, lastLsn] in [start, end); `end` moves while the batch is the newest.
 */
export interface Batch {
  readonly buffer: Buffer;
  start: number;
  end: number;
  firstLsn: number;
  lastLsn: number;
  /** It lies in the spill as well and goes when that is durable. */
  spilled: boolean;
  /** False once it was taken out: its bytes may not be sent any more. */
  held: boolean;
}

/** A place in the queue; kept by a reader, so that it need not look for it again. */
export interface BatchPlace {
  batch: Batch;
  at: number;
  lsn: number;
}

/**
 * Batches follow each other in LSN order. Buffers are never used twice: a connection may still hold the old
 * bytes.
 */
export class BatchQueue {
  readonly #machine: MachineMark;
  readonly #batchBytes: number;
  #batches: Batch[] = [];
  #heldBytes = 0;
  #waitingBytes = 0;

  constructor(machine: MachineMark, batchBytes: number = limits.outboxBatchBytes) {
    this.#machine = machine;
    this.#batchBytes = batchBytes;
  }

  /** Memory of all batches. */
  get heldBytes(): number {
    return this.#heldBytes;
  }
  /** Bytes of records that are nowhere but here. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }
  get batches(): readonly Batch[] {
    return this.#batches;
  }
  get firstLsn(): number | null {
    return this.#batches.find(isFilled)?.firstLsn ?? null;
  }

  /** When the first record was made. */
  get firstTime(): number | null {
    const batch = this.#batches.find(isFilled);
    return batch === undefined
      ? null
      : (parseRecordHeader(batch.buffer, batch.start, this.#machine)?.time ?? null);
  }

  /** Room for a record of `bytes` as the next one, at `end` of the batch that comes back. */
  room(bytes: number, lsn: number): Batch {
    const last = this.#batches.at(-1);
    if (last !== undefined && !last.spilled && last.lastLsn + 1 === lsn && fits(last, bytes)) return last;
    if (last !== undefined && !isFilled(last)) this.#take(this.#batches.length - 1);
    const batch: Batch = {
      buffer: Buffer.allocUnsafeSlow(Math.max(bytes, this.#batchBytes)),
      start: 0,
      end: 0,
      firstLsn: lsn,
      lastLsn: lsn - 1,
      spilled: false,
      held: true,
    };
    this.#batches.push(batch);
    this.#heldBytes += batch.buffer.length;
    return batch;
  }

  /** The record in the room asked for last has been written, and ends at `end`. */
  added(batch: Batch, end: number): void {
    this.#waitingBytes += end - batch.end;
    batch.end = end;
    batch.lastLsn += 1;
  }

  /** The oldest batch that is nowhere else, or null. */
  oldestUnspilled(): Batch | null {
    return this.#batches.find((each) => !each.spilled && isFilled(each)) ?? null;
  }

  spilled(batch: Batch): void {
    batch.spilled = true;
    this.#waitingBytes -= batch.end - batch.start;
  }

  /** Takes out what ends at or below `lsn`; the newest batch stays for further records. */
  free(lsn: number): void {
    for (
      let first = this.#batches[0];
      first !== undefined && first.lastLsn <= lsn;
      first = this.#batches[0]
    ) {
      if (this.#batches.length === 1 && !first.spilled) return this.#empty(first);
      this.#take(0);
    }
  }

  /** Takes out what was spilled and ends at or below `lsn`: it is safe there. */
  freeSpilled(lsn: number): void {
    for (let first = this.#batches[0]; first?.spilled && first.lastLsn <= lsn; first = this.#batches[0])
      this.#take(0);
  }

  /** Takes out everything. */
  drop(): void {
    while (this.#batches.length > 0) this.#take(0);
  }

  /**
   * Where the first record at or above `lsn` lies, or null. `hint` is a place where that was found before.
   */
  find(lsn: number, hint: BatchPlace | null): BatchPlace | null {
    if (hint !== null && hint.batch.held && hint.lsn === lsn && hint.at < hint.batch.end) return hint;
    const batch = this.#batches.find((each) => each.lastLsn >= lsn && isFilled(each));
    if (batch === undefined) return null;
    let at = batch.start;
    for (let next = batch.firstLsn; next < lsn; next++) at += this.#recordBytes(batch.buffer, at);
    return { batch, at, lsn: Math.max(lsn, batch.firstLsn) };
  }

  #recordBytes(buffer: Buffer, at: number): number {
    const header = parseRecordHeader(buffer, at, this.#machine);
    assert(header !== null, 'the outbox holds whole records');
    return recordHeaderBytes + header.payloadBytes;
  }

  #empty(batch: Batch): void {
    this.#waitingBytes -= batch.end - batch.start;
    batch.start = batch.end;
    batch.firstLsn = batch.lastLsn + 1;
  }

  #take(index: number): void {
    const [batch] = this.#batches.splice(index, 1);
    if (batch === undefined) return;
    if (!batch.spilled) this.#waitingBytes -= batch.end - batch.start;
    this.#heldBytes -= batch.buffer.length;
    batch.held = false;
  }
}

const isFilled = (batch: Batch): boolean => batch.lastLsn >= batch.firstLsn;
const fits = (batch: Batch, bytes: number): boolean => batch.end + bytes <= batch.buffer.length;
