// The table files of a machine's redo segments: read at start and lent to readers in place of the segments,
// made anew wherever one is missing. Nothing depends on them.
import { join } from 'node:path';
import { buildTable } from '../../core/extents/build.ts';
import { DerivedDamaged } from '../../core/extents/derived-damaged.ts';
import type { ExtentTable } from '../../core/extents/extent-table.ts';
import { PageCache } from '../../core/extents/page-cache.ts';
import { PagedTable } from '../../core/extents/paged-table.ts';
import { writeTableFile } from '../../core/extents/table-file-writer.ts';
import { tryReadTableMeta } from '../../core/extents/table-file.ts';
import { errnoOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { isEmpty, type Segment } from '../../core/segment-log/segment.ts';
import { readTolerant } from '../../core/segment-log/read-tolerant.ts';
import { areOf, factsOf, metaOf, tryParseFacts, type RedoFacts } from './redo-facts.ts';
import { scanRedo, type RecordSource } from './reindex.ts';
import type { SegmentReport } from './segment-notes.ts';

const namePattern = /^redo-[0-9a-f]{16}\.table(\.new)?$/;

/** A table file that is open until `close`. */
export interface OpenTable {
  path: string;
  fd: number;
  close(): void;
}

interface Wanted {
  segment: Segment;
  /** What it is made of; null to read it from the segment. */
  made: { table: ExtentTable; report: SegmentReport } | null;
}

/** Invariant: at most one table is made at a time, and no segment is read once `close` has resolved. */
export class RedoTables {
  readonly #source: RecordSource;
  readonly #log: Log;
  readonly #directory: string | null;
  /** Segments whose table was there as it should be when it was looked at last. */
  readonly #there = new Set<Segment>();
  #wanted = new Map<Segment, Wanted['made']>();
  #working: Promise<void> | null = null;
  #closed = false;
  #failed = false;

  /** Without a directory there are none. */
  constructor(source: RecordSource, directory: string | null, log: Log) {
    this.#source = source;
    this.#directory = directory;
    this.#log = log;
  }

  pathOf({ firstLsn }: Segment): string {
    return join(this.#directory ?? '', `redo-${firstLsn.toString(16).padStart(16, '0')}.table`);
  }

  /** The path of a segment's table, if it was there when it was looked at last. */
  pathIfThere(segment: Segment): string | null {
    return this.#there.has(segment) ? this.pathOf(segment) : null;
  }

  /** Makes the directory where it is missing. */
  prepare(): void {
    this.#trying(() => {
      if (this.#directory !== null) this.#source.files.ensureDirectory(this.#directory);
    });
  }

  /** What the table of a segment says, if there is one: for a start, which does not know where it ends. */
  lookUp(segment: Segment): RedoFacts | null {
    return this.#withFile(segment, (fd) => {
      const meta = tryReadTableMeta(this.#source.files, fd);
      return meta === null ? null : tryParseFacts(meta);
    });
  }

  /** The table of a whole segment in memory, or null when it is not there. */
  load(segment: Segment): { table: ExtentTable; facts: RedoFacts } | null {
    const loaded = this.#withFile(segment, (fd) => {
      const paged = PagedTable.tryOpen(this.#source.files, fd, [segment.ordinal], new PageCache(1));
      const facts = paged === null ? null : tryParseFacts(paged.meta);
      if (paged === null || facts === null || !areOf(facts, segment)) return null;
      return { table: paged.load(), facts };
    });
    if (loaded === null) this.#there.delete(segment);
    else this.#there.add(segment);
    return loaded;
  }

  /** The file of a segment's table, open; null, and a new one is on its way, when it is not there. */
  open(segment: Segment): OpenTable | null {
    if (!this.#there.has(segment)) {
      this.want(segment);
      return null;
    }
    const { files } = this.#source;
    const path = this.pathOf(segment);
    const fd = this.#tryOpen(path);
    const meta = fd === null ? null : tryReadTableMeta(files, fd);
    const facts = meta === null ? null : tryParseFacts(meta);
    if (fd !== null && facts !== null && areOf(facts, segment))
      return { path, fd, close: () => files.close(fd) };
    if (fd !== null) files.close(fd);
    this.missing(segment);
    return null;
  }

  /** Sees whether the table of a complete segment is there; if not, it is made. */
  look(segment: Segment): void {
    const facts = this.lookUp(segment);
    if (facts !== null && areOf(facts, segment)) this.#there.add(segment);
    else this.missing(segment);
  }

  /** The table of a complete segment, from its file or read without blocking for long. */
  async read(segment: Segment): Promise<ExtentTable> {
    await nextTurn();
    const loaded = this.load(segment);
    if (loaded !== null) return loaded.table;
    const { list } = await this.#scan(segment, segment.lastLsn);
    this.want(segment);
    return buildTable(list);
  }

  /** A start has taken a segment by what its table says. */
  found(segment: Segment): void {
    this.#there.add(segment);
  }

  /** Whoever read the table of a segment found it damaged, or gone: it is made anew. */
  missing(segment: Segment): void {
    this.#there.delete(segment);
    this.want(segment);
  }

  /** Sees to it that a complete segment has its table, soon; `made` saves reading the segment. */
  want(segment: Segment, made: Wanted['made'] = null): void {
    if (this.#directory === null || this.#closed || segment.retired || isEmpty(segment)) return;
    if (made === null && (this.#there.has(segment) || this.#wanted.has(segment))) return;
    this.#there.delete(segment);
    this.#wanted.set(segment, made);
    this.#working ??= this.#work();
  }

  /** Makes the table of a complete segment now; false when that could not be. */
  write(segment: Segment, table: ExtentTable, report: SegmentReport): boolean {
    if (this.#directory === null || segment.identity === '') return false;
    const { files } = this.#source;
    const isWritten = this.#trying(() => {
      const meta = metaOf(factsOf(segment, report));
      this.#inDirectory(() => writeTableFile(files, this.pathOf(segment), table, meta, () => 0));
    });
    if (isWritten) this.#there.add(segment);
    return isWritten;
  }

  /** Another file has the same records at the same places: the table is of both. */
  replace(segment: Segment, next: Segment): void {
    const made = this.#wanted.get(segment);
    this.#wanted.delete(segment);
    if (this.#there.delete(segment)) this.#there.add(next);
    if (made !== undefined) this.want(next, made);
  }

  /** A segment has gone, and its table with it. */
  remove(segment: Segment): void {
    this.#wanted.delete(segment);
    this.#there.delete(segment);
    if (this.#directory !== null) this.#unlink(this.pathOf(segment));
  }

  /** Removes tables of segments that are not there. */
  removeOthers(segments: readonly Segment[]): void {
    const directory = this.#directory;
    if (directory === null) return;
    const kept = new Set(segments.map((segment) => this.pathOf(segment)));
    let names: string[] = [];
    this.#trying(() => {
      names = this.#source.files.list(directory);
    });
    for (const name of names.filter((one) => namePattern.test(one)))
      if (!kept.has(join(directory, name))) this.#unlink(join(directory, name));
  }

  /** Resolves when nothing is wanted any more. */
  async settled(): Promise<void> {
    while (this.#working !== null) await this.#working;
  }

  /** Writes what is at hand, and reads nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#working;
    for (const [segment, made] of this.#wanted)
      if (made !== null && !segment.retired) this.write(segment, made.table, made.report);
    this.#wanted.clear();
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    await nextTurn();
    for (const [segment, made] of this.#wanted) {
      if (this.#closed) break;
      this.#wanted.delete(segment);
      await (made === null ? this.#remake(segment) : this.write(segment, made.table, made.report));
      await nextTurn();
    }
    this.#working = null;
    if (this.#wanted.size > 0 && !this.#closed) this.#working = this.#work();
  }

  /** Makes a table by reading the segment. */
  async #remake(segment: Segment): Promise<void> {
    if (segment.retired || segment.identity === '') return;
    const { lastLsn } = segment;
    try {
      const { list, report } = await this.#scan(segment, lastLsn);
      if (!segment.retired && segment.lastLsn === lastLsn) this.write(segment, buildTable(list), report);
    } catch (error) {
      this.#warn(error);
    }
  }

  /** The segment is held meanwhile. */
  async #scan(segment: Segment, lastLsn: number): Promise<ReturnType<typeof scanRedo>> {
    segment.users += 1;
    try {
      const content = Buffer.allocUnsafe(segment.end);
      const read = await readTolerant(this.#source.files, segment.fd, content, 0);
      return scanRedo(this.#source, content.subarray(0, read), segment, lastLsn);
    } finally {
      segment.users -= 1;
    }
  }

  #withFile<T>(segment: Segment, use: (fd: number) => T | null): T | null {
    if (this.#directory === null) return null;
    const fd = this.#tryOpen(this.pathOf(segment));
    if (fd === null) return null;
    try {
      return use(fd);
    } catch (error) {
      if (!(error instanceof DerivedDamaged)) this.#warn(error);
      return null;
    } finally {
      this.#source.files.close(fd);
    }
  }

  #tryOpen(path: string): number | null {
    try {
      return this.#source.files.open(path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#warn(error);
      return null;
    }
  }

  /** The directory may be deleted at any time: then it is made again. */
  #inDirectory(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      this.#source.files.ensureDirectory(this.#directory ?? '');
      act();
    }
  }

  #unlink(path: string): void {
    try {
      this.#source.files.unlink(path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#warn(error);
    }
  }

  #trying(act: () => void): boolean {
    try {
      act();
      this.#failed = false;
      return true;
    } catch (error) {
      this.#warn(error);
      return false;
    }
  }

  /** Told once for a run of failures. */
  #warn(error: unknown): void {
    if (!this.#failed)
      this.#log.warn('redo-table-failed', { directory: this.#directory, errno: errnoOf(error) });
    this.#failed = true;
  }
}

const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });
