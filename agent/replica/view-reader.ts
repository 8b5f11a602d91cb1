// Reads a view, blocking its thread: layers of redo and undo over a replica that moves on meanwhile.
import { appendExtent, dataExtent, holeExtent } from '../../core/block/append-extent.ts';
import type { BlockExtent } from '../../core/block/block-store.ts';
import { HomewardError } from '../../core/errors.ts';
import { addressOffset, machineAddress } from '../../core/extents/address.ts';
import { ContentKind, type ExtentColumns } from '../../core/extents/extent-columns.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import type { Files } from '../../core/files/files.ts';
import { hostFiles } from '../../core/files/host-files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { Wanted } from '../../core/segment-log/read-record.ts';
import { RecordReader } from './record-reader.ts';
import { findRecordsAhead, positionOf, wantedUntil } from './view-ahead.ts';
import { firstUndoOrdinal, type DamagedRead, type ViewContent, type ViewSegment } from './view-content.ts';
import { PlanFeed } from './view-feed.ts';
import { ViewLayers, type LayersOf } from './view-layers.ts';
import { BeingWritten, touches, ViewReplicas } from './view-replica.ts';

export interface ViewReaderOptions {
  files?: Files;
  /** Hears of derived tables that had to be done without. */
  log?: Log;
  /** Hears of records that cannot be read, each time they are asked for. */
  damaged?(found: DamagedRead): void;
  /** False when no other thread does the steps: none ends while it reads. */
  waits?: boolean;
}

/**
 * Damage is a 'damaged' error that names the place, never other bytes. Making one reads nothing: the first
 * look-up does.
 *
 * What lies in records never changes. What lies in a replica is believed when the plan that led there still
 * holds after it was read; else just that is looked up again in the new plan.
 */
export class ViewReader {
  readonly content: ViewContent;
  readonly #layersOf: LayersOf;
  readonly #feed: PlanFeed;
  readonly #records: RecordReader;
  readonly #replicas: ViewReplicas;
  readonly #pieces = new Pieces();
  #layers: ViewLayers | null = null;
  /** The pieces from `#ahead.next` on have not been looked at for reading them in one go. */
  readonly #ahead = { next: 0, from: 0, to: 0 };
  /** The piece that is being read. */
  #at = 0;
  /** What the read that fails has met; null when that was no record. */
  #damaged: DamagedRead | null = null;
  readonly #hearsDamage: ((found: DamagedRead) => void) | undefined;

  constructor(
    content: ViewContent,
    { files = hostFiles, log, damaged, waits = content.live !== null }: ViewReaderOptions = {},
  ) {
    this.content = content;
    this.#hearsDamage = damaged;
    this.#layersOf = { content, files, log: log ?? null };
    this.#feed = new PlanFeed(content.plan, content.live);
    this.#records = new RecordReader(content.mark, files);
    const isHidden = (disk: number, start: number, end: number): boolean => {
      const base = machineAddress(disk, start);
      return this.#resolve(base, base + end - start, new Pieces()).touched().length > 0;
    };
    const wasSound = (disk: number, start: number, end: number): boolean => {
      const base = machineAddress(disk, start);
      return this.#layers?.newestUndoKnows(base, base + end - start) === true;
    };
    this.#replicas = new ViewReplicas(content, { files, isHidden, wasSound, waits });
  }

  /** Fills `target` with the disk's content from `offset`. */
  read(disk: number, offset: number, target: Buffer): void {
    for (;;) {
      try {
        return this.#read(disk, offset, target);
      } catch (error) {
        // What is damaged may have been healed meanwhile: then it lies in another file.
        const isDamaged = error instanceof HomewardError && error.code === 'damaged';
        if (isDamaged && this.#takePlan() === 'replaced') continue;
        if (isDamaged && this.#damaged !== null) this.#hearsDamage?.(this.#damaged);
        throw error;
      }
    }
  }

  #read(disk: number, offset: number, target: Buffer): void {
    this.#damaged = null;
    const base = machineAddress(disk, offset);
    let wanted = [base, base + target.length];
    const patience = performance.now() + limits.stepPatienceMs; // a moment of that clock
    for (;;) {
      const inReplica: number[] = [];
      for (let at = 0; at < wanted.length; at += 2)
        this.#readLayers(disk, base, wanted[at]!, wanted[at + 1]!, target, inReplica);
      if (inReplica.length === 0) return;
      const failure = this.#tryReadReplica(disk, base, inReplica, target);
      const change = this.#takePlan();
      if (change === 'none' && failure !== null) this.#endOrWait(failure, patience);
      if (change !== 'replaced' && failure === null) return;
      wanted = inReplica;
    }
  }

  /** Throws what went wrong with a replica, unless it may pass before `patience` is over. */
  #endOrWait(failure: unknown, patience: number): void {
    if (!(failure instanceof BeingWritten) || performance.now() > patience) throw failure;
    this.#feed.wait(limits.stepLookMs);
    this.#replicas.lookAgain();
  }

