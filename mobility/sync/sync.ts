// Initial sync and resync: copies what the dirty map names as ordinary records between sync-begin and
// sync-end.
import type { SyncProgress } from '../../core/chain/messages.ts';
import type { Clock } from '../../core/clock.ts';
import { toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { CapturedDisks, Region } from '../capture/captured-disks.ts';
import type { Recorder } from '../outbox/recorder.ts';
import { regionsEnding, stretchBytes, stretchesOf, type Stretch } from './stretches.ts';
import { SyncCompare, type AskHashes } from './sync-compare.ts';
import { NotRecorded, SyncCopy } from './sync-copy.ts';
import { SyncPace } from './sync-pace.ts';
import { SyncRate } from './sync-rate.ts';

export interface SyncPlaces {
  /** Resolves when it is this machine's turn; tells meanwhile how many go before it. */
  request(onAhead: (ahead: number) => void, signal: AbortSignal): Promise<void>;
  /** The place is free again; also called when `request` was aborted. */
  done(): void;
}

/** What a part of a sync says of how far it is. */
export interface SyncMeter {
  enter(phase: SyncProgress['phase'], totalBytes: number): void;
  done(bytes: number): void;
}

/** Other disks of the machine that are copied in the same sync. */
export interface SyncPart {
  /** What can be done before the sync begins; the order says whether it may fail without the rest. */
  prepare(order: SyncOrder, meter: SyncMeter, signal: AbortSignal): Promise<void>;
  /** It is going to ask for hashes of the state before the sync. */
  readonly wantsHashes: boolean;
  /** It is going to copy, or compare, every byte of its disks. */
  readonly isFull: boolean;
  /** Copies, behind the `sync-begin`. */
  copy(beginLsn: number, pace: SyncPace, meter: SyncMeter, signal: AbortSignal): Promise<void>;
  /** Behind the `sync-end`. */
  ended(endLsn: number): Promise<void>;
  /** In any case, when nothing is read any more. Never rejects. */
  release(): Promise<void>;
}

export interface SyncsOptions {
  captured: CapturedDisks;
  recorder: Recorder;
  places: SyncPlaces;
  hashes: AskHashes;
  clock: Clock;
  log: Log;
  part?: SyncPart | null;
}

export interface SyncOrder {
  reason: string;
  /** Send only what differs from what the master target has. */
  checksums: boolean;
  /** Only the other disks: the captured ones go on as they are, and there is no wait for a place. */
  partOnly?: boolean;
}

/** `not-recorded`: there was no room for its records, or no protection; what is not copied stays dirty. */
export type SyncOutcome =
  | { state: 'done'; beginLsn: number; endLsn: number; dataBytes: number; zeroBytes: number }
  | { state: 'not-recorded' };

/** Copies one stretch, or what differs of it, and tells up to where all is done. */
type CopyStretch = (stretch: Stretch, reached: (to: number) => void) => Promise<void>;

/**
 * The syncs of a machine, one at a time. A broken connection does not end one: it waits until there is room.
 */
export class Syncs {
  readonly #options: SyncsOptions;
  readonly #pace: SyncPace;
  #progress: SyncProgress | null = null;
  #rate = new SyncRate();
  /** Done, as it was said last: it never goes back. */
  #shownBytes = 0;
  #ended: { lsn: number; progress: SyncProgress } | null = null;
  /** Of a sync that has ended. */
  #hasPlace = false;

  constructor(options: SyncsOptions) {
    this.#options = options;
    this.#pace = new SyncPace(options.recorder, options.captured, () => options.clock.monotonicMs());
    options.recorder.onProgress(() => this.#tail() ?? this.#leavePlace());
  }

  /** Of the sync under way, up to where the process server has the last of it; or null. */
  get progress(): SyncProgress | null {
    const progress = this.#progress ?? this.#tail();
    if (progress === null) return null;
    const doneBytes = this.#sentBytes(progress);
    const nowMs = this.#nowMs();
    this.#rate.note(nowMs, doneBytes);
    const secondsLeft = this.#rate.secondsLeft(nowMs, doneBytes, progress.totalBytes);
    return { ...progress, doneBytes, secondsLeft };
  }

  /**
   * Runs one from begin to end. Rejects with the reason of the signal, or when a disk cannot be read: what
   * was not copied by then is what the next one takes.
   */
  async run(order: SyncOrder, signal: AbortSignal): Promise<SyncOutcome> {
    const { places, captured, log, part } = this.#options;
    const { reason } = order;
    this.#leavePlace();
    this.#enter('waiting', captured.dirtyBytes, reason);
    try {
      if (order.partOnly !== true) await places.request((ahead) => this.#update({ ahead }), signal);
      this.#update({ ahead: null });
      await part?.prepare(order, this.#meter(reason), signal);
      return await this.#synchronise(order, signal);
    } catch (error) {
      if (error instanceof NotRecorded) {
        log.warn('sync-not-recorded', { reason });
        return { state: 'not-recorded' };
      }
      if (!signal.aborted) log.error('sync-failed', { reason, error: toHomewardError(error) });
      throw error;
    } finally {
      await part?.release();
      this.#progress = null;
      this.#hasPlace = true;
      if (this.#tail() === null) this.#leavePlace();
    }
  }

  /** Only when what it has copied is sent: others would send at the same time. */
  #leavePlace(): void {
    if (!this.#hasPlace) return;
    this.#hasPlace = false;
    this.#options.places.done();
  }

  async #synchronise(order: SyncOrder, signal: AbortSignal): Promise<SyncOutcome> {
    const { captured, recorder, part } = this.#options;
    const disks = captured.disks.map(({ name, size }) => ({ name, size }));
    signal.throwIfAborted();
    const { reason, partOnly = false } = order;
    const checksums = (order.checksums && !partOnly) || part?.wantsHashes === true;
    // While nothing is recorded the map has what no record carries: it cannot be left out.
    if (partOnly && !recorder.recording) throw new NotRecorded();
    const scope = this.#scope(partOnly);
    const begun = recorder.syncBegin({ reason, disks, ...(checksums && { checksums }), ...scope });
    if (begun === null) throw new NotRecorded();
    const lost = this.#watchRecording();
    try {
      const all = AbortSignal.any([signal, lost.signal]);
      return await this.#copyFrom(begun.lsn, order, all);
    } finally {
      lost.end();
    }
  }

  /** What it makes up for, in the turn in which it begins: see docs/chain.md, section 3. */
  #scope(partOnly: boolean): { full?: true; part?: true } {
    const { captured, part } = this.#options;
    if (partOnly && captured.dirtyBytes > 0) return { part: true };
    return captured.allDirty && (part?.isFull ?? true) ? { full: true } : {};
  }

  async #copyFrom(beginLsn: number, order: SyncOrder, signal: AbortSignal): Promise<SyncOutcome> {
    const { captured, recorder, log, part } = this.#options;
    const { reason, checksums, partOnly = false } = order;
    const disks = captured.disks;
    // In the same turn: what has no record behind the sync-begin is on the list.
    const regions = partOnly ? [] : captured.beginSync();
    this.#pace.begin();
    const stretches = stretchesOf(regions, disks);
    log.info('sync-begun', { reason, lsn: beginLsn, bytes: stretchBytes(stretches), checksums });
    const onBytes = (bytes: number): void => this.#done(bytes);
    const parts = { captured, recorder, pace: this.#pace, signal, onBytes };
    const copy = new SyncCopy(parts, beginLsn);
    if (regions.length > 0) this.#enter('copying', stretchBytes(stretches), reason);
    if (checksums && regions.length > 0)
      await this.#compareAndCopy(stretches, copy, beginLsn, reason, signal);
    else await this.#copyAll(stretches, (stretch, reached) => copy.copy(stretch, reached), copy);
    await part?.copy(beginLsn, this.#pace, this.#meter(reason), signal);
    const ended = await this.#end(copy, partOnly ? null : disks, signal);
    const { dataBytes, zeroBytes } = copy;
    log.info('sync-ended', { reason, lsn: ended, dataBytes, zeroBytes });
    await part?.ended(ended);
    return { state: 'done', beginLsn, endLsn: ended, dataBytes, zeroBytes };
  }

  /** Counts first, so that it is known how much will be sent. */
  async #compareAndCopy(
    stretches: Stretch[],
    copy: SyncCopy,
    sync: number,
    reason: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { captured, recorder, hashes, log } = this.#options;
    let differentBytes = 0;
    const onBytes = (bytes: number, different: number): void => {
      differentBytes += different;
      this.#update({ differentBytes });
      this.#done(bytes);
    };
    const room = (): Promise<void> => this.#pace.room(signal);
    this.#enter('comparing', stretchBytes(stretches), reason);
    const compare = new SyncCompare({ captured, hashes, sync, room, signal, log, onBytes });
    // The state before the sync is whole at the master target only when the sync-begin is there.
    await this.#pace.until(() => recorder.targetLsn >= sync, signal);
    for (const stretch of stretches) await compare.compare(stretch);
    log.info('sync-compared', { reason, bytes: stretchBytes(stretches), differentBytes });
    this.#enter('copying', differentBytes, reason);
    this.#update({ differentBytes });
    const copyDifferences: CopyStretch = async (stretch, reached) => {
      for (const piece of compare.differencesIn(stretch)) await copy.copy(piece, reached);
      reached(stretch.end);
    };
    await this.#copyAll(stretches, copyDifferences, copy);
  }

  /**
   * Each region leaves the list as soon as it is copied, so that a sync that ends half way has done
   * something.
   */
  async #copyAll(stretches: Stretch[], copyStretch: CopyStretch, copy: SyncCopy): Promise<void> {
    for (const stretch of stretches) {
      let from = stretch.start;
      await copyStretch(stretch, (to) => {
        for (const region of regionsEnding(stretch, from, to)) {
          this.#options.captured.copied(region, copy.lastLsn);
        }
        from = to;
      });
    }
  }

  /**
   * When recording ends under it, a sync must not go on waiting: what it has sent may be gone, and is not
   * acknowledged any more.
   */
  #watchRecording(): { signal: AbortSignal; end: () => void } {
    const lost = new AbortController();
    const timer = setInterval(() => {
      if (!this.#options.recorder.recording) lost.abort(new NotRecorded());
    }, limits.syncWaitMs);
    return { signal: lost.signal, end: () => clearInterval(timer) };
  }

  /**
   * What got content without a record meanwhile is copied before the end; in the turn of the end there is
   * none. `disks` is null when the captured disks are not in this sync.
   */
  async #end(
    copy: SyncCopy,
    disks: readonly { size: number }[] | null,
    signal: AbortSignal,
  ): Promise<number> {
    const { captured, recorder } = this.#options;
    for (;;) {
      await this.#pace.room(signal);
      if (disks === null) break;
      const again: Region[] = captured.syncAgain();
      if (again.length === 0) break;
      await this.#copyAll(stretchesOf(again, disks), (stretch, reached) => copy.copy(stretch, reached), copy);
    }
    this.#update({ phase: 'ending' });
    const ended = recorder.syncEnd();
    if (ended === null) throw new NotRecorded();
    if (this.#progress !== null) this.#ended = { lsn: ended.lsn, progress: this.#progress };
    return ended.lsn;
  }

  #meter(reason: string): SyncMeter {
    return {
      enter: (phase, totalBytes) => this.#enter(phase, totalBytes, reason),
      done: (bytes) => this.#done(bytes),
    };
  }

  #enter(phase: SyncProgress['phase'], totalBytes: number, reason: string): void {
    const none = { differentBytes: null, secondsLeft: null, ahead: null };
    this.#progress = { reason, phase, doneBytes: 0, totalBytes, ...none };
    this.#shownBytes = 0;
    this.#ended = null;
    this.#rate = new SyncRate();
    this.#rate.note(this.#nowMs(), 0);
  }

  /** What is numbered and has not gone out is not done. */
  #sentBytes({ doneBytes }: SyncProgress): number {
    this.#shownBytes = Math.max(this.#shownBytes, doneBytes - this.#pace.unsentBytes);
    return this.#shownBytes;
  }

  /** Of a sync whose end is numbered, and waits to be sent. */
  #tail(): SyncProgress | null {
    const { recorder } = this.#options;
    const ended = this.#ended;
    return ended !== null && recorder.recording && recorder.spooledLsn < ended.lsn ? ended.progress : null;
  }

  #update(change: Partial<SyncProgress>): void {
    if (this.#progress !== null) Object.assign(this.#progress, change);
  }

  #done(bytes: number): void {
    if (this.#progress === null) return;
    this.#progress.doneBytes += bytes;
    this.#rate.note(this.#nowMs(), this.#sentBytes(this.#progress));
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}
