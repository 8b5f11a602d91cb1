// Carries out what the screen or the command line wants: each ends with a saved file, or with what is wrong.
import fs from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { formatAddress, type Address } from '../../core/identity/address.ts';
import type { HostRole } from '../../core/identity/host-identity.ts';
import { serverChanges } from '../model/press-page.ts';
import type { Changes } from '../model/model.ts';
import { readSettings, writeSettings } from './config-file.ts';
import { noteRole } from './note-role.ts';
import type { Places } from './places.ts';
import { register } from './register.ts';
import { restartService } from './service.ts';

export interface ServerOrder {
  server: Address;
  passphrase: string | null;
  /** What people call this host; its host name when null. */
  name: string | null;
  /** To be saved along with the server. */
  changes?: Changes;
  /** How long an operator has to approve this host; null: until somebody stops it. */
  waitMs: number | null;
  signal: AbortSignal;
  onProgress(text: string): void;
}

export interface Applied {
  /** What was done, in sentences. */
  lines: string[];
}

/** Registers this host, then saves and restarts. Throws what is wrong; then nothing is saved. */
export async function applyServer(places: Places, order: ServerOrder): Promise<Applied & { hostId: string }> {
  const { server, passphrase, waitMs, signal, onProgress } = order;
  const { hostId } = await register({
    ...{ server, passphrase, waitMs, signal, onProgress },
    role: enrolledRole(places),
    name: order.name ?? hostname(),
    data: places.data,
  });
  onProgress('Saving, and restarting the service');
  const address = formatAddress(server.host, server.port);
  const says = [`Registered with ${address} as host ${hostId}.`, 'Saved.'];
  const { lines } = await applyChanges(
    places,
    { ...order.changes, HostId: hostId, ...serverChanges(server) },
    says,
  );
  return { hostId, lines };
}

function enrolledRole({ role }: Places): HostRole {
  if (role !== 'all-in-one' && role !== 'config-server') return role;
  throw new HomewardError('usage', `a host with the role ${role} is the configuration server itself`, {
    hint: 'It has none to register with; other hosts register here.',
  });
}

export async function applyChanges(
  places: Places,
  changes: Changes,
  says: readonly string[],
): Promise<Applied> {
  writeSettings(places.config, changes);
  noteRole(places.config, readSettings(places.config).role);
  return { lines: [...says, await restartService(places)] };
}

/** Throws 'not-a-volume' with the first place that cannot be what it is to be, also beside what is saved. */
export async function checkPlaces({ data, config }: Places, changes: Changes): Promise<void> {
  const { RetentionVolume = '', ReplicaDirectory = '', CacheDirectory = '', LogFile = '' } = changes;
  const places = [
    ['Retention volume', RetentionVolume],
    ['Datastore for replicas', ReplicaDirectory],
    ['Cache directory', CacheDirectory],
  ] as const;
  for (const [what, directory] of places) {
    const why = directory === '' ? null : whyNoDirectory(directory, what);
    if (why !== null) throw notThis(why, 'Make it, mount what belongs there, or enter another one.');
  }
  const logs = LogFile === '' ? null : whyNoDirectory(path.dirname(LogFile), 'Log file');
  if (logs !== null) throw notThis(logs, 'Make the directory, or enter another file.');
  if (RetentionVolume + ReplicaDirectory === '') return;
  const saved = readSettings(config);
  const retention = changes.RetentionVolume ?? saved.retentionVolume;
  const replicas = changes.ReplicaDirectory ?? saved.replicaDirectory;
  if (retention !== '' && replicas !== '' && isSameDirectory(retention, replicas)) {
    const what = 'Retention volume and datastore for replicas cannot be the same directory';
    throw notThis(what, 'Give each its own.');
  }
  if (RetentionVolume === '') return;
  // All checks come with it, so it is loaded when somebody wants it.
  const { judgeRetention } = await import('../../agent/prerequisites/client.ts');
  const judged = await judgeRetention(RetentionVolume, data);
  if (judged !== null) throw notThis(`Retention volume: ${judged.found}`, judged.action);
}

/** Why a directory cannot be what it is to be, or null. */
function whyNoDirectory(directory: string, what: string): string | null {
  try {
    if (!fs.statSync(directory).isDirectory()) return `${what}: ${directory} is not a directory`;
    fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK);
    return null;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return `${what}: there is no directory ${directory}`;
    return `${what}: ${directory} cannot be written: ${errno}`;
  }
}

const isSameDirectory = (one: string, other: string): boolean => realPath(one) === realPath(other);

/** What is not there has no other name. */
const realPath = (directory: string): string =>
  fs.existsSync(directory) ? fs.realpathSync(directory) : path.resolve(directory);

const notThis = (message: string, hint: string): HomewardError =>
  new HomewardError('not-a-volume', message, { hint });
