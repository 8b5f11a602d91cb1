// The open views of a daemon: each served by a thread of its own, until it is closed or its lease ends; they
// come back after a restart, with what was written to them.
import { randomBytes } from 'node:crypto';
import { formatTime, type Clock } from '../../core/clock.ts';
import { HomewardError, toHomewardError, type ErrorCode } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log, LogLevel } from '../../core/log.ts';
import { formatListen, parseListen, type Listen } from '../../core/names.ts';
import type { NbdAddress } from '../../core/nbd/server.ts';
import type { NbdTls } from '../../core/nbd/tls.ts';
import { microseconds } from '../../core/units.ts';
import type { ViewReport } from '../control/service.ts';
import type { HeldContent } from '../replica/view-content.ts';
import { Scratches } from './scratch.ts';
import { ViewRecords, type ViewRecord } from './view-records.ts';
import { ViewThread } from './view-thread.ts';

export interface OpenViewRequest {
  machine: { id: string; name: string };
  held: HeldContent;
  /** RFC 3339, or null when it is not known. */
  time: string | null;
  listen: Listen;
  tls: NbdTls | null;
  leaseMs: number | null;
  /** Null for one that cannot be written. */
  scratchBytes: number | null;
  /** How it comes back after a restart; null for one that does not, because its user would be gone. */
  lasting: { tls: boolean } | null;
}

/** What a recorded view is opened with again. */
export interface RestoredView {
  held: HeldContent;
  tls: NbdTls | null;
}

interface OpenView {
  report: ViewReport;
  machineId: string;
  thread: ViewThread;
  lease: NodeJS.Timeout | null;
}

const timerMsMost = 2 ** 31 - 1;
/** What says that a point is gone for good, and not that it cannot be had just now. */
const goneCodes: readonly ErrorCode[] = ['outside-window', 'pruned', 'thinned', 'in-gap', 'no-such-machine'];

export class Views {
  readonly #open = new Map<string, OpenView>();
  /** Those that are being opened. */
  #opening = 0;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #logLevel: LogLevel;
  readonly #records: ViewRecords;
  readonly #scratches: Scratches;

  constructor(options: { data: string; clock: Clock; log: Log; logLevel: LogLevel }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#logLevel = options.logLevel;
    this.#records = new ViewRecords(options.data, options.log);
    this.#scratches = new Scratches(options.data);
  }

