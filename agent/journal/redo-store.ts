// The redo of one machine as it is read: the index of what lies above the cursor, the tables of the rest, and
// what of both is lent.
import type { BackgroundMerger } from '../../core/extents/background-merger.ts';
import { assert, toHomewardError } from '../../core/errors.ts';
import type { Pieces } from '../../core/extents/pieces.ts';
import type { Log } from '../../core/log.ts';
import type { RecordHeader } from '../../core/record/record.ts';
import type { SegmentLog } from '../../core/segment-log/segment-log.ts';
import { isEmpty, type Segment } from '../../core/segment-log/segment.ts';
import type { LentRedo } from '../replica/undo/undo-step.ts';
import type { Catalogue } from './catalogue.ts';
import { IndexSpill } from './index-spill.ts';
import { lendLayers, lendSegments, type RedoLayers } from './lend-layers.ts';
import { planLayers } from './plan-layers.ts';
import { JournalRecovery } from './recovery.ts';
import { areOf } from './redo-facts.ts';
import { RedoIndex, type ReadAgain, type Rebuilding } from './redo-index.ts';
import { RedoTables } from './redo-tables.ts';
import { readContent, scanRedo, type RecordSource } from './reindex.ts';
import type { SegmentNote } from './segment-notes.ts';

export interface RedoStoreOptions {
  source: RecordSource;
  merger: BackgroundMerger;
  log: Log;
  catalogue: Catalogue;
  /** Absolute path of the machine's `derived` directory, or null to have none. */
  derived: string | null;
  flooredLsn: number;
  /** The cursor. */
  appliedLsn: number;
  openGap: { from: number; time: number; reason: string } | null;
  /** Nodes of the index with fewer extents stay in memory; for tests. */
  spillExtents?: number | undefined;
}

/** Invariant: flooredLsn ≤ the cursor; redo at or below `flooredLsn` is not needed. */
export class RedoStore {
  readonly index: RedoIndex;
  readonly recovery: JournalRecovery;
  readonly #options: RedoStoreOptions;
  readonly #tables: RedoTables;
  readonly #spill: IndexSpill;
  #log: SegmentLog | null = null;
  #flooredLsn: number;
  /** Rises when the cursor has gone back: the replica will have older content from then on. */
  #turns = 0;
  /** Where segments that are sealed while the index is made anew leave their tables. */
  #again: ReadAgain | null = null;

