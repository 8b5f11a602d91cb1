// The open views of a daemon: each served by a thread of its own, until it is closed or its lease ends.
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { formatTime, type Clock } from '../../core/clock.ts';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log, LogLevel } from '../../core/log.ts';
import { formatListen, type Listen } from '../../core/names.ts';
import type { NbdAddress } from '../../core/nbd/server.ts';
import type { NbdTls } from '../../core/nbd/tls.ts';
import { microseconds } from '../../core/units.ts';
import type { ViewReport } from '../control/service.ts';
import type { ViewContent } from '../replica/view-content.ts';
import type { ViewJob, ViewReply } from './view-worker.ts';

export interface OpenViewRequest {
  machine: { id: string; name: string };
  held: { content: ViewContent; release(): void };
  /** RFC 3339, or null when it is not known. */
  time: string | null;
  listen: Listen;
  tls: NbdTls | null;
  leaseMs: number | null;
}

interface OpenView {
  report: ViewReport;
  machineId: string;
  worker: Worker;
  lease: NodeJS.Timeout | null;
  ended: Promise<void>;
}

const workerFile = new URL('./view-worker.ts', import.meta.url);
const leaseMsMost = 2 ** 31 - 1;

export class Views {
  readonly #open = new Map<string, OpenView>();
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #logLevel: LogLevel;

  constructor(options: { clock: Clock; log: Log; logLevel: LogLevel }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#logLevel = options.logLevel;
  }

  list(): ViewReport[] {
    return [...this.#open.values()].map(({ report }) => report);
  }

  /** Serves what is held; it is released when the view ends, also when it cannot be opened. */
  async open(request: OpenViewRequest): Promise<ViewReport> {
    const { held, machine, listen } = request;
    if (this.#open.size >= limits.views) {
      held.release();
      throw new HomewardError('conflict', `${this.#open.size} views are open, which is the most`, {
        hint: 'Close one with `homeward view close ID`; `homeward views` lists them.',
      });
    }
    const job: ViewJob = {
      content: held.content,
      address: nbdAddress(listen),
      tls: request.tls,
      logLevel: this.#logLevel,
    };
    const worker = new Worker(workerFile, { workerData: job });
    const id = randomBytes(4).toString('hex');
    const ended = new Promise<void>((resolve) => {
      worker.once('exit', () => {
        held.release();
        this.#open.delete(id);
        resolve();
      });
    });
    const address = await listening(worker);
    const leaseMs = request.leaseMs === null ? null : Math.min(request.leaseMs, leaseMsMost);
    const report: ViewReport = {
      id,
      machine: machine.name,
      lsn: held.content.lsn,
      time: request.time,
      listen: formatListen(
        'path' in address ? { kind: 'unix', path: address.path } : { kind: 'tcp', ...address },
      ),
      exports: held.content.disks.map(({ name }) => name),
      writable: false,
      expiresAt:
        leaseMs === null ? null : formatTime(microseconds(this.#clock.now() + Math.round(leaseMs * 1000))),
    };
    const lease = leaseMs === null ? null : setTimeout(() => this.#expire(id), leaseMs);
    this.#open.set(id, { report, machineId: machine.id, worker, lease, ended });
    worker.on('error', (error) => this.#log.error('view-failed', { id, error: toHomewardError(error) }));
    this.#log.info('view-opened', { id, machine: machine.name, lsn: report.lsn, listen: report.listen });
    return report;
  }

  async close(id: string): Promise<ViewReport> {
    const view = this.#open.get(id);
    if (view === undefined) throw new HomewardError('no-such-view', `there is no view ${id}`);
    if (view.lease !== null) clearTimeout(view.lease);
    view.worker.postMessage('close');
    await view.ended;
    this.#log.info('view-closed', { id, machine: view.report.machine });
    return view.report;
  }

  /** Those of one machine; with `lsn` only those at it. */
  ofMachine(machineId: string, lsn: number | null): ViewReport[] {
    const views = [...this.#open.values()].filter((view) => view.machineId === machineId);
    return views.map(({ report }) => report).filter((report) => lsn === null || report.lsn === lsn);
  }

  async closeAll(): Promise<void> {
    for (const id of [...this.#open.keys()]) await this.close(id);
  }

  #expire(id: string): void {
    this.#log.info('view-expired', { id });
    this.close(id).catch((error: unknown) =>
      this.#log.error('view-close-failed', { id, error: toHomewardError(error) }),
    );
  }
}

function nbdAddress(listen: Listen): NbdAddress {
  return listen.kind === 'unix' ? { path: listen.path } : { host: listen.host, port: listen.port };
}

function listening(worker: Worker): Promise<NbdAddress> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('message', (reply: ViewReply) => {
      if ('listening' in reply) resolve(reply.listening);
      else reject(new HomewardError(reply.failed.code, reply.failed.message, { hint: reply.failed.hint }));
    });
  });
}
