// The process server daemon: everything in the order in which it starts, and the other way round when it
// stops.
import os from 'node:os';
import path from 'node:path';
import { stopAll, type Stops } from '../core/daemon-life.ts';
import { hostClock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { ensureDirectorySync } from '../core/directory.ts';
import { toHomewardError } from '../core/errors.ts';
import type { Files } from '../core/files/files.ts';
import { hostFiles } from '../core/files/host-files.ts';
import { formatAddress, type Address } from '../core/identity/address.ts';
import {
  openAssignmentBook,
  type Assignment,
  type AssignmentBook,
  type SignedAssignment,
} from '../core/identity/assignment.ts';
import { HostRole, type HostIdentity } from '../core/identity/host-identity.ts';
import { acquireLock } from '../core/lock.ts';
import type { Log } from '../core/log.ts';
import { ensureEnrolled, Registration } from '../core/registration/registration.ts';
import { admit } from './admission.ts';
import { advertisedAddresses } from './advertised.ts';
import { Machines } from './machines.ts';
import { startStreamServer, type StreamServer } from './stream-server.ts';

export interface DaemonOptions {
  data: string;
  /** Port 0 takes any that is free. */
  listen: Address;
  configServer: string;
  passphraseFile: string | null;
  advertise: readonly string[];
  config: Config;
  log: Log;
  version: string;
  /** The file system under the spools; the host's when left out. */
  files?: Files;
  /** Gives up waiting for an operator's yes. */
  signal: AbortSignal;
}

export interface Daemon {
  /** Where it listens. */
  address: string;
  /** Where others reach it. */
  addresses: string[];
  stop(): Promise<void>;
}

/** Resolves when it serves: it has a certificate by then, and its spools are open. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { data, config, log } = options;
  const stops: Stops = [];
  try {
    const clock = hostClock((movedUs) => log.warn('clock-stepped', { movedUs }));
    ensureDirectorySync(data);
    const lock = acquireLock(data, 'process server');
    stops.push(() => lock.release());
    const { configServer, passphraseFile, signal } = options;
    const enrolment = {
      data,
      role: HostRole.processServer,
      name: os.hostname(),
      configServer,
      passphraseFile,
    };
    const identity = await ensureEnrolled({ ...enrolment, clock, log, signal });
    const book = openAssignmentBook(path.join(data, 'assignments.json'), identity.authority);
    const machines = await Machines.open({
      directory: path.join(data, 'spool'),
      files: options.files ?? hostFiles,
      clock,
      log,
      segmentBytes: config.segmentBytes,
      unsyncedBytes: config.unsyncedBytes,
      syncBytes: config.unsyncedBytes / 4,
      syncIntervalMs: config.syncIntervalMs,
      spoolBytes: config.spoolBytes === 0 ? null : config.spoolBytes,
      reserveBytes: config.spoolReserveBytes,
      batchResync: config.batchResync,
    });
    stops.push(() => machines.close());

    const server = await serve(options, { identity, book, machines });
    stops.push(() => server.close());
    // Streams end before the listening does, so that `close` of the server has nothing to wait for.
    stops.push(() => machines.endSessions());
    const addresses = advertisedAddresses(options.advertise, {
      host: options.listen.host,
      port: server.port,
    });
    const registration = new Registration({
      identity,
      data,
      clock,
      log,
      heartbeat: () => Promise.resolve({ addresses, disks: [], spools: machines.reports() }),
      assignments: (signed) => takeAssignments(signed, { identity, book, machines, log }),
      renewed: () => server.renewed(),
    });
    registration.start();
    stops.push(() => registration.stop());
    const address = formatAddress(options.listen.host, server.port);
    return { address, addresses, stop: () => stopAll(stops) };
  } catch (error) {
    await stopAll(stops);
    throw error;
  }
}

interface Parts {
  identity: HostIdentity;
  book: AssignmentBook;
  machines: Machines;
}

function serve({ listen, log, version }: DaemonOptions, parts: Parts): Promise<StreamServer> {
  const { identity, book, machines } = parts;
  const { hostId, role } = identity;
  return startStreamServer({
    identity,
    listen,
    log,
    health: () => ({ role, hostId, version, machines: machines.list().length }),
    async admit(hello, peer, connection) {
      const news = (changed: Assignment): void => machines.find(changed.machine)?.assigned(changed, hostId);
      const { machine: id } = admit({ hello, peer, book, hostId, news });
      const machine = await machines.get(id);
      if (hello.role === 'source') return machine.attachSource(connection, hello, peer);
      if (hello.role === 'again') return machine.attachAgain(connection, hello, peer);
      return machine.attachTarget(connection, hello, peer);
    },
  });
}

/** Spools of machines that are not protected any more stay until an operator removes them. */
function takeAssignments(signed: readonly SignedAssignment[], parts: Parts & { log: Log }): void {
  const { identity, book, machines, log } = parts;
  for (const each of signed) {
    try {
      const { assignment, changed } = book.accept(each);
      if (changed) machines.find(assignment.machine)?.assigned(assignment, identity.hostId);
    } catch (error) {
      log.warn('assignment-refused', { error: toHomewardError(error) });
    }
  }
}
