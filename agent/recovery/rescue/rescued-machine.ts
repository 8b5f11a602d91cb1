// One machine as it lies in a directory of a retention volume, opened to be read: nothing in there changes.
import fs from 'node:fs';
import { join } from 'node:path';
import { HomewardError } from '../../../core/errors.ts';
import { machineAddress, wholeMachine } from '../../../core/extents/address.ts';
import { joinRanges } from '../../../core/extents/join-ranges.ts';
import type { Files } from '../../../core/files/files.ts';
import { limits } from '../../../core/limits.ts';
import { silentLog } from '../../../core/log.ts';
import { machineBytes, machineMark } from '../../../core/record/record.ts';
import type { Segment } from '../../../core/segment-log/segment.ts';
import { Catalogue } from '../../journal/catalogue.ts';
import { planLayers } from '../../journal/plan-layers.ts';
import { unknownTable, visitSegment, type RecordSource } from '../../journal/reindex.ts';
import type { Cursor } from '../../replica/cursor.ts';
import { refuseReleased } from '../hand-over.ts';
import { disksAt, readMachineFile, type MachineFile } from '../../replica/machine-file.ts';
import { boundaryTags, denseFrom, keptBelow, type Boundary, type PointFacts } from '../../replica/points.ts';
import { replicaPath } from '../../replica/replicas.ts';
import { chainOf, type UndoHole } from '../../replica/undo/undo-chain.ts';
import { listUndoFiles, type UndoFile } from '../../replica/undo/undo-files.ts';
import type { LayerSource, UndoStep } from '../../replica/undo/undo-step.ts';
import {
  firstUndoOrdinal,
  type HeldContent,
  type ViewDisk,
  type ViewPlan,
  type ReplicaSpan,
  type ViewSegment,
} from '../../replica/view-content.ts';
import { readOnlyFiles } from '../rescue-files.ts';
import { redoBelow, zerosOf, type Addresses } from './rescue-below.ts';
import { LostCursor, readOrReplace } from './rescue-cursor.ts';
import { readRescuedLedger, type RescuedLedger } from './rescue-ledger.ts';
import { openRescuedRedo } from './rescue-redo.ts';
import { rescuePaths, type RescuePaths } from './rescue-paths.ts';
import type { Moments } from '../when.ts';

/** What was being made when the machine stopped counts for nothing here. */
const files: Files = {
  ...readOnlyFiles,
  list: (directory) => readOnlyFiles.list(directory).filter((name) => !name.endsWith('.new')),
};

export interface RescuedDisk extends ViewDisk {
  /** Why its replica cannot be read, or null. */
  missing: string | null;
}

/** Files are open until `close`. */
export class RescuedMachine {
  readonly file: MachineFile;
  readonly paths: RescuePaths;
  readonly cursor: Cursor;
  /** Why the cursor could not be read, and what stands in for it; null for one that was read. */
  readonly cursorDamage: string | null;
  readonly ledger: RescuedLedger;
  readonly catalogue = new Catalogue();
  readonly steps: readonly UndoStep[];
  readonly holes: readonly UndoHole[];
  readonly disks: RescuedDisk[] = [];
  /** `machine.json` could not be read; the file beside it was. */
  readonly fileDamage: string | null;
  segments: Segment[] = [];
  durableLsn = 0;
  readonly #source: RecordSource;
  readonly #open: number[] = [];
  /** What takes the place of replicas in the view that was asked for last. */
  #rest: { base: number; layers: LayerSource[] } | null = null;

