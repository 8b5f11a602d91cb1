// One protected machine on this master target: its journal, cursor, replicas and the ways to read it.
import { join } from 'node:path';
import type { FileStore } from '../core/block/file-store.ts';
import { formatTime } from '../core/clock.ts';
import { errnoOf, HomewardError, toHomewardError } from '../core/errors.ts';
import { hostFiles } from '../core/files/host-files.ts';
import { limits } from '../core/limits.ts';
import { microseconds } from '../core/units.ts';
import { History } from './replica/history.ts';
import { boundaryTags } from './replica/points.ts';
import { HeadReader } from './ingest/head-reader.ts';
import type { Journal } from './journal/journal.ts';
import { openBreaks, type LedgerBreak } from './journal/ledger-breaks.ts';
import { Ledger } from './journal/ledger.ts';
import { RedoHeal } from './journal/redo-heal.ts';
import { machinePaths, type MachinePaths } from './machine-paths.ts';
import type { MachineContext } from './machine-context.ts';
import { makeMachineFiles, removeMachineFiles, type NewMachine } from './make-machine.ts';
import { openJournal, seedingReason } from './open-journal.ts';
import { SumsKeeper } from './sums-keeper.ts';
import { openCursor, writeCursor, type Cursor } from './replica/cursor.ts';
import {
  disksAt,
  readMachineFile,
  writeMachineFile,
  type MachineFile,
  type ProtectedDisk,
} from './replica/machine-file.ts';
import { SignalWatch } from './replica/signal/watch.ts';
import { growReplicas, openReplicas, replicaPath } from './replica/replicas.ts';
import { UndoLog } from './replica/undo/undo-log.ts';
import type { LentDisk } from './replica/undo/undo-step.ts';
import type { HeldContent, ViewDisk } from './replica/view-content.ts';
import { longestKeptMs, machinePolicy } from './retention/machine-policy.ts';
import { WriteRates } from './retention/write-rates.ts';
import { lsnUnderWay } from './recovery/hand-over.ts';
import { parseWhen, resolveWhen, type Moments } from './recovery/when.ts';

interface Opened {
  file: MachineFile;
  cursor: Cursor;
  journal: Journal;
  replicas: FileStore[];
  undo: UndoLog;
  ledger: Ledger;
}

