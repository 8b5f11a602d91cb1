// Puts nodes of the extent index that the head does not need into files, so that memory holds each record of
// the window about once.
import { join } from 'node:path';
import { errnoOf } from '../../core/errors.ts';
import type { IndexNode, LevelledIndex, SpilledNode } from '../../core/extents/levelled-index.ts';
import { TableFileWriter } from '../../core/extents/table-file-writer.ts';
import type { TableSource } from '../../core/extents/table-file.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { Segment } from '../../core/segment-log/segment.ts';

const namePattern = /^index-\d+\.table$/;

export interface IndexSpillOptions {
  files: Files;
  /** Null: everything stays in memory. */
  directory: string | null;
  log: Log;
  /** Nodes with fewer extents stay in memory. */
  least?: number | undefined;
  /** The table file of one segment, if it is there. */
  tableOf(segment: Segment): string | null;
}

/** What the nodes are of. */
export interface Indexed {
  /** By ordinal. */
  segments: ReadonlyMap<number, Segment>;
  /**
   * Ordinals of segments before which records are lost. The index has that with them, and the tables that
   * readers make of segments, or find, do not: such nodes stay in memory.
   */
  lostBefore: ReadonlySet<number>;
}

/** Files of an earlier run are removed: what is in them is made again as the index is. */
export class IndexSpill {
  readonly #files: Files;
  readonly #log: Log;
  readonly #directory: string | null;
  readonly #least: number;
  readonly #paths = new Set<string>();
  #written = 0;
  readonly #tableOf: (segment: Segment) => string | null;
  #working: Promise<void> | null = null;
  #closed = false;
  #failed = false;
  /** Rises when the index is made anew. */
  #epoch = 0;

  constructor(options: IndexSpillOptions) {
    this.#files = options.files;
    this.#directory = options.directory;
    this.#log = options.log;
    this.#least = options.least ?? limits.spillExtentsLeast;
    this.#tableOf = options.tableOf;
  }

  /** Before the first look. */
  removeLeftovers(): void {
    if (this.#directory === null) return;
    let names: string[] = [];
    try {
      names = this.#files.list(this.#directory);
    } catch (error) {
      this.#warn(error);
    }
    for (const name of names.filter((one) => namePattern.test(one)))
      this.#unlink(join(this.#directory, name));
  }

  /** Sees whether there is something to put into files, and does that in the background. */
  look(levels: LevelledIndex, indexed: Indexed): void {
    if (this.#directory === null || this.#closed) return;
    this.#letGo(levels, indexed);
    if (this.#working !== null) return;
    if (this.#next(levels, indexed) === null) return;
    this.#working = this.#work(levels, indexed).finally(() => {
      this.#working = null;
    });
  }

  /**
   * What need not be written: nodes of one segment, whose table is a file already, and, when there is too
   * much at a time (at a start), others, which are then shown by the tables of their segments.
   */
  #letGo(levels: LevelledIndex, indexed: Indexed): void {
    const { segments } = indexed;
    for (const node of levels.spillable()) {
      if (isPartLost(node, indexed)) continue;
      const segment = node.level === 0 ? segments.get(node.first) : undefined;
      const path = segment === undefined ? null : this.#tableOf(segment);
      if (path !== null) levels.spilled(node, path);
      else if (levels.bytes > limits.indexBytes) levels.spilled(node, '');
    }
  }

  /** Nobody asks for these any more; who has one open may go on reading it. */
  remove(nodes: readonly SpilledNode[]): void {
    for (const { path } of nodes) if (this.#paths.delete(path)) this.#unlink(path);
  }

  /** All of them: the index has been made anew. */
  clear(): void {
    for (const path of this.#paths) this.#unlink(path);
    this.#paths.clear();
    this.#epoch += 1;
  }

  /** Resolves when what is under way has ended. */
  async settled(): Promise<void> {
    await this.#working;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#working;
    this.clear();
  }

  /** Never rejects. */
  async #work(levels: LevelledIndex, indexed: Indexed): Promise<void> {
    const epoch = this.#epoch;
    for (let node = this.#next(levels, indexed); node !== null; node = this.#next(levels, indexed)) {
      const path = join(this.#directory ?? '', `index-${++this.#written}.table`);
      try {
        await this.#write(path, node, sourcesOf(node, indexed.segments));
      } catch (error) {
        this.#warn(error);
        this.#unlink(path);
        return;
      }
      if (epoch === this.#epoch && levels.spilled(node, path)) this.#paths.add(path);
      else this.#unlink(path);
      if (epoch !== this.#epoch) return;
    }
  }

  #next(levels: LevelledIndex, indexed: Indexed): IndexNode | null {
    if (this.#closed) return null;
    const isFit = (node: IndexNode): boolean => node.table.count >= this.#least && !isPartLost(node, indexed);
    return levels.spillable().find(isFit) ?? null;
  }

  /** In slices, since this thread has other work. */
  async #write(path: string, { table, first }: IndexNode, sources: TableSource[]): Promise<void> {
    this.#files.ensureDirectory(this.#directory ?? '');
    const fd = this.#files.create(path);
    try {
      const writer = new TableFileWriter(this.#files, fd, { sources });
      const { starts, ends, segments } = table.columns;
      for (let at = 0; at < table.count; at++) {
        if (at % limits.spillSliceExtents === 0) await nextTurn();
        writer.pushPiece(starts[at]!, ends[at]!, segments[at]! - first, table.columns, at);
      }
      writer.finish();
      this.#failed = false;
    } finally {
      this.#files.close(fd);
    }
  }

  #unlink(path: string): void {
    try {
      this.#files.unlink(path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#warn(error);
    }
  }

  /** Told once for a run of failures; the index stays in memory until it works. */
  #warn(error: unknown): void {
    if (!this.#failed)
      this.#log.warn('index-not-spilled', { directory: this.#directory, errno: errnoOf(error) });
    this.#failed = true;
  }
}

const isPartLost = ({ first, end }: IndexNode, { lostBefore }: Indexed): boolean =>
  [...lostBefore].some((ordinal) => ordinal >= first && ordinal < end);

/** In the order of their ordinals; those that are gone are in no extent. */
function sourcesOf({ first, end }: IndexNode, segments: ReadonlyMap<number, Segment>): TableSource[] {
  const sources: TableSource[] = [];
  for (let ordinal = first; ordinal < end; ordinal++) {
    const segment = segments.get(ordinal);
    sources.push(
      segment === undefined
        ? { from: 0, to: 0, identity: '' }
        : { from: segment.precededBy, to: segment.lastLsn, identity: segment.identity },
    );
  }
  return sources;
}

const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });
