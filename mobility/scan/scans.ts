// The scanned disks of a machine as a part of its syncs: compared, sent, tagged, remembered once durable.
import { formatTime, type Clock } from '../../core/clock.ts';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { Consistency, TagNote } from '../../core/record/notes.ts';
import { microseconds } from '../../core/units.ts';
import type { Recorder } from '../outbox/recorder.ts';
import { chunkCount } from '../sync/chunk-hashes.ts';
import type { AskHashes } from '../sync/sync-compare.ts';
import type { SyncMeter, SyncOrder, SyncPart } from '../sync/sync.ts';
import { NotRecorded } from '../sync/sync-copy.ts';
import type { SyncPace } from '../sync/sync-pace.ts';
import { RemoteHashes } from './remote-hashes.ts';
import type { ScanCommands } from './scan-commands.ts';
import { ScanCopy } from './scan-copy.ts';
import { markedBytes, type Rest, type ScanDisk, type Todo } from './scan-disk.ts';
import { ScanTimes } from './scan-times.ts';

export interface ScansOptions {
  disks: readonly ScanDisk[];
  commands: ScanCommands;
  recorder: ScanRecorder;
  /** Behind a disk that has grown. */
  onGrown(): void;
  /** An earlier sync may have brought the master target something. */
  sentBefore(): boolean;
  /** Whether the workload is writing: then a scan reads half of the time. */
  busy(): boolean;
  clock: Clock;
  log: Log;
}

export type ScanRecorder = Recorder & { readonly syncBeginLsn: number };

/** A tag that somebody waits for. */
export interface ScanRequest {
  name: string;
  consistency: Consistency;
}

export interface ScanPoint extends TagNote {
  lsn: number;
  time: number;
}

/** What a scan has found; sent behind its `sync-begin`. */
interface Batch {
  /** Microseconds: when reading began. The point shows nothing that is older. */
  time: number;
  disks: { disk: ScanDisk; todo: Todo }[];
  beginLsn: number;
  /** Its commands are still to be ended. */
  commandsDue: boolean;
  commandsFailed: boolean;
  /** Its tag, once it has ended. */
  point: ScanPoint | null;
}

/**
 * One batch at a time: the next is begun when the one before is durable at the master target, or known to
 * be lost. A disk that cannot be read is left out as long as the master target has the whole of its last
 * scan; else the batch fails, since its end would be no point.
 */
export class Scans implements SyncPart {
  readonly #options: ScansOptions;
  readonly #times: ScanTimes;
  #ask: AskHashes | null = null;
  #batch: Batch | null = null;
  /** Ended, not yet durable at the master target. */
  #pending: Batch | null = null;
  #committing: Promise<void> = Promise.resolve();
  #point: ScanPoint | null = null;
  #problem: HomewardError | null = null;
  /** What the next batch is called. */
  request: ScanRequest | null = null;
  wantsHashes = false;