  /** Throws 'damaged' when it cannot be read who the machine is. */
  constructor(retention: string, id: string, replicas: string | null) {
    this.paths = rescuePaths(retention, id);
    let damage: string | null = null;
    this.file = readMachineFile(this.paths.machineFile, (why) => {
      damage = why.message;
    });
    this.fileDamage = damage;
    refuseReleased(this.file);
    const machine = machineBytes(this.file.id);
    this.#source = { files, machine, mark: machineMark(machine) };
    this.ledger = readRescuedLedger(this.paths.ledger);
    const found = listUndoFiles(files, this.paths.undo, machine, silentLog);
    const known = readOrReplace(this.paths.cursorFile, found, this.ledger);
    try {
      this.cursor = this.#openRedo(known);
      this.cursorDamage = known instanceof LostCursor ? known.spell(this.cursor) : null;
      const chain = chainOf<UndoFile>(found, this.cursor.lsn);
      this.steps = chain.steps.map(({ step }) => step).filter((step) => step !== null);
      this.holes = chain.holes;
      for (const tag of boundaryTags(this.steps, this.cursor)) this.catalogue.enterTag(tag);
      for (const disk of this.file.disks) this.disks.push(this.#openReplica(disk, replicas));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get name(): string {
    return this.file.name;
  }
  get id(): string {
    return this.file.id;
  }
  get machine(): Buffer {
    return this.#source.machine;
  }

  close(): void {
    for (const { fd } of this.segments) fs.closeSync(fd);
    for (const fd of this.#open.splice(0)) fs.closeSync(fd);
    this.segments = [];
  }

  get denseLsn(): number | null {
    return denseFrom(this.#facts);
  }
  get kept(): Boundary[] {
    return keptBelow(this.#facts);
  }

  moments(now: number): Moments {
    const oldest = this.denseLsn;
    const newest = this.segments.at(-1)?.lastTime ?? 0;
    return {
      oldest: oldest === null ? null : { lsn: oldest, time: this.timeOf(oldest) ?? 0 },
      kept: this.kept,
      newest: { lsn: this.durableLsn, time: Math.max(newest, this.cursor.time) },
      now,
      catalogue: this.catalogue,
      lsnAtTime: (time) => this.#lsnAtTime(time, oldest ?? 0),
    };
  }

  /** Microseconds, or null when it is not known. */
  timeOf(lsn: number): number | null {
    if (lsn === this.cursor.lsn) return this.cursor.time;
    const step = this.steps.find(({ from }) => from === lsn);
    return step === undefined ? this.#recordTime(lsn) : step.fromTime;
  }

  #recordTime(lsn: number): number | null {
    let time: number | null = null;
    const segment = this.segments.find(({ firstLsn, lastLsn }) => firstLsn <= lsn && lsn <= lastLsn);
    this.#visit(segment, (header) => {
      if (header.lsn === lsn) time = header.time;
    });
    return time;
  }

  /** Content at `lsn`, a point. What no file tells of is unknown. Nothing is held but until `close`. */
  hold(lsn: number): HeldContent {
    const { mark, machine } = this.#source;
    const sizes = disksAt(this.file, lsn);
    const disks = sizes.map(({ name, size }, index): ViewDisk => {
      const { fd, sparse, sums } = this.disks[index] ?? { fd: -1, sparse: false, sums: null };
      return { name, size, fd, sparse, sums };
    });
    const content = { mark, machine, lsn, disks, plan: this.#plan(lsn), live: null };
    return { content, transfer: [], release: () => undefined };
  }

  get #facts(): PointFacts {
    return { cursor: this.cursor, steps: this.steps, gapAt: (lsn) => this.catalogue.gapAt(lsn) };
  }

  #plan(lsn: number): ViewPlan {
    const most = Math.min(lsn, this.cursor.lsn);
    const below = this.steps.findLast(({ from }) => from <= most)?.from;
    const base = most === this.cursor.lsn ? most : below;
    if (base === undefined) throw new HomewardError('outside-window', `lsn:${lsn} cannot be shown any more`);
    const { layers, floor } = planLayers({
      segments: this.segments,
      floor: this.cursor.pruned,
      base,
      lsn,
      head: this.durableLsn,
      indexedFrom: Infinity, // nothing is indexed: every segment is read
      nextOrdinal: this.segments.length,
    });
    const undo = this.#undoFrom(base, lsn);
    return {
      counter: 0,
      replicas: this.#replicas,
      redo: layers.flatMap((layer): LayerSource[] => {
        if (layer.kind === 'unknown')
          return [{ kind: 'memory', table: unknownTable(layer.ordinal).transferable() }];
        if (layer.kind !== 'table' && layer.kind !== 'scan') return [];
        const { ordinal, precededBy, lastLsn } = layer.segment;
        const { afterLsn, lsn: upTo } =
          layer.kind === 'scan' ? layer : { afterLsn: precededBy, lsn: lastLsn };
        return [{ kind: 'redo-scan', ordinal, afterLsn, lsn: upTo }];
      }),
      floor,
      undo: undo.layers,
      segments: [...this.segments.map(asViewSegment), ...undo.segments],
      unknown: this.#unknown(),
    };
  }

  /** Behind a hole in undo no replica counts. What else is known of its place comes last. */
  #undoFrom(base: number, lsn: number): { layers: LayerSource[]; segments: ViewSegment[] } {
    const hole = this.holes.find(({ to }) => to > base && (to <= this.cursor.lsn || lsn < to));
    const steps = this.steps.filter(({ from, to }) => from >= base && to <= (hole?.from ?? Infinity));
    const segments = steps.map(({ path, from, to, bytes }, at) => {
      const fd = files.open(path);
      this.#open.push(fd);
      const ordinal = firstUndoOrdinal + at;
      return { ordinal, fd, path, firstLsn: from, precededBy: from - 1, lastLsn: to, end: bytes };
    });
    const layers = segments.map(({ ordinal }): LayerSource => ({ kind: 'undo-scan', ordinal }));
    layers.push(...this.#restOf(base, hole === undefined ? this.#unknown() : everywhere));
    if (hole !== undefined)
      layers.push({ kind: 'memory', table: unknownTable(firstUndoOrdinal + steps.length).transferable() });
    return { layers, segments };
  }

  /** What takes the place of replicas at `base` where these tell nothing: redo below it, and blank disks. */
  #restOf(base: number, wanted: Addresses): LayerSource[] {
    if (wanted.length === 0) return [];
    if (this.#rest?.base !== base) {
      const { machine } = this.#source;
      const floor = Math.min(this.cursor.pruned, base);
      const tables = [redoBelow({ files, machine, segments: this.segments, floor }, base, wanted)];
      if (floor === 0 && this.#beganBlank) tables.push(zerosOf(wanted));
      const layers = tables.map((table): LayerSource => ({ kind: 'memory', table: table.transferable() }));
      this.#rest = { base, layers };
    }
    return this.#rest.layers;
  }

  /** Before the first record every disk was zeros: nothing was copied to it, and none came later. */
  get #beganBlank(): boolean {
    const { path, seeded = [], before = [] } = this.file;
    return this.cursor.firstPoint === 0 && path !== 'chain' && seeded.length === 0 && before.length === 0;
  }

