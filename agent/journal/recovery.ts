// Fills index and catalogue at start, from the segments that are read and from the tables of those that need
// not be.
import { buildTable } from '../../core/extents/build.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import type { ExtentTable } from '../../core/extents/extent-table.ts';
import type { RecoveryVisitor } from '../../core/segment-log/recover.ts';
import type { Lost } from '../../core/segment-log/scan.ts';
import { isEmpty, type Segment } from '../../core/segment-log/segment.ts';
import type { Catalogue } from './catalogue.ts';
import type { RedoFacts } from './redo-facts.ts';
import type { RedoIndex } from './redo-index.ts';
import type { RedoTables } from './redo-tables.ts';
import { pushLost, pushRecord, reportRecord } from './reindex.ts';
import { emptyReport, enterNote, payloadAt, type SegmentNote, type SegmentReport } from './segment-notes.ts';

export interface JournalRecoveryOptions {
  index: RedoIndex;
  tables: RedoTables;
  catalogue: Catalogue;
  /** Nobody needs what lies at or below. */
  flooredLsn: number;
  /** A gap that is known to be open at the cursor, although its begin may have been pruned. */
  openGap: { from: number; time: number; reason: string } | null;
}

/** Told of the log in LSN order; `finish` comes last. */
export class JournalRecovery implements RecoveryVisitor {
  lastTime = 0;
  generation = 0;
  readonly #options: JournalRecoveryOptions;
  #openGap: JournalRecoveryOptions['openGap'];
  #segment: Segment | null = null;
  #list = new ExtentList(1);
  #report: SegmentReport = emptyReport();
  /** What was looked up last, and whether the segment was taken by it. */
  #facts: RedoFacts | null = null;
  #isKnown = false;
  /** The last LSN of the segment before. */
  #before: number;

  constructor(options: JournalRecoveryOptions) {
    this.#options = options;
    this.#openGap = options.openGap;
    this.#before = options.flooredLsn;
    this.#enterGap(options.flooredLsn);
  }

  lookUp(segment: Segment): RedoFacts | null {
    this.#facts = this.#options.tables.lookUp(segment);
    return this.#facts;
  }

  segmentBegin(segment: Segment): void {
    this.#segment = segment;
    this.#list = new ExtentList();
    this.#report = emptyReport();
    this.#isKnown = false;
  }

  record(...[header, position, content]: Parameters<RecoveryVisitor['record']>): void {
    const segment = this.#segment!;
    this.lastTime = Math.max(this.lastTime, header.time);
    pushRecord(this.#list, 0, segment.firstLsn, header, position);
    const known = this.#report.notes.length;
    reportRecord(this.#report, header, segment, payloadAt(content, position, header));
    for (const note of this.#report.notes.slice(known)) this.#enter(note);
  }

  lost(lost: Lost, file = this.#segment?.path ?? ''): void {
    const segment = this.#segment;
    this.#noteLost(lost, file);
    // What is lost before a segment is no part of it, nor what is lost behind the last.
    if (segment === null || lost.to < segment.firstLsn) return;
    pushLost(this.#list, 0, lost.to - segment.firstLsn);
    this.#report.lost.push(lost);
  }

  known(segment: Segment): void {
    const { notes, lost, generation } = this.#facts!;
    this.lastTime = Math.max(this.lastTime, segment.lastTime);
    this.#report = { notes, lost, generation };
    this.#isKnown = true;
    for (const note of notes) this.#enter(note);
    for (const one of lost) if (one.to > this.#options.flooredLsn) this.#noteLost(one, segment.path);
    this.#options.tables.found(segment);
  }

  segmentEnd(segment: Segment): void {
    const { index, tables } = this.#options;
    this.#segment = null;
    this.generation = Math.max(this.generation, this.#report.generation);
    if (isEmpty(segment)) return;
    let table: ExtentTable | null = null;
    index.recovered(segment, this.#before, () => {
      table = this.#isKnown ? index.tableOf(segment) : this.#build(segment);
      return table;
    });
    if (!this.#isKnown) tables.write(segment, table ?? this.#build(segment), this.#report);
    this.#before = segment.lastLsn;
  }

  /** `end` is the last LSN of all, lost or not. */
  finish(segments: readonly Segment[], end: number): void {
    const { index, tables } = this.#options;
    this.#enterGap(Infinity);
    if (this.#before < end) index.lostAtEnd(end);
    tables.removeOthers(segments);
  }

  #build(segment: Segment): ExtentTable {
    this.#list.columns.segments.fill(segment.ordinal);
    return buildTable(this.#list);
  }

  #enter(note: SegmentNote): void {
    this.#enterGap(note.lsn);
    enterNote(this.#options.catalogue, note);
  }

  /** Older gaps come first, and its begin may have been read. */
  #enterGap(lsn: number): void {
    const gap = this.#openGap;
    if (gap === null || gap.from > lsn) return;
    this.#openGap = null;
    const { catalogue } = this.#options;
    if (catalogue.openGap === null) catalogue.gapWasOpen(gap);
  }

  #noteLost({ from, to, start, end }: Lost, file: string): void {
    from = Math.max(from, this.#options.flooredLsn + 1);
    this.#options.catalogue.lost.push({ from, to, file, start, end });
  }
}
