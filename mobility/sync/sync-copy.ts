// Copies stretches of a captured disk as records: zeros as zeros, the rest as data, each piece as of one
// moment.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { hashedChunkBytes } from '../../core/chain/messages.ts';
import { limits } from '../../core/limits.ts';
import { RecordFlags, RecordKind, recordHeaderBytes } from '../../core/record/record.ts';
import type { CapturedDisks } from '../capture/captured-disks.ts';
import type { Recorder } from '../outbox/recorder.ts';
import { isZero } from './chunk-hashes.ts';
import { holePieces, type Piece } from './hole-pieces.ts';
import type { Stretch } from './stretches.ts';
import type { SyncPace } from './sync-pace.ts';

/**
 * Nothing is recorded any more (overflow, protection ended): the sync is worth nothing, and begins again
 * later.
 */
export class NotRecorded extends Error {
  constructor() {
    super('records are not kept at present');
    this.name = 'NotRecorded';
  }
}

export interface SyncCopyOptions {
  captured: Pick<CapturedDisks, 'extents' | 'readStable' | 'zeroStable'>;
  recorder: Recorder;
  pace: SyncPace;
  signal: AbortSignal;
  /** Hears of bytes that are done, copied or skipped as zeros. */
  onBytes: (bytes: number) => void;
}

/** Extents of a disk are asked for so much at a time: a fragmented file has many, and each costs a call. */
const lookBytes = 64 * limits.syncPieceBytes;

export class SyncCopy {
  /** Of the newest record of this sync. */
  lastLsn: number;
  /** Data sent, and extents sent as zeros. */
  dataBytes = 0;
  zeroBytes = 0;
  readonly #options: SyncCopyOptions;
  readonly #buffer = Buffer.allocUnsafeSlow(limits.syncPieceBytes);

  constructor(options: SyncCopyOptions, beginLsn: number) {
    this.#options = options;
    this.lastLsn = beginLsn;
  }

  /**
   * Copies all of it; `reached` hears up to where that is done. Throws NotRecorded, the reason of the signal,
   * or what the disk says.
   */
  async copy({ disk, start, end }: Stretch, reached: (to: number) => void): Promise<void> {
    let hole: Piece | null = null;
    for (let at = start; at < end; at += lookBytes) {
      // An empty disk is nothing but looks, which end at once: others have to get a turn between them.
      await nextTurn();
      this.#options.signal.throwIfAborted();
      const extents = await this.#options.captured.extents(disk, at, Math.min(lookBytes, end - at));
      for (const piece of holePieces(at, extents)) {
        // Holes that follow each other become one record, up to what one may cover.
        if (hole !== null && piece.zero && piece.end - hole.start <= limits.recordZeroBytes) {
          hole.end = piece.end;
          continue;
        }
        if (hole !== null) await this.#sendHole(disk, hole.start, hole.end, reached);
        hole = piece.zero ? piece : null;
        if (!piece.zero) await this.#sendAll(disk, piece.start, piece.end, reached);
      }
    }
    if (hole !== null) await this.#sendHole(disk, hole.start, hole.end, reached);
  }

  /**
   * Where the workload writes into a hole that is just being sent, it is sent in halves, in the end as data.
   */
  async #sendHole(disk: number, start: number, end: number, reached: (to: number) => void): Promise<void> {
    const { captured, pace, signal, onBytes } = this.#options;
    const length = end - start;
    if (length <= limits.syncPieceBytes) return await this.#sendAll(disk, start, end, reached);
    await pace.room(signal);
    if (await captured.zeroStable(disk, start, length, () => this.#zero(disk, start, length))) {
      onBytes(length);
      reached(end);
      return;
    }
    const middle = start + Math.ceil(length / 2 / hashedChunkBytes) * hashedChunkBytes;
    await this.#sendHole(disk, start, middle, reached);
    await this.#sendHole(disk, middle, end, reached);
  }

  async #sendAll(disk: number, start: number, end: number, reached: (to: number) => void): Promise<void> {
    for (let at = start; at < end; at += this.#buffer.length) {
      await this.#sendData(disk, at, end);
      reached(Math.min(at + this.#buffer.length, end));
    }
  }

  async #sendData(disk: number, start: number, end: number): Promise<void> {
    const { captured, pace, signal, onBytes } = this.#options;
    await pace.room(signal);
    const piece = this.#buffer.subarray(0, Math.min(this.#buffer.length, end - start));
    await captured.readStable(disk, start, piece, (data) => this.#number(disk, start, data));
    onBytes(piece.length);
  }

  /** One record for each run of chunks that are zero, or are not. */
  #number(disk: number, offset: number, data: Buffer): void {
    const zeroAt = (at: number): boolean => isZero(data.subarray(at, at + hashedChunkBytes));
    for (let start = 0; start < data.length;) {
      const zero = zeroAt(start);
      let end = start + hashedChunkBytes;
      while (end < data.length && zeroAt(end) === zero) end += hashedChunkBytes;
      end = Math.min(end, data.length);
      if (zero) this.#zero(disk, offset + start, end - start);
      else this.#write(disk, offset + start, data.subarray(start, end));
      start = end;
    }
  }

  #write(disk: number, offset: number, payload: Buffer): void {
    const { length } = payload;
    const change = { kind: RecordKind.write, flags: RecordFlags.none, disk, offset, length, payload };
    this.#recorded(this.#options.recorder.record(change), length);
    this.dataBytes += length;
  }

  #zero(disk: number, offset: number, length: number): void {
    const change = { kind: RecordKind.zero, flags: RecordFlags.none, disk, offset, length, payload: null };
    this.#recorded(this.#options.recorder.record(change), 0);
    this.zeroBytes += length;
  }

  #recorded(lsn: number | null, dataBytes: number): void {
    if (lsn === null) throw new NotRecorded();
    this.lastLsn = lsn;
    this.#options.pace.sent(lsn, recordHeaderBytes + dataBytes);
  }
}
