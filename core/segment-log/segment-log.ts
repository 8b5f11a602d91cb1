// The segment log: appends groups of records, makes them durable in group commits, and heals itself after a
// failed sync.
import { assert, errnoOf, HomewardError } from '../errors.ts';
import { machineMark } from '../record/record.ts';
import { Committer } from './committer.ts';
import { groupHeaderBytes, syncedBlockBytes } from './group.ts';
import type { Group } from './record-group.ts';
import { readSegment, recoverSegments, rewriteTail } from './recover.ts';
import { SegmentFiles } from './segment-files.ts';
import type { SegmentLogOptions } from './segment-log-options.ts';
import { SegmentWriter } from './segment-writer.ts';
import { isEmpty, type Segment } from './segment.ts';
import { strangenessOf } from './strange-segment.ts';

/** Pruned files that are kept to be written over: as many as a second of heavy writing takes. */
const sparesMost = 16;
/** As many of them stay when nothing is written. */
const sparesIdle = 1;

/**
 * Invariants: records are appended in LSN order; only a `sync-begin` may skip LSNs, and then begins a
 * segment, so that within a segment they follow each other; `durableLsn` ≤ `appendedLsn`; no write touches
 * a 4 KiB block that a sync has covered; groups above `durableLsn` are in memory.
 */
export class SegmentLog {
  readonly options: SegmentLogOptions;
  readonly segments: Segment[] = [];
  /** Files that a failed sync took out of the log and that somebody may still read. */
  readonly #removed: Segment[] = [];
  readonly #segmentFiles: SegmentFiles;
  readonly #committer: Committer;
  readonly #writer: SegmentWriter;
  /** Records are being moved after a failed sync; readers still find them where they were. */
  #moving = false;
  #closed = false;
  #allocationFailure: Error | null = null;
  #appendedLsn = 0;

