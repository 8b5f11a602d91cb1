// Which record holds the newest content of every byte of one machine: the tail, and sealed segments merged in
// levels.
import { assert } from '../errors.ts';
import type { BackgroundMerger } from './background-merger.ts';
import type { ContentKind } from './extent-columns.ts';
import { ExtentTable } from './extent-table.ts';
import { mergeTables } from './merge.ts';
import type { Pieces } from './pieces.ts';
import { resolveOver } from './resolve.ts';
import { TailIndex } from './tail-index.ts';

export interface LevelledIndexOptions {
  merger: BackgroundMerger;
  /** Ordinal of the first segment that will be added; each later one is one more. */
  firstSegment: number;
  /** Merges of up to this many extents are done at once, larger ones in the background. */
  mergeAtOnceExtents?: number;
}

/** One node of the index: the table of the segments [first, end), which the owner may put into a file. */
export interface IndexNode {
  level: number;
  index: number;
  first: number;
  end: number;
  table: ExtentTable;
}

/** Where the owner has put the table of the segments [first, end). */
export interface SpilledNode {
  first: number;
  end: number;
  path: string;
}

/** A table in memory, or in a file. */
export type PrefixTable = ExtentTable | SpilledNode;

/**
 * Node `index` of `level` is one table for the sealed segments [index * 2^level, (index + 1) * 2^level). What
 * is asked for is always a prefix: the segments before some ordinal. A prefix is made of left nodes (even
 * index) only, one for each bit of the ordinal; so a right node goes when its parent is there, a left one
 * stays. While a parent is being merged, its children answer in its place.
 *
 * The head is the longest prefix, so it needs no node that a larger one covers, nor will it ever again. Those
 * are kept for shorter prefixes alone; to bound memory the owner may put them into files (`spillable`,
 * `spilled`).
 */
export class LevelledIndex {
  readonly #merger: BackgroundMerger;
  readonly #mergeAtOnceExtents: number;
  readonly #levels: Map<number, PrefixTable>[] = [];
  #tail = new TailIndex();
  #firstLive: number;
  #next: number;
  /** Tables of all sealed segments, newest first; null when they have changed. */
  #sealed: ExtentTable[] | null = null;
  /** The tail's tables and then those, and the array of the tail's it was made of. */
  #head: ExtentTable[] | null = null;
  #headTail: readonly ExtentTable[] | null = null;

  constructor(options: LevelledIndexOptions) {
    this.#merger = options.merger;
    this.#mergeAtOnceExtents = options.mergeAtOnceExtents ?? 65_536;
    this.#firstLive = options.firstSegment;
    this.#next = options.firstSegment;
  }

  /** Ordinal of the oldest segment that has not been dropped: the `firstLiveSegment` of look-ups. */
  get firstLiveSegment(): number {
    return this.#firstLive;
  }

  /** Ordinal of the segment being written. */
  get nextSegment(): number {
    return this.#next;
  }

