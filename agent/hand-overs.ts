// Hands machines over: one at a time, each in an order that a crash anywhere leaves either not begun or to be
// ended at the next start.
import { HomewardError, toHomewardError } from '../core/errors.ts';
import type { Clock } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import { parseListen } from '../core/names.ts';
import type { AssignedMachines } from './assigned-machines.ts';
import { isHeard } from './chain-status.ts';
import type { Chores } from './chores.ts';
import type { HandOverPlan, HandOverReport, HandOverRequest, OnProgress } from './control/service.ts';
import type { Ingests } from './ingest/ingests.ts';
import { tlsFor } from './listen-policy.ts';
import type { Machine } from './machine.ts';
import type { Machines } from './machines.ts';
import { handOverNote, isReleased, isUnderWay, planHandOver } from './recovery/hand-over.ts';
import { StateReader } from './recovery/hand-over-reader.ts';
import { dropHistory } from './recovery/hand-over-release.ts';
import { writeBack, type WrittenBack } from './recovery/hand-over-write.ts';
import { settleWhen } from './recovery/when.ts';
import type { Keeper } from './recovery/in-place.ts';
import type { Views } from './recovery/views.ts';
import type { HandOver } from './replica/machine-file.ts';

export interface HandOversParts {
  machines: Machines;
  ingests: Ingests;
  views: Views;
  assigned: AssignedMachines;
  janitor: Keeper;
  chores: Pick<Chores, 'settled'>;
  clock: Clock;
  log: Log;
  tlsDirectory: string;
  /** Serves the disks of a machine; false when they were served there. */
  openIngest(machine: Machine, listen: string): Promise<boolean>;
}

interface Work {
  allowDamaged: boolean;
  progress: OnProgress;
  signal: AbortSignal;
}

const nothingWritten: WrittenBack = { bytesWritten: 0, damaged: [] };

/**
 * Crash order of one that runs here: 1 the note in `machine.json`: its source is fenced · 2 `sync-begin`
 * of the next generation, what differs from the state, `sync-end` · 3 ledger · 4 the note: written · 5 its
 * ingest is open · 6 the cursor follows · 7 the note: done. Of a release: 1 the note · 2 the replicas are
 * flushed · 3 ledger · 4 the note: done; from here on nothing of it is opened · 5 its history goes.
 */
export class HandOvers {
  readonly #parts: HandOversParts;
  readonly #stopping = new AbortController();
  readonly #problems = new Map<string, HomewardError>();
  /** What reads a machine besides views, in words. */
  readonly #readers = new Map<string, string[]>();
  #work: Promise<unknown> = Promise.resolve();

  constructor(parts: HandOversParts) {
    this.#parts = parts;
  }

  /** Why one that was begun has not ended, or null. */
  problemOf(id: string): HomewardError | null {
    return this.#problems.get(id) ?? null;
  }

