// What makes a site: authority, the server's own identity, passphrase, operator token; for their owner only.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { writeAtomicFile } from '../core/atomic-file.ts';
import { ensureDirectorySync } from '../core/directory.ts';
import { errnoOf, HomewardError } from '../core/errors.ts';
import {
  createAuthority,
  createKey,
  createRequest,
  fingerprint,
  issueCertificate,
  type Authority,
} from '../core/identity/authority.ts';
import { createPassphrase, createSalt, deriveKey } from '../core/identity/enrolment-proof.ts';
import {
  dueForRenewal,
  ensureHostId,
  HostRole,
  readIdentity,
  replaceCertificate,
  writeIdentity,
  type HostIdentity,
} from '../core/identity/host-identity.ts';

const secretMode = 0o600;

/** DATA is for its owner only, also when it was there before. */
export function ensureDataDirectory(data: string): void {
  ensureDirectorySync(data, 0o700);
  fs.chmodSync(data, 0o700);
}

/** Crash order: 1 the key · 2 the certificate. Without the certificate there has been no authority yet. */
export async function ensureAuthority(data: string): Promise<Authority> {
  const directory = path.join(data, 'authority');
  ensureDirectorySync(directory, 0o700);
  const files = { key: path.join(directory, 'key.pem'), certificate: path.join(directory, 'cert.pem') };
  const certificate = tryRead(files.certificate);
  const key = tryRead(files.key);
  if (certificate !== null && key !== null) return { certificate, key };
  if (certificate !== null) {
    throw new HomewardError('damaged', `${files.key} is missing`, {
      hint: 'Put it back from a copy: every host trusts the authority with this key, and no other.',
    });
  }
  const made = await createAuthority();
  writeAtomicFile(files.key, made.key, secretMode);
  writeAtomicFile(files.certificate, made.certificate, secretMode);
  return made;
}

/** The server's own identity; its certificate is made anew when it is due or from another authority. */
export async function ensureServerIdentity(data: string, authority: Authority): Promise<HostIdentity> {
  const known = readIdentity(data);
  if (known !== null && known.authority === authority.certificate) {
    await renewServerCertificate(data, authority, known);
    return known;
  }
  const host = ensureHostId(data, HostRole.configServer, os.hostname());
  const key = createKey();
  const certificate = await issueCertificate(authority, await createRequest(key, host), host);
  // Its address is the business of others.
  const configServer = { host: '127.0.0.1', port: 443 };
  const identity = { ...host, key, certificate, authority: authority.certificate, configServer };
  writeIdentity(data, identity);
  return identity;
}

/** True when there is a new one. */
export async function renewServerCertificate(
  data: string,
  authority: Authority,
  identity: HostIdentity,
): Promise<boolean> {
  if (!dueForRenewal(identity.certificate, Date.now())) return false;
  const request = await createRequest(identity.key, identity);
  replaceCertificate(data, identity, await issueCertificate(authority, request, identity));
  return true;
}

export interface Passphrase {
  passphrase: string;
  salt: Buffer;
  /** The key of the proofs. */
  key: Buffer;
}

/** The passphrase that counts, in memory and in its file, which is what hosts are started with. */
export class PassphraseKeeper {
  readonly #data: string;
  #current: Passphrase;

  private constructor(data: string, current: Passphrase) {
    this.#data = data;
    this.#current = current;
  }

  static async open(data: string): Promise<PassphraseKeeper> {
    const passphrase = tryRead(passphraseFile(data))?.trim() ?? '';
    const salt = tryRead(saltFile(data))?.trim() ?? '';
    if (passphrase === '' || salt === '') return new PassphraseKeeper(data, await makePassphrase(data));
    const bytes = Buffer.from(salt, 'base64url');
    return new PassphraseKeeper(data, { passphrase, salt: bytes, key: await deriveKey(passphrase, bytes) });
  }

  get current(): Passphrase {
    return this.#current;
  }

  /** From here on the old one lets nobody in any more; hosts that have enrolled keep their certificates. */
  async rotate(): Promise<Passphrase> {
    this.#current = await makePassphrase(this.#data);
    return this.#current;
  }
}

export const passphraseFile = (data: string): string => path.join(data, 'passphrase');
const saltFile = (data: string): string => path.join(data, 'passphrase.salt');

/** A crash between the two files leaves the old passphrase with another salt, which is as good. */
async function makePassphrase(data: string): Promise<Passphrase> {
  const passphrase = createPassphrase();
  const salt = createSalt();
  const key = await deriveKey(passphrase, salt);
  writeAtomicFile(saltFile(data), `${salt.toString('base64url')}\n`, secretMode);
  writeAtomicFile(passphraseFile(data), `${passphrase}\n`, secretMode);
  return { passphrase, salt, key };
}

/** What an operator's file says. */
export interface OperatorFile {
  /** `HOST:PORT`. */
  address: string;
  /** SHA-256 of the authority's certificate. */
  fingerprint: string;
  token: string;
}

const operatorSchema: z.ZodType<OperatorFile> = z.object({
  address: z.string().min(1),
  fingerprint: z.string().min(1),
  token: z.string().min(1),
});

const operatorName = 'operator.json';

/** The token of DATA/operator.json, or a new one. */
export function ensureOperatorToken(data: string): string {
  const file = path.join(data, operatorName);
  const text = tryRead(file);
  return text === null
    ? randomBytes(32).toString('base64url')
    : parseSecret(file, text, operatorSchema).token;
}

/** Further places for the operator's file. */
export interface OperatorPlaces {
  file: string | null;
  /** A home directory, where it is written when there is none, or an older one of this server. */
  home: string | null;
}

/**
 * Writes DATA/operator.json and those at `places`; gives back the files that were written. One in a home is
 * a convenience, so that only `missed` hears why there is none.
 */
export function writeOperatorFiles(
  data: string,
  { authority, ...rest }: { authority: string; address: string; token: string },
  { file: further, home }: OperatorPlaces,
  missed: (file: string, why: Error) => void,
): string[] {
  const operator: OperatorFile = { ...rest, fingerprint: fingerprint(authority) };
  const text = `${JSON.stringify(operator, null, 2)}\n`;
  const files = [path.join(data, operatorName), ...(further === null ? [] : [further])];
  for (const file of files) writeAtomicFile(file, text, secretMode);
  if (home === null) return files;
  const file = path.join(home, '.config', 'homeward', operatorName);
  try {
    ensureOwnHome(home);
    if (!mayReplace(file, operator)) return files;
    ensureDirectorySync(path.dirname(file), 0o700);
    writeAtomicFile(file, text, secretMode);
    return [...files, file];
  } catch (error) {
    missed(file, error instanceof Error ? error : new Error(String(error)));
    return files;
  }
}

/**
 * Under `sudo` HOME may be that of the caller: a file of root there is of no use to him, and what he puts in
 * its way would lead root anywhere.
 */
function ensureOwnHome(home: string): void {
  if (fs.statSync(home).uid === process.geteuid?.()) return;
  throw new HomewardError('not-writable', `${home} belongs to another user`);
}

/** A file that leads to another server, or that is not ours to read, stays as it is. */
function mayReplace(file: string, operator: OperatorFile): boolean {
  try {
    const text = tryRead(file);
    return text === null || parseSecret(file, text, operatorSchema).token === operator.token;
  } catch {
    return false;
  }
}

function parseSecret<T>(file: string, text: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    // Without the cause: it would quote what is in the file.
    throw new HomewardError('damaged', `${file} does not hold what it should`);
  }
}

function tryRead(file: string): string | null {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}