  list(): ViewReport[] {
    return [...this.#open.values()].map(({ report }) => report);
  }

  /**
   * Serves what is held; it is released when the view ends, also when it cannot be opened. Crash order: 1 an
   * empty scratch · 2 it is served · 3 it is recorded. Before 3 nobody knows of it, and at the next start its
   * scratch goes.
   */
  async open(request: OpenViewRequest): Promise<ViewReport> {
    if (this.#open.size + this.#opening >= limits.views) {
      request.held.release();
      throw new HomewardError('conflict', `${limits.views} views are open, which is the most`, {
        hint: 'Close one with `homeward view close ID`; `homeward views` lists them.',
      });
    }
    const id = randomBytes(4).toString('hex');
    const { leaseMs, scratchBytes } = request;
    const expiresAt = leaseMs === null ? null : this.#endOf(leaseMs);
    this.#opening += 1;
    try {
      if (scratchBytes !== null) this.#makeScratch(id, request.held);
      return await this.#serve(id, request, expiresAt);
    } catch (error) {
      this.#scratches.remove(id);
      throw error;
    } finally {
      this.#opening -= 1;
    }
  }

  /**
   * Opens the views that were recorded, under the ids and addresses that they had. `open` gives what one is
   * opened with, or null when its machine cannot be opened just now: its record is kept, as when anything
   * else is in the way. A view whose point is gone, or whose lease has ended, goes with its scratch.
   */
  async restore(open: (record: ViewRecord) => Promise<RestoredView | null>): Promise<void> {
    if (!this.#records.wereLost) {
      const known = new Set(this.#records.all.map(({ id }) => id));
      for (const id of this.#scratches.removeOthers(known)) this.#log.info('scratch-removed', { id });
    }
    for (const record of [...this.#records.all]) {
      const { id, machine } = record;
      if (record.expiresAt !== null && this.#leftMs(record.expiresAt) <= 0) {
        this.#log.info('view-expired', { id, machine: machine.name });
        this.#forget(id);
        continue;
      }
      try {
        const restored = await open(record);
        if (restored !== null) await this.#serve(id, requestOf(record, restored), record.expiresAt);
        else this.#log.warn('view-not-opened', { id, machine: machine.name, why: 'its machine is not open' });
      } catch (thrown) {
        const error = toHomewardError(thrown);
        const isGone = goneCodes.includes(error.code);
        this.#log.error(isGone ? 'view-lost' : 'view-not-opened', { id, machine: machine.name, error });
        if (isGone) this.#forget(id);
      }
    }
  }

  /**
   * Whoever uses a temporary view says that it lives: its lease begins anew. Throws 'no-such-view', and
   * 'conflict' for one that lasts, whose end is on record.
   */
  renew(id: string, leaseMs: number): ViewReport {
    const view = this.#open.get(id);
    if (view === undefined) throw noSuchView(id);
    if (this.#records.all.some((record) => record.id === id))
      throw new HomewardError('conflict', `view ${id} comes back after a restart: its end stands`);
    const expiresAt = this.#endOf(leaseMs);
    view.report = { ...view.report, expiresAt };
    this.#arm(view, expiresAt);
    return view.report;
  }

  /** Also one that could not be opened again: then its record and scratch go. */
  async close(id: string): Promise<ViewReport> {
    const view = this.#open.get(id);
    const record = this.#records.all.find((each) => each.id === id);
    if (view === undefined && record === undefined) throw noSuchView(id);
    if (view !== undefined) await this.#end(view);
    this.#forget(id);
    const report = view?.report ?? reportOf(record!, []);
    this.#log.info('view-closed', { id, machine: report.machine });
    return report;
  }

  /** Those of one machine; with `lsn` only those at it. */
  ofMachine(machineId: string, lsn: number | null): ViewReport[] {
    const views = [...this.#open.values()].filter((view) => view.machineId === machineId);
    return views.map(({ report }) => report).filter((report) => lsn === null || report.lsn === lsn);
  }

  /**
   * The content of a view has to go: from now on it answers nothing but errors, and what it held is released
   * when this resolves. It is listed until it is closed, and does not come back after a restart.
   */
  async break(id: string, reason: string): Promise<void> {
    const view = this.#open.get(id);
    if (view === undefined) return;
    this.#log.error('view-broken', { id, machine: view.report.machine, lsn: view.report.lsn, reason });
    this.#unrecord(id);
    await view.thread.break(reason);
  }

  /** Ends all; what was recorded comes back at the next start. */
  async stop(): Promise<void> {
    await Promise.all([...this.#open.values()].map((view) => this.#end(view)));
  }

  #makeScratch(id: string, held: HeldContent): void {
    try {
      this.#scratches.make(id);
    } catch (error) {
      held.release();
      throw error;
    }
  }

  async #serve(id: string, request: OpenViewRequest, expiresAt: string | null): Promise<ViewReport> {
    const { held, machine, scratchBytes } = request;
    const scratch =
      scratchBytes === null ? null : { directory: this.#scratches.of(id), maxBytes: scratchBytes };
    const job = { address: nbdAddress(request.listen), tls: request.tls, scratch, logLevel: this.#logLevel };
    const { thread, address } = await ViewThread.start(job, held, { log: this.#log, id });
    const listen = formatListen(
      'path' in address ? { kind: 'unix', path: address.path } : { kind: 'tcp', ...address },
    );
    const record: ViewRecord = {
      id,
      machine: { id: machine.id, name: machine.name },
      lsn: held.content.lsn,
      time: request.time,
      listen,
      tls: request.lasting?.tls ?? false,
      scratchBytes,
      expiresAt,
    };
    const report = reportOf(
      record,
      held.content.disks.map(({ name }) => name),
    );
    const view: OpenView = { report, machineId: machine.id, thread, lease: null };
    this.#open.set(id, view);
    void thread.ended.then(() => this.#open.delete(id));
    try {
      const isKnown = this.#records.all.some((each) => each.id === id);
      if (request.lasting !== null && !isKnown) this.#records.add(record);
    } catch (error) {
      await this.#end(view);
      throw error;
    }
    if (expiresAt !== null) this.#arm(view, expiresAt);
    this.#log.info('view-opened', { id, machine: machine.name, lsn: record.lsn, listen });
    return report;
  }

  async #end(view: OpenView): Promise<void> {
    if (view.lease !== null) clearTimeout(view.lease);
    await view.thread.end();
  }

  /** Crash order: 1 record · 2 scratch, which goes at the next start when it has no record. */
  #forget(id: string): void {
    this.#unrecord(id);
    this.#scratches.remove(id);
  }

  /** A full volume must not keep a view from being closed; it comes back after a restart then. */
  #unrecord(id: string): void {
    try {
      this.#records.remove(id);
    } catch (error) {
      this.#log.warn('views-not-recorded', { id, error: toHomewardError(error) });
    }
  }

  /** A timer waits 24 days at most; leases may be longer. */
  #arm(view: OpenView, expiresAt: string): void {
    const { id } = view.report;
    const leftMs = this.#leftMs(expiresAt);
    if (view.lease !== null) clearTimeout(view.lease);
    view.lease = setTimeout(
      () => {
        if (this.#leftMs(expiresAt) > 0) this.#arm(view, expiresAt);
        else this.#expire(id);
      },
      Math.min(Math.max(leftMs, 1), timerMsMost),
    );
  }

  #endOf(leaseMs: number): string {
    return formatTime(microseconds(this.#clock.now() + Math.round(leaseMs * 1000)));
  }

  #leftMs(expiresAt: string): number {
    return Date.parse(expiresAt) - this.#clock.now() / 1000;
  }

  #expire(id: string): void {
    this.#log.info('view-expired', { id });
    this.close(id).catch((error: unknown) =>
      this.#log.error('view-close-failed', { id, error: toHomewardError(error) }),
    );
  }
}

const noSuchView = (id: string): HomewardError =>
  new HomewardError('no-such-view', `there is no view ${id}`, {
    hint: '`homeward views` lists the open views; `homeward view close M --all` closes all of a machine.',
  });

function requestOf(record: ViewRecord, { held, tls }: RestoredView): OpenViewRequest {
  const { machine, time, scratchBytes } = record;
  const listen = parseListen(record.listen);
  const lasting = { tls: record.tls };
  return { machine, held, time, listen, tls, leaseMs: null, scratchBytes, lasting };
}

function reportOf(record: ViewRecord, exports: string[]): ViewReport {
  const { id, machine, lsn, time, listen, scratchBytes, expiresAt } = record;
  return {
    id,
    machine: machine.name,
    lsn,
    time,
    listen,
    exports,
    writable: scratchBytes !== null,
    expiresAt,
  };
}

function nbdAddress(listen: Listen): NbdAddress {
  return listen.kind === 'unix' ? { path: listen.path } : { host: listen.host, port: listen.port };
}