  /** A machine is not released while `work` reads it. */
  async during<T>(machine: Machine, what: string, work: () => Promise<T>): Promise<T> {
    const { id } = machine;
    this.#readers.set(id, [...(this.#readers.get(id) ?? []), what]);
    try {
      return await work();
    } finally {
      const left = [...(this.#readers.get(id) ?? [])];
      left.splice(left.indexOf(what), 1);
      this.#readers.set(id, left);
    }
  }

  /** A source that is connected is shown, not refused. */
  async plan(request: HandOverRequest): Promise<HandOverPlan> {
    const machine = this.#find(request.machine);
    return this.#plan(machine, { ...request, sourceIsOff: true }, await this.#momentOf(machine, request));
  }

  handOver(request: HandOverRequest, progress: OnProgress, signal: AbortSignal): Promise<HandOverReport> {
    return this.#inTurn(async () => {
      const machine = this.#find(request.machine);
      const plan = this.#plan(machine, request, await this.#momentOf(machine, request));
      const { listen } = { listen: '', ...plan.to };
      const exports = plan.to.kind === 'run' ? machine.file.disks.map(({ name }) => name) : [];
      if (plan.stage === 'done') return { ...plan, ...nothingWritten, exports, changed: false };
      if (plan.to.kind === 'run') tlsFor(parseListen(listen), this.#parts.tlsDirectory);
      const work = { allowDamaged: request.allowDamaged ?? false, progress, signal };
      const note = await this.#begin(machine, request, plan, work);
      const outcome = await this.#goOn(machine, note, work);
      return { ...plan, ...outcome, exports, changed: true };
    });
  }

  /** Before anybody can connect: what is under way takes no writes. */
  async fence(): Promise<void> {
    const { machines, ingests } = this.#parts;
    for (const { id, file } of machines.list()) if (file.handOver?.stage === 'begun') await ingests.close(id);
  }

  /** Ends what a crash or a stop has left under way. */
  resume(): void {
    for (const machine of this.#parts.machines.list()) {
      const note = machine.file.handOver;
      if (note === undefined || !isUnderWay(machine.file)) continue;
      const work = { allowDamaged: note.allowDamaged ?? false, progress: () => undefined };
      void this.#inTurn(() => this.#goOn(machine, note, { ...work, signal: this.#stopping.signal })).catch(
        (error: unknown) => {
          if (this.#stopping.signal.aborted) return;
          this.#parts.log.error('hand-over-failed', { machine: machine.name, error: toHomewardError(error) });
        },
      );
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new HomewardError('interrupted', 'the master target stops'));
    await this.#work;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => undefined);
    return done;
  }

  /** Also one that is being released, which nobody else gets. */
  #find(key: string): Machine {
    const { machines } = this.#parts;
    return machines.list().find(({ id, name }) => id === key || name === key) ?? machines.get(key);
  }

  /** The LSN that is asked for; null for where it is pinned. */
  async #momentOf(machine: Machine, { at }: HandOverRequest): Promise<number | null> {
    if (at === undefined) return null;
    return (await machine.resolve(settleWhen(at, this.#parts.clock.now()).at)).lsn;
  }

  #plan(machine: Machine, request: HandOverRequest, at: number | null): HandOverPlan {
    const { ingests, views, assigned, clock } = this.#parts;
    const { id, file, cursor, journal, history } = machine;
    const readers = [...(this.#readers.get(id) ?? [])];
    const open = views.ofMachine(id, null).map((view) => view.id);
    if (history.shownLsns.length > open.length)
      readers.push('a recovery, or a view that is just being opened');
    const isChain = file.path === 'chain';
    return planHandOver(
      {
        ...{ file, cursor, readers, views: open, catalogue: journal.catalogue, kept: history.kept, at },
        shows: (lsn) => history.shows(lsn),
        isStepOpen: history.timeline.open !== null,
        durableLsn: journal.durableLsn,
        denseLsn: history.denseLsn,
        listen: ingests.listenOf(id),
        isSourceConnected: isChain ? isHeard(assigned.reportOf(id)) : ingests.connectionsOf(id) > 0,
        now: clock.now(),
        timeOf: (lsn) => machine.timeOf(lsn),
        replicaPathOf: (disk) => machine.replicaPathOf(disk),
      },
      request,
    );
  }

  /** When it resolves, the note is durable: the source is fenced, and there is no way back. */
  async #begin(
    machine: Machine,
    request: HandOverRequest,
    plan: HandOverPlan,
    work: Work,
  ): Promise<HandOver> {
    const { clock, log } = this.#parts;
    const { handOver } = machine.file;
    if (plan.stage === 'resumes' && handOver !== undefined) {
      const { allowDamaged } = work;
      const again = { ...handOver, to: plan.to, ...(allowDamaged && { allowDamaged }) };
      machine.changeFile({ handOver: again });
      return again;
    }
    if (plan.to.kind === 'run') {
      await this.#writeBack(machine, plan.lsn, work, true);
      // It may have been moved on meanwhile.
      this.#plan(machine, { ...request, lsn: plan.lsn }, request.at === undefined ? null : plan.lsn);
    }
    const note = handOverNote(plan, work.allowDamaged, clock.now());
    machine.changeFile({ handOver: note });
    log.info('hand-over-begun', { machine: machine.name, lsn: note.lsn, ...note.to });
    return note;
  }

  async #goOn(machine: Machine, note: HandOver, work: Work): Promise<WrittenBack> {
    const { assigned, ingests } = this.#parts;
    try {
      const { allowDamaged = work.allowDamaged } = note;
      await assigned.fence(machine.id);
      if (note.stage === 'begun') await ingests.close(machine.id);
      const fenced = await this.#fenced(machine, note);
      const outcome = isReleased(machine.file)
        ? await this.#release(machine, fenced)
        : await this.#run(machine, fenced, { ...work, allowDamaged });
      this.#problems.delete(machine.id);
      void assigned.shutOut(machine.id);
      return outcome;
    } catch (thrown) {
      const error = toHomewardError(thrown);
      if (isUnderWay(machine.file)) this.#problems.set(machine.id, error);
      throw error;
    }
  }

  /** With what its process server is shown: the newest of the source that is here, and what lies above. */
  async #fenced(machine: Machine, note: HandOver): Promise<HandOver> {
    const { file, journal } = machine;
    if (file.path !== 'chain' || note.fence !== undefined) return note;
    await journal.commit();
    const fence = { generation: journal.generation + 1, durable: journal.durableLsn };
    const fenced = { ...note, fence };
    machine.changeFile({ handOver: fenced });
    return fenced;
  }

