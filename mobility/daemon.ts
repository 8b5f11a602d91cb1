// The mobility service: everything in the order in which it starts, and the other way round when it stops.
import path from 'node:path';
import { makeDataDirectory, stopAll, type Stops } from '../core/daemon-life.ts';
import { hostClock, type Clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { toHomewardError } from '../core/errors.ts';
import { openAssignmentBook, type SignedAssignment } from '../core/identity/assignment.ts';
import { readIdentity, type HostIdentity } from '../core/identity/host-identity.ts';
import { listenError } from '../core/listen-error.ts';
import { acquireLock } from '../core/lock.ts';
import type { Log } from '../core/log.ts';
import { formatListen, parseListen } from '../core/names.ts';
import { exportList } from '../core/nbd/export-list.ts';
import { ReceivePool } from '../core/nbd/receive-pool.ts';
import { NbdServer } from '../core/nbd/server.ts';
import { Registration } from '../core/registration/registration.ts';
import { beginEnrolment } from './enrolment.ts';
import { frontAddress } from './listen-policy.ts';
import { Machine, type MachineDisk } from './machine.ts';
import type { ScanOrder } from './scan/open-scans.ts';
import { resyncCalls } from './sync/resync-calls.ts';
import { tagCalls } from './tags/tag-calls.ts';

export interface DaemonOptions {
  data: string;
  machine: string;
  disks: readonly MachineDisk[];
  scan: ScanOrder | null;
  /** `unix:PATH` or `tcp:HOST:PORT`; null when no disk is served. */
  listen: string | null;
  configServer: string;
  passphraseFile: string | null;
  customScript: string | null;
  config: Config;
  log: Log;
  version: string;
}

export interface Daemon {
  /** Where the disks are served, as `listen` spells it, or null. */
  listen: string | null;
  /** UUID of the machine. */
  machine: string;
  stop(): Promise<void>;
}

/** Resolves when the disks are served and, at the very first start, an enrolment was tried. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const stops: Stops = [];
  try {
    const { data, log, config } = options;
    const clock = hostClock((movedUs) => log.warn('clock-stepped', { movedUs }));
    const listen = options.listen === null ? null : parseListen(options.listen);
    const address = listen === null ? null : frontAddress(listen);
    makeDataDirectory(data);
    const lock = acquireLock(data, 'mobility service');
    stops.push(() => lock.release());

    const machine = await Machine.open({ ...options, name: options.machine, clock });
    stops.push(() => machine.close());
    // From the first write on records go on where they ended: what is assigned is known without anybody's
    // help.
    const known = readIdentity(data);
    if (known === null) machine.protection.end();
    else takeAssignments(options, machine, known, []);

    if (listen !== null && address !== null) {
      const receivePool = new ReceivePool(config.unsyncedBytes);
      const server = new NbdServer({ exports: exportList(machine.front.exports), log, receivePool });
      try {
        await server.listen(address);
      } catch (error) {
        throw listenError(listen, error);
      }
      stops.push(() => server.close());
    }
    // Before the last requests: what a script brought to rest goes on.
    stops.push(() => machine.stopTags());

    stops.push(await enrol(options, machine, clock, known));
    const where = listen === null ? null : formatListen(listen);
    return { listen: where, machine: machine.id, stop: () => stopAll(stops) };
  } catch (error) {
    await stopAll(stops);
    throw error;
  }
}

/** From the identity on: heartbeats, assignments and calls, until the returned function ends them. */
async function enrol(
  options: DaemonOptions,
  machine: Machine,
  clock: Clock,
  known: HostIdentity | null,
): Promise<() => Promise<void>> {
  const { data, log, configServer, passphraseFile } = options;
  const stopping = new AbortController();
  let registration: Registration | null = null;
  const enrolled = (fresh: HostIdentity): void => {
    // One object for all: the stream reads a renewed certificate from it.
    const identity = known === null ? fresh : Object.assign(known, fresh);
    registration = new Registration({
      identity,
      data,
      clock,
      log,
      heartbeat: () =>
        Promise.resolve({ addresses: [], disks: hostDisks(machine), source: machine.report() }),
      assignments: (signed) => takeAssignments(options, machine, identity, signed),
      call: resyncCalls(
        {
          ...{ id: machine.id, name: machine.name },
          disks: () => machine.disks.disks,
          resync: (extents) => machine.resync(extents),
        },
        tagCalls({
          tagger: machine.tagger,
          scanning: machine.disks.onlyScans ? machine.scanning : null,
          id: machine.id,
          name: machine.name,
        }),
      ),
    });
    registration.start();
  };
  const { signal } = stopping;
  const about = { role: 'mobility', name: options.machine, configServer, passphraseFile } as const;
  const { done } = await beginEnrolment({ data, ...about, clock, log, signal, enrolled });
  return async () => {
    stopping.abort();
    await done;
    await registration?.stop();
  };
}

const hostDisks = (machine: Machine) => machine.backings;

/** What is newer than what is known is kept; then what is assigned to this machine counts. */
function takeAssignments(
  { data, log }: DaemonOptions,
  machine: Machine,
  identity: HostIdentity,
  signed: readonly SignedAssignment[],
): void {
  const book = openAssignmentBook(path.join(data, 'assignments.json'), identity.authority);
  for (const each of signed) {
    try {
      book.accept(each);
    } catch (error) {
      log.warn('assignment-refused', { error: toHomewardError(error) });
    }
  }
  const assignment = book.get(machine.id);
  const text = book.signed(machine.id);
  if (assignment === null || text === null) return machine.protection.end();
  if (assignment.source !== identity.hostId) {
    log.warn('assigned-elsewhere', { machine: machine.name, source: assignment.source });
    return machine.protection.end();
  }
  machine.protection.assign(identity, assignment, text);
}
