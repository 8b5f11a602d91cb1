// One protected machine on this master target: its journal, cursor, replicas and the ways to read it.
import type { FileStore } from '../core/block/file-store.ts';
import { formatTime } from '../core/clock.ts';
import { errnoOf, HomewardError, toHomewardError } from '../core/errors.ts';
import { hostFiles } from '../core/files/host-files.ts';
import { limits } from '../core/limits.ts';
import { microseconds } from '../core/units.ts';
import { HeadReader } from './ingest/head-reader.ts';
import { Journal } from './journal/journal.ts';
import { machinePaths, type MachinePaths } from './machine-paths.ts';
import type { MachineContext } from './machine-context.ts';
import { makeMachineFiles, removeMachineFiles, type NewMachine } from './make-machine.ts';
import { readCursor, writeCursor, type Cursor } from './replica/cursor.ts';
import {
  disksAt,
  readMachineFile,
  writeMachineFile,
  type MachineFile,
  type ProtectedDisk,
} from './replica/machine-file.ts';
import { growReplicas, openReplicas, replicaPath } from './replica/replicas.ts';
import type { HeldContent, ViewContent } from './replica/view-content.ts';
import { parseWhen, resolveWhen, type Moments } from './recovery/when.ts';

const seedingReason = 'initial sync';

export class Machine {
  readonly file: MachineFile;
  readonly paths: MachinePaths;
  readonly journal: Journal;
  readonly replicas: FileStore[];
  readonly reader: HeadReader;
  readonly #context: MachineContext;
  #cursor: Cursor;
  /** Opened again since; still lent to readers. */
  readonly #outgrown: FileStore[] = [];
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

  /** A machine that was not there. */
  static async create(context: MachineContext, machine: NewMachine): Promise<Machine> {
    try {
      await makeMachineFiles(context, machine);
      return await Machine.open(context, machine.id);
    } catch (error) {
      removeMachineFiles(context, machine.id);
      throw error;
    }
  }

  /** Takes back a machine that nobody has written to. */
  async takeBack(): Promise<void> {
    await this.close();
    removeMachineFiles(this.#context, this.id);
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
      openGap: file.seeding
        ? { from: 1, time: Date.parse(file.created) * 1000, reason: seedingReason }
        : cursor.gap,
    });
  }

  get id(): string {
    return this.file.id;
  }
  get name(): string {
    return this.file.name;
  }
  replicaPathOf(disk: ProtectedDisk): string {
    return replicaPath(this.#context.replicas, this.id, disk);
  }
  get reserveBytes(): number {
    return this.#context.config.retentionReserveBytes;
  }
  get windowMs(): number | null {
    return this.file.windowMs ?? null;
  }
  get cursor(): Readonly<Cursor> {
    return this.#cursor;
  }

  /**
   * Crash order: cursor first (the point is there), then `machine.json` (no longer seeding). One that could
   * not be written has not moved: what is pruned by it would be missed after a crash.
   */
  moveCursor(change: Partial<Cursor>): void {
    const { durableLsn: durable, generation, catalogue } = this.journal;
    const cursor = { ...this.#cursor, durable, generation, ...change };
    const gap = catalogue.gapAt(cursor.lsn);
    const isLater = gap !== null && gap.from > (cursor.firstPoint ?? Infinity);
    const moved: Cursor = {
      ...cursor,
      gap: isLater ? { from: gap.from, time: gap.fromTime, reason: gap.reason } : null,
    };
    writeCursor(this.paths.cursorFile, moved);
    this.#cursor = moved;
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
    if (firstPoint === null) return null;
    const base = Math.max(firstPoint, lsn, stepTo ?? 0);
    return this.journal.catalogue.gapAt(base)?.to ?? base;
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
    return this.#hold(lsn, disksAt(this.file, lsn));
  }

  /**
   * The same for the state that a sync compares with, whether it is a point or not. Throws 'pruned' when
   * the cursor is past it. Its disks are those of now: what was not there is zeros.
   */
  holdForSync(lsn: number): HeldContent {
    const { lsn: applied, stepTo } = this.#cursor;
    if (lsn < Math.max(applied, stepTo ?? 0) || lsn > this.journal.headLsn)
      throw new HomewardError('pruned', `the state of ${this.name} at lsn:${lsn} is not there any more`);
    return this.#hold(lsn, this.file.disks);
  }

  #hold(lsn: number, disks: readonly { name: string; size: number }[]): HeldContent {
    const snapshot = this.journal.snapshot(lsn, this.#cursor.lsn);
    const key = Symbol('view');
    this.#shown.set(key, lsn);
    const content: ViewContent = {
      mark: this.journal.source.mark,
      lsn,
      tables: snapshot.tables.map((table) => table.transferable()),
      firstLiveSegment: snapshot.firstLiveSegment,
      unknown: this.#cursor.unknown,
      segments: [...snapshot.segments].map(([ordinal, { fd, firstLsn, path }]) => ({
        ordinal,
        fd,
        firstLsn,
        path,
      })),
      disks: disks.map(({ name, size }, index) => ({
        name,
        size,
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
      for (const store of [...this.replicas, ...this.#outgrown]) await store.close();
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
    this.settleFirstSync();
    if (!this.file.seeding || this.file.path === 'chain' || this.journal.headLsn > 0) return;
    this.journal.generation += 1;
    const disks = this.file.disks.map(({ name, size }) => ({ name, size }));
    await this.journal.syncBegin({ reason: seedingReason, disks });
  }

  /** The first sync that is known to have ended durably ends the first copy. */
  settleFirstSync(): void {
    if (!this.file.seeding) return;
    const end = this.journal.catalogue.gaps.find(({ to }) => to !== null)?.to ?? null;
    if (end !== null && end <= this.journal.durableLsn) this.#endSeeding(end);
  }

  /**
   * What is said of it changes; written twice, so that the file beside `machine.json` says it too. When that
   * fails nothing counts as changed.
   */
  changeFile(change: Partial<Pick<MachineFile, 'name' | 'disks' | 'seeded' | 'before' | 'windowMs'>>): void {
    const changed = { ...this.file, ...change };
    for (let times = 0; times < 2; times++) writeMachineFile(this.paths.machineFile, changed);
    Object.assign(this.file, change);
  }

  /** Gives disks that have grown, or are new, the room that they need in their replicas. */
  growReplicas(disks: readonly ProtectedDisk[]): void {
    this.#outgrown.push(...growReplicas(this.#context.replicas, { id: this.id, disks }, this.replicas));
  }

  #endSeeding(lsn: number): void {
    this.moveCursor({ firstPoint: lsn });
    this.file.seeding = false;
    writeMachineFile(this.paths.machineFile, this.file);
  }
}
