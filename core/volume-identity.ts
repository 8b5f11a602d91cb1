// The identity of the retention and replica volumes, so that a mount point without its volume is never taken
// for it.
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { readSealedJson, syncDirectorySync, writeSealedJson } from './atomic-file.ts';
import { ensureDirectorySync } from './directory.ts';
import { HomewardError, errnoOf } from './errors.ts';

export type VolumeKind = 'retention' | 'replicas';

/** What `homeward-volume.json` says. */
export interface VolumeIdentity {
  id: string;
  kind: VolumeKind;
  /** RFC 3339. */
  created: string;
}

/** One line of `volumes.json`: the volume that this master target uses for a kind, and where it was last. */
interface VolumeRecord {
  kind: VolumeKind;
  id: string;
  path: string;
}

const identityName = 'homeward-volume.json';
const identityFormat = 'homeward-volume';
const recordsName = 'volumes.json';
const recordsFormat = 'homeward-volumes';
/**
 * What an unused volume may hold: a new ext4 has the first, a crash while we made the identity leaves the
 * second, and whoever wants to make it locks it first.
 */
const harmlessNames = new Set(['lost+found', `${identityName}.new`, 'lock']);

export interface VolumeRequest {
  /** The directory of `--data`, which exists. */
  data: string;
  directory: string;
  kind: VolumeKind;
}

/**
 * The identity of the volume at `directory`. The first use is recorded in `data`; from then on only that
 * volume will do:
 * - known to `data`: anything but that very volume is 'volume-not-mounted', and nothing is created in its
 *   place;
 * - not known: a volume of this kind is adopted; an empty or absent directory becomes one; else
 *   'not-a-volume'.
 */
export function ensureVolume(request: VolumeRequest): VolumeIdentity {
  const { data, directory, kind } = request;
  const { records, known, found } = look(request);
  // Crash order: 1 identity in the directory · 2 record in `data`. A crash between them leaves a volume to be
  // adopted.
  const identity = found ?? createIdentity(directory, kind);
  const record: VolumeRecord = { kind, id: identity.id, path: path.resolve(directory) };
  if (known?.path !== record.path) {
    const others = records.filter((other) => other !== known);
    writeSealedJson(path.join(data, recordsName), recordsFormat, [...others, record]);
  }
  return identity;
}

/** Refuses what `ensureVolume` would, but records and makes nothing: for before the lock is taken. */
export function checkVolume(request: VolumeRequest): void {
  look(request);
}

/** Makes the directory of a volume that `checkVolume` let pass, durably, so that it can be locked. */
export function ensureVolumeDirectory(directory: string): void {
  const firstMade = ensureDirectorySync(directory);
  if (firstMade) syncDirectorySync(path.dirname(firstMade));
}

function look({ data, directory, kind }: VolumeRequest): {
  records: VolumeRecord[];
  known: VolumeRecord | undefined;
  found: VolumeIdentity | null;
} {
  const records = readRecords(data);
  const known = records.find((record) => record.kind === kind);
  const found = readIdentity(directory);
  if (known) {
    if (found?.id !== known.id || found.kind !== kind) throw notMounted(known, directory, found);
  } else if (found && found.kind !== kind) {
    throw notAVolume(`${directory} cannot be the ${kind} volume: it is ${describe(found)}`);
  } else if (!found) {
    refuseUsed(directory, kind);
  }
  return { records, known, found };
}

function refuseUsed(directory: string, kind: VolumeKind): void {
  const names = (tryList(directory) ?? []).filter((name) => !harmlessNames.has(name));
  if (names.length === 0) return;
  const some = names.slice(0, 3).join(', ') + (names.length > 3 ? ', …' : '');
  throw notAVolume(`${directory} cannot become the ${kind} volume: it holds ${some}`);
}

function createIdentity(directory: string, kind: VolumeKind): VolumeIdentity {
  const identity: VolumeIdentity = { id: randomUUID(), kind, created: new Date().toISOString() };
  ensureVolumeDirectory(directory);
  writeSealedJson(path.join(directory, identityName), identityFormat, identity);
  return identity;
}

function notMounted(known: VolumeRecord, directory: string, found: VolumeIdentity | null): HomewardError {
  const volume = `${known.kind} volume ${known.id}`;
  const last = known.path === path.resolve(directory) ? '' : `, last seen at ${known.path},`;
  const missing = `${volume}${last} is missing at ${directory}, which ${whatIsThere(directory, found)}`;
  return new HomewardError('volume-not-mounted', `the ${known.kind} volume is not mounted: ${missing}`);
}

function whatIsThere(directory: string, found: VolumeIdentity | null): string {
  if (found) return `is ${describe(found)}`;
  const names = tryList(directory);
  if (names === null) return 'does not exist';
  return names.length === 0 ? 'is empty' : `carries no ${identityName}`;
}

const describe = (identity: VolumeIdentity): string => `${identity.kind} volume ${identity.id}`;

function readRecords(data: string): VolumeRecord[] {
  const file = path.join(data, recordsName);
  try {
    const body = readSealedJson(file, recordsFormat);
    if (body === null) return [];
    if (Array.isArray(body) && body.every(isRecord)) return body;
    throw unexpected(file);
  } catch (error) {
    if (!(error instanceof HomewardError) || error.code !== 'damaged') throw error;
    throw new HomewardError('damaged', error.message, { cause: error, hint: recordsHint(file) });
  }
}

/** The file says only which volumes are ours, and each of those says it too. */
const recordsHint = (file: string): string =>
  `Put back the file from a copy. Without one: mount the retention and the replica volume, see that each ` +
  `has its ${identityName}, move ${file} away, and start again: both are then taken as they are.`;

function readIdentity(directory: string): VolumeIdentity | null {
  const file = path.join(directory, identityName);
  if (tryList(directory) === null) return null;
  const body = readSealedJson(file, identityFormat);
  if (body === null || isIdentity(body)) return body;
  throw unexpected(file);
}

/** The names in a directory, or null when there is none. */
function tryList(directory: string): string[] | null {
  try {
    return fs.readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    if (errnoOf(error) === 'ENOTDIR') throw notAVolume(`${directory} is not a directory`);
    throw error;
  }
}

function isIdentity(value: unknown): value is VolumeIdentity {
  return hasText(value, ['id', 'kind', 'created']) && isKind(value['kind']);
}

function isRecord(value: unknown): value is VolumeRecord {
  return hasText(value, ['id', 'kind', 'path']) && isKind(value['kind']);
}

const isKind = (value: unknown): value is VolumeKind => value === 'retention' || value === 'replicas';

function hasText(value: unknown, names: string[]): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Record<string, unknown>;
  return names.every((name) => typeof fields[name] === 'string' && fields[name] !== '');
}

const notAVolume = (message: string): HomewardError => new HomewardError('not-a-volume', message);

function unexpected(file: string): HomewardError {
  return new HomewardError('damaged', `${file} does not hold the fields it should`);
}