  constructor(options: ScansOptions) {
    this.#options = options;
    this.#times = new ScanTimes(options.disks.map(({ hashes }) => hashes.scannedTime));
    options.recorder.onProgress(() => this.#settle());
  }

  get disks(): readonly ScanDisk[] {
    return this.#options.disks;
  }
  /** The moment that the newest durable point shows, microseconds. */
  get lastTime(): number | null {
    return this.#times.last;
  }
  /** Up to which moment everything at or below `lsn` is, or null when no scan says so. */
  asOf(lsn: number): number | null {
    return this.#times.asOf(lsn) ?? this.#batch?.time ?? null;
  }
  /** The newest batch that is durable at the master target in this run. */
  get point(): ScanPoint | null {
    return this.#point;
  }
  get isPending(): boolean {
    return this.#pending !== null;
  }
  /** What an operator should know, or null. */
  get problem(): string | null {
    const all = this.#problems;
    return all.length === 0 ? null : all.map(({ message, code }) => `${message} (${code})`).join('; ');
  }
  /** Why there is no batch, for whoever has asked for one. */
  get failure(): HomewardError | null {
    return this.#problems[0] ?? null;
  }
  get #problems(): HomewardError[] {
    return [this.#problem, ...this.disks.map(({ problem }) => problem)].filter((problem) => problem !== null);
  }

  get isFull(): boolean {
    const found = this.#batch?.disks ?? [];
    const isWhole = ({ disk, todo }: Batch['disks'][number]): boolean =>
      todo.wanted.count === chunkCount(disk.size);
    return found.length === this.disks.length && found.every(isWhole);
  }

  /** How the master target is asked for hashes. */
  asks(ask: AskHashes): void {
    this.#ask = ask;
  }

  /** Nobody knows what the master target has. Durable when it resolves. */
  async forgetAll(): Promise<void> {
    this.abandon();
    await this.#committing;
    for (const { hashes } of this.disks) await hashes.reset();
  }

  /** What was sent and is not durable yet may be lost. */
  abandon(): void {
    const pending = this.#pending;
    this.#pending = null;
    if (pending === null) return;
    this.#options.log.warn('scan-lost', { lsn: pending.point?.lsn });
    for (const { disk } of pending.disks) disk.hashes.unstage();
  }

  async prepare(order: SyncOrder, meter: SyncMeter, signal: AbortSignal): Promise<void> {
    const { clock, commands, log } = this.#options;
    // What a real sync follows has lost its records; a scan is not begun before.
    this.abandon();
    await this.#committing;
    this.#problem = null;
    for (const disk of this.disks) disk.problem = null;
    const batch: Batch = {
      time: clock.now(),
      disks: [],
      beginLsn: 0,
      commandsDue: true,
      commandsFailed: false,
      point: null,
    };
    this.#batch = batch;
    log.info('scan-begun', { reason: order.reason, disks: this.disks.length });
    try {
      await commands.begin(signal);
      batch.time = clock.now();
      meter.enter(
        'comparing',
        this.disks.reduce((sum, { size }) => sum + size, 0),
      );
      for (const disk of this.disks) await this.#compare(batch, disk, meter, signal);
      if (batch.disks.length === 0) throw this.disks[0]?.problem ?? new HomewardError('bug', 'no disk');
    } catch (error) {
      await this.#leaveOut(toHomewardError(error), order, signal);
    }
    this.wantsHashes = this.#isWorthAsking(batch, order);
  }

  async copy(beginLsn: number, pace: SyncPace, meter: SyncMeter, signal: AbortSignal): Promise<void> {
    const batch = this.#batch;
    if (batch === null || batch.disks.length === 0) return;
    const { recorder, log } = this.#options;
    batch.beginLsn = beginLsn;
    meter.enter(
      'copying',
      batch.disks.reduce((sum, { todo }) => sum + markedBytes(todo.wanted), 0),
    );
    const remote = this.wantsHashes && this.#ask !== null ? new RemoteHashes(this.#ask, beginLsn, log) : null;
    if (remote !== null) await pace.until(() => recorder.targetLsn >= beginLsn, signal);
    const onBytes = (bytes: number): void => meter.done(bytes);
    for (const { disk, todo } of batch.disks) {
      const parts = { disk, todo, beginLsn, recorder, pace, signal, onBytes, rest: this.#rest };
      const copy = new ScanCopy({ ...parts, remote: remote?.of(disk.index, signal) ?? null });
      try {
        await copy.run();
      } catch (error) {
        if (!(error instanceof NotRecorded) && !signal.aborted) this.#problem = toHomewardError(error);
        throw error;
      }
      log.info('scan-sent', { disk: disk.name, ...copy.sent });
    }
  }

  /** Order: 1 nothing is read any more · 2 the command after it · 3 the tag. */
  async ended(endLsn: number): Promise<void> {
    const batch = this.#batch;
    if (batch === null || batch.disks.length === 0) return;
    await this.#endReading(batch);
    const { recorder, log } = this.#options;
    const note = this.#tagOf(batch);
    const tag = recorder.tag(note);
    if (tag === null) throw new NotRecorded();
    batch.point = { ...tag, ...note };
    this.#times.ended(endLsn, this.#asOfBatch(batch));
    this.#batch = null;
    this.#pending = batch;
    log.info('scan-ended', { lsn: tag.lsn, name: note.name, consistency: note.consistency });
    this.#settle();
  }

  async release(): Promise<void> {
    const batch = this.#batch;
    this.#batch = null;
    this.request = null;
    if (batch === null) return;
    await this.#endReading(batch);
    for (const { disk } of batch.disks) disk.hashes.unstage();
  }

  async close(): Promise<void> {
    await this.#committing;
    for (const { hashes } of this.disks) hashes.close();
  }

  async #compare(batch: Batch, disk: ScanDisk, meter: SyncMeter, signal: AbortSignal): Promise<void> {
    try {
      const before = disk.size;
      await disk.open();
      if (disk.size > before) this.#options.onGrown();
      const todo = await disk.compare(this.#rest, (bytes) => meter.done(bytes), signal);
      batch.disks.push({ disk, todo });
    } catch (error) {
      signal.throwIfAborted();
      disk.problem = toHomewardError(error);
      this.#options.log.error('scan-failed', { disk: disk.name, error: disk.problem });
      if (!(await disk.hashes.isWhole())) throw disk.problem;
    }
  }

  /**
   * A sync of the other disks may go on without a scan that failed, if the master target has the last one
   * whole.
   */
  async #leaveOut(error: HomewardError, { partOnly = false }: SyncOrder, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.disks.every(({ problem }) => problem !== error)) {
      this.#problem = error;
      this.#options.log.error('scan-failed', { error });
    }
    if (partOnly) throw error;
    for (const { hashes } of this.disks) if (!(await hashes.isWhole())) throw error;
    if (this.#batch !== null) this.#batch.disks = [];
  }

  #isWorthAsking(batch: Batch, order: SyncOrder): boolean {
    const unknownBytes = batch.disks.reduce((sum, { todo }) => sum + markedBytes(todo.unknown), 0);
    if (unknownBytes < limits.scanAskBytes) return false;
    return this.#options.sentBefore() || (order.checksums && order.partOnly !== true);
  }

