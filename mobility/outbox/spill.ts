// What the memory of the outbox cannot hold: whole batches in a segment log under DATA/outbox.
import fs from 'node:fs';
import path from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { ensureDirectorySync } from '../../core/directory.ts';
import { errnoOf, toHomewardError } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { parseRecordRun } from '../../core/record/record-run.ts';
import { machineMark } from '../../core/record/record.ts';
import { LogReader, type ReadDamage, type ReadRun } from '../../core/segment-log/log-reader.ts';
import { receivedGroup } from '../../core/segment-log/received-group.ts';
import { SegmentLog } from '../../core/segment-log/segment-log.ts';
import type { Batch } from './batch-queue.ts';

export interface SpillOptions {
  /** Absolute path; the spill's alone. Made when it is needed. */
  directory: string;
  /** UUID, 16 bytes. */
  machine: Buffer;
  files: Files;
  clock: Clock;
  log: Log;
  segmentBytes: number;
  /** Most bytes on disk. */
  diskBytes: number;
  /** A sync begins when this much was written. */
  syncBytes: number;
  /** A log is open, or records may be appended again after a failed sync. */
  ready(): void;
  /** Everything up to this LSN is durable here. */
  durable(lsn: number): void;
}

/** One log at a time, each in a directory of its own, so that an old one is closed and removed meanwhile. */
interface OpenLog {
  log: SegmentLog;
  /** What its first record follows. */
  begin: number;
  directory: string;
  reader: LogReader | null;
  reading: Promise<unknown>;
}

/**
 * Nothing waits for its syncs: they run in the background so that the memory of what was written can be
 * given back. After a crash it is all discarded, since the dirty map knows what it held.
 */
export class Spill {
  readonly #options: SpillOptions;
  #open: OpenLog | null = null;
  #opening = false;
  /** Logs that are closed and removed in the background. */
  #leaving: Promise<void> = Promise.resolve();
  #count = 0;
  #failedAt: number | null = null;
  #unusedAt: number | null = null;

  constructor(options: SpillOptions) {
    this.#options = options;
  }

  /** The first and the last LSN in it, or null when it is not in use. */
  get range(): { first: number; last: number; durable: number } | null {
    const log = this.#open?.log;
    if (log === undefined) return null;
    const first = log.segments.find((segment) => segment.lastLsn >= segment.firstLsn);
    const last = log.appendedLsn;
    return { first: first?.firstLsn ?? last + 1, last, durable: log.durableLsn };
  }
  /** When the first record in it was made; null when there is none. */
  get firstTime(): number | null {
    return this.#open?.log.segments.find(({ lastLsn, firstLsn }) => lastLsn >= firstLsn)?.firstTime ?? null;
  }
  /** Something failed less than a second ago: it is not tried again yet. */
  get failing(): boolean {
    return this.#failedAt !== null && this.#options.clock.monotonicMs() - this.#failedAt < retryMs;
  }
  /** A log was opened ahead of need and given up unused of late: that costs more than it helps. */
  get wasteful(): boolean {
    return this.#unusedAt !== null && this.#options.clock.monotonicMs() - this.#unusedAt < retryMs;
  }
  /** Bytes on disk, those that the process server may have already included. */
  get heldBytes(): number {
    return this.#open?.log.segments.reduce((sum, segment) => sum + segment.end, 0) ?? 0;
  }