  /** What [offset, offset + length) consists of: data, or zeros that no storage stands behind. */
  extents(disk: number, offset: number, length: number): BlockExtent[] {
    const base = machineAddress(disk, offset);
    for (;;) {
      const extents: BlockExtent[] = [];
      this.#replicas.lookAnew();
      this.#resolve(base, base + length).forEach((start, end, extent, index) => {
        if (extent === null) this.#replicaExtents(disk, addressOffset(start), end - start, extents);
        else if (extent.kinds[index] === ContentKind.zero) appendExtent(extents, holeExtent(end - start));
        else appendExtent(extents, dataExtent(end - start));
      });
      if (this.#takePlan() !== 'replaced') return extents;
    }
  }

  /** Bytes [start, end) of [offset, offset + length) that are in records of redo and undo, in order. */
  outsideReplica(disk: number, offset: number, length: number): [number, number][] {
    const base = machineAddress(disk, offset);
    for (;;) {
      const outside = this.#resolve(base, base + length).touched();
      if (this.#takePlan() !== 'replaced') return outside;
    }
  }

  /** Takes the plans that were posted, which wait in memory until somebody does: for views nobody reads. */
  refresh(): void {
    this.#takePlan();
    this.#feed.acknowledge();
  }

  /** Nothing is read after this. */
  close(): void {
    this.#replicas.close();
    this.#feed.close();
  }

  #takePlan(): ReturnType<PlanFeed['take']> {
    const change = this.#feed.take();
    if (change !== 'none') this.#replicas.settle(this.#feed.replicas);
    if (change === 'replaced') this.#records.forget();
    if (change === 'replaced' && this.#layers !== null) {
      const before = this.#layers;
      this.#layers = null; // should the next line fail, the next look-up tries again
      this.#layers = new ViewLayers(this.#layersOf, this.#feed.plan, before);
    }
    return change;
  }

  #resolve(start: number, end: number, pieces = this.#pieces): Pieces {
    if (this.#layers === null) {
      this.#layers = new ViewLayers(this.#layersOf, this.#feed.plan);
      this.#replicas.settle(this.#feed.replicas);
    }
    return this.#layers.resolve(start, end, pieces);
  }

  /** Reads what is in records of [start, end); the rest goes to `inReplica`, as pairs of addresses. */
  #readLayers(
    disk: number,
    base: number,
    start: number,
    end: number,
    target: Buffer,
    inReplica: number[],
  ): void {
    const { starts, ends, columns, indexes, count } = this.#resolve(start, end);
    this.#ahead.next = 0;
    for (let at = 0; at < count; at++) {
      const from = starts[at]!;
      const to = ends[at]!;
      const extent = columns[at] ?? null;
      this.#at = at;
      if (extent === null) inReplica.push(from, to);
      else {
        const isWhole = from === base && to - base === target.length;
        const piece = isWhole ? target : target.subarray(from - base, to - base);
        this.#readExtent(disk, addressOffset(from), piece, extent, indexes[at]!);
      }
    }
    this.#records.forgetAhead();
  }

  /** Gives back what went wrong: it counts only when the plan still holds. */
  #tryReadReplica(disk: number, base: number, pairs: readonly number[], target: Buffer): unknown {
    try {
      for (let at = 0; at < pairs.length; at += 2) {
        const from = pairs[at]!;
        const piece = target.subarray(from - base, pairs[at + 1]! - base);
        const offset = addressOffset(from);
        if (touches(this.#feed.plan.unknown, disk, offset, piece.length))
          throw this.#unknown(disk, offset, piece.length);
        this.#replicas.read(disk, offset, piece);
      }
      return null;
    } catch (error) {
      return error;
    }
  }

  #replicaExtents(disk: number, offset: number, length: number, extents: BlockExtent[]): void {
    if (touches(this.#feed.plan.unknown, disk, offset, length)) appendExtent(extents, dataExtent(length));
    else this.#replicas.extents(disk, offset, length, extents);
  }

  #readExtent(disk: number, offset: number, target: Buffer, extent: ExtentColumns, index: number): void {
    const kind = extent.kinds[index];
    if (kind === ContentKind.zero) {
      target.fill(0);
      return;
    }
    const segment = this.#layers?.segments.get(extent.segments[index]!);
    if (kind !== ContentKind.data || segment === undefined) throw this.#unknown(disk, offset, target.length);
    if (this.#at >= this.#ahead.next) this.#readAhead(segment.fd);
    const isUndo = segment.ordinal >= firstUndoOrdinal;
    const wanted = {
      position: positionOf(extent, index),
      lsn: segment.firstLsn + (isUndo ? 0 : extent.lsnDeltas[index]!),
      disk,
      start: offset,
      end: offset + target.length,
    };
    try {
      this.#records.read(segment, target, wanted, this.#until);
    } catch (error) {
      this.#damaged = damagedRead(segment, wanted);
      throw error;
    }
  }

  #readAhead(fd: number): void {
    findRecordsAhead(this.#pieces, this.#at, this.#ahead);
    const { from, to } = this.#ahead;
    if (to > from) this.#records.readAhead(fd, from, to);
  }

  /** One function for all reads, as it is asked for each large record. */
  readonly #until = (end: number): number => {
    const start = this.#pieces.starts[this.#at]!;
    const disk = start - addressOffset(start);
    return wantedUntil(this.#pieces, this.#at, disk + end) - disk;
  };

  #unknown(disk: number, offset: number, length: number): HomewardError {
    const name = this.content.disks[disk]?.name ?? String(disk);
    const where = `bytes ${offset} to ${offset + length} of disk ${name}`;
    return new HomewardError(
      'damaged',
      `${where} are unknown at lsn:${this.content.lsn}: a record that may have written them is lost`,
    );
  }
}

function damagedRead(
  { ordinal, fd, path: file, firstLsn, lastLsn }: ViewSegment,
  { lsn, disk, start, end }: Wanted,
): DamagedRead {
  const isUndo = ordinal >= firstUndoOrdinal;
  const [fromLsn, toLsn] = isUndo ? [firstLsn, lastLsn] : [lsn, lsn];
  return { file, fd, fromLsn, toLsn, disk, start, end };
}
