// One write or zero of the workload on its way: lock, dirty map, disk, number, reply.
import { limits } from '../../core/limits.ts';
import { NbdErrno, type Done } from '../../core/nbd/export.ts';
import { nbdErrnoOf } from '../../core/nbd/nbd-errno.ts';
import { RecordFlags, RecordKind } from '../../core/record/record.ts';
import type { Recorder } from '../outbox/recorder.ts';
import type { ExtentLock } from './extent-locks.ts';
import type { FrontDisk } from './front-disk.ts';

export interface ChangeRequest {
  offset: number;
  length: number;
  /** Null for a zero. */
  payload: Buffer | null;
  discard: boolean;
  punch: boolean;
  fua: boolean;
}

/**
 * Order, each only behind the one before: 1 nothing overlaps in flight · 2 the regions are in the dirty map,
 * durably · 3 the disk has completed it · 4 numbered, and the map told by which number · 5 unlocked · 6
 * flushed, if FUA · 7 answered. A crash before 3 changes nothing; from 3 on the map has the regions, whatever
 * became of the record.
 */
export class FrontChange implements ExtentLock {
  readonly start: number;
  readonly end: number;
  waitsFor = 0;
  blocked: ExtentLock[] | null = null;
  before: ExtentLock | null = null;
  after: ExtentLock | null = null;
  readonly #disk: FrontDisk;
  readonly #request: ChangeRequest;
  readonly #done: Done;

  constructor(disk: FrontDisk, request: ChangeRequest, done: Done) {
    this.#disk = disk;
    this.#request = request;
    this.#done = done;
    this.start = request.offset;
    this.end = request.offset + request.length;
  }

  begin(): void {
    if (this.#disk.locks.take(this)) this.granted();
  }

  granted = (): void => {
    if (this.#disk.map.enter(this.start, this.end, this.#entered)) this.#change();
  };

  #entered = (error: Error | null): void => {
    if (error === null) {
      this.#change();
      return;
    }
    // The disk has not been touched, and the map has said what is wrong with it.
    this.#disk.locks.release(this);
    this.#done(nbdErrnoOf(error));
  };

  #change(): void {
    const { payload, offset, length, punch, discard } = this.#request;
    const { store } = this.#disk;
    const work =
      payload === null
        ? store.zero(offset, length, { punch: punch || discard })
        : store.write(payload, offset);
    work.then(this.#changed, this.#failed);
  }

  #changed = (): void => {
    const disk = this.#disk;
    const lsn = recordChange(disk.recorder, disk.index, this.#request);
    disk.changedBytes += this.#request.length;
    disk.map.leave(this.start, this.end, lsn, disk.clock.monotonicMs());
    disk.locks.release(this);
    if (this.#request.fua) disk.flush().then(this.#succeeded, this.#flushFailed);
    else this.#succeeded();
  };

  #succeeded = (): void => {
    this.#disk.replies.reply(this.#answer);
  };

  #answer = (): void => {
    this.#done(NbdErrno.ok);
  };

  #flushFailed = (error: unknown): void => {
    this.#done(nbdErrnoOf(error));
  };

  #failed = (error: unknown): void => {
    const disk = this.#disk;
    disk.map.leave(this.start, this.end, null, disk.clock.monotonicMs());
    disk.locks.release(this);
    disk.changeFailed(error, this.start, this.end - this.start);
    this.#done(nbdErrnoOf(error));
  };
}

/** The number of the last record of a change; null when not all of it is recorded. */
function recordChange(recorder: Recorder, disk: number, request: ChangeRequest): number | null {
  const { offset, length, payload, discard } = request;
  const most = payload === null ? limits.recordZeroBytes : limits.recordDataBytes;
  let last: number | null = null;
  for (let at = 0; at < length; at += most) {
    const piece = Math.min(most, length - at);
    last = recorder.record({
      kind: payload === null ? RecordKind.zero : RecordKind.write,
      flags: discard ? RecordFlags.discard : RecordFlags.none,
      disk,
      offset: offset + at,
      length: piece,
      payload: payload === null || piece === length ? payload : payload.subarray(at, at + piece),
    });
    if (last === null) return null;
  }
  return last;
}