  /** Removes whatever an earlier run left. */
  clear(): void {
    fs.rmSync(this.#options.directory, { recursive: true, force: true });
  }

  /**
   * Takes up what a clean stop left; false when not all of [from, to] is there, and then it is not in use.
   */
  async resume(from: number, to: number): Promise<boolean> {
    const [name, ...others] = this.#directories();
    if (name === undefined || others.length > 0) return false;
    let lost = false;
    const opened = await this.#openLog(path.join(this.#options.directory, name), from - 1, to, () => {
      lost = true;
    });
    this.#open = opened;
    this.#count = parseInt(name, 10) || 0;
    if (!lost && opened.log.appendedLsn === to && (this.range?.first ?? Infinity) <= from) return true;
    await this.discard();
    return false;
  }

  /** Begins to open a log whose first record will be `firstLsn`; `ready` is called when it is there. */
  start(firstLsn: number): void {
    if (this.#open !== null || this.#opening || this.failing) return;
    this.#opening = true;
    this.#count += 1;
    const directory = path.join(this.#options.directory, String(this.#count).padStart(6, '0'));
    this.#leaving = this.#leaving.then(() => this.#begin(directory, firstLsn));
  }

  /** Never rejects. */
  async #begin(directory: string, firstLsn: number): Promise<void> {
    try {
      fs.rmSync(directory, { recursive: true, force: true });
      this.#open = await this.#openLog(directory, firstLsn - 1, firstLsn - 1, nothing);
    } catch (error) {
      this.#failed('outbox-not-opened', error);
    }
    this.#opening = false;
    this.#options.ready();
  }

  async #openLog(directory: string, applied: number, durable: number, lost: () => void): Promise<OpenLog> {
    const { files, clock, log, machine, segmentBytes, ready } = this.#options;
    ensureDirectorySync(directory);
    const opened = await SegmentLog.open({
      files,
      clock,
      log,
      directory,
      machine,
      segmentBytes,
      // Soon, since the memory of what was written is given back behind the sync.
      syncBytes: this.#options.syncBytes,
      syncIntervalMs: limits.outboxSyncMs,
      appliedLsn: applied,
      durableLsn: durable,
      visitor: { segmentBegin: nothing, segmentEnd: nothing, record: nothing, lost },
      events: { sealed: nothing, relocated: nothing, stateChanged: ready },
    });
    return { log: opened, begin: applied, directory, reader: null, reading: Promise.resolve() };
  }

  /** Puts the batch that follows behind what is there; false when that cannot be just now. */
  append(batch: Batch): boolean {
    const open = this.#open;
    if (open === null || this.failing || open.log.suspended || open.log.failure !== null) return false;
    const bytes = batch.buffer.subarray(batch.start, batch.end);
    if (open.log.bytes + bytes.length > this.#options.diskBytes) return false;
    const run = parseRecordRun(bytes, machineMark(this.#options.machine), { payloads: false });
    const { lastLsn } = batch;
    // Called when the group is durable: only then does a failed sync not need the memory any more.
    const release = (): void => this.#options.durable(lastLsn);
    try {
      open.log.append(receivedGroup(run, { retain: nothing, release }));
      this.#failedAt = null;
      return true;
    } catch (error) {
      this.#failed('outbox-not-written', error);
      return false;
    }
  }

  /** The records from `from` on, checked; null when there are none that are durable here. */
  read(from: number): Promise<ReadRun | ReadDamage | null> {
    const open = this.#open;
    if (open === null) return Promise.resolve(null);
    const reading = open.reading.then(async () => {
      if (open !== this.#open) return null;
      if (open.reader?.nextLsn !== from) {
        open.reader?.close();
        open.reader = new LogReader({
          log: open.log,
          machine: machineMark(this.#options.machine),
          from,
          upTo: () => open.log.durableLsn,
        });
      }
      return open.reader.read(limits.outboxReadBytes, true);
    });
    open.reading = reading.catch(nothing);
    return reading;
  }

  /** Gives back what ends at or below `lsn`. */
  free(lsn: number): void {
    const open = this.#open;
    if (open === null) return;
    if (open.log.appendedLsn > lsn) open.log.prune(lsn);
    else this.#leave(open);
  }

  /** Drops what is there; it goes from disk in the background. A log that is being opened still comes. */
  drop(): void {
    if (this.#open !== null) this.#leave(this.#open);
  }

  /** The same for good: resolves when nothing is there any more. */
  async discard(): Promise<void> {
    await this.#leaving;
    this.drop();
    await this.#leaving;
  }

  /** Resolves when nothing is being opened or removed. */
  settled(): Promise<void> {
    return this.#leaving;
  }

  /** Makes everything durable, and leaves it for `resume`. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    if (open !== null) {
      await open.reading;
      open.reader?.close();
      await open.log.close();
    }
    await this.#leaving;
  }

  #leave(open: OpenLog): void {
    this.#open = null;
    if (open.log.appendedLsn === open.begin) this.#unusedAt = this.#options.clock.monotonicMs();
    this.#leaving = this.#leaving.then(() => this.#remove(open));
  }

  async #remove(open: OpenLog): Promise<void> {
    await open.reading;
    open.reader?.close();
    try {
      await open.log.close();
    } catch (error) {
      // It goes anyhow.
      this.#options.log.debug('outbox-not-closed', { error: toHomewardError(error) });
    }
    fs.rmSync(open.directory, { recursive: true, force: true });
  }

  #failed(event: string, error: unknown): void {
    const { clock, log } = this.#options;
    if (this.#failedAt === null) log.error(event, { errno: errnoOf(error), error: toHomewardError(error) });
    this.#failedAt = clock.monotonicMs();
  }

  #directories(): string[] {
    try {
      return fs.readdirSync(this.#options.directory).toSorted();
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

const nothing = (): void => undefined;
const retryMs = 1000;
