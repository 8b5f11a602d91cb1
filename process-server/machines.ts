// All machines of a process server: those with a spool on disk, and new ones when their hosts come.
import fs from 'node:fs';
import path from 'node:path';
import type { Clock } from '../core/clock.ts';
import { ensureDirectorySync } from '../core/directory.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import type { Files } from '../core/files/files.ts';
import { hostIdSchema } from '../core/identity/host-identity.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import type { SpoolReport } from '../core/registration/messages.ts';
import { KiB } from '../core/units.ts';
import { Machine } from './machine.ts';
import { MemoryShares } from './memory-shares.ts';
import { planRoom } from './spool/room.ts';
import { SyncPlaces } from './sync-places.ts';

export interface MachinesOptions {
  /** The directory of all spools; made when it is not there. */
  directory: string;
  files: Files;
  clock: Clock;
  log: Log;
  segmentBytes: number;
  /** Received and not durable, all machines together. */
  unsyncedBytes: number;
  syncBytes: number;
  syncIntervalMs: number;
  /** What all spools may take; null: four fifths of what is free on the volume now, and what they have. */
  spoolBytes: number | null;
  /** Space on the volume that stays free. */
  reserveBytes: number;
  /** Sources that sync at a time. */
  batchResync: number;
}

const tickMs = 1000;
/** A spool that is small has small segments: it is made room in, and reckoned with, by whole ones. */
const segmentsPerSpool = 32;

export class Machines {
  readonly #options: MachinesOptions;
  readonly #machines = new Map<string, Promise<Machine>>();
  /** Those that are open. */
  readonly #open = new Map<string, Machine>();
  /** Why spools could not be opened. */
  readonly #failed = new Map<string, HomewardError>();
  readonly #shares: MemoryShares;
  readonly #places: SyncPlaces;
  readonly #timers: NodeJS.Timeout[] = [];
  #limitBytes = 0;
  #roomScheduled = false;
  #closed = false;

  private constructor(options: MachinesOptions) {
    this.#options = options;
    this.#shares = new MemoryShares(options.unsyncedBytes);
    this.#places = new SyncPlaces(options.batchResync);
  }

  /** Opens what is there. A spool that cannot be opened does not stop the others. */
  static async open(options: MachinesOptions): Promise<Machines> {
    const { directory, log, files, spoolBytes } = options;
    ensureDirectorySync(directory);
    const volumeBytes = files.freeBytes(directory) + usedBytes(directory);
    const most = Math.min(spoolBytes ?? Infinity, volumeBytes * 0.8);
    const machines = new Machines({ ...options, segmentBytes: segmentBytesFor(most, options.segmentBytes) });
    for (const name of fs.readdirSync(directory)) {
      if (!hostIdSchema.safeParse(name).success) continue;
      await machines.get(name).catch((error: unknown) => {
        log.error('spool-not-opened', { machine: name, error: toHomewardError(error) });
      });
    }
    const used = machines.list().reduce((sum, { spool }) => sum + spool.bytes, 0);
    machines.#limitBytes = spoolBytes ?? Math.floor((files.freeBytes(directory) + used) * 0.8);
    machines.#start();
    return machines;
  }

