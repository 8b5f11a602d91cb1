// Which redo record holds every byte of a machine: the extent index of what lies above the cursor, together
// with the segments that it points into.
import { machineAddress, wholeMachine } from '../../core/extents/address.ts';
import type { BackgroundMerger } from '../../core/extents/background-merger.ts';
import { buildTable } from '../../core/extents/build.ts';
import { ContentKind, ExtentColumns } from '../../core/extents/extent-columns.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import { ExtentTable } from '../../core/extents/extent-table.ts';
import { LevelledIndex, type PrefixTable } from '../../core/extents/levelled-index.ts';
import { mergeTables } from '../../core/extents/merge.ts';
import type { Pieces } from '../../core/extents/pieces.ts';
import type { RecordHeader } from '../../core/record/record.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { IndexSpill } from './index-spill.ts';
import type { RedoTables } from './redo-tables.ts';
import {
  contentKindOf,
  extentOf,
  readContent,
  reportRecord,
  scanRedo,
  unknownTable,
  type RecordSource,
} from './reindex.ts';
import { emptyReport, type SegmentReport } from './segment-notes.ts';

export interface RedoIndexOptions {
  merger: BackgroundMerger;
  source: RecordSource;
  tables: RedoTables;
  spill: IndexSpill;
  /** The replica is the state after this LSN. */
  cursor: number;
}

/** Tables of sealed segments that were read again, with how far those reached then. */
export type ReadAgain = Map<Segment, { table: ExtentTable; lastLsn: number }>;

export interface Rebuilding {
  /** What is missing above it is lost, up to the end of the log. */
  floor: number;
  end: number;
  cursor?: number;
  again?: ReadAgain;
}

/**
 * Invariants: every segment with records has an ordinal, one after another; the index has the extents of all
 * records above `indexedFrom`, which is not above the cursor, under the ordinals of their segments; the
 * segment being written has the next ordinal.
 */
export class RedoIndex {
  readonly #options: RedoIndexOptions;
  #cursor: number;
  #indexedFrom: number;
  #levels: LevelledIndex;
  #segments = new Map<number, Segment>();
  /** Ordinals of those with which the index has that records before them are lost. */
  #lostBefore = new Set<number>();
  /** Of segments that have no table file yet. */
  #reports = new Map<Segment, SegmentReport>();

  constructor(options: RedoIndexOptions) {
    this.#options = options;
    this.#cursor = options.cursor;
    this.#indexedFrom = options.cursor;
    this.#levels = this.#newLevels(0);
  }

  get cursor(): number {
    return this.#cursor;
  }
  get indexedFrom(): number {
    return this.#indexedFrom;
  }
  get firstLiveSegment(): number {
    return this.#levels.firstLiveSegment;
  }
  /** Ordinal of the segment being written. */
  get nextSegment(): number {
    return this.#levels.nextSegment;
  }
  /** Bytes in memory. */
  get bytes(): number {
    return this.#levels.bytes;
  }
  segment(ordinal: number): Segment | undefined {
    return this.#segments.get(ordinal);
  }

