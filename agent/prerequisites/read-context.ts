// What the checks are told of this host: its configuration, its identity, its machines, and what the
// configuration server answers. Nothing here fails for what is not there: then it is not known.
import fs from 'node:fs';
import path from 'node:path';
import { loadConfig, type Config } from '../../core/config.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { parseAddress, type Address } from '../../core/identity/address.ts';
import { openAssignmentBook } from '../../core/identity/assignment.ts';
import { HostRole, readIdentity, type HostIdentity } from '../../core/identity/host-identity.ts';
import type { Log } from '../../core/log.ts';
import { askPublicVersion } from '../../core/registration/public-version.ts';
import { askSiteFacts, type SiteFacts } from '../../core/registration/site-facts.ts';
import { installations, usualData } from '../../core/usual-places.ts';
import { readVersion } from '../../core/version.ts';
import { readMachineFile } from '../replica/machine-file.ts';
import { replicaPath } from '../replica/replicas.ts';
import { readAccepted } from './accepted-checks.ts';
import type { AcceptedCheck, CheckContext, ReplicaAt } from './check.ts';

/** Paths are absolute. */
export interface ContextOptions {
  /** The configuration file, or null to do without one. */
  config: string | null;
  environment: Readonly<Record<string, string | undefined>>;
  /** By flag, before what is configured; of an all-in-one, that of its master target. */
  data?: string;
  retention?: string;
  replicas?: string;
  offline: boolean;
  log: Log;
}

/** Where an installed host may have its configuration, the likeliest first. */
export const usualConfigs = (): string[] =>
  installations().map((directory) => path.join(directory, 'etc/drscout.conf'));

type Role = Config['role'];

/** Where others come to. */
function portsOf({ role, configServerPort }: Config): readonly number[] {
  const processServer = role === 'ProcessServer' || role === 'AllInOne' ? [9443] : [];
  return role === 'ConfigServer' || role === 'AllInOne'
    ? [configServerPort, ...processServer]
    : processServer;
}

const roles: Readonly<Record<Role, HostRole>> = {
  Agent: HostRole.mobility,
  MasterTarget: HostRole.masterTarget,
  ConfigServer: HostRole.configServer,
  ProcessServer: HostRole.processServer,
  // What the other two need is less.
  AllInOne: HostRole.masterTarget,
};

/** Throws 'bad-config', and 'damaged' for accepted checks that cannot be read. */
export async function readCheckContext(options: ContextOptions): Promise<CheckContext> {
  const { environment, log } = options;
  const config = loadConfig({ file: options.config, environment, log });
  const role = roles[config.role];
  const places = placesOf(options, config);
  const identity = tryIdentity(places.data);
  const configServer = serverOf(config, identity);
  const site = options.offline ? null : await trySite(identity, configServer, log);
  const processServers = site?.processServers ?? null;
  return {
    role,
    ports: portsOf(config),
    version: readVersion(),
    ...places,
    replicas: role === HostRole.masterTarget ? readReplicas(places) : [],
    configServer,
    processServers:
      processServers === null ? assignedServers(places.data, identity) : processServers.flatMap(firstAddress),
    versions: [
      ...(site === null
        ? []
        : [{ role: HostRole.configServer, name: configServer?.host ?? '', version: site.version }]),
      ...(processServers ?? []).map(({ name, version }) => ({ role: HostRole.processServer, name, version })),
    ],
    clockOffsetMs: site?.offsetMs ?? null,
    sourceFileSystems: [],
    growthBytesPerDay: null,
    accepted: visibleAccepted(places.data),
    offline: options.offline,
  };
}

/** Where `homeward check` keeps what it has found and what was accepted. */
export function dataOf(options: ContextOptions): string {
  const { environment, log } = options;
  return placesOf(options, loadConfig({ file: options.config, environment, log })).data;
}

type Places = Pick<CheckContext, 'data' | 'retention' | 'replicaDirectory' | 'spool'>;

