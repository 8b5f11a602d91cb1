// The authority of a site: its certificate, and the certificates that it gives to hosts (ECDSA P-256).
// The order counts: @peculiar/x509 needs the reflection API when it loads.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import {
  createPrivateKey,
  createPublicKey,
  randomBytes,
  webcrypto,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { HomewardError } from '../errors.ts';
import { limits } from '../limits.ts';
import { createKey, hostIdSchema } from './host-identity.ts';
import { peerIn, type Peer } from './peer.ts';

export { createKey } from './host-identity.ts';

x509.cryptoProvider.set(webcrypto);

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 24 * 60 * 60 * 1000;

/** PEM texts. */
export interface Authority {
  certificate: string;
  key: string;
}

/** A new authority with a key of its own. Times are milliseconds since 1970. */
export async function createAuthority(nowMs: number = Date.now()): Promise<Authority> {
  const key = createKey();
  const keys = await keyPairOf(key);
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [`Homeward authority ${randomBytes(4).toString('hex')}`] }],
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(nowMs - limits.certificateBackdateDays * dayMs),
    notAfter: new Date(nowMs + limits.authorityDays * dayMs),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pemOf(made), key };
}

/**
 * A certificate for the key of `request` (PEM). The subject of the request counts for nothing. Throws 'usage'
 * when the request cannot be used. It begins a day ago, for hosts whose clocks are behind.
 */
export async function issueCertificate(
  authority: Authority,
  request: string,
  { hostId, role }: Peer,
  nowMs: number = Date.now(),
): Promise<string> {
  const { publicKey } = await parseRequest(request);
  const issuer = new x509.X509Certificate(authority.certificate);
  const endMs = Math.min(nowMs + limits.certificateDays * dayMs, issuer.notAfter.getTime());
  const { privateKey } = await keyPairOf(authority.key);
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [hostIdSchema.parse(hostId)] }, { OU: [role] }],
    issuer: issuer.subjectName,
    publicKey,
    signingKey: privateKey,
    signingAlgorithm: algorithm,
    notBefore: new Date(nowMs - limits.certificateBackdateDays * dayMs),
    notAfter: new Date(endMs),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return pemOf(made);
}

/** A PKCS #10 request for the certificate of `key`, signed with it; PEM. */
export async function createRequest(key: string, { hostId, role }: Peer): Promise<string> {
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [hostId] }, { OU: [role] }],
    keys: await keyPairOf(key),
    signingAlgorithm: algorithm,
  });
  return pemOf(request);
}

export interface ParsedRequest {
  der: Buffer;
  publicKey: x509.PublicKey;
}

/** Reads a request and checks that who made it has the key. Throws 'usage'. */
export async function parseRequest(pem: string): Promise<ParsedRequest> {
  if (pem.length > limits.pemBytes) throw badRequest('it is too long');
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    const key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' });
    if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw badRequest('its key is not ECDSA P-256');
    if (!(await request.verify())) throw badRequest('its signature does not fit its key');
    return { der: Buffer.from(request.rawData), publicKey: request.publicKey };
  } catch (error) {
    if (error instanceof HomewardError) throw error;
    throw badRequest('it cannot be read', error);
  }
}

/** SHA-256 of a certificate's DER, in hexadecimal with colons. */
export function fingerprint(certificate: string): string {
  return new X509Certificate(certificate).fingerprint256;
}

export function certificateDer(certificate: string): Buffer {
  return new X509Certificate(certificate).raw;
}

/**
 * Throws 'certificate-not-vouched' unless `certificate` is for `subject` and `key`, from `authority`, and in
 * force.
 */
export function checkIssued(
  { certificate, authority, key }: { certificate: string; authority: string; key: string },
  { hostId, role }: Peer,
  nowMs: number = Date.now(),
): void {
  const wrong = issuedFault(certificate, authority, createPrivateKey(key), nowMs);
  if (wrong !== null) throw new HomewardError('certificate-not-vouched', `the new certificate ${wrong}`);
  const found = peerIn(new X509Certificate(certificate));
  if (found?.hostId !== hostId || found.role !== role) {
    throw new HomewardError('certificate-not-vouched', 'the new certificate is for another host or role');
  }
}

function issuedFault(pem: string, authority: string, key: KeyObject, nowMs: number): string | null {
  try {
    const certificate = new X509Certificate(pem);
    const issuer = new X509Certificate(authority);
    if (!issuer.ca || !certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
      return 'is not from the authority';
    }
    if (!certificate.checkPrivateKey(key)) return 'is for another key';
    if (certificate.validFromDate.getTime() > nowMs || certificate.validToDate.getTime() < nowMs) {
      return 'is not in force by the clock of this host';
    }
    return null;
  } catch (error) {
    return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function keyPairOf(pem: string): Promise<{ privateKey: CryptoKey; publicKey: CryptoKey }> {
  const key = createPrivateKey(pem);
  return {
    privateKey: key.toCryptoKey(algorithm, false, ['sign']),
    publicKey: createPublicKey(key).toCryptoKey(algorithm, true, ['verify']),
  };
}

/** Positive and at most 16 bytes (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes.readUInt8(0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

const pemOf = (made: { toString(format: 'pem'): string }): string => `${made.toString('pem')}\n`;

const badRequest = (why: string, cause?: unknown): HomewardError =>
  new HomewardError('usage', `the certificate request cannot be used: ${why}`, { cause });
