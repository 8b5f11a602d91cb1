// What systemd has to know of the places that `drscout.conf` names: a drop-in beside the unit of the role.
import fs from 'node:fs';
import path from 'node:path';
import { writeAtomicFile } from './atomic-file.ts';
import type { Config } from './config.ts';
import { ensureDirectorySync } from './directory.ts';
import { usualData, type DaemonRole } from './usual-places.ts';

export interface ServiceDropIn {
  /** `homeward-master-target.service`. */
  unit: string;
  /** Below the directory of units. */
  file: string;
  text: string;
}

export const unitDirectory = '/etc/systemd/system';

/** What each spelling of `Role` runs. */
export const daemonOfRole: Readonly<Record<Config['role'], DaemonRole>> = {
  Agent: 'mobility',
  MasterTarget: 'master-target',
  ConfigServer: 'config-server',
  ProcessServer: 'process-server',
  AllInOne: 'all-in-one',
};

export const unitOf = (role: DaemonRole): string => `homeward-${role}.service`;

/**
 * The service waits for the volumes of these places, may write there in spite of its sandbox, and sees them
 * when they lie in home directories.
 */
export function serviceDropIn(config: Config): ServiceDropIn {
  const role = daemonOfRole[config.role];
  const unit = unitOf(role);
  const { retentionVolume, replicaDirectory, dataDirectory, cacheDirectory, logFile } = config;
  const mounts = [retentionVolume, replicaDirectory, dataDirectory].filter((place) => place !== '');
  const logs = logFile === '' ? '' : path.dirname(logFile);
  const writable = [...mounts, cacheDirectory, logs, ...writtenByMobility(role, config)].filter(
    (place) => place !== '' && !isBelow(place, usualData(role)),
  );
  const lines = [
    '# Made by `homeward config service` from drscout.conf; it is written anew when that changes.',
    '[Unit]',
    ...mounts.map((place) => `RequiresMountsFor=${quoted(place)}`),
    '',
    '[Service]',
    // A place that is missing is for the daemon to say, in better words.
    ...[...new Set(writable)].map((place) => `ReadWritePaths=${quoted(place, '-')}`),
    ...(writable.some(isHome) ? ['ProtectHome=read-only'] : []),
    ...(cacheDirectory === '' ? [] : [`Environment=${quoted(cacheDirectory, 'NODE_COMPILE_CACHE=')}`]),
  ];
  return { unit, file: path.join(`${unit}.d`, 'retention.conf'), text: lines.join('\n') + '\n' };
}

/** Whether anything changed: then systemd has to be told, `systemctl daemon-reload`. */
export function writeServiceDropIn({ file, text }: ServiceDropIn, directory = unitDirectory): boolean {
  const place = path.join(directory, file);
  if (tryRead(place) === text) return false;
  ensureDirectorySync(path.dirname(place), 0o755);
  writeAtomicFile(place, text, 0o644);
  return true;
}

/** Disks that are files; devices are a matter of their own. */
function writtenByMobility(role: DaemonRole, { machineDisks, machineListen }: Config): string[] {
  if (role !== 'mobility') return [];
  const disks = machineDisks.split(/\s+/).map((text) => text.slice(text.indexOf('=') + 1));
  const socket = machineListen.startsWith('unix:') ? path.dirname(machineListen.slice('unix:'.length)) : '';
  return [...disks, socket].filter((place) => path.isAbsolute(place) && !isBelow(place, '/dev'));
}

const isHome = (place: string): boolean =>
  ['/home', '/root', '/run/user'].some((home) => isBelow(place, home));

const isBelow = (place: string, directory: string): boolean => `${place}/`.startsWith(`${directory}/`);

/** As systemd reads one word: `%` begins a specifier, a backslash an escape. */
function quoted(place: string, before = ''): string {
  const word = before + place.replaceAll('%', '%%').replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  return /[\s"'\\]/.test(word) ? `"${word}"` : word;
}

function tryRead(file: string): string | null {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return null; // whatever is there is written over, or that says why not
  }
}
