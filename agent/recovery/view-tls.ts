// TLS for views over TCP where the operator has configured none: an authority of this daemon's own, and the
// directory of certificate files that QEMU and libnbd expect of a client.
// The order counts: @peculiar/x509 needs the reflection API when it loads.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { createPrivateKey, createPublicKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { syncDirectorySync, writeAtomicFile } from '../../core/atomic-file.ts';
import { createAuthority, type Authority } from '../../core/identity/authority.ts';
import { createKey, dueForRenewal } from '../../core/identity/host-identity.ts';
import { limits } from '../../core/limits.ts';
import type { NbdTls } from '../../core/nbd/tls.ts';
import { isWildcard } from './view-use.ts';

x509.cryptoProvider.set(webcrypto);

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 24 * 60 * 60 * 1000;
const fileMode = 0o600;

export interface OwnTls {
  tls: NbdTls;
  /** What a client needs, to be copied to where it runs: ca-cert.pem, client-cert.pem, client-key.pem. */
  clientDirectory: string;
}

/**
 * TLS for a listener on `host`, with client certificates. Made at the first call, under DATA/nbd-tls; renewed
 * when a certificate is near its end, and made anew for the server when `host`, the name or an address of
 * this host is not in it. The authority stays, so clients that have its certificate go on.
 */
export async function ensureOwnTls(data: string, host: string, nowMs: number = Date.now()): Promise<OwnTls> {
  const directory = join(data, 'nbd-tls');
  const clientDirectory = join(directory, 'client');
  fs.mkdirSync(clientDirectory, { recursive: true, mode: 0o700 });
  syncDirectorySync(data);
  const authority = await ensureAuthority(directory, nowMs);
  const names = serverNames(host);
  const server = await ensureCertificate(
    { directory, name: 'server', authority, nowMs },
    x509.ExtendedKeyUsage.serverAuth,
    names,
  );
  write(clientDirectory, 'ca-cert.pem', authority.certificate);
  await ensureCertificate(
    { directory: clientDirectory, name: 'client', authority, nowMs },
    x509.ExtendedKeyUsage.clientAuth,
    [],
  );
  const tls = { ca: authority.certificate, ...server, requireClientCertificate: true, required: true };
  return { tls, clientDirectory };
}

/** What clients may know this host by: they compare the name that they were given with the certificate. */
function serverNames(host: string): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  // Link-local addresses come and go with the interfaces, and no client names a host by one.
  const own = addresses.filter(({ address }) => !address.startsWith('fe80:')).map(({ address }) => address);
  return [...new Set([host, hostname(), 'localhost', ...own])].filter((name) => !isWildcard(name));
}

/** Crash order: 1 key · 2 certificate. A key without its certificate is replaced. */
async function ensureAuthority(directory: string, nowMs: number): Promise<Authority> {
  const certificate = tryRead(directory, 'ca-cert.pem');
  const key = tryRead(directory, 'ca-key.pem');
  if (certificate !== null && key !== null) return { certificate, key };
  const made = await createAuthority(nowMs);
  write(directory, 'ca-key.pem', made.key);
  write(directory, 'ca-cert.pem', made.certificate);
  return made;
}

interface Wanted {
  directory: string;
  /** 'server' or 'client', as the names of the files begin. */
  name: string;
  authority: Authority;
  nowMs: number;
}

async function ensureCertificate(
  { directory, name, authority, nowMs }: Wanted,
  usage: x509.ExtendedKeyUsage,
  names: readonly string[],
): Promise<{ cert: string; key: string }> {
  const cert = tryRead(directory, `${name}-cert.pem`);
  const key = tryRead(directory, `${name}-key.pem`);
  if (cert !== null && key !== null && isUsable(cert, key, authority, names, nowMs)) return { cert, key };
  const made = createKey();
  const issued = await issue({ authority, key: made, name, usage, names, nowMs });
  write(directory, `${name}-key.pem`, made);
  write(directory, `${name}-cert.pem`, issued);
  return { cert: issued, key: made };
}

function isUsable(
  pem: string,
  key: string,
  authority: Authority,
  names: readonly string[],
  nowMs: number,
): boolean {
  try {
    const certificate = new X509Certificate(pem);
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return false;
    if (!certificate.verify(new X509Certificate(authority.certificate).publicKey)) return false;
    if (dueForRenewal(pem, nowMs)) return false;
    return names.every((name) =>
      isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name),
    );
  } catch {
    return false; // what cannot be read is made anew
  }
}

interface Issue {
  authority: Authority;
  key: string;
  name: string;
  usage: x509.ExtendedKeyUsage;
  names: readonly string[];
  nowMs: number;
}

async function issue({ authority, key, name, usage, names, nowMs }: Issue): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const signingKey = createPrivateKey(authority.key).toCryptoKey(algorithm, false, ['sign']);
  const publicKey = createPublicKey(key).toCryptoKey(algorithm, true, ['verify']);
  const endMs = Math.min(nowMs + limits.certificateDays * dayMs, issuer.notAfter.getTime());
  const alternatives = names.map((value) => new x509.GeneralName(isIP(value) === 0 ? 'dns' : 'ip', value));
  const made = await x509.X509CertificateGenerator.create({
    // Positive and at most 16 bytes (RFC 5280, 4.1.2.2).
    serialNumber: `40${randomBytes(15).toString('hex')}`,
    subject: [{ CN: [`homeward nbd ${name}`] }],
    issuer: issuer.subjectName,
    publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    notBefore: new Date(nowMs - limits.certificateBackdateDays * dayMs),
    notAfter: new Date(endMs),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([usage]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      ...(alternatives.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(alternatives)]),
    ],
  });
  return `${made.toString('pem')}\n`;
}

/** What is there already is not written again. */
function write(directory: string, name: string, text: string): void {
  if (tryRead(directory, name) !== text) writeAtomicFile(join(directory, name), text, fileMode);
}

function tryRead(directory: string, name: string): string | null {
  const file = join(directory, name);
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : null;
}
