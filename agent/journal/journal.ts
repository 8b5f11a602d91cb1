// One machine's journal: numbers its writes, keeps them in redo segments, and knows which record holds
// every byte.
import type { Clock } from '../../core/clock.ts';
import { assert, toHomewardError, type HomewardError } from '../../core/errors.ts';
import type { BackgroundMerger } from '../../core/extents/background-merger.ts';
import type { Pieces } from '../../core/extents/pieces.ts';
import type { Files } from '../../core/files/files.ts';
import type { Log } from '../../core/log.ts';
import { encodeNote, type SyncBeginNote, type TagNote } from '../../core/record/notes.ts';
import type { RecordRun } from '../../core/record/record-run.ts';
import { RecordFlags, RecordKind } from '../../core/record/record.ts';
import type { PayloadOwner } from '../../core/segment-log/record-group.ts';
import { SegmentLog } from '../../core/segment-log/segment-log.ts';
import type { ScanVisitor } from '../../core/segment-log/scan.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { LentRedo } from '../replica/undo/undo-step.ts';
import { AppendHealth } from './append-health.ts';
import { Catalogue, type DamagedPlace } from './catalogue.ts';
import { IntakeQueue } from './intake.ts';
import type { RedoLayers } from './lend-layers.ts';
import { lsnAtTime, timeOf } from './record-times.ts';
import { RedoStore } from './redo-store.ts';
import { ReceivedQueue } from './received.ts';
import { sourceOf, visitSegment, type RecordSource } from './reindex.ts';
import { enterNote, noteOf, payloadAt, type SegmentNote } from './segment-notes.ts';

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
  reserveBytes?: number | (() => number);
  syncBytes: number;
  syncIntervalMs: number;
  /** Absolute path of the machine's `derived` directory; null to keep nothing there. */
  derived: string | null;
  /** From the cursor file: redo at or below is not needed, and files there are leftovers. */
  flooredLsn: number;
  /** The cursor, which is not below that: content up to here is in the replica. */
  appliedLsn: number;
  durableLsn: number;
  /** A gap that is known to be open although its begin may have been pruned. */
  openGap: { from: number; time: number; reason: string } | null;
  /** Nodes of the index with fewer extents stay in memory; for tests. */
  spillExtents?: number;
}

/** Called once: null when the request is done, else why it is not. */
export type Completion = (error: HomewardError | null) => void;

/**
 * Invariants: LSNs follow each other; what was appended above `flooredLsn` is found, or known as lost; a
 * request completes after its record is appended (and durable, where asked).
 */
export class Journal {
  generation: number;
  readonly source: RecordSource;
  readonly catalogue: Catalogue;
  readonly #store: RedoStore;
  readonly #log: SegmentLog;
  readonly #health: AppendHealth;
  readonly #intake: IntakeQueue;
  readonly #received: ReceivedQueue;
  readonly #clock: Clock;
  readonly #events: Log;
  /** Taken since the start, for rates. */
  readonly taken = { records: 0, bytes: 0, flushes: 0 };
  #lastTime: number;

