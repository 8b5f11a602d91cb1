// The configuration server: everything in the order in which it starts, the other way round when it stops.
import path from 'node:path';
import { stopAll, type Stops } from '../core/daemon-life.ts';
import { hostClock } from '../core/clock.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import { signAssignment } from '../core/identity/assignment.ts';
import type { Authority } from '../core/identity/authority.ts';
import { formatAddress } from '../core/identity/address.ts';
import type { HostIdentity } from '../core/identity/host-identity.ts';
import { serverTls } from '../core/identity/tls.ts';
import { limits } from '../core/limits.ts';
import { acquireLock } from '../core/lock.ts';
import type { Log } from '../core/log.ts';
import type { SecureApp } from './api/app.ts';
import { createApp } from './api/server.ts';
import { EnrolmentDesk } from './enrolment/enrolment.ts';
import { Calls } from './hosts/calls.ts';
import { HostList } from './hosts/host-list.ts';
import { PendingList } from './hosts/pending-list.ts';
import { Presence } from './hosts/presence.ts';
import { Watch } from './hosts/watch.ts';
import { WorkDesk } from './hosts/work-desk.ts';
import { listenSomewhere, localAddress } from './listening.ts';
import { Assignments } from './machines/assignments.ts';
import { LedgerHeads } from './machines/ledger-heads.ts';
import { MachineList } from './machines/machine-list.ts';
import type { Registry } from './registry.ts';
import {
  ensureAuthority,
  ensureDataDirectory,
  ensureOperatorToken,
  ensureServerIdentity,
  passphraseFile,
  PassphraseKeeper,
  renewServerCertificate,
  writeOperatorFiles,
  type OperatorPlaces,
} from './secrets.ts';
import { EventLog } from './state/event-log.ts';
import { openState } from './state/open-state.ts';
import { Turns } from './state/turns.ts';

export interface DaemonOptions {
  data: string;
  listen: string | null;
  trusted: ReadonlySet<string>;
  /** Where else the operator's file goes. */
  operator: OperatorPlaces;
  log: Log;
  version: string;
}

export interface RunningServer {
  /** `HOST:PORT` as it listens, and as programs on this host reach it. */
  listening: string;
  address: string;
  port: number;
  operatorFile: string;
  passphraseFile: string;
  stop(): Promise<void>;
}

export async function startDaemon(options: DaemonOptions): Promise<RunningServer> {
  const stops: Stops = [];
  try {
    return await startAll(options, stops);
  } catch (error) {
    await stopAll(stops);
    throw error;
  }
}

async function startAll(options: DaemonOptions, stops: Stops): Promise<RunningServer> {
  const { data, log } = options;
  ensureDataDirectory(data);
  const lock = acquireLock(data, 'configuration server');
  stops.push(() => lock.release());

  const authority = await ensureAuthority(data);
  const identity = await ensureServerIdentity(data, authority);
  const passphrase = await PassphraseKeeper.open(data);
  const token = ensureOperatorToken(data);
  const registry = await openRegistry(options, authority, stops);

  const stopping = new AbortController();
  const enrolment = new EnrolmentDesk({ registry, authority, identity, passphrase });
  const app = await createApp({
    ...{ registry, identity, authority, passphrase, enrolment, token },
    stopping: stopping.signal,
  });
  // Long polls and calls end first: closing waits for what is under way.
  stops.push(async () => {
    stopping.abort(new HomewardError('interrupted', 'the configuration server is stopping'));
    registry.calls.close();
    await app.close();
  });
  const place = await listenSomewhere({ data, wanted: options.listen, log, listen: listenWith(app) });
  const address = localAddress(place);
  const operator = { authority: authority.certificate, address, token };
  const missed = (file: string, error: Error): void => log.warn('operator-file-not-written', { file, error });
  for (const file of writeOperatorFiles(data, operator, options.operator, missed))
    log.info('operator-file', { file });

  const watch = new Watch(registry);
  watch.start();
  stops.push(() => watch.stop());
  const renewal = keepCertificate(options, { authority, identity, app });
  stops.push(() => clearInterval(renewal));
  return {
    listening: formatAddress(place.host, place.port),
    address,
    port: place.port,
    operatorFile: path.join(data, 'operator.json'),
    passphraseFile: passphraseFile(data),
    stop: () => stopAll(stops),
  };
}

async function openRegistry(
  { data, trusted, log, version }: DaemonOptions,
  authority: Authority,
  stops: Stops,
): Promise<Registry> {
  const clock = hostClock((movedUs) => log.warn('clock-stepped', { movedUs }));
  const state = await openState(path.join(data, 'state.sqlite'));
  stops.push(() => state.destroy());
  const desk = new WorkDesk();
  const wake = (hostId: string): void => desk.wake(hostId);
  const sign = signAssignment.bind(null, authority);
  return {
    ...{ version, clock, log, trusted, desk },
    hosts: await HostList.open(state),
    pending: await PendingList.open(state),
    presence: new Presence(clock),
    machines: await MachineList.open(state),
    assignments: await Assignments.open({ state, sign, now: () => clock.now(), wake }),
    ledgers: await LedgerHeads.open(state, clock),
    events: await EventLog.open(state, clock, log),
    calls: new Calls(wake),
    turns: new Turns(),
  };
}

const listenWith =
  (app: SecureApp) =>
  async ({ host, port }: { host: string; port: number }): Promise<number> => {
    await app.listen({ host, port });
    const address = app.server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  };

/** A new certificate long before the old one ends; enrolments that saw the old one begin anew. */
function keepCertificate(
  { data, log }: DaemonOptions,
  { authority, identity, app }: { authority: Authority; identity: HostIdentity; app: SecureApp },
): NodeJS.Timeout {
  const renew = async (): Promise<void> => {
    try {
      if (!(await renewServerCertificate(data, authority, identity))) return;
      app.server.setSecureContext(serverTls(identity, 'asked'));
      log.info('certificate-renewed', { hostId: identity.hostId });
    } catch (error) {
      log.error('certificate-not-renewed', { error: toHomewardError(error) });
    }
  };
  return setInterval(() => void renew(), limits.certificateCheckMs).unref();
}