  /** Takes one appended record; its payload is asked for when there is something to remember of it. */
  insert(segment: Segment, header: RecordHeader, position: number, payload: () => Buffer): void {
    this.#adopt(segment);
    reportRecord(this.#reportOf(segment), header, segment, payload);
    const kind = contentKindOf(header.kind);
    const extent = extentOf(header);
    if (kind === null || extent === null) return;
    this.#levels.insert(extent.start, extent.end, position, header.lsn - segment.firstLsn, kind);
  }

  /** Gives back its table; `before` is the last LSN of the segment before. */
  sealed(segment: Segment, before: number): ExtentTable {
    this.#adopt(segment);
    const table = this.#levels.sealSegment();
    const report = this.#reports.get(segment);
    this.#reports.delete(segment);
    // What is lost before a segment is in the index with it, but not in its table.
    const isLostBefore = segment.precededBy > before;
    if (isLostBefore) this.#lostBefore.add(segment.ordinal);
    const isAlone = !isLostBefore && report !== undefined;
    this.#options.tables.want(segment, isAlone ? { table, report } : null);
    this.#spill();
    return table;
  }

  resolveHead(disk: number, offset: number, length: number, pieces: Pieces): Pieces {
    const start = machineAddress(disk, offset);
    return this.#levels.resolveHead(start, start + length, pieces);
  }

  headTables(): readonly ExtentTable[] {
    return this.#levels.headTables();
  }

  /** Newest first, of the segments before `end` that are in the index. */
  prefixTables(end: number): PrefixTable[] {
    return this.#levels.prefixSources(end);
  }

  /** A start has found a complete segment; it comes behind those before. */
  recovered(segment: Segment, before: number, table: () => ExtentTable): void {
    this.#adopt(segment);
    this.#take(segment, before, table);
    this.#spill();
  }

  /** Records are lost behind the last segment: the next one carries that on. */
  lostAtEnd(to: number): void {
    if (to <= this.#cursor) return;
    this.#levels.insert(wholeMachine.start, wholeMachine.end, 0, 0, ContentKind.unknown);
  }

  /** Another file has the same records at the same places. */
  replace(segment: Segment, next: Segment): void {
    if (segment.ordinal >= 0) this.#segments.set(segment.ordinal, next);
    const report = this.#reports.get(segment);
    this.#reports.delete(segment);
    if (report !== undefined) this.#reports.set(next, report);
  }

  /** The cursor is lower, but not below `indexedFrom`. */
  moveBack(lsn: number): void {
    this.#cursor = Math.min(this.#cursor, lsn);
  }

  /** The cursor has moved on: what it has passed is read from the replica. */
  moveOn(lsn: number, segments: readonly Segment[]): void {
    this.#cursor = Math.max(this.#cursor, lsn);
    this.drop(segments);
  }

  /** Forgets segments that the log has dropped, and in the index those that the cursor has passed. */
  drop(segments: readonly Segment[]): void {
    for (const [ordinal, segment] of this.#segments)
      if (segment.retired) {
        this.#segments.delete(ordinal);
        this.#lostBefore.delete(ordinal);
        this.#reports.delete(segment);
      }
    let first = Math.min(this.#levels.firstLiveSegment, this.#levels.nextSegment);
    for (const { ordinal, lastLsn } of segments) {
      if (ordinal < 0 || ordinal >= this.#levels.nextSegment || lastLsn > this.#cursor) continue;
      first = Math.max(first, ordinal + 1);
      this.#indexedFrom = Math.max(this.#indexedFrom, lastLsn);
    }
    this.#options.spill.remove(this.#levels.dropBefore(first));
  }

  /**
   * Makes the index anew after records have moved to other files, or for a lower cursor; all segments but
   * `current` are complete. What has been read already is in `again`. When reading fails nothing has changed.
   */
  rebuild(
    segments: readonly Segment[],
    current: Segment | null,
    { floor, end, cursor = this.#cursor, again = new Map() }: Rebuilding,
  ): void {
    const tables = new Map<Segment, ExtentTable>();
    for (const segment of segments)
      if (segment !== current && segment.lastLsn > cursor) tables.set(segment, this.#tableOf(segment, again));
    const read = current === null ? null : this.#scan(current);
    const known = segments.findIndex(({ ordinal }) => ordinal >= 0);
    const first = known < 0 ? this.#levels.nextSegment : Math.max(segments[known]!.ordinal - known, 0);
    this.#options.spill.clear();
    this.#cursor = cursor;
    this.#indexedFrom = cursor;
    this.#levels = this.#newLevels(first);
    this.#segments = new Map();
    this.#lostBefore = new Set();
    this.#reports = new Map();
    let before = floor;
    for (const segment of segments) {
      segment.ordinal = -1;
      this.#adopt(segment);
      const table = tables.get(segment);
      if (segment === current && read !== null) this.#insertCurrent(segment, before, read);
      else this.#take(segment, before, () => withOrdinal(table ?? emptyTable, segment.ordinal));
      before = segment.lastLsn;
    }
    if (before < end) this.lostAtEnd(end);
    this.#spill();
  }

  /** The table of a complete segment: of its file, or read from the segment. */
  tableOf(segment: Segment): ExtentTable {
    const { tables, source } = this.#options;
    const loaded = tables.load(segment);
    if (loaded !== null) return loaded.table;
    const { list } = scanRedo(source, readContent(source.files, segment), segment, segment.lastLsn);
    tables.want(segment);
    return buildTable(list);
  }

  #tableOf(segment: Segment, again: ReadAgain): ExtentTable {
    const read = again.get(segment);
    return read?.lastLsn === segment.lastLsn ? read.table : this.tableOf(segment);
  }

  /** Only what lies above the cursor: the rest is in the replica, and what is lost there was before. */
  #take(segment: Segment, before: number, whole: () => ExtentTable): void {
    const { ordinal, firstLsn, precededBy, lastLsn } = segment;
    if (lastLsn <= this.#cursor) {
      this.#levels = this.#newLevels(ordinal + 1);
      return;
    }
    const table = firstLsn <= this.#cursor ? tableAbove(whole(), this.#cursor - firstLsn) : whole();
    const isLostBefore = precededBy > Math.max(before, this.#cursor);
    if (isLostBefore) this.#lostBefore.add(ordinal);
    this.#levels.addSealed(isLostBefore ? mergeTables(unknownTable(ordinal), table) : table);
  }

  #scan(segment: Segment): ReturnType<typeof scanRedo> {
    const { source } = this.#options;
    return scanRedo(source, readContent(source.files, segment), segment, segment.lastLsn);
  }

  #insertCurrent(segment: Segment, before: number, { list, report }: ReturnType<typeof scanRedo>): void {
    if (segment.precededBy > Math.max(before, this.#cursor)) this.lostAtEnd(segment.precededBy);
    this.#reports.set(segment, report);
    for (let at = 0; at < list.count; at++) {
      const { start, end, position, lsnDelta, kind } = list.columns.extent(at);
      this.#levels.insert(start, end, position, lsnDelta, kind);
    }
  }

  #reportOf(segment: Segment): SegmentReport {
    const known = this.#reports.get(segment);
    if (known !== undefined) return known;
    const report = emptyReport();
    this.#reports.set(segment, report);
    return report;
  }

  #adopt(segment: Segment): void {
    if (segment.ordinal >= 0) return;
    segment.ordinal = this.#levels.nextSegment;
    this.#segments.set(segment.ordinal, segment);
  }

  #newLevels(firstSegment: number): LevelledIndex {
    return new LevelledIndex({ merger: this.#options.merger, firstSegment });
  }

  #spill(): void {
    this.#options.spill.look(this.#levels, { segments: this.#segments, lostBefore: this.#lostBefore });
  }
}

const emptyTable = buildTable(new ExtentList(1));

/** What of a table has an LSN delta above this. */
function tableAbove(table: ExtentTable, lsnDelta: number): ExtentTable {
  const left = ExtentColumns.private(table.count);
  let count = 0;
  for (let at = 0; at < table.count; at++)
    if (table.columns.lsnDeltas[at]! > lsnDelta) left.copyOne(table.columns, at, count++);
  return ExtentTable.copyOf(left, count);
}

/** Tables of one segment. */
function withOrdinal(table: ExtentTable, ordinal: number): ExtentTable {
  if (table.count === 0 || table.columns.segments[0] === ordinal) return table;
  const { columns, count } = ExtentTable.copyOf(table.columns, table.count);
  columns.segments.fill(ordinal);
  return ExtentTable.copyOf(columns, count);
}