  list(): Machine[] {
    return [...this.#open.values()];
  }

  /** The machine, when its spool is open. */
  find(id: string): Machine | null {
    return this.#open.get(id) ?? null;
  }

  /** The machine with its spool open; made when there is none yet. */
  get(id: string): Promise<Machine> {
    const known = this.#machines.get(id);
    if (known !== undefined) return known;
    const opening = this.#openOne(id);
    this.#machines.set(id, opening);
    return opening;
  }

  async #openOne(id: string): Promise<Machine> {
    const { files, clock, log, segmentBytes, reserveBytes, syncBytes, syncIntervalMs } = this.#options;
    const directory = path.join(this.#options.directory, hostIdSchema.parse(id));
    const logOptions = { files, clock, log, segmentBytes, reserveBytes, syncBytes, syncIntervalMs };
    try {
      if (this.#closed) throw new HomewardError('chain-broken', 'the process server stops');
      const machine = await Machine.open({
        spool: { ...logOptions, directory, machine: id },
        shares: this.#shares,
        places: this.#places,
        clock,
        log,
        roomWanted: () => this.#lookSoon(),
      });
      this.#open.set(id, machine);
      this.#failed.delete(id);
      return machine;
    } catch (error) {
      // The next who asks tries again: what stood in the way may have been moved away by then.
      this.#machines.delete(id);
      this.#failed.set(id, toHomewardError(error));
      throw error;
    }
  }

  reports(): SpoolReport[] {
    const broken = [...this.#failed].map(([machine, { message }]) => ({
      ...nothing,
      machine,
      problems: [message],
    }));
    return [...this.list().map((machine) => machine.report()), ...broken];
  }

  #start(): void {
    const every = (ms: number, action: () => void): void => {
      this.#timers.push(setInterval(action, ms).unref());
    };
    every(tickMs, () => this.#each('tick-failed', (machine) => machine.tick()));
    every(limits.spoolRoomMs, () => this.#look());
    this.#look();
  }

  /** What fails for one machine is nothing to the others. */
  #each(event: string, action: (machine: Machine) => void): void {
    for (const machine of this.list()) {
      try {
        action(machine);
      } catch (error) {
        this.#options.log.error(event, { machine: machine.id, error: toHomewardError(error) });
      }
    }
  }

  #lookSoon(): void {
    if (this.#roomScheduled) return;
    this.#roomScheduled = true;
    setImmediate(() => this.#look());
  }

  /** Makes room where it is needed, and says where there is none. */
  #look(): void {
    this.#roomScheduled = false;
    if (this.#closed) return;
    const { files, directory, segmentBytes, reserveBytes, log } = this.#options;
    const { drop, rooms } = planRoom({
      machines: this.list().map((machine) => machine.roomMachine()),
      limitBytes: this.#limitBytes,
      freeBytes: files.freeBytes(directory),
      reserveBytes,
      segmentBytes,
    });
    this.#each('spool-not-pruned', (machine) => {
      const lsn = drop.find(({ id }) => id === machine.id)?.lsn;
      if (lsn === undefined) return;
      const segments = machine.spool.prune(lsn);
      log.debug('spool-pruned', { machine: machine.id, lsn, segments });
    });
    this.#each('room-not-told', (machine) => {
      const takesRecords = machine.spool.retrySpace() && !(machine.spool.closedBecause instanceof Error);
      machine.setRoom(takesRecords ? (rooms.get(machine.id) ?? 'ok') : 'full');
    });
  }

  /** Ends all streams. */
  endSessions(): void {
    this.#closed = true;
    for (const machine of this.list()) machine.endSessions();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    const opening = await Promise.allSettled(this.#machines.values());
    const closings = opening.flatMap((each) => (each.status === 'fulfilled' ? [each.value.close()] : []));
    for (const closed of await Promise.allSettled(closings)) {
      if (closed.status === 'rejected')
        this.#options.log.error('spool-not-closed', { error: toHomewardError(closed.reason) });
    }
  }
}

const nothing = {
  spooled: 0,
  target: 0,
  applied: 0,
  backlogBytes: 0,
  spoolBytes: 0,
  sourceConnected: false,
  targetConnected: false,
  room: 'full' as const,
};

/** All files below it. */
function usedBytes(directory: string): number {
  const entries = fs.readdirSync(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  return files.reduce((sum, { parentPath, name }) => sum + sizeOf(path.join(parentPath, name)), 0);
}

function segmentBytesFor(spoolBytes: number, mostBytes: number): number {
  const part = Math.floor(spoolBytes / segmentsPerSpool / (64 * KiB)) * 64 * KiB;
  return Math.min(mostBytes, Math.max(part, 64 * KiB));
}