function placesOf(options: ContextOptions, config: Config): Places {
  const { role } = config;
  const kind = role === 'AllInOne' ? 'all-in-one' : roles[role];
  const told = config.dataDirectory === '' ? usualData(kind) : config.dataDirectory;
  const data = options.data ?? (role === 'AllInOne' ? path.join(told, 'master-target') : told);
  const isTarget = roles[role] === HostRole.masterTarget;
  const place = (flag: string | undefined, setting: string, usual: string): string | null =>
    isTarget ? (flag ?? (setting === '' ? path.join(data, usual) : setting)) : null;
  return {
    data,
    retention: place(options.retention, config.retentionVolume, 'retention'),
    replicaDirectory: place(options.replicas, config.replicaDirectory, 'replicas'),
    spool: spoolOf(role, told),
  };
}

function spoolOf(role: Role, data: string): string | null {
  if (role === 'AllInOne') return path.join(data, 'process-server', 'spool');
  return role === 'ProcessServer' ? path.join(data, 'spool') : null;
}

/** Whoever is not root may not see them. */
function visibleAccepted(data: string): AcceptedCheck[] {
  try {
    return readAccepted(data);
  } catch (error) {
    if (errnoOf(error) === 'EACCES') return [];
    throw error;
  }
}

/** One that is damaged is for the daemon to complain of. */
function tryIdentity(data: string): HostIdentity | null {
  try {
    return readIdentity(data);
  } catch {
    return null; // also where only root may read it: then what depends on it is not known
  }
}

/** Null where only somebody who has enrolled is told. */
interface KnownSite {
  version: string;
  processServers: SiteFacts['processServers'] | null;
  offsetMs: number | null;
}

/**
 * The server with which this host has enrolled has to prove who it is. Another, as an installer is given it,
 * is believed its version.
 */
async function trySite(
  identity: HostIdentity | null,
  server: Address | null,
  log: Log,
): Promise<KnownSite | null> {
  if (server === null) return null;
  const proved =
    identity === null ? null : await orNull(askSiteFacts({ ...identity, configServer: server }), log);
  const known = identity?.configServer;
  const isItsOwn = known?.host === server.host && known.port === server.port;
  if (proved !== null || isItsOwn) return proved;
  const version = await orNull(askPublicVersion(server), log);
  return version === null ? null : { version, processServers: null, offsetMs: null };
}

async function orNull<T>(answer: Promise<T>, log: Log): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    // `ports` says why, as far as it is the network.
    log.debug('site-not-known', { error: error instanceof HomewardError ? error : String(error) });
    return null;
  }
}

function serverOf(config: Config, identity: HostIdentity | null): Address | null {
  const { configServerAddress: host, configServerPort: port } = config;
  if (host !== '') return { host, port };
  return identity?.configServer ?? null;
}

const firstAddress = ({ addresses }: { addresses: readonly string[] }): { host: string; port: number }[] =>
  addresses.slice(0, 1).flatMap((address) => {
    try {
      return [parseAddress(address)];
    } catch {
      return []; // the configuration server checks them; one of a later form is not ours to judge
    }
  });

/** Those of the assignments that this host has, when the configuration server cannot be asked. */
function assignedServers(data: string, identity: HostIdentity | null): { host: string; port: number }[] {
  if (identity === null) return [];
  try {
    const book = openAssignmentBook(path.join(data, 'assignments.json'), identity.authority);
    const servers = book.list().filter(({ ended }) => !ended);
    const addresses = new Set(servers.flatMap(({ processServer }) => processServer.addresses.slice(0, 1)));
    return firstAddresses([...addresses]);
  } catch {
    return []; // a damaged book is for the daemon to complain of
  }
}

const firstAddresses = (addresses: readonly string[]): { host: string; port: number }[] =>
  addresses.flatMap((address) => firstAddress({ addresses: [address] }));

/** Of every machine that can be read; the others are for the daemon to complain of. */
function readReplicas({ retention, replicaDirectory }: Places): ReplicaAt[] {
  if (retention === null || replicaDirectory === null) return [];
  return tryList(retention).flatMap((id) => {
    try {
      const machine = readMachineFile(path.join(retention, id, 'machine.json'));
      return machine.disks.map((disk) => ({
        machine: machine.name,
        disk: disk.name,
        kind: disk.replica.kind,
        path: replicaPath(replicaDirectory, machine.id, disk),
      }));
    } catch {
      return [];
    }
  });
}

function tryList(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return []; // not there yet, or not for us to see
  }
}
