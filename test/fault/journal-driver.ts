// Drives a journal on simulated files beside a model that remembers the state of every disk after every LSN.
import { mock } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HeadReader } from '../../agent/ingest/head-reader.ts';
import { Journal } from '../../agent/journal/journal.ts';
import type { RedoLayers } from '../../agent/journal/lend-layers.ts';
import { buildRedoTable } from '../../agent/journal/reindex.ts';
import type { LayerSource } from '../../agent/replica/undo/undo-step.ts';
import { memoryStore } from '../../core/block/memory-store.ts';
import type { Clock } from '../../core/clock.ts';
import { addressOffset, machineAddress } from '../../core/extents/address.ts';
import { BackgroundMerger } from '../../core/extents/background-merger.ts';
import { ContentKind } from '../../core/extents/extent-columns.ts';
import { DerivedDamaged } from '../../core/extents/derived-damaged.ts';
import { ExtentTable } from '../../core/extents/extent-table.ts';
import { mergeAll } from '../../core/extents/merge.ts';
import { PageCache } from '../../core/extents/page-cache.ts';
import { PagedTable } from '../../core/extents/paged-table.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import { resolveLayers } from '../../core/extents/resolve.ts';
import type { Files } from '../../core/files/files.ts';
import { silentLog } from '../../core/log.ts';
import { machineMark } from '../../core/record/record.ts';
import {
  firstRead,
  judgeFirst,
  judgeSecond,
  type Stretch,
  type Wanted,
} from '../../core/segment-log/read-record.ts';
import { microseconds } from '../../core/units.ts';
import type { Random } from '../support/random.ts';
import type { SimulatedFiles } from '../support/simulated-files.ts';
import { directory, machine, newFiles, segmentBytes } from './log-driver.ts';

export const disks = 2;
export const diskBytes = 8192;
export const derived = '/retention/derived';

/** One request; `bytes` is null for zeros, and a tag has no length. */
export interface Request {
  disk: number;
  offset: number;
  length: number;
  bytes: Buffer | null;
  tag: string | null;
  discard: boolean;
}

export const writing = (disk: number, offset: number, bytes: Buffer): Request => ({
  disk,
  offset,
  length: bytes.length,
  bytes,
  tag: null,
  discard: false,
});
export const zeroing = (disk: number, offset: number, length: number, discard = false): Request => ({
  disk,
  offset,
  length,
  bytes: null,
  tag: null,
  discard,
});
export const tagging = (tag: string): Request => ({
  disk: 0,
  offset: 0,
  length: 0,
  bytes: null,
  tag,
  discard: false,
});

const merger = new BackgroundMerger(silentLog);
const mark = machineMark(machine);
let now = 1_700_000_000_000_000;
const clock: Clock = { now: () => microseconds((now += 10)), monotonicMs: () => 0 };

/** A layer as readers take it, all of it in memory. */
export function tableOf(files: Files, segments: RedoLayers['segments'], source: LayerSource): ExtentTable {
  if (source.kind === 'memory') return ExtentTable.from(source.table);
  if (source.kind === 'file') {
    const table = PagedTable.tryOpen(files, source.fd, source.ordinals, new PageCache(4));
    const loaded = table === null ? null : tryLoad(table);
    if (loaded !== null) return loaded;
    const wanted = segments.filter(({ ordinal }) => source.ordinals.includes(ordinal));
    return mergeAll(
      wanted.map((part) => buildRedoTable(files, machine, part, part.precededBy, part.lastLsn)),
    );
  }
  const segment = segments.find(({ ordinal }) => ordinal === source.ordinal);
  if (source.kind === 'undo-scan' || segment === undefined) throw new Error('a scan of what was not lent');
  return buildRedoTable(files, machine, segment, source.afterLsn, source.lsn);
}

function tryLoad(table: PagedTable): ExtentTable | null {
  try {
    return table.load();
  } catch (error) {
    if (!(error instanceof DerivedDamaged)) throw error;
    return null;
  }
}

/** Redo of (base, lsn] over the state at `base`, which is the replica or what undo makes of it. */
export interface View extends RedoLayers {
  base: number;
  lsn: number;
}

export class JournalDriver {
  files: SimulatedFiles;
  /** What was attempted, by LSN less one, and the state of all disks after each. */
  readonly requests: Request[] = [];
  readonly states: Buffer[] = [Buffer.alloc(disks * diskBytes)];
  completed = 0;
  checks = 0;
  acknowledged = 0;
  /** The cursor, and up to where redo was pruned. */
  applied = 0;
  floored = 0;
  /** Views that are open. */
  views: View[] = [];
  /** Files are gone: what nobody knows may be read as that, in so many bytes. */
  mayLack = false;
  lacking = 0;
  /** What the cursor file remembers of it; with `mayLack`, and else none. */
  durable = 0;
  readonly replicas = Array.from({ length: disks }, () => memoryStore(diskBytes));
  #journal: Journal | null = null;

