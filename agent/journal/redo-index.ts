// Which redo record holds every byte of a machine: the extent index together with the segments that it
// points into.
import { machineAddress, wholeMachine } from '../../core/extents/address.ts';
import type { BackgroundMerger } from '../../core/extents/background-merger.ts';
import { buildTable } from '../../core/extents/build.ts';
import { ContentKind } from '../../core/extents/extent-columns.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import type { ExtentTable } from '../../core/extents/extent-table.ts';
import { LevelledIndex } from '../../core/extents/levelled-index.ts';
import type { Pieces } from '../../core/extents/pieces.ts';
import type { RecordHeader } from '../../core/record/record.ts';
import type { RecoveryVisitor } from '../../core/segment-log/recover.ts';
import type { Lost } from '../../core/segment-log/scan.ts';
import { isEmpty, type Segment } from '../../core/segment-log/segment.ts';
import { Catalogue } from './catalogue.ts';
import {
  contentKindOf,
  extentOf,
  extentsOf,
  noteRecord,
  pushLost,
  pushRecord,
  type RecordSource,
} from './reindex.ts';

/**
 * Invariants: every sealed segment with records has an ordinal, and its extents are in the index under it;
 * the segment being written has the next ordinal.
 */
export class RedoIndex {
  readonly catalogue = new Catalogue();
  /**
   * Records up to here are in the replica, and those that are lost were there before: neither is read
   * again.
   */
  appliedLsn: number;
  readonly #merger: BackgroundMerger;
  readonly #source: RecordSource;
  #levels: LevelledIndex;
  #segments = new Map<number, Segment>();

  constructor(merger: BackgroundMerger, source: RecordSource, appliedLsn: number) {
    this.appliedLsn = appliedLsn;
    this.#merger = merger;
    this.#source = source;
    this.#levels = new LevelledIndex({ merger, firstSegment: 0 });
  }

  get firstLiveSegment(): number {
    return this.#levels.firstLiveSegment;
  }
  /** Ordinal of the segment being written. */
  get nextSegment(): number {
    return this.#levels.nextSegment;
  }
  segment(ordinal: number): Segment | undefined {
    return this.#segments.get(ordinal);
  }

  /** Takes one appended record. */
  insert(segment: Segment, header: RecordHeader, position: number): void {
    this.#adopt(segment);
    const kind = contentKindOf(header.kind);
    const extent = extentOf(header);
    if (kind === null || extent === null) return;
    this.#levels.insert(extent.start, extent.end, position, header.lsn - segment.firstLsn, kind);
  }

  sealed(segment: Segment): void {
    this.#adopt(segment);
    this.#levels.sealSegment();
  }

  resolveHead(disk: number, offset: number, length: number, pieces: Pieces): Pieces {
    const start = machineAddress(disk, offset);
    return this.#levels.resolveHead(start, start + length, pieces);
  }

  /** Tables, newest first, of the records up to `lsn`, which lies in the segment at `at` of `segments`. */
  tablesAt(segments: readonly Segment[], at: number, lsn: number, headLsn: number): readonly ExtentTable[] {
    if (lsn === headLsn) return this.#levels.headTables();
    const segment = segments[at];
    if (segment === undefined) return [this.#unknownTable()];
    if (lsn === segment.lastLsn && segment.ordinal < this.#levels.nextSegment) {
      return this.#levels.prefixTables(segment.ordinal + 1);
    }
    const partial = buildTable(this.#extentsOf(segments, at, lsn));
    return [partial, ...this.#levels.prefixTables(segment.ordinal)];
  }

  /** Forgets segments that the log has dropped. */
  drop(): void {
    let first = this.#levels.nextSegment;
    for (const [ordinal, segment] of this.#segments) {
      if (segment.retired) this.#segments.delete(ordinal);
      else first = Math.min(first, ordinal);
    }
    this.#levels.dropBefore(first);
  }

  /** Reads everything again after records have moved to other files; all but `current` are complete. */
  rebuild(segments: readonly Segment[], current: Segment | null): void {
    this.#levels = new LevelledIndex({ merger: this.#merger, firstSegment: 0 });
    this.#segments = new Map();
    for (const [index, segment] of segments.entries()) {
      segment.ordinal = this.#levels.nextSegment;
      this.#segments.set(segment.ordinal, segment);
      const list = this.#extentsOf(segments, index, segment.lastLsn);
      if (segment === current) this.#insertAll(list);
      else this.#levels.addSealed(buildTable(list));
    }
  }

  /** Fills index and catalogue from what the log finds at start. */
  recovery(report: { lastTime: number; generation: number }): RecoveryVisitor {
    let list = new ExtentList();
    let current: Segment | null = null;
    let before = this.appliedLsn;
    return {
      segmentBegin: (segment) => {
        list = new ExtentList();
        current = segment;
      },
      record: (header, position, content) => {
        report.lastTime = Math.max(report.lastTime, header.time);
        report.generation = Math.max(report.generation, header.generation);
        if (header.lsn > this.appliedLsn) {
          pushRecord(list, this.#levels.nextSegment, current?.firstLsn ?? header.lsn, header, position);
        }
        noteRecord(this.catalogue, header, content, position, before);
        before = header.lsn;
      },
      lost: (lost) => {
        this.#noteLost(lost, current);
        // Lost behind the last file: first of what the next segment says.
        if (current === null) this.#insertUnknown();
        else pushLost(list, this.#levels.nextSegment, lost.from - current.firstLsn);
      },
      segmentEnd: (segment) => {
        current = null;
        if (isEmpty(segment)) return;
        this.#adopt(segment);
        this.#levels.addSealed(buildTable(list));
      },
    };
  }

  #noteLost(lost: Lost, segment: Segment | null): void {
    this.catalogue.lost.push({
      from: lost.from,
      to: lost.to,
      file: segment?.path ?? '',
      start: lost.start,
      end: lost.end,
    });
  }

  #insertUnknown(): void {
    this.#levels.insert(wholeMachine.start, wholeMachine.end, 0, 0, ContentKind.unknown);
  }

  #unknownTable(): ExtentTable {
    const list = new ExtentList(1);
    pushLost(list, this.#levels.nextSegment, 0);
    return buildTable(list);
  }

  /**
   * The extents of the records up to `lsn` of one of `segments`, after what is lost between it and the one
   * before.
   */
  #extentsOf(segments: readonly Segment[], at: number, lsn: number): ExtentList {
    const before = segments[at - 1]?.lastLsn ?? this.appliedLsn;
    return extentsOf(this.#source, segments[at]!, { afterLsn: Math.max(before, this.appliedLsn), lsn });
  }

  #insertAll(list: ExtentList): void {
    for (let at = 0; at < list.count; at++) {
      const extent = list.columns.extent(at);
      this.#levels.insert(extent.start, extent.end, extent.position, extent.lsnDelta, extent.kind);
    }
  }

  #adopt(segment: Segment): void {
    if (segment.ordinal >= 0) return;
    segment.ordinal = this.#levels.nextSegment;
    this.#segments.set(segment.ordinal, segment);
  }
}