  /** What is committed counts only while the sequence is the one that the batch is in. */
  #settle(): void {
    const batch = this.#pending;
    if (batch === null) return;
    const { recorder } = this.#options;
    if (!recorder.recording || recorder.syncBeginLsn !== batch.beginLsn) return this.abandon();
    if (recorder.targetLsn < (batch.point?.lsn ?? Infinity)) return;
    this.#pending = null;
    this.#point = batch.point;
    this.#times.durable();
    this.#committing = this.#commit(batch);
  }

  /** Never rejects: what is not remembered is sent again. */
  async #commit({ disks, time }: Batch): Promise<void> {
    for (const { disk } of disks) {
      try {
        await disk.hashes.commit(time);
      } catch (error) {
        this.#options.log.warn('scan-not-remembered', { disk: disk.name, error: toHomewardError(error) });
      }
    }
  }

  async #endReading(batch: Batch): Promise<void> {
    for (const disk of this.disks) await disk.close();
    if (!batch.commandsDue) return;
    batch.commandsDue = false;
    batch.commandsFailed = !(await this.#options.commands.end());
  }

  #tagOf(batch: Batch): TagNote {
    const { commands } = this.#options;
    const consistent = commands.given && !batch.commandsFailed && batch.disks.length === this.disks.length;
    const name = this.request?.name ?? `scan-${formatTime(microseconds(batch.time)).slice(0, 23)}Z`;
    const asked = this.request?.consistency === 'user' ? 'user' : 'crash';
    return { name, consistency: consistent ? 'application' : asked };
  }

  /** Disks that were left out are as old as their last scan. */
  #asOfBatch({ disks, time }: Batch): number {
    const left = this.disks.filter((disk) => disks.every((each) => each.disk !== disk));
    return Math.min(time, ...left.map(({ hashes }) => hashes.scannedTime ?? 0));
  }

  readonly #rest: Rest = (tookMs) => {
    if (!this.#options.busy()) return Promise.resolve();
    return new Promise((resolve) => {
      setTimeout(resolve, tookMs);
    });
  };
}