export class Machine {
  readonly file: MachineFile;
  readonly paths: MachinePaths;
  readonly journal: Journal;
  readonly replicas: FileStore[];
  readonly reader: HeadReader;
  readonly ledger: Ledger;
  readonly history: History;
  readonly heal: RedoHeal;
  readonly rates = new WriteRates();
  /** What was there at the start. */
  readonly openedLsn: number;
  readonly signal: SignalWatch;
  /** What of `journal.taken` the rates know. */
  readonly sums = new SumsKeeper();
  #rated = { records: 0, bytes: 0, flushes: 0 };
  readonly #context: MachineContext;
  #cursor: Cursor;
  /** Opened again since; still lent to readers. */
  readonly #outgrown: FileStore[] = [];
  private constructor(context: MachineContext, { file, cursor, journal, replicas, undo, ledger }: Opened) {
    this.#context = context;
    this.file = file;
    this.paths = machinePaths(context.retention, file.id);
    this.journal = journal;
    this.replicas = replicas;
    this.reader = new HeadReader(
      journal,
      replicas,
      file.disks.map((disk) => disk.name),
      () => this.#cursor.unknown,
    );
    this.#cursor = cursor;
    this.ledger = ledger;
    this.openedLsn = journal.headLsn;
    this.signal = new SignalWatch(context.work, context.log, file.marks);
    this.history = new History({
      name: () => this.name,
      handOverLsn: () => lsnUnderWay(this.file),
      files: hostFiles,
      work: this.signal.work,
      undo,
      journal,
      ledger,
      undoDirectory: this.paths.undo,
      derived: this.paths.derived,
      disks: () => this.lentDisks,
      cursor: () => this.#cursor,
      moveCursor: (change) => this.moveCursor(change),
      flushBytes: limits.applyFlushBytes,
      mend: (damaged) => this.heal.mend(damaged.flatMap(({ file: path }) => (path === null ? [] : [path]))),
    });
    this.heal = new RedoHeal({
      ...{ name: file.name, directory: this.paths.redo, journal, ledger, log: context.log },
      isPulled: () => file.path === 'chain' && file.handOver === undefined,
      replaced: () => this.history.replan(),
    });
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
    const cursor = openCursor(paths.cursorFile, context.log);
    // It is written first when the first copy ends; the records that tell of that may be pruned by now.
    if (cursor.firstPoint !== null) file.seeding = false;
    if (damaged !== null) Machine.#mendFile(context, file, damaged);
    const replicas = await openReplicas(context.replicas, file, {
      untouched: cursor.lsn === 0 && cursor.firstPoint === 0,
      log: context.log,
    });
    try {
      const ledger = await Ledger.open({
        files: hostFiles,
        clock: context.clock,
        log: context.log,
        path: paths.ledger,
      });
      const journal = await openJournal(context, file, cursor);
      const undo = UndoLog.open({
        files: hostFiles,
        directory: paths.undo,
        derived: paths.derived,
        machine: journal.source.machine,
        cursorLsn: cursor.lsn,
        log: context.log,
      });
      for (const tag of boundaryTags(undo.steps, cursor)) journal.catalogue.enterTag(tag);
      const machine = new Machine(context, { file, cursor, journal, replicas, undo, ledger });
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
      tag: catalogue.tagAt(cursor.lsn),
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

  get oldestLsn(): number | null {
    return this.history.oldestLsn;
  }

  get lentDisks(): LentDisk[] {
    return this.file.disks.map(({ size }, index) => {
      const store = this.replicas[index];
      const sparse = store?.kind === 'file';
      const blank = sparse && this.#cursor.firstPoint === 0;
      return { fd: store?.fd ?? -1, size, sparse, sums: this.#sumsPath(index), blank };
    });
  }

  #sumsPath(disk: number): string {
    return join(this.paths.derived, `sums-${disk}`);
  }

  /** Where its account was damaged at a start, as far as that concerns what is kept. */
  get ledgerBreaks(): LedgerBreak[] {
    const { config, clock } = this.#context;
    const { oldestLsn } = this;
    const longestMs = longestKeptMs(machinePolicy(this.file, config));
    return openBreaks(this.ledger.breaks, { oldestLsn, longestMs, now: clock.now() });
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
    const { journal, history } = this;
    const oldest = history.denseLsn;
    return {
      oldest: oldest === null ? null : { lsn: oldest, time: this.timeOf(oldest) ?? 0 },
      kept: history.kept,
      marks: this.file.marks ?? [],
      newest: { lsn: journal.durableLsn, time: Math.max(journal.lastTime, this.#cursor.time) },
      now: this.#context.clock.now(),
      catalogue: journal.catalogue,
      isBoundary: (lsn) => history.timeline.base(lsn) === lsn,
      lsnAtTime: (time) => journal.lsnAtTime(time, oldest ?? 0),
    };
  }

  /**
   * Stamp of a record in microseconds; for the cursor what the cursor file says; null when it is not known
   * any more.
   */
  timeOf(lsn: number): number | null {
    if (lsn === this.#cursor.lsn) return this.#cursor.time;
    if (lsn === this.journal.headLsn && this.journal.lastTime > 0) return this.journal.lastTime;
    return this.history.boundaryTime(lsn) ?? this.journal.timeOf(lsn);
  }

  /** Content at `lsn`, which `resolve` gave. Until `release`, nothing that it needs is pruned. */
  hold(lsn: number): HeldContent {
    return this.history.hold(lsn, this.#viewDisks(disksAt(this.file, lsn)));
  }

  /**
   * The same for the state that a sync compares with. Its disks are those of now: what was not there is
   * zeros.
   */
  holdForSync(lsn: number): HeldContent {
    return this.history.holdForSync(lsn, this.#viewDisks(this.file.disks));
  }

  #viewDisks(disks: readonly { name: string; size: number }[]): ViewDisk[] {
    return disks.map(({ name, size }, index) => {
      const replica = this.replicas[index];
      const sums = this.#sumsPath(index);
      return { name, size, fd: replica?.fd ?? -1, sparse: replica?.kind === 'file', sums };
    });
  }

  /** Looks at what the last step did to content; to be called before anything is pruned. */
  lookAtSignal(): Promise<void> {
    return this.signal.look(this);
  }

  /** RFC 3339 of a stamp, or null. */
  static spellTime(time: number | null): string | null {
    return time === null ? null : formatTime(microseconds(time));
  }

  async close(): Promise<void> {
    await this.heal.stop();
    try {
      await this.journal.close();
      await this.ledger.close();
      this.moveCursor({});
    } finally {
      for (const store of [...this.replicas, ...this.#outgrown]) await store.close();
    }
  }

  /** Enters what was taken since the last call into the rates; `now` is in microseconds. */
  noteRates(now: number): void {
    const { records, bytes, flushes } = this.journal.taken;
    const before = this.#rated;
    if (records > before.records) this.rates.note(now, bytes - before.bytes, records - before.records);
    if (flushes > before.flushes) this.rates.noteFlush(now, flushes - before.flushes);
    this.#rated = { records, bytes, flushes };
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
  changeFile(change: Partial<Omit<MachineFile, 'id' | 'created' | 'seeding'>>): void {
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
