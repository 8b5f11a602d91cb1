// Who a host is: the files of DATA/identity (docs/chain.md, section 1).
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { readSealedJson, syncDirectorySync, writeAtomicFile, writeSealedJson } from '../atomic-file.ts';
import { errnoOf, HomewardError } from '../errors.ts';
import { limits } from '../limits.ts';

export const HostRole = {
  configServer: 'config-server',
  processServer: 'process-server',
  masterTarget: 'master-target',
  mobility: 'mobility',
} as const;
export type HostRole = (typeof HostRole)[keyof typeof HostRole];

/**
 * What an enrolled host shows to others, and knows them by. PEM texts. One object for the life of a daemon: a
 * renewed certificate is put into it, and whoever connects reads it from there.
 */
export interface HostIdentity {
  hostId: string;
  role: HostRole;
  /** What people call it. */
  name: string;
  key: string;
  certificate: string;
  authority: string;
  configServer: { host: string; port: number };
}

/** What a host knows of itself before it has enrolled. */
export type HostName = Pick<HostIdentity, 'hostId' | 'role' | 'name'>;

export const hostRoleSchema = z.enum(HostRole);
export const hostIdSchema = z.uuid().regex(/^[0-9a-f-]+$/);

const hostSchema = z.object({ hostId: hostIdSchema, role: hostRoleSchema, name: z.string() });
const serverSchema = z.object({
  host: z.string().min(1),
  port: z.number().int().min(1).max(65_535),
});

const hostFormat = 'homeward host';
const serverFormat = 'homeward configuration server address';

/** The host id, made and written down at the first call; a new `name` replaces the one in the file. */
export function ensureHostId(data: string, role: HostRole, name: string): HostName {
  const directory = ensureDirectory(data);
  const file = path.join(directory, 'host.json');
  const known = readPart(file, hostFormat, hostSchema);
  if (known !== null && known.role !== role) {
    throw new HomewardError('conflict', `${data} belongs to a ${known.role}, this is a ${role}`, {
      hint: 'Give each program a data directory of its own.',
    });
  }
  const host = { hostId: known?.hostId ?? crypto.randomUUID(), role, name };
  if (known === null || known.name !== name) writeSealedJson(file, hostFormat, host);
  return host;
}

/**
 * The private key, made and written down at the first call. It is there before the host has a certificate:
 * whoever waits for approval is known by it, also after a restart.
 */
export function ensureKey(data: string): string {
  const file = path.join(ensureDirectory(data), 'key.pem');
  const known = readText(file);
  if (known !== null) return known;
  const key = createKey();
  writeAtomicFile(file, key, 0o600);
  return key;
}

/** The identity of an enrolled host, or null before it has enrolled. */
export function readIdentity(data: string): HostIdentity | null {
  const directory = path.join(data, 'identity');
  const host = readPart(path.join(directory, 'host.json'), hostFormat, hostSchema);
  const certificate = readText(path.join(directory, 'cert.pem'));
  if (host === null || certificate === null) return null;
  const configServer = readPart(path.join(directory, 'server.json'), serverFormat, serverSchema);
  const key = readText(path.join(directory, 'key.pem'));
  const authority = readText(path.join(directory, 'ca.pem'));
  if (configServer === null || key === null || authority === null) {
    throw new HomewardError('damaged', `${directory} has a certificate, but not all that goes with it`, {
      hint: 'Put back the files from a copy, or remove cert.pem so that the host enrols again.',
    });
  }
  return { ...host, key, certificate, authority, configServer };
}

/**
 * Keeps what an enrolment gave. Crash order: 1 everything but the certificate · 2 the certificate. Without
 * the certificate the host has not enrolled, so that a crash before 2 leaves a host that enrols again.
 */
export function writeIdentity(data: string, identity: HostIdentity): void {
  const directory = ensureDirectory(data);
  const { hostId, role, name } = identity;
  fs.rmSync(path.join(directory, 'cert.pem'), { force: true });
  syncDirectorySync(directory);
  writeSealedJson(path.join(directory, 'host.json'), hostFormat, { hostId, role, name });
  writeAtomicFile(path.join(directory, 'key.pem'), identity.key, 0o600);
  writeAtomicFile(path.join(directory, 'ca.pem'), identity.authority);
  writeSealedJson(path.join(directory, 'server.json'), serverFormat, identity.configServer);
  writeAtomicFile(path.join(directory, 'cert.pem'), identity.certificate);
}

/** A renewed certificate for the same key takes the place of the old one, in the file and in `identity`. */
export function replaceCertificate(data: string, identity: HostIdentity, certificate: string): void {
  writeAtomicFile(path.join(ensureDirectory(data), 'cert.pem'), certificate);
  identity.certificate = certificate;
}

/** A new private key (ECDSA P-256), PKCS #8 in PEM. */
export function createKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

export function isInForce(certificate: string, nowMs: number): boolean {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  return validFromDate.getTime() <= nowMs && nowMs < validToDate.getTime();
}

/** Whether a certificate has less than a third of its life left, in milliseconds since 1970. */
export function dueForRenewal(certificate: string, nowMs: number): boolean {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  const lifeMs = validToDate.getTime() - validFromDate.getTime();
  return validToDate.getTime() - nowMs < lifeMs / limits.certificateRenewalPart;
}

/** Only its owner may look into it, so no file in it is anybody else's to read at any moment. */
function ensureDirectory(data: string): string {
  const directory = path.join(data, 'identity');
  fs.mkdirSync(data, { recursive: true });
  try {
    fs.mkdirSync(directory, { mode: 0o700 });
    syncDirectorySync(data);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    fs.chmodSync(directory, 0o700);
  }
  return directory;
}

function readPart<T>(file: string, format: string, schema: z.ZodType<T>): T | null {
  const body = readSealedJson(file, format);
  if (body === null) return null;
  const { data, error } = schema.safeParse(body);
  if (error !== undefined) {
    throw new HomewardError('damaged', `${file}: ${z.prettifyError(error)}`, { cause: error });
  }
  return data;
}

function readText(file: string): string | null {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}