  private constructor(options: SegmentLogOptions) {
    this.options = options;
    this.#segmentFiles = new SegmentFiles(options);
    const { files, clock, machine } = options;
    this.#writer = new SegmentWriter({ files, clock, machine, durableLsn: () => this.durableLsn });
    const { log, syncBytes, syncIntervalMs } = options;
    this.#committer = new Committer({
      clock,
      log,
      syncBytes,
      syncIntervalMs,
      syncBegins: () => this.#writer.syncBegins(),
      sync: (segments, directory) => this.#sync(segments, directory),
      moveToNewSegment: (durableLsn, groups) => this.#moveToNewSegment(durableLsn, groups),
      stateChanged: options.events.stateChanged,
      writeNote: () => {
        const noted = this.#writeNote();
        if (noted !== null) this.#committer.noteWritten(noted);
      },
    });
  }

  /** Reads what is there, makes the surviving tail durable, and begins a new segment behind it. */
  static async open(options: SegmentLogOptions): Promise<SegmentLog> {
    const log = new SegmentLog(options);
    await log.#recover();
    return log;
  }

  get appendedLsn(): number {
    return this.#appendedLsn;
  }
  get durableLsn(): number {
    return this.#committer.durableLsn;
  }
  /** Why records are refused just now, or null. */
  get failure(): Error | null {
    return this.#committer.failure;
  }
  /** A failed sync is being healed: appends have to wait for `stateChanged`. */
  get suspended(): boolean {
    return this.#committer.suspended;
  }
  /** Why no further segment could be had at the last attempt, or null when it worked. */
  get allocationFailure(): Error | null {
    return this.#allocationFailure;
  }
  /** Bytes of the files that hold records, whole files counted. */
  get bytes(): number {
    return this.segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /**
   * Appends one group; its records are in the page cache when this returns. A group that begins with a
   * `sync-begin` may have a first LSN above the next: those between were skipped then. Throws `no-space`
   * when no segment can be allocated and `journal-failed` after a failed write; nothing of the group counts
   * then, and its LSNs stay free.
   */
  append(group: Group): Segment {
    const next = this.#appendedLsn + 1;
    const mayFollow = group.firstLsn === next || (group.firstLsn > next && group.beginsSync);
    assert(mayFollow && group.records > 0, 'groups follow each other');
    assert(!this.suspended, 'nothing is appended while a failed sync is being healed');
    if (this.#committer.failure !== null) throw this.#committer.failure;
    const segment = this.#place(group, this.#appendedLsn);
    this.#write(segment, group);
    this.#committer.appended(segment, group);
    this.#appendedLsn = group.lastLsn;
    return segment;
  }

  /** Where the body of the group appended last begins in its segment. */
  get lastBodyPosition(): number {
    return this.#writer.bodyPosition;
  }

  /** Calls back once, with null when everything up to `lsn` is durable, or with the reason why it is not. */
  commit(lsn: number, done: (error: Error | null) => void): void {
    this.#committer.commit(lsn, done);
  }

  /** As `commit`, for everything appended so far. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.commit(this.#appendedLsn, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  /** Ends the current segment, so that it can be applied and pruned. Its content need not be durable yet. */
  roll(): void {
    if (this.suspended || this.failure !== null) return;
    if (this.#writer.segment !== null && !isEmpty(this.#writer.segment))
      this.#begin(this.#appendedLsn + 1, null, this.#appendedLsn);
  }

  /** Drops segments that end at or below `lsn` and that nobody uses; gives back how many went. */
  prune(lsn: number): number {
    let count = 0;
    const kept = this.#moving ? this.segments.at(-1) : this.#writer.segment;
    for (let first = this.segments[0]; first !== undefined && first !== kept; first = this.segments[0]) {
      if (first.lastLsn > lsn || first.users > 0) break;
      this.segments.shift();
      first.retired = true;
      this.#dispose(first);
      count += 1;
    }
    if (!this.#moving) this.#closeRemoved();
    return count;
  }

  /** A file with the same records is there for a complete segment, which its readers keep; or for none. */
  replace(segment: Segment | null, next: Segment): void {
    const at = this.segments.filter(({ firstLsn }) => firstLsn < next.firstLsn).length;
    this.segments.splice(at, segment === null ? 0 : 1, next);
    if (segment === null) return;
    segment.retired = true;
    this.#removed.push(segment);
  }

  /** Nothing is being written: the files kept to be written over are given back to the disk. */
  trimSpares(): void {
    try {
      this.#segmentFiles.trimSpares(sparesIdle);
    } catch (error) {
      const { directory, log } = this.options;
      log.warn('segment-not-removed', { path: directory, errno: errnoOf(error) });
    }
  }

  /** Tries again to have a further segment ready, after that had failed; true when there is one now. */
  retrySpace(): boolean {
    if (this.#allocationFailure === null) return true;
    if (this.suspended) return false;
    try {
      this.#segmentFiles.probeSpare();
    } catch (error) {
      this.#notAllocated(error);
      return false;
    }
    return this.#prepareSpare();
  }

  #notAllocated(error: unknown): HomewardError {
    const what = `no further segment could be allocated in ${this.options.directory}`;
    return (this.#allocationFailure = journalError(error, what));
  }

  /** A file that cannot be removed lies below the cursor: the next start finds it so. */
  #dispose(segment: Segment): void {
    try {
      this.#segmentFiles.dispose(segment, sparesMost);
    } catch (error) {
      this.options.log.warn('segment-not-removed', { path: segment.path, errno: errnoOf(error) });
    }
  }

  #closeRemoved(): void {
    for (const segment of this.#removed.splice(0)) {
      if (segment.users > 0) this.#removed.push(segment);
      else this.options.files.close(segment.fd);
    }
  }

  /** Stops syncing in the background after one last sync. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#appendedLsn > this.durableLsn) await this.flush();
      await this.#committer.close();
      const noted = this.#writeNote();
      if (noted !== null) await this.options.files.sync(noted.fd);
    } finally {
      await this.#committer.close();
      this.#closeAll([...this.segments, ...this.#removed]);
    }
  }

  #closeAll(segments: readonly Segment[]): void {
    for (const segment of segments) this.options.files.close(segment.fd);
  }

  async #recover(): Promise<void> {
    const { files, directory, machine, appliedLsn, durableLsn, visitor, log } = this.options;
    const recovered = recoverSegments({
      files,
      segmentFiles: this.#segmentFiles,
      directory,
      machine,
      mark: machineMark(machine),
      appliedLsn,
      durable: durableLsn,
      visitor,
    });
    const kept = recovered.segments.filter((segment) => !isEmpty(segment));
    const unneeded = [...recovered.unneeded, ...recovered.segments.filter(isEmpty)];
    try {
      for (const tail of recovered.tails) rewriteTail(files, tail);
      for (const segment of kept) if (!recovered.known.has(segment)) await files.sync(segment.fd);
      for (const segment of unneeded) this.#removeUnneeded(segment);
      this.#segmentFiles.removeLeftovers();
      await this.#segmentFiles.syncDirectory();
    } catch (error) {
      this.#closeAll(kept);
      throw error;
    } finally {
      this.#closeAll(unneeded);
    }
    this.segments.push(...kept);
    this.#appendedLsn = recovered.lastLsn;
    this.#committer.startAt(recovered.lastLsn);
    log.info('journal-opened', {
      directory,
      segments: kept.length,
      lsn: recovered.lastLsn,
      cut: recovered.cut,
    });
  }

  /** What is not a segment of this log, whatever its name, is kept under another. */
  #removeUnneeded(segment: Segment): void {
    // Its first frame says that it is what its name says.
    if (segment.identity !== '') return this.#segmentFiles.remove(segment);
    const { files, machine, appliedLsn, log } = this.options;
    const strangeness = strangenessOf({
      content: readSegment(files, segment),
      machine,
      mark: machineMark(machine),
      firstLsn: segment.firstLsn,
      appliedLsn,
    });
    if (strangeness === null) return this.#segmentFiles.remove(segment);
    const aside = this.#segmentFiles.setAside(segment, strangeness);
    log.warn('segment-set-aside', { file: segment.path, aside });
  }

  /** The segment that the group goes to: a new one also when LSNs were skipped before it. */
  #place(group: Group, precededBy: number): Segment {
    const current = this.#writer.segment;
    const follows = group.firstLsn === precededBy + 1;
    if (follows && current !== null && this.#writer.hasRoom(group)) return current;
    return this.#begin(group.firstLsn, group, precededBy);
  }

  #begin(firstLsn: number, group: Group | null, precededBy: number): Segment {
    const need = (group === null ? 0 : groupHeaderBytes + group.bodyBytes) + 2 * syncedBlockBytes;
    const isNotes = group?.isNotes === true;
    let next: Segment;
    try {
      this.#abandonEmpty();
      next = this.#segmentFiles.take(firstLsn, need, { intoReserve: this.#moving, isNotes });
    } catch (error) {
      throw this.#notAllocated(error);
    }
    // Room for notes may be the reserve, and says nothing of room for content.
    if (!isNotes) this.#allocationFailure = null;
    next.precededBy = precededBy;
    const previous = this.#writer.segment;
    this.#writer.begin(next);
    this.segments.push(next);
    this.#committer.newSegment(next);
    if (previous !== null && !this.#moving) this.options.events.sealed(previous);
    setImmediate(() => this.#prepareSpare());
    return next;
  }

  /** A segment that got no records goes first: the next one has the same first LSN, and so the same name. */
  #abandonEmpty(): void {
    const empty = this.#writer.segment;
    if (empty === null || !isEmpty(empty)) return;
    this.#segmentFiles.remove(empty);
    this.#writer.begin(null);
    this.segments.splice(this.segments.indexOf(empty), 1);
    empty.retired = true;
    this.#takeOut(empty);
  }

  /** Closes a file that is not in the log any more, or leaves that to the last who reads it. */
  #takeOut(segment: Segment): void {
    if (segment.ordinal < 0 && segment.users === 0) this.options.files.close(segment.fd);
    else this.#removed.push(segment);
  }

  #prepareSpare(): boolean {
    if (this.#closed) return false;
    try {
      this.#segmentFiles.ensureSpare();
      this.#allocationFailure = null;
      return true;
    } catch (error) {
      const { directory, log } = this.options;
      if (this.#allocationFailure === null)
        log.warn('no-spare-segment', { directory, errno: errnoOf(error) });
      this.#notAllocated(error);
      return false;
    }
  }

  #write(segment: Segment, group: Group): void {
    try {
      this.#writer.write(segment, group);
    } catch (error) {
      throw journalError(error, `writing to ${segment.path} failed`);
    }
  }

  #writeNote(): Segment | null {
    return this.suspended || this.failure !== null ? null : this.#writer.writeNote(this.#appendedLsn + 1);
  }

  async #sync(segments: readonly Segment[], directory: boolean): Promise<void> {
    for (const segment of segments) if (!segment.retired) await this.#syncSegment(segment);
    if (directory) await this.#segmentFiles.syncDirectory();
  }

  /** The file is held meanwhile, so that it is not pruned under the sync. */
  async #syncSegment(segment: Segment): Promise<void> {
    segment.users += 1;
    try {
      await this.options.files.sync(segment.fd);
    } finally {
      segment.users -= 1;
    }
  }

  /**
   * After a failed sync, in this order: 1 files that begin above the durable LSN go, and the directory is
   * synced, since they would cut the new one; 2 the unacknowledged groups are written to a new segment; 3
   * the file that holds the durable LSN ends there, and readers hear of it. May be repeated until it works;
   * until then readers find the records where they were, since the files that went are still open.
   */
  async #moveToNewSegment(durableLsn: number, groups: readonly Group[]): Promise<void> {
    this.#moving = true;
    this.#writer.begin(null);
    for (const last of this.segments.filter(({ firstLsn }) => firstLsn > durableLsn).toReversed()) {
      this.#segmentFiles.remove(last);
      this.segments.pop();
      this.#takeOut(last);
    }
    const closed = this.segments.at(-1);
    if (closed !== undefined) closed.recyclable = false;
    await this.#segmentFiles.syncDirectory();
    let precededBy = durableLsn;
    for (const group of groups) {
      const segment = this.#place(group, precededBy);
      precededBy = group.lastLsn;
      this.#write(segment, group);
      this.#committer.rewritten(segment);
    }
    if (closed !== undefined) closed.lastLsn = Math.min(closed.lastLsn, durableLsn);
    this.#moving = false;
    this.options.events.relocated(this.#writer.segment);
  }
}

/** A failed write as the writer's error: no room, or a journal that does not take records. */
function journalError(error: unknown, what: string): HomewardError {
  const errno = errnoOf(error);
  if (errno === 'ENOSPC' || errno === 'EDQUOT')
    return new HomewardError('no-space', `${what}: no space left`, { cause: error });
  return new HomewardError('journal-failed', `${what}: ${errno ?? String(error)}`, { cause: error });
}
