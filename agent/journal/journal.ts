// One machine's journal: numbers its writes, keeps them in redo segments, and knows which record holds
// every byte.
import type { Clock } from '../../core/clock.ts';
import { assert, toHomewardError, type HomewardError } from '../../core/errors.ts';
import type { BackgroundMerger } from '../../core/extents/background-merger.ts';
import type { ExtentTable } from '../../core/extents/extent-table.ts';
import type { Pieces } from '../../core/extents/pieces.ts';
import type { Files } from '../../core/files/files.ts';
import type { Log } from '../../core/log.ts';
import { encodeNote, type SyncBeginNote, type TagNote } from '../../core/record/notes.ts';
import type { RecordRun } from '../../core/record/record-run.ts';
import { machineMark, RecordFlags, RecordKind } from '../../core/record/record.ts';
import type { PayloadOwner } from '../../core/segment-log/record-group.ts';
import { SegmentLog } from '../../core/segment-log/segment-log.ts';
import type { ScanVisitor } from '../../core/segment-log/scan.ts';
import { isEmpty, type Segment } from '../../core/segment-log/segment.ts';
import { AppendHealth } from './append-health.ts';
import type { Catalogue, DamagedPlace } from './catalogue.ts';
import { IntakeQueue } from './intake.ts';
import { RedoIndex } from './redo-index.ts';
import { ReceivedQueue } from './received.ts';
import { noteRecord, visitSegment, type RecordSource } from './reindex.ts';

export interface JournalOptions {
  files: Files;
  clock: Clock;
  log: Log;
  merger: BackgroundMerger;
  /** Absolute path of the machine's `redo` directory. */
  directory: string;
  /** UUID, 16 bytes. */
  machine: Buffer;
  generation: number;
  segmentBytes: number;
  /** Space on the volume that further segments leave free; none when left out. */
  reserveBytes?: number;
  syncBytes: number;
  syncIntervalMs: number;
  /** From the cursor file. */
  appliedLsn: number;
  durableLsn: number;
  /** A gap that is known to be open although its begin may have been pruned. */
  openGap: { from: number; time: number; reason: string } | null;
}

/** Called once: null when the request is done, else why it is not. */
export type Completion = (error: HomewardError | null) => void;

/** What a view is made of: tables, newest first, and the files that they refer to, held until `release`. */
export interface JournalSnapshot {
  lsn: number;
  tables: readonly ExtentTable[];
  firstLiveSegment: number;
  /** By the ordinal that the tables name. */
  segments: ReadonlyMap<number, { fd: number; firstLsn: number; path: string }>;
  release(): void;
}

/**
 * Invariants: LSNs follow each other; the index holds every appended record above the cursor; a request
 * completes after its record is appended (and durable, where asked).
 */
export class Journal {
  generation: number;
  readonly source: RecordSource;
  readonly #index: RedoIndex;
  readonly #log: SegmentLog;
  readonly #health: AppendHealth;
  readonly #intake: IntakeQueue;
  readonly #received: ReceivedQueue;
  readonly #clock: Clock;
  readonly #events: Log;
  #lastTime: number;
  /** Of the received record that was appended last. */
  #lastLsn: number;

