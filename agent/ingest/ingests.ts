// Direct ingest: which machines take writes over NBD and where, kept over restarts in one file.
import fs from 'node:fs';
import { join } from 'node:path';
import { readSealedJson, writeSealedJson } from '../../core/atomic-file.ts';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { listenError } from '../../core/listen-error.ts';
import type { Log } from '../../core/log.ts';
import { formatListen, type Listen } from '../../core/names.ts';
import { exportList } from '../../core/nbd/export-list.ts';
import type { NbdExport } from '../../core/nbd/export.ts';
import type { ReceivePool } from '../../core/nbd/receive-pool.ts';
import { NbdServer } from '../../core/nbd/server.ts';
import type { NbdTls } from '../../core/nbd/tls.ts';

/** `machine` is the id. */
interface IngestEntry {
  machine: string;
  listen: Listen;
}

const format = 'homeward-ingests';

export class Ingests {
  readonly #file: string;
  readonly #log: Log;
  readonly #pool: ReceivePool;
  readonly #open = new Map<string, { listen: Listen; server: NbdServer }>();
  #entries: IngestEntry[];

  constructor(options: { data: string; log: Log; pool: ReceivePool }) {
    this.#file = join(options.data, 'ingests.json');
    this.#log = options.log;
    this.#pool = options.pool;
    this.#entries = readEntries(this.#file, options.log);
  }

  /** Those to be opened at start. */
  get entries(): readonly IngestEntry[] {
    return this.#entries;
  }

  listenOf(machine: string): string | null {
    const open = this.#open.get(machine);
    return open === undefined ? null : formatListen(open.listen);
  }

  /** How many writers are connected. */
  connectionsOf(machine: string): number {
    return this.#open.get(machine)?.server.connections ?? 0;
  }

  /**
   * False when it was open there already. An address that another holds, or a machine open elsewhere, is a
   * 'conflict'.
   */
  async open(
    machine: string,
    listen: Listen,
    exports: readonly NbdExport[],
    tls: NbdTls | null,
  ): Promise<boolean> {
    const address = formatListen(listen);
    const open = this.#open.get(machine);
    if (open !== undefined) {
      if (formatListen(open.listen) === address) return false;
      throw new HomewardError('conflict', `the machine already listens on ${formatListen(open.listen)}`, {
        hint: 'Close it first with `homeward ingest close M`.',
      });
    }
    const taken = [...this.#open.values()].some((other) => formatListen(other.listen) === address);
    if (taken) throw new HomewardError('conflict', `another machine listens on ${address}`);
    const server = new NbdServer({
      exports: exportList(exports),
      log: this.#log,
      tls,
      receivePool: this.#pool,
    });
    try {
      await server.listen(
        listen.kind === 'unix' ? { path: listen.path } : { host: listen.host, port: listen.port },
      );
    } catch (error) {
      throw listenError(listen, error);
    }
    this.#open.set(machine, { listen, server });
    this.#save([...this.#entries.filter((entry) => entry.machine !== machine), { machine, listen }]);
    this.#log.info('ingest-opened', { machine, listen: address });
    return true;
  }

  /** False when it was not open. Requests in flight end first. */
  async close(machine: string): Promise<boolean> {
    const open = this.#open.get(machine);
    this.#open.delete(machine);
    const known = this.#entries.some((entry) => entry.machine === machine);
    if (known) this.#save(this.#entries.filter((entry) => entry.machine !== machine));
    await open?.server.close();
    if (open !== undefined) this.#log.info('ingest-closed', { machine });
    return known;
  }

  /** Ends all servers; the file keeps what to open at the next start. */
  async stop(): Promise<void> {
    const servers = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(servers.map(({ server }) => server.close()));
  }

  #save(entries: IngestEntry[]): void {
    writeSealedJson(this.#file, format, entries);
    this.#entries = entries;
  }
}

/**
 * What is to be opened at start. A damaged file stops nothing else: it is set aside, and no ingest is open
 * until somebody opens it.
 */
function readEntries(file: string, log: Log): IngestEntry[] {
  try {
    const body = readSealedJson(file, format) ?? [];
    if (Array.isArray(body)) return body as IngestEntry[];
    throw new HomewardError('damaged', `${file} does not hold a list`);
  } catch (error) {
    const problem = toHomewardError(error);
    if (problem.code !== 'damaged') throw error;
    const aside = `${file}.damaged`;
    fs.renameSync(file, aside);
    log.error('ingests-damaged', {
      file,
      aside,
      error: problem,
      hint: 'No ingest is open: open each again with `homeward ingest open M`.',
    });
    return [];
  }
}
