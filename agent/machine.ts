// One protected machine on this master target: its journal, cursor, replicas and the ways to read it.
import fs from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { FileStore } from '../core/block/file-store.ts';
import { syncDirectorySync } from '../core/atomic-file.ts';
import { formatTime, type Clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { errnoOf, HomewardError, toHomewardError } from '../core/errors.ts';
import type { BackgroundMerger } from '../core/extents/background-merger.ts';
import { hostFiles } from '../core/files/host-files.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import { microseconds } from '../core/units.ts';
import { HeadReader } from './ingest/head-reader.ts';
import { Journal } from './journal/journal.ts';
import { machinePaths, type MachinePaths } from './machine-paths.ts';
import { readCursor, writeCursor, type Cursor } from './replica/cursor.ts';
import {
  readMachineFile,
  writeMachineFile,
  type MachineFile,
  type ProtectedDisk,
} from './replica/machine-file.ts';
import { blankDevices, createReplicas, openReplicas } from './replica/replicas.ts';
import type { ViewContent } from './replica/view-content.ts';
import { parseWhen, resolveWhen, type Moments } from './recovery/when.ts';

/** What all machines of a daemon share. */
export interface MachineContext {
  retention: string;
  replicas: string;
  config: Config;
  clock: Clock;
  log: Log;
  merger: BackgroundMerger;
}

/** A view's content, with everything it needs held until `release`. */
export interface HeldContent {
  content: ViewContent;
  release(): void;
}

const seedingReason = 'initial sync';

export class Machine {
  readonly file: MachineFile;
  readonly paths: MachinePaths;
  readonly journal: Journal;
  readonly replicas: readonly FileStore[];
  readonly reader: HeadReader;
  readonly #context: MachineContext;
  #cursor: Cursor;
  /** LSNs that open views and recoveries show: nothing below the least is applied. */
  readonly #shown = new Map<symbol, number>();

  private constructor(
    context: MachineContext,
    file: MachineFile,
    cursor: Cursor,
    journal: Journal,
    replicas: FileStore[],
  ) {
    this.#context = context;
    this.file = file;
    this.paths = machinePaths(context.retention, file.id);
    this.journal = journal;
    this.replicas = replicas;
    this.reader = new HeadReader(
      journal,
      replicas,
      file.disks.map((disk) => disk.name),
    );
    this.#cursor = cursor;
  }

  /**
   * A machine that was not there. Crash order: `machine.json` comes last; without it the directory counts
   * for nothing.
   */
  static async create(
    context: MachineContext,
    name: string,
    disks: ProtectedDisk[],
    seeding: boolean,
  ): Promise<Machine> {
    const file: MachineFile = {
      id: randomUUID(),
      name,
      created: formatTime(context.clock.now()),
      disks,
      seeding,
    };
    const paths = machinePaths(context.retention, file.id);
    try {
      fs.mkdirSync(paths.redo, { recursive: true, mode: 0o750 });
      createReplicas(context.replicas, file);
      if (!seeding) await blankDevices(context.replicas, file);
      const time = context.clock.now();
      writeCursor(paths.cursorFile, {
        lsn: 0,
        stepTo: null,
        pin: null,
        generation: 1,
        durable: 0,
        firstPoint: seeding ? null : 0,
        time,
      });
      writeMachineFile(paths.machineFile, file);
      syncDirectorySync(context.retention);
      return await Machine.open(context, file.id);
    } catch (error) {
      Machine.#remove(context, file.id);
      throw error;
    }
  }

  /**
   * Takes back a machine that nobody has written to. One rename makes it nobody's; a crash after it leaves
   * files only.
   */
  async takeBack(): Promise<void> {
    await this.close();
    Machine.#remove(this.#context, this.id);
  }

  static #remove({ retention, replicas }: MachineContext, id: string): void {
    const { directory } = machinePaths(retention, id);
    const removed = `${directory}.removed`;
    if (fs.existsSync(directory)) fs.renameSync(directory, removed);
    fs.rmSync(removed, { recursive: true, force: true });
    fs.rmSync(join(replicas, id), { recursive: true, force: true });
  }

  /**
   * A machine whose directory is there. Throws `foreign-machine`, `foreign-segment`, `damaged`, `target-
   * missing` ….
   */
  static async open(context: MachineContext, id: string): Promise<Machine> {
    const paths = machinePaths(context.retention, id);
    let damaged: HomewardError | null = null;
    const file = readMachineFile(paths.machineFile, (why) => {
      damaged = why;
    });
    if (file.id !== id) {
      throw new HomewardError(
        'foreign-machine',
        `${paths.directory} holds machine ${file.id} (${file.name}), not ${id}`,
      );
    }
    const cursor = readCursor(paths.cursorFile);
    // It is written first when the first copy ends; the records that tell of that may be pruned by now.
    if (cursor.firstPoint !== null) file.seeding = false;
    if (damaged !== null) Machine.#mendFile(context, file, damaged);
    const replicas = await openReplicas(context.replicas, file, {
      untouched: cursor.lsn === 0 && cursor.firstPoint === 0,
      log: context.log,
    });
    try {
      const journal = await Machine.#openJournal(context, file, cursor);
      const machine = new Machine(context, file, cursor, journal, replicas);
      machine.noteDurable();
      await machine.#settleSeeding();
      return machine;
    } catch (error) {
      for (const store of replicas) await store.close();
      throw error;
    }
  }

  /** The file beside `machine.json` was read in its place. A full volume can do without a new one. */
  static #mendFile({ log, retention }: MachineContext, file: MachineFile, why: HomewardError): void {
    const { machineFile } = machinePaths(retention, file.id);
    log.warn('used-previous-file', { machine: file.id, file: machineFile, error: why });
    try {
      writeMachineFile(machineFile, file);
    } catch (error) {
      log.warn('machine-file-not-written', { machine: file.id, errno: errnoOf(error) });
    }
  }

  static #openJournal(context: MachineContext, file: MachineFile, cursor: Cursor): Promise<Journal> {
    const { config } = context;
    return Journal.open({
      files: hostFiles,
      clock: context.clock,
      log: context.log,
      merger: context.merger,
      directory: machinePaths(context.retention, file.id).redo,
      machine: Buffer.from(file.id.replaceAll('-', ''), 'hex'),
      generation: cursor.generation,
      segmentBytes: config.segmentBytes,
      reserveBytes: config.retentionReserveBytes,
      syncBytes: limits.syncBytes,
      syncIntervalMs: config.syncIntervalMs,
      appliedLsn: cursor.lsn,
      durableLsn: cursor.durable,
      openGap: file.seeding ? { lsn: 1, time: Date.parse(file.created) * 1000, reason: seedingReason } : null,
    });
  }

  get id(): string {
    return this.file.id;
  }
  get name(): string {
    return this.file.name;
  }
  get reserveBytes(): number {
    return this.#context.config.retentionReserveBytes;
  }
  get cursor(): Readonly<Cursor> {
    return this.#cursor;
  }

  /** Crash order: cursor first (the point is there), then `machine.json` (no longer seeding). */
  moveCursor(change: Partial<Cursor>): void {
    const durable = this.journal.durableLsn;
    this.#cursor = { ...this.#cursor, durable, generation: this.journal.generation, ...change };
    writeCursor(this.paths.cursorFile, this.#cursor);
  }

  /** Ends the first copy: everything before is one point, and the first. */
  async seeded(): Promise<{ lsn: number; time: number }> {
    if (!this.file.seeding) throw new HomewardError('conflict', `${this.name} is not being seeded`);
    const end = await this.journal.syncEnd();
    this.#endSeeding(end.lsn);
    this.journal.roll();
    return end;
  }

  /** Its history began with a first copy, which has ended. */
  get wasSeeded(): boolean {
    return (this.#cursor.firstPoint ?? 0) > 0;
  }

  /** Between these, points can be shown; null while there is none. */
  get oldestLsn(): number | null {
    const { firstPoint, lsn, stepTo } = this.#cursor;
    return firstPoint === null ? null : Math.max(firstPoint, lsn, stepTo ?? 0);
  }

  /** The least LSN that an open view shows, or null. */
  get leastShownLsn(): number | null {
    return this.#shown.size === 0 ? null : Math.min(...this.#shown.values());
  }

  /** The LSN that WHEN, as typed, means now. What is appended is made durable first. */
  async resolve(when: string): Promise<{ lsn: number; time: number | null }> {
    const parsed = parseWhen(when);
    // A journal that cannot be written must still give its points back: what cannot be made durable is just
    // none of them.
    await this.journal
      .commit()
      .catch((error: unknown) =>
        this.#context.log.warn('commit-failed', { machine: this.name, error: toHomewardError(error) }),
      );
    const lsn = resolveWhen(parsed, this.moments());
    return { lsn, time: this.timeOf(lsn) };
  }

  moments(): Moments {
    const { journal } = this;
    const oldest = this.oldestLsn;
    return {
      oldest: oldest === null ? null : { lsn: oldest, time: this.timeOf(oldest) ?? 0 },
      newest: { lsn: journal.durableLsn, time: Math.max(journal.lastTime, this.#cursor.time) },
      now: this.#context.clock.now(),
      catalogue: journal.catalogue,
      lsnAtTime: (time) => journal.lsnAtTime(time, oldest ?? 0),
    };
  }

  /**
   * Stamp of a record in microseconds; for the cursor what the cursor file says; null when it is not known
   * any more.
   */
  timeOf(lsn: number): number | null {
    if (lsn === this.journal.headLsn && this.journal.lastTime > 0) return this.journal.lastTime;
    return lsn === this.#cursor.lsn ? this.#cursor.time : this.journal.timeOf(lsn);
  }

  /**
   * Content at `lsn`, which `resolve` gave. Until `release`, nothing that it needs is applied over or
   * pruned.
   */
  hold(lsn: number): HeldContent {
    // Since `resolve` a step may have begun.
    if (lsn < (this.oldestLsn ?? Infinity)) {
      throw new HomewardError(
        'outside-window',
        `lsn:${lsn} has just left the window, which begins at lsn:${this.oldestLsn}`,
      );
    }
    const snapshot = this.journal.snapshot(lsn, this.#cursor.lsn);
    const key = Symbol('view');
    this.#shown.set(key, lsn);
    const content: ViewContent = {
      mark: this.journal.source.mark,
      lsn,
      tables: snapshot.tables.map((table) => table.transferable()),
      firstLiveSegment: snapshot.firstLiveSegment,
      segments: [...snapshot.segments].map(([ordinal, { fd, firstLsn, path }]) => ({
        ordinal,
        fd,
        firstLsn,
        path,
      })),
      disks: this.file.disks.map((disk, index) => ({
        name: disk.name,
        size: disk.size,
        fd: this.replicas[index]?.fd ?? -1,
        sparse: this.replicas[index]?.kind === 'file',
      })),
    };
    return {
      content,
      release: () => {
        this.#shown.delete(key);
        snapshot.release();
      },
    };
  }

  /** RFC 3339 of a stamp, or null. */
  static spellTime(time: number | null): string | null {
    return time === null ? null : formatTime(microseconds(time));
  }

  async close(): Promise<void> {
    try {
      await this.journal.close();
      this.moveCursor({});
    } finally {
      for (const store of this.replicas) await store.close();
    }
  }

  /**
   * Recovery may have learned of a higher durable LSN from a frame that is gone now. A full volume can do
   * without.
   */
  noteDurable(): void {
    if (this.journal.durableLsn <= this.#cursor.durable) return;
    try {
      this.moveCursor({});
    } catch (error) {
      this.#context.log.warn('cursor-not-written', { machine: this.name, errno: errnoOf(error) });
    }
  }

  /** After a crash between the records and the files that tell of them, what the records say holds. */
  async #settleSeeding(): Promise<void> {
    if (!this.file.seeding) return;
    const end = this.journal.catalogue.gaps.at(-1)?.to ?? null;
    if (end !== null) return this.#endSeeding(end);
    if (this.journal.headLsn > 0) return;
    this.journal.generation += 1;
    const disks = this.file.disks.map(({ name, size }) => ({ name, size }));
    await this.journal.syncBegin({ reason: seedingReason, disks });
  }

  #endSeeding(lsn: number): void {
    this.moveCursor({ firstPoint: lsn });
    this.file.seeding = false;
    writeMachineFile(this.paths.machineFile, this.file);
  }
}