  /** Bytes in memory of the tables of sealed segments and of the tail, but not of merges under way. */
  get bytes(): number {
    const tables = new Set(this.#levels.flatMap((level) => [...level.values()]));
    let bytes = this.#tail.bytes;
    for (const table of tables) if (table instanceof ExtentTable) bytes += table.bytes;
    return bytes;
  }

  /** Takes the extent of the next record of the segment being written. */
  insert(start: number, end: number, position: number, lsnDelta: number, kind: ContentKind): void {
    this.#tail.insert(start, end, this.#next, position, lsnDelta, kind);
  }

  /**
   * The segment being written is complete: returns its table; what is inserted next belongs to the next one.
   */
  sealSegment(): ExtentTable {
    const table = this.#tail.seal();
    this.addSealed(table);
    return table;
  }

  /** Takes the table of the next segment from elsewhere (a file, a scan) in place of what the tail has. */
  addSealed(table: ExtentTable): void {
    this.#tail.discard();
    this.#settle(0, this.#next++, table);
  }

  /**
   * Segments before `segment` are gone: their extents come out as holes, and their memory goes bit by bit.
   * Returns what was spilled and is not needed any more.
   */
  dropBefore(segment: number): SpilledNode[] {
    assert(segment <= this.#next, 'only sealed segments are dropped');
    this.#firstLive = Math.max(this.#firstLive, segment);
    this.#sealed = null;
    const dropped: SpilledNode[] = [];
    for (const [level, nodes] of this.#levels.entries()) {
      for (const [index, table] of nodes) {
        if (!this.#isGone(level, index)) continue;
        nodes.delete(index);
        if (!(table instanceof ExtentTable)) dropped.push(table);
      }
    }
    return dropped;
  }

  /** Nodes in memory that the head does not need, those of the fewest segments first. */
  spillable(): IndexNode[] {
    const nodes: IndexNode[] = [];
    for (const [level, tables] of this.#levels.entries()) {
      for (const [index, table] of tables) {
        if (!(table instanceof ExtentTable) || !this.#isCovered(level, index)) continue;
        nodes.push({ level, index, first: index * 2 ** level, end: (index + 1) * 2 ** level, table });
      }
    }
    return nodes;
  }

  /**
   * What `spillable` gave is in the file `path` now, and its memory goes. False when the node itself has gone
   * meanwhile; then nobody will ask for the file.
   */
  spilled({ level, index, first, end, table }: IndexNode, path: string): boolean {
    if (this.#node(level, index) !== table) return false;
    this.#levels[level]?.set(index, { first, end, path });
    return true;
  }

  /** What [start, end) consists of now, unsealed records and all. */
  resolveHead(start: number, end: number, pieces: Pieces): Pieces {
    return resolveOver(this.#tail.list, this.#tables(), start, end, pieces, this.#firstLive);
  }

  /** Tables of everything up to now, newest first; they stay as they are while the index goes on. */
  headTables(): readonly ExtentTable[] {
    this.#tail.sortList();
    return this.#tables();
  }

  /** As `prefixSources`, for an index of which nothing is spilled. */
  prefixTables(segment: number): ExtentTable[] {
    return this.prefixSources(segment).map(inMemory);
  }

  /** Tables of exactly the sealed segments before `segment` that have not been dropped, newest first. */
  prefixSources(segment: number): PrefixTable[] {
    assert(segment <= this.#next, 'a prefix is of sealed segments');
    const tables: PrefixTable[] = [];
    for (let level = 0, rest = segment; rest > 0; level++, rest >>>= 1) {
      if (rest % 2 === 1) this.#cover(level, rest - 1, tables);
    }
    return tables;
  }

  #tables(): readonly ExtentTable[] {
    const tail = this.#tail.tables;
    if (this.#head === null || this.#sealed === null || this.#headTail !== tail) {
      this.#sealed ??= this.prefixTables(this.#next);
      this.#head = [...tail, ...this.#sealed];
      this.#headTail = tail;
    }
    return this.#head;
  }

  #cover(level: number, index: number, tables: PrefixTable[]): void {
    if (this.#isGone(level, index)) return;
    const table = this.#node(level, index);
    if (table) {
      if (!(table instanceof ExtentTable) || table.count > 0) tables.push(table);
      return;
    }
    assert(level > 0, 'every segment that was not dropped has a node');
    this.#cover(level - 1, index * 2 + 1, tables);
    this.#cover(level - 1, index * 2, tables);
  }

  /** A node has its table: keeps it, and sees to its parent. */
  #settle(level: number, index: number, table: ExtentTable): void {
    while (this.#levels.length <= level) this.#levels.push(new Map());
    if (!this.#isGone(level, index)) this.#levels[level]?.set(index, table);
    this.#sealed = null;
    this.#raise(level + 1, index >>> 1);
  }

  /** Makes a parent when it can be made; called whenever one of its children is there. */
  #raise(level: number, index: number): void {
    const left = this.#node(level - 1, index * 2);
    const right = this.#node(level - 1, index * 2 + 1);
    if (!right) return;
    const settle = (table: ExtentTable): void => {
      this.#levels[level - 1]?.delete(index * 2 + 1);
      this.#settle(level, index, table);
    };
    if (!left) {
      // It is still being merged and will call again, or it lies before the window and there is nothing to
      // merge.
      if (this.#isGone(level - 1, index * 2)) settle(inMemory(right));
      return;
    }
    const [older, newer] = [inMemory(left), inMemory(right)];
    if (older.count + newer.count <= this.#mergeAtOnceExtents) {
      settle(mergeTables(older, newer, this.#firstLive));
    } else {
      this.#merger.merge(older, newer, this.#firstLive, settle);
    }
  }

  #node(level: number, index: number): PrefixTable | undefined {
    return this.#levels[level]?.get(index);
  }

  /** Whether some node above it is there; its parent, as a right node, may have gone again. */
  #isCovered(level: number, index: number): boolean {
    for (let up = 1; level + up < this.#levels.length; up++) {
      if (this.#node(level + up, index >>> up)) return true;
    }
    return false;
  }

  #isGone(level: number, index: number): boolean {
    return (index + 1) * 2 ** level <= this.#firstLive;
  }
}

/** Only nodes that a larger one covers are spilled: neither the head nor a merge meets one. */
function inMemory(table: PrefixTable): ExtentTable {
  assert(table instanceof ExtentTable, 'the head and merges need no table that was spilled');
  return table;
}