  private constructor(log: SegmentLog, store: RedoStore, options: JournalOptions, catalogue: Catalogue) {
    this.#log = log;
    this.#store = store;
    this.catalogue = catalogue;
    this.#clock = options.clock;
    this.#events = options.log;
    const found = store.recovery;
    this.#lastTime = found.lastTime;
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
      ...{ log, health: this.#health, mark: this.source.mark },
      generation: () => this.generation,
      stamp: () => this.#stamp(),
      inserted: (segment, header, position, payload) => {
        this.#count(header.payloadBytes);
        store.insert(segment, header, position, payload);
      },
    });
  }

  /** Takes the segments back, reading those of which no table is there. Throws `foreign-segment`. */
  static async open(options: JournalOptions, stateChanged: () => void = () => undefined): Promise<Journal> {
    const { appliedLsn, flooredLsn, durableLsn } = options;
    assert(flooredLsn <= appliedLsn, 'redo goes up to the cursor at most');
    const catalogue = new Catalogue();
    const store = new RedoStore({ ...options, source: sourceOf(options), catalogue });
    store.prepare();
    let journal: Journal | null = null;
    const log = await SegmentLog.open({
      ...options,
      appliedLsn: flooredLsn,
      durableLsn: Math.max(durableLsn, appliedLsn),
      visitor: store.recovery,
      events: {
        sealed: (segment) => store.sealed(segment),
        relocated: (current) => store.relocated(current),
        stateChanged: () => {
          if (journal !== null) journal.#appendWaiting();
          stateChanged();
        },
      },
    }).catch(async (error: unknown) => {
      await store.close();
      throw error;
    });
    store.opened(log);
    journal = new Journal(log, store, options, catalogue);
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
  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#log.segments;
  }
  /** Redo at or below has gone, or may go. */
  get flooredLsn(): number {
    return this.#store.flooredLsn;
  }
  /** Rises when the cursor goes back: what was read of the replica before does not count then. */
  get turns(): number {
    return this.#store.turns;
  }
  segment(ordinal: number): Segment | undefined {
    return this.#store.index.segment(ordinal);
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
    this.taken.flushes += 1;
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
    return this.#store.resolveHead(disk, offset, length, pieces);
  }

  /**
   * What shows the redo of (base, lsn], flooredLsn ≤ base ≤ lsn ≤ headLsn; held until `release`. Nothing is
   * read of segments here.
   */
  layers(base: number, lsn: number): RedoLayers {
    return this.#store.layers(base, lsn);
  }

  /** The segments that hold (from, to], held until `release`. */
  lend(from: number, to: number): { redo: LentRedo[]; release(): void } {
    return this.#store.lend(from, to);
  }

  /**
   * The cursor moves to `lsn`: only what lies above it is kept in memory. When it goes back, that is found
   * once this has resolved, and not before may the replica be written.
   */
  cursorMoved(lsn: number): Promise<void> {
    return this.#store.cursorMoved(lsn);
  }

  /** The newest LSN after `from` that is stamped at or before `time` (microseconds), or `from`. */
  lsnAtTime(time: number, from: number): number {
    return lsnAtTime(this.source, this.segments, time, from);
  }

  /** The stamp of a record in microseconds, or null when its redo is gone. */
  timeOf(lsn: number): number | null {
    return timeOf(this.source, this.segments, lsn);
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

  /**
   * Drops segments that end at or below `boundary`, which is not above the cursor, as far as nobody reads
   * them; gives back how many went.
   */
  prune(boundary: number): number {
    return this.#store.prune(boundary);
  }

  /** Writers wait as long as there is a reason, in words. */
  hold(why: string | null): void {
    const wasHeld = this.#health.held !== null;
    this.#health.held = why;
    if (wasHeld !== (why !== null))
      this.#events.warn(why === null ? 'writers-go-on' : 'writers-wait', { why });
    if (why === null && wasHeld) this.#appendWaiting();
  }
  get heldBack(): string | null {
    return this.#health.held;
  }

  /** Nothing is written to it any more. */
  isComplete(segment: Segment): boolean {
    return this.#store.isComplete(segment);
  }

  /** A sound file is there for a complete segment, or for none; when it throws nothing has changed. */
  replace(segment: Segment | null, next: Segment, isRelaid: boolean): void {
    this.#store.replace(segment, next, isRelaid);
  }

  /** Tags and the like behind `lsn`, in order; segments are read for it where there is no table. */
  notesAfter(lsn: number): Iterable<SegmentNote> {
    return this.#store.notesAfter(lsn);
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

  /** Resolves when every derived table has been written that is to be, for now. */
  settled(): Promise<void> {
    return this.#store.settled();
  }

  /** Gives the disk back what is only kept for heavy writing. */
  trimSpares(): void {
    this.#log.trimSpares();
  }

  async close(): Promise<void> {
    this.#intake.appendAll();
    await this.#store.close();
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
    this.#count(header.payloadBytes);
    const payload = payloadAt(run.bytes, run.positions[at] ?? 0, header);
    this.#store.insert(segment, header, position, payload);
    const note = noteOf(header, segment, payload);
    if (note !== null) enterNote(this.catalogue, note);
    this.#lastTime = Math.max(this.#lastTime, header.time);
    this.generation = Math.max(this.generation, header.generation);
  }

  #count(bytes: number): void {
    this.taken.records += 1;
    this.taken.bytes += bytes;
  }

  #stamp(): number {
    this.#lastTime = Math.max(this.#lastTime, this.#clock.now());
    return this.#lastTime;
  }
}