  constructor(options: RedoStoreOptions) {
    const { source, merger, log, derived, catalogue, openGap, flooredLsn, appliedLsn: cursor } = options;
    this.#options = options;
    this.#flooredLsn = flooredLsn;
    this.#tables = new RedoTables(source, derived, log);
    this.#spill = new IndexSpill({
      files: source.files,
      directory: derived,
      log,
      least: options.spillExtents,
      tableOf: (segment) => this.#tables.pathIfThere(segment),
    });
    const tables = this.#tables;
    this.index = new RedoIndex({ merger, source, tables, spill: this.#spill, cursor });
    this.recovery = new JournalRecovery({ index: this.index, tables, catalogue, flooredLsn, openGap });
  }

  get flooredLsn(): number {
    return this.#flooredLsn;
  }
  /** See `HeadReader`: what was read of the replica counts only while this stays. */
  get turns(): number {
    return this.#turns;
  }

  /** Before the log is read. */
  prepare(): void {
    this.#tables.prepare();
    this.#spill.removeLeftovers();
  }

  /** Behind that. */
  opened(log: SegmentLog): void {
    this.#log = log;
    this.recovery.finish(log.segments, log.appendedLsn);
  }

  insert(segment: Segment, header: RecordHeader, position: number, payload: () => Buffer): void {
    this.index.insert(segment, header, position, payload);
  }

  sealed(segment: Segment): void {
    const table = this.index.sealed(segment, this.#lastBefore(segment));
    this.#again?.set(segment, { table, lastLsn: segment.lastLsn });
  }

  relocated(current: Segment | null): void {
    this.#rebuild(current);
    for (const segment of this.#segments) if (segment !== current) this.#tables.look(segment);
  }

  resolveHead(disk: number, offset: number, length: number, pieces: Pieces): Pieces {
    return this.index.resolveHead(disk, offset, length, pieces);
  }

  /** What shows redo of (base, lsn]. Segments are not read here. */
  layers(base: number, lsn: number): RedoLayers {
    const log = this.#opened;
    assert(
      this.#flooredLsn <= base && base <= lsn && lsn <= log.appendedLsn,
      'what is shown of redo lies between its floor and the head',
    );
    const { index } = this;
    const plan = planLayers({
      segments: this.#segments,
      floor: this.#flooredLsn,
      base,
      lsn,
      head: log.appendedLsn,
      indexedFrom: index.indexedFrom,
      nextOrdinal: index.nextSegment,
    });
    return lendLayers({ files: this.#options.source.files, index, tables: this.#tables }, plan);
  }

  /** The segments with records of (from, to], for a step. */
  lend(from: number, to: number): { redo: LentRedo[]; release(): void } {
    return lendSegments(this.#segments.filter(({ firstLsn, lastLsn }) => lastLsn > from && firstLsn <= to));
  }

  /**
   * The replica will be, or is, the state after `lsn`. Forward it takes effect at once; back, when it
   * resolves, and only then may the replica be written.
   */
  async cursorMoved(lsn: number): Promise<void> {
    if (lsn >= this.index.cursor) return this.index.moveOn(lsn, this.#segments);
    if (lsn < this.index.indexedFrom) await this.#readAgain(lsn);
    else this.index.moveBack(lsn);
    this.#turns += 1;
  }

  /** Drops whole segments up to `boundary`, which is not above the cursor; gives back how many went. */
  prune(boundary: number): number {
    const before = [...this.#opened.segments];
    this.index.moveOn(boundary, this.#segments);
    this.#flooredLsn = Math.max(this.#flooredLsn, boundary);
    const count = this.#opened.prune(boundary);
    for (const segment of before.slice(0, count)) this.#tables.remove(segment);
    if (count > 0) this.index.drop(this.#segments);
    return count;
  }

  isComplete({ ordinal }: Segment): boolean {
    return ordinal >= 0 && ordinal < this.index.nextSegment;
  }

  /**
   * Another file is read for a segment from now on, or one for records that no segment has, with null. Where
   * records lie elsewhere, or some are found that were lost, the table is that of the old file, and what was
   * made of it is made anew; when that fails nothing has changed.
   */
  replace(segment: Segment | null, next: Segment, isRelaid: boolean): void {
    if (!isRelaid && segment !== null) {
      this.#opened.replace(segment, next);
      this.#tables.replace(segment, next);
      this.index.replace(segment, next);
      return;
    }
    const others = this.#segments.filter((one) => one !== segment);
    const segments = [...others, next].sort((one, other) => one.firstLsn - other.firstLsn);
    const last = segments.at(-1);
    const isOpen = last !== undefined && last.ordinal >= this.index.nextSegment;
    this.#rebuild(isOpen ? last : null, { segments });
    this.#opened.replace(segment, next);
    if (segment !== null) this.#tables.remove(segment);
    this.#tables.want(next);
  }

  /** Tags and the like of the segments behind `lsn`, in order; one that has no table is read. */
  *notesAfter(lsn: number): Generator<SegmentNote> {
    for (const segment of this.#segments) {
      if (segment.lastLsn <= lsn) continue;
      for (const note of this.#notesOf(segment)) if (note.lsn > lsn) yield note;
    }
  }

  #notesOf(segment: Segment): readonly SegmentNote[] {
    const facts = this.#tables.lookUp(segment);
    if (facts !== null && areOf(facts, segment)) return facts.notes;
    const { source } = this.#options;
    return scanRedo(source, readContent(source.files, segment), segment, segment.lastLsn).report.notes;
  }

  /** Resolves when every table has been written that is to be, for now. */
  async settled(): Promise<void> {
    await this.#tables.settled();
    await this.#spill.settled();
  }

  /** Before the log closes its files. */
  async close(): Promise<void> {
    await this.#tables.close();
    await this.#spill.close();
  }

  /** Makes the index anew for a lower cursor. Tables are had first, in turns of the event loop. */
  async #readAgain(cursor: number): Promise<void> {
    const again: ReadAgain = new Map();
    this.#again = again;
    try {
      for (const segment of this.#segments) {
        if (segment.lastLsn <= cursor || segment.ordinal >= this.index.nextSegment) continue;
        again.set(segment, { table: await this.#tables.read(segment), lastLsn: segment.lastLsn });
      }
      this.#endSegment();
    } finally {
      this.#again = null;
    }
    const last = this.#segments.at(-1);
    const isOpen = last !== undefined && last.ordinal >= this.index.nextSegment;
    this.#rebuild(isOpen ? last : null, { cursor, again });
  }

  /** So that the table of the segment being written is at hand; if that cannot be, it is read. */
  #endSegment(): void {
    try {
      this.#opened.roll();
    } catch (error) {
      this.#options.log.warn('roll-failed', { error: toHomewardError(error) });
    }
  }

  #rebuild(
    current: Segment | null,
    { segments = this.#segments, ...changed }: Partial<Rebuilding> & { segments?: Segment[] } = {},
  ): void {
    const end = this.#opened.appendedLsn;
    this.index.rebuild(segments, current, { floor: this.#flooredLsn, end, ...changed });
  }

  get #opened(): SegmentLog {
    assert(this.#log !== null, 'the log is open');
    return this.#log;
  }

  get #segments(): Segment[] {
    return this.#opened.segments.filter((segment) => !isEmpty(segment));
  }

  #lastBefore(segment: Segment): number {
    const segments = this.#opened.segments;
    return segments[segments.indexOf(segment) - 1]?.lastLsn ?? this.#flooredLsn;
  }
}