  readonly #derived: string | null;
  readonly #reserveBytes: number;

  constructor(files = newFiles(), options: { derived?: string | null; reserveBytes?: number } = {}) {
    this.files = files;
    this.#derived = options.derived === undefined ? derived : options.derived;
    this.#reserveBytes = options.reserveBytes ?? 0;
  }

  get journal(): Journal {
    if (this.#journal === null) throw new Error('the journal is not open');
    return this.#journal;
  }

  get isOpen(): boolean {
    return this.#journal !== null;
  }

  /** Opens; `least` has to be there, and what was attempted above may be. */
  async open(least = this.completed): Promise<void> {
    this.#journal = await Journal.open({
      files: this.files,
      clock,
      log: silentLog,
      merger,
      directory,
      machine,
      generation: 1,
      segmentBytes,
      reserveBytes: this.#reserveBytes,
      syncBytes: 1 << 20,
      syncIntervalMs: 200,
      derived: this.#derived,
      flooredLsn: this.floored,
      appliedLsn: this.applied,
      durableLsn: Math.max(this.applied, this.durable),
      openGap: null,
      spillExtents: 2,
    });
    const { headLsn, catalogue } = this.journal;
    if (!this.mayLack && catalogue.lost.some(({ to }) => to > this.applied))
      throw new Error(`lost ${JSON.stringify(catalogue.lost)}`);
    if (headLsn < least) throw new Error(`LSN ${least} has to be there, but the journal ends at ${headLsn}`);
    if (headLsn > this.requests.length) throw new Error(`${headLsn} is more than was attempted`);
    this.requests.length = headLsn;
    this.states.length = headLsn + 1;
    this.completed = headLsn;
    this.acknowledged = headLsn;
    if (this.mayLack) this.durable = headLsn;
  }

  /**
   * All at once, as they come in one turn; true when all were taken. What a crash cuts off counts as
   * attempted.
   */
  async request(requests: readonly Request[], { mayAppear = false } = {}): Promise<boolean> {
    const answers = await Promise.all(requests.map((request) => this.#issue(request)));
    for (const [index, error] of answers.entries()) {
      const request = requests[index];
      if (request === undefined || (error !== null && !mayAppear)) continue;
      this.#remember(request);
      if (error === null) this.completed = this.requests.length;
    }
    return answers.every((error) => error === null);
  }

  /** True when what was completed is durable. */
  async flush(): Promise<boolean> {
    const { completed } = this;
    const isDone = await this.journal.commit().then(
      () => true,
      () => false,
    );
    if (isDone) this.acknowledged = Math.max(this.acknowledged, completed);
    return isDone;
  }

  /** The cursor moves to `lsn`, forward or back: the replica is the state after it. */
  async apply(lsn: number): Promise<void> {
    await this.journal.cursorMoved(lsn);
    this.applied = lsn;
    const state = this.#state(lsn);
    for (const [disk, store] of this.replicas.entries()) {
      await store.write(state.subarray(disk * diskBytes, (disk + 1) * diskBytes), 0);
    }
  }

  prune(boundary = this.applied): void {
    this.floored = Math.max(this.floored, boundary);
    this.journal.prune(this.floored);
  }

  /** What shows `lsn`, from the state at `base` on. */
  view(lsn: number, base = Math.min(lsn, this.applied)): View {
    return { ...this.journal.layers(base, lsn), base, lsn };
  }

  /** The highest LSN that may be applied: what is durable. */
  get applicable(): number {
    return this.acknowledged;
  }

  /** Somebody deletes some of what is derived. */
  removeTables(random: Random): void {
    for (const name of this.files.list(derived))
      if (random.chance(0.5)) this.files.unlink(`${derived}/${name}`);
  }

  restartOn(files: SimulatedFiles): void {
    this.#journal?.close().catch(() => undefined);
    this.#journal = null;
    this.views = [];
    this.files = files;
  }

  async wait(ms: number): Promise<void> {
    mock.timers.tick(ms);
    for (let turn = 0; turn < 8; turn++) await nextTurn();
  }

  /**
   * Every LSN that can be shown shows exactly the state after it, the head too, and views that are open
   * still do.
   */
  async check(): Promise<void> {
    await this.flush();
    for (let lsn = this.floored; lsn <= this.journal.durableLsn; lsn++) {
      // From the cursor, or a state that undo would make of it: each in turn.
      const least = Math.min(lsn, this.applied);
      const turn = lsn + this.checks++;
      const back = turn % 2 === 0 ? 0 : turn % (least - this.floored + 1);
      const view = this.view(lsn, least - back);
      await this.checkView(view);
      view.release();
    }
    for (const view of this.views) await this.checkView(view);
    if (!this.mayLack) await this.checkHead();
  }

  async checkHead(): Promise<void> {
    const reader = new HeadReader(this.journal, this.replicas);
    const head = this.#state(this.completed);
    for (let disk = 0; disk < disks; disk++) {
      const found = Buffer.alloc(diskBytes);
      await reader.read(disk, 0, found);
      const wanted = head.subarray(disk * diskBytes, (disk + 1) * diskBytes);
      if (!found.equals(wanted))
        throw new Error(`the head of disk ${disk} differs from LSN ${this.completed}`);
    }
  }

  async checkView(view: View): Promise<void> {
    const state = this.#state(view.lsn);
    for (let disk = 0; disk < disks; disk++) {
      const found = await this.#readView(view, disk);
      const wanted = state.subarray(disk * diskBytes, (disk + 1) * diskBytes);
      if (found.equals(wanted)) continue;
      const at = found.findIndex((byte, index) => byte !== wanted[index]);
      const places = `from ${view.base}, floor ${this.floored}, cursor ${this.applied}`;
      throw new Error(`disk ${disk} at LSN ${view.lsn} differs from byte ${at} on (${places})`);
    }
  }

  async #readView(view: View, disk: number): Promise<Buffer> {
    const found = Buffer.alloc(diskBytes, 0xee);
    const start = machineAddress(disk, 0);
    const redo = view.redo.map((source) => tableOf(this.files, view.segments, source));
    const layers = { redo, floor: view.floor, undo: [] };
    const pieces = resolveLayers(layers, start, start + diskBytes, new Pieces());
    const below = this.#state(view.base).subarray(disk * diskBytes);
    for (let at = 0; at < pieces.count; at++) {
      const from = addressOffset(pieces.starts[at] ?? 0);
      const target = found.subarray(from, from + (pieces.ends[at] ?? 0) - (pieces.starts[at] ?? 0));
      const columns = pieces.columns[at] ?? null;
      const index = pieces.indexes[at] ?? 0;
      if (columns === null) below.copy(target, 0, from);
      else if (columns.kinds[index] === ContentKind.zero) target.fill(0);
      else if (columns.kinds[index] === ContentKind.unknown && this.mayLack) {
        this.lacking += this.#state(view.lsn).copy(target, 0, disk * diskBytes + from);
      } else {
        const segment = view.segments.find(({ ordinal }) => ordinal === columns.segments[index]);
        if (segment === undefined) throw new Error(`LSN ${view.lsn} needs a segment that it does not hold`);
        this.#readRecord(segment.fd, target, {
          position: columns.positions[index] ?? 0,
          lsn: segment.firstLsn + (columns.lsnDeltas[index] ?? 0),
          disk,
          start: from,
          end: from + target.length,
        });
      }
    }
    return found;
  }

  #readRecord(fd: number, target: Buffer, wanted: Wanted): void {
    const read = ({ position, length }: Stretch): Buffer => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, this.files.readSync(fd, bytes, position));
    };
    const first = judgeFirst(wanted, read(firstRead(wanted)), mark);
    let data = first.kind === 'data' ? first.data : null;
    if (first.kind === 'more') data = judgeSecond(wanted, read(first.stretch), first);
    if (data === null) throw new Error(`record ${wanted.lsn} is damaged`);
    data.copy(target);
  }

  #issue(request: Request): Promise<Error | null> {
    const { disk, offset, length, bytes, tag, discard } = request;
    if (tag !== null) {
      return this.journal.tag({ name: tag, consistency: 'user' }).then(
        () => null,
        (error: Error) => error,
      );
    }
    return new Promise((done) => {
      if (bytes !== null) this.journal.write(disk, offset, bytes, false, null, done);
      else this.journal.zero(disk, offset, length, { discard, fua: false }, done);
    });
  }

  #remember(request: Request): void {
    const { disk, offset, length, bytes } = request;
    const state = Buffer.from(this.states.at(-1) ?? Buffer.alloc(0));
    const start = disk * diskBytes + offset;
    if (bytes === null) state.fill(0, start, start + length);
    else bytes.copy(state, start);
    this.requests.push(request);
    this.states.push(state);
  }

  #state(lsn: number): Buffer {
    const state = this.states[lsn];
    if (state === undefined) throw new Error(`the model knows no LSN ${lsn}`);
    return state;
  }
}