  private constructor(
    log: SegmentLog,
    index: RedoIndex,
    options: JournalOptions,
    found: { lastTime: number; generation: number },
  ) {
    this.#log = log;
    this.#index = index;
    this.#clock = options.clock;
    this.#events = options.log;
    this.#lastTime = found.lastTime;
    this.#lastLsn = log.appendedLsn;
    this.generation = Math.max(options.generation, found.generation);
    this.source = sourceOf(options);
    this.#health = new AppendHealth(log);
    this.#received = new ReceivedQueue({
      log,
      health: this.#health,
      generation: () => this.generation,
      inserted: (segment, position, run, at) => this.#insertReceived(segment, position, run, at),
    });
    this.#intake = new IntakeQueue({
      log,
      health: this.#health,
      mark: this.source.mark,
      generation: () => this.generation,
      stamp: () => this.#stamp(),
      inserted: (segment, header, position) => index.insert(segment, header, position),
    });
  }

  /** Reads the segments back. Throws `foreign-segment` for another machine's. */
  static async open(options: JournalOptions, stateChanged: () => void = () => undefined): Promise<Journal> {
    const index = new RedoIndex(options.merger, sourceOf(options), options.appliedLsn);
    const { openGap } = options;
    if (openGap !== null) index.catalogue.gapWasOpen(openGap);
    const found = { lastTime: 0, generation: 0 };
    let journal: Journal | null = null;
    const log = await SegmentLog.open({
      ...options,
      visitor: index.recovery(found),
      events: {
        sealed: (segment) => index.sealed(segment),
        relocated: (current) => index.rebuild(log.segments, current),
        stateChanged: () => {
          if (journal !== null) journal.#appendWaiting();
          stateChanged();
        },
      },
    });
    journal = new Journal(log, index, options, found);
    return journal;
  }

  get headLsn(): number {
    return this.#log.appendedLsn;
  }
  get durableLsn(): number {
    return this.#log.durableLsn;
  }
  /** The newest that was received, appended or not. */
  get receivedLsn(): number {
    return this.#received.reached.lsn;
  }
  /** Microseconds; 0 before the first record. */
  get lastTime(): number {
    return this.#lastTime;
  }
  get failure(): Error | null {
    return this.#log.failure;
  }
  /** Why records were refused last, until they are taken again. */
  get appendFailure(): HomewardError | null {
    return this.#health.failure;
  }
  get redoBytes(): number {
    return this.#log.bytes;
  }
  get catalogue(): Catalogue {
    return this.#index.catalogue;
  }
  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#log.segments;
  }
  get firstLiveSegment(): number {
    return this.#index.firstLiveSegment;
  }
  segment(ordinal: number): Segment | undefined {
    return this.#index.segment(ordinal);
  }

  write(
    disk: number,
    offset: number,
    payload: Buffer,
    fua: boolean,
    owner: PayloadOwner | null,
    done: Completion,
  ): void {
    const { length } = payload;
    const kind = RecordKind.write;
    this.#intake.add({ kind, flags: 0, disk, offset, length, payload, owner, durable: fua, done });
  }

  zero(
    disk: number,
    offset: number,
    length: number,
    options: { discard: boolean; fua: boolean },
    done: Completion,
  ): void {
    const flags = options.discard ? RecordFlags.discard : RecordFlags.none;
    const durable = options.fua;
    const kind = RecordKind.zero;
    this.#intake.add({ kind, flags, disk, offset, length, payload: null, owner: null, durable, done });
  }

  /**
   * Takes records that the source numbered, as they are; once they are durable, `done` is called. Throws
   * 'fenced' and 'chain-broken' for what does not follow; what was had before is left out.
   */
  receive(run: RecordRun, owner: PayloadOwner | null, done: Completion): void {
    this.#received.add(run, owner, done);
  }

  /** Completes when every write completed before, on any connection, is durable. */
  flush(done: Completion): void {
    this.#intake.appendAll();
    this.#received.appendAll();
    this.#log.commit(this.#log.appendedLsn, (error) => done(error === null ? null : toHomewardError(error)));
  }

  /** Everything appended so far is durable when it resolves. */
  commit(): Promise<void> {
    return new Promise((resolve, reject) =>
      this.flush((error) => (error === null ? resolve() : reject(error))),
    );
  }

  /** Appends a tag; durable when it resolves. */
  async tag(note: TagNote): Promise<{ lsn: number; time: number }> {
    const place = await this.#note(RecordKind.tag, note);
    this.catalogue.tags.push({ ...place, ...note });
    return place;
  }

  async syncBegin(note: SyncBeginNote): Promise<{ lsn: number; time: number }> {
    const place = await this.#note(RecordKind.syncBegin, note);
    const { reason, checksums = false } = note;
    this.catalogue.syncBegins({ ...place, before: place.lsn - 1, reason, checksums });
    return place;
  }

  async syncEnd(): Promise<{ lsn: number; time: number }> {
    const place = await this.#note(RecordKind.syncEnd, {});
    this.catalogue.syncEnds(place.lsn, place.time);
    return place;
  }

  /** What [offset, offset + length) of a disk consists of now. */
  resolveHead(disk: number, offset: number, length: number, pieces: Pieces): Pieces {
    return this.#index.resolveHead(disk, offset, length, pieces);
  }

  /** What a view at `lsn` is made of; `lsn` is durable and not below the cursor, `appliedLsn`. */
  snapshot(lsn: number, appliedLsn: number): JournalSnapshot {
    assert(
      lsn >= appliedLsn && lsn <= this.#log.appendedLsn,
      'a snapshot lies between the cursor and the head',
    );
    this.#index.appliedLsn = appliedLsn;
    const held = this.segments.filter((segment) => segment.lastLsn > appliedLsn && segment.firstLsn <= lsn);
    const at = this.segments.findLastIndex((segment) => segment.firstLsn <= lsn);
    const tables =
      lsn === appliedLsn ? [] : this.#index.tablesAt(this.segments, at, lsn, this.#log.appendedLsn);
    for (const segment of held) segment.users += 1;
    let isHeld = true;
    return {
      lsn,
      tables,
      segments: byOrdinal(held),
      // What lies below the cursor is in the replica, though its files may still be waiting for a reader to
      // let go.
      firstLiveSegment: Math.max(this.#index.firstLiveSegment, held[0]?.ordinal ?? 0),
      release() {
        if (isHeld) for (const segment of held) segment.users -= 1;
        isHeld = false;
      },
    };
  }

  /** The newest LSN after `from` that is stamped at or before `time` (microseconds), or `from`. */
  lsnAtTime(time: number, from: number): number {
    const segment = this.segments.findLast(
      (candidate) => !isEmpty(candidate) && candidate.lastLsn > from && candidate.firstTime <= time,
    );
    if (segment === undefined || segment.lastTime <= time) return Math.max(segment?.lastLsn ?? from, from);
    let found = from;
    this.visit(segment, {
      record: (header) => {
        if (header.time <= time) found = Math.max(found, header.lsn);
      },
      lost: () => undefined,
    });
    return found;
  }

  /** The stamp of a record in microseconds, or null when its redo is gone. */
  timeOf(lsn: number): number | null {
    const segment = this.segments.find((candidate) => candidate.firstLsn <= lsn && lsn <= candidate.lastLsn);
    if (segment === undefined) return null;
    if (lsn === segment.lastLsn) return segment.lastTime;
    let time: number | null = null;
    this.visit(segment, {
      record: (header) => {
        if (header.lsn === lsn) time = header.time;
      },
      lost: () => undefined,
    });
    return time;
  }

  /** Shows `visitor` the records of a segment in LSN order. */
  visit(segment: Segment, visitor: ScanVisitor): void {
    visitSegment(this.source, segment, segment.lastLsn, visitor);
  }

  /** Ends the segment being written, so that it can be applied and pruned. */
  roll(): void {
    this.#intake.appendAll();
    this.#log.roll();
  }

  /** Drops what lies at or below the cursor and is needed by nobody; gives back how many segments went. */
  prune(appliedLsn: number): number {
    this.#index.appliedLsn = appliedLsn;
    const count = this.#log.prune(appliedLsn);
    if (count > 0) this.#index.drop();
    return count;
  }

  /** Looks whether there is room again for a further segment, if there was none. */
  retrySpace(): void {
    this.#health.retrySpace();
  }

  /** Remembers content that does not fit its checksum, for status, and tells it once. */
  noteDamage(place: DamagedPlace): void {
    if (!this.catalogue.noteDamage(place)) return;
    const { file, fromLsn, toLsn, disk, start, end } = place;
    this.#events.error('damage-found', { file, lsn: fromLsn, toLsn, disk, start, end });
  }

  /** Gives the disk back what is only kept for heavy writing. */
  trimSpares(): void {
    this.#log.trimSpares();
  }

  async close(): Promise<void> {
    this.#intake.appendAll();
    await this.#log.close();
  }

  #note(
    kind: RecordKind,
    note: TagNote | SyncBeginNote | Record<string, never>,
  ): Promise<{ lsn: number; time: number }> {
    const payload = encodeNote(note);
    return new Promise((resolve, reject) => {
      this.#intake.add({
        kind,
        flags: 0,
        disk: 0,
        offset: 0,
        length: 0,
        payload,
        owner: null,
        durable: true,
        done: (error, lsn, time) => (error === null ? resolve({ lsn, time }) : reject(error)),
      });
    });
  }

  #appendWaiting(): void {
    this.#intake.schedule();
    this.#received.appendAll();
  }

  #insertReceived(segment: Segment, position: number, run: RecordRun, at: number): void {
    const header = run.headers[at];
    assert(header !== undefined, 'a run has a header for each position');
    this.#index.insert(segment, header, position);
    noteRecord(this.catalogue, header, run.bytes, run.positions[at] ?? 0, this.#lastLsn);
    this.#lastLsn = header.lsn;
    this.#lastTime = Math.max(this.#lastTime, header.time);
    this.generation = Math.max(this.generation, header.generation);
  }

  #stamp(): number {
    this.#lastTime = Math.max(this.#lastTime, this.#clock.now());
    return this.#lastTime;
  }
}

/** Copies: an ordinal may change while a snapshot lives. */
const byOrdinal = (segments: readonly Segment[]): JournalSnapshot['segments'] =>
  new Map(segments.map(({ ordinal, fd, firstLsn, path }) => [ordinal, { fd, firstLsn, path }]));

const sourceOf = (options: JournalOptions): RecordSource => ({
  files: options.files,
  machine: options.machine,
  mark: machineMark(options.machine),
});