  async #run(machine: Machine, note: HandOver, work: Work): Promise<WrittenBack> {
    const { openIngest, janitor, log } = this.#parts;
    const { to, lsn } = note;
    if (to.kind !== 'run') throw new HomewardError('bug', 'a release does not run here');
    let outcome = nothingWritten;
    if (note.stage === 'begun') {
      outcome = await this.#writeNewest(machine, note, work);
      machine.changeFile({ path: 'ingest', handOver: { ...note, stage: 'written' } });
    }
    await openIngest(machine, to.listen);
    if (machine.cursor.pin !== null) machine.moveCursor({ pin: null });
    machine.changeFile({ handOver: { ...note, stage: 'done' } });
    const { generation, headLsn } = machine.journal;
    log.info('handed-over', { machine: machine.name, lsn, headLsn, generation, listen: to.listen });
    janitor.wake();
    return outcome;
  }

  /** The newest state becomes the one at `lsn`, by records of the next generation. */
  async #writeNewest(machine: Machine, { to, lsn }: HandOver, work: Work): Promise<WrittenBack> {
    const { journal, ledger, file } = machine;
    await journal.commit();
    journal.generation += 1;
    const disks = file.disks.map(({ name, size }) => ({ name, size }));
    await journal.syncBegin({ reason: `handed over at lsn:${lsn}`, disks });
    const outcome = await this.#writeBack(machine, lsn, work, false);
    const end = await journal.syncEnd();
    const why = to.kind === 'run' ? `runs on ${to.listen}` : '';
    ledger.append({ event: 'handed-over', from: lsn, to: end.lsn, why });
    await ledger.settle();
    return outcome;
  }

  async #writeBack(machine: Machine, lsn: number, work: Work, isTrial: boolean): Promise<WrittenBack> {
    const { cursor, journal, file } = machine;
    const reader = new StateReader(machine.hold(lsn));
    const signal = AbortSignal.any([work.signal, this.#stopping.signal]);
    try {
      const { unknown } = cursor;
      const isLost = journal.catalogue.lost.some(({ to }) => to > lsn);
      const of = { journal, reader, disks: file.disks, unknown, isLost };
      return await writeBack({ ...work, ...of, isTrial, signal });
    } finally {
      await reader.close();
    }
  }

  async #release(machine: Machine, note: HandOver): Promise<WrittenBack> {
    const { machines, janitor, chores, log } = this.#parts;
    const { id, name, ledger, paths, journal } = machine;
    machines.letGo(machine);
    try {
      await janitor.settled();
      await chores.settled(id);
      for (const store of machine.replicas) await store.flush();
      const why = note.to.kind === 'release' ? note.to.name : '';
      ledger.append({ event: 'released', from: note.lsn, to: journal.headLsn, why });
      await ledger.settle();
      machine.changeFile({ handOver: { ...note, stage: 'done' } });
    } catch (error) {
      machines.takeBackIn(machine);
      throw error;
    }
    await machine.close().catch((error: unknown) => {
      log.warn('machine-close-failed', { machine: id, error: toHomewardError(error) });
    });
    log.info('released', {
      machine: name,
      lsn: note.lsn,
      to: note.to.kind === 'release' ? note.to.name : '',
    });
    dropHistory(paths, machine.file, log);
    return nothingWritten;
  }
}