  /** Of replicas: what the cursor says, and all of those that are not there; in order, and apart. */
  #unknown(): [number, number][] {
    const gone = this.disks.flatMap(({ missing }, index): [number, number][] =>
      missing === null ? [] : [[machineAddress(index, 0), machineAddress(index, limits.diskBytes)]],
    );
    return joinRanges([...this.cursor.unknown, ...gone]);
  }

  /** While a step is open they are a mix, and so are the checksums. */
  get #replicas(): ReplicaSpan {
    const { lsn, stepTo } = this.cursor;
    const open = [...this.steps, ...this.holes].filter(({ from, to }) => from <= lsn && to > lsn);
    return { low: lsn, high: Math.max(lsn, stepTo ?? 0, ...open.map(({ to }) => to)) };
  }

  /** Gives back the cursor, or what stands in for one that is lost. */
  #openRedo(known: Cursor | LostCursor): Cursor {
    const { catalogue } = this;
    const isLost = known instanceof LostCursor;
    const beginsAt = isLost ? (lsn: number) => known.beginsAt(lsn) : null;
    const redo = { source: this.#source, directory: this.paths.redo, catalogue, cursor: known, beginsAt };
    const { segments, lastLsn } = openRescuedRedo(redo);
    this.segments = segments;
    const firstLsn = segments[0]?.firstLsn ?? null;
    const timeOf = (lsn: number): number | null => this.#recordTime(lsn);
    const cursor = isLost ? known.settle(this.file, { firstLsn, timeOf, catalogue }) : known;
    this.durableLsn = Math.max(lastLsn, cursor.lsn);
    return cursor;
  }

  #openReplica(disk: MachineFile['disks'][number], replicas: string | null): RescuedDisk {
    const { name, size } = disk;
    const index = this.disks.length;
    const gone = (missing: string): RescuedDisk => ({
      name,
      size,
      fd: -1,
      sparse: false,
      sums: null,
      missing,
    });
    if (this.cursorDamage !== null) return gone('it is not used without the cursor, which told its state');
    if (replicas === null && disk.replica.kind === 'file') return gone('no directory of replicas was given');
    const path = replicaPath(replicas ?? '', this.file.id, disk);
    try {
      const fd = files.open(path);
      this.#open.push(fd);
      const sums = join(this.paths.derived, `sums-${index}`);
      const there = { name, size, fd, sparse: disk.replica.kind === 'file', missing: null };
      if (disk.replica.kind === 'file' && files.size(fd) < size) return gone(`${path} is too small`);
      return { ...there, sums: fs.existsSync(sums) ? sums : null };
    } catch (error) {
      return gone(error instanceof Error ? error.message : String(error));
    }
  }

  #lsnAtTime(time: number, from: number): number {
    const segment = this.segments.findLast(({ firstTime, lastLsn }) => lastLsn > from && firstTime <= time);
    let found = from;
    this.#visit(segment, (header) => {
      if (header.time <= time) found = Math.max(found, header.lsn);
    });
    return found;
  }

  #visit(segment: Segment | undefined, record: (header: { lsn: number; time: number }) => void): void {
    if (segment === undefined) return;
    visitSegment(this.#source, segment, segment.lastLsn, { record, lost: () => undefined });
  }
}

const everywhere: Addresses = [[wholeMachine.start, wholeMachine.end]];

const asViewSegment = (segment: Segment): ViewSegment => {
  const { ordinal, fd, path, firstLsn, precededBy, lastLsn, end } = segment;
  return { ordinal, fd, path, firstLsn, precededBy, lastLsn, end };
};
