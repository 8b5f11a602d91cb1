// The client's side of the enrolment: proves the passphrase, believes nothing before the server has proved it
// too.
import { createHash, createPublicKey } from 'node:crypto';
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { formatTime, type Clock } from '../clock.ts';
import { errnoOf, HomewardError, type ErrorCode } from '../errors.ts';
import { limits } from '../limits.ts';
import type { Log } from '../log.ts';
import { microseconds } from '../units.ts';
import { formatAddress, type Address } from './address.ts';
import { certificateDer, checkIssued, createRequest, parseRequest } from './authority.ts';
import { enrolmentBegunSchema, enrolmentFinishedSchema, type EnrolmentBegun } from './enrolment-messages.ts';
import {
  clientProof,
  createNonce,
  deriveKey,
  proofFits,
  serverProof,
  transcript,
} from './enrolment-proof.ts';
import { explainConnect } from './explain-connect.ts';
import type { HostName } from './host-identity.ts';
import { checkAnswer, jsonCall } from './http-client.ts';
import { connectUnchecked } from './tls.ts';
import { isNewerVersion } from './version-order.ts';

export interface EnrolOptions {
  server: Address;
  passphrase: string;
  host: HostName;
  /** PEM. */
  key: string;
  version: string;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  /** Between two questions while it waits for approval. */
  pollMs?: number;
}

/** PEM texts, proved by the server. */
export interface Enrolled {
  certificate: string;
  authority: string;
}

/** Trimmed, as editors end a file with a line feed. Throws 'passphrase-too-short' and 'no-such-file'. */
export function readPassphrase(file: string): string {
  return checkPassphrase(readShortFile(file).trim());
}

function readShortFile(file: string): string {
  const bytes = Buffer.alloc(limits.passphraseFileBytes);
  try {
    const fd = fs.openSync(file, 'r');
    try {
      return bytes.toString('utf8', 0, fs.readSync(fd, bytes));
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    const errno = errnoOf(error);
    const what =
      errno === 'ENOENT'
        ? `there is no passphrase file ${file}`
        : `the passphrase file ${file} cannot be read: ${errno}`;
    throw new HomewardError('no-such-file', what, {
      cause: error,
      hint: 'Give --passphrase-file a file, readable here, with what `homeward passphrase show` prints.',
    });
  }
}

/** What asking again does not mend while it waits for approval; everything else is tried anew. */
const final: readonly ErrorCode[] = [
  'interrupted',
  'wrong-passphrase',
  'certificate-not-vouched',
  'clock-apart',
  'version-newer',
  'host-id-taken',
  'not-allowed',
  'not-tls',
  'bug',
];

/**
 * Enrols, and waits for approval as long as `signal` lets it. Before it has to wait every failure is thrown,
 * 'wrong-passphrase', 'name-not-resolved' …; later ones only when asking again cannot mend them.
 */
export async function enrol(options: EnrolOptions): Promise<Enrolled> {
  checkPassphrase(options.passphrase);
  const address = formatAddress(options.server.host, options.server.port);
  const progress = { waited: false, unreachable: false };
  for (;;) {
    try {
      return await enrolOnce(options, address, progress);
    } catch (error) {
      const known = withAddress(explainConnect(error, address), address);
      if (!progress.waited || final.includes(known.code)) throw known;
      if (!progress.unreachable) options.log.warn('enrolment-broken', { server: address, error: known });
      progress.unreachable = true;
      await pause(options, limits.heartbeatMs, address);
    }
  }
}

/** What the server answered does not say which server that was. */
function withAddress(error: HomewardError, address: string): HomewardError {
  if (error.message.includes(address)) return error;
  const { code, message, hint } = error;
  return new HomewardError(code, `${address}: ${message}`, { hint, cause: error.cause });
}

interface Progress {
  waited: boolean;
  unreachable: boolean;
}

interface Session {
  pool: Pool;
  address: string;
  /** DER of the certificate that the server showed. */
  seen(): Buffer;
}

/** From begin to the certificate. All connections of it see the same server certificate. */
async function enrolOnce(options: EnrolOptions, address: string, progress: Progress): Promise<Enrolled> {
  const session = openSession(options, address);
  try {
    const nonce = createNonce();
    const begun = await begin(options, session, nonce);
    checkBegun(options, address, begun);
    const { host } = options;
    const request = await createRequest(options.key, host);
    const key = await deriveKey(options.passphrase, fromBase64(begun.salt));
    const seen = transcript({
      clientNonce: nonce,
      serverNonce: fromBase64(begun.nonce),
      serverCertificate: session.seen(),
      request: (await parseRequest(request)).der,
      hostId: host.hostId,
      role: host.role,
      name: host.name,
      authority: certificateDerOf(begun.authority, address),
    });
    const body = { session: begun.session, request, proof: clientProof(key, seen).toString('base64url') };
    const { certificate, proof } = await finish(options, session, body, progress);
    const expected = serverProof(key, seen, certificateDerOf(certificate, address));
    if (!proofFits(fromBase64(proof), expected)) throw impostor(address);
    const nowMs = options.clock.now() / 1000;
    checkIssued({ certificate, authority: begun.authority, key: options.key }, host, nowMs);
    return { certificate, authority: begun.authority };
  } finally {
    await session.pool.destroy();
  }
}

function openSession({ server, signal }: EnrolOptions, address: string): Session {
  let first: Buffer | null = null;
  const connect = async () => {
    const socket = await connectUnchecked({ ...server, signal });
    const shown = socket.getPeerX509Certificate()?.raw;
    if (shown !== undefined && (first === null || first.equals(shown))) {
      first = shown;
      return socket;
    }
    socket.destroy();
    throw new HomewardError('server-failed', `${address} shows another certificate than a moment ago`);
  };
  const pool = new Pool(`https://${address}`, {
    connections: 1,
    connect: (_target, callback) => {
      connect().then(
        (socket) => callback(null, socket),
        (error: unknown) => callback(explainConnect(error, address), null),
      );
    },
  });
  return {
    pool,
    address,
    seen() {
      if (first === null) throw new HomewardError('bug', 'asked for a certificate before any was seen');
      return first;
    },
  };
}

async function begin(
  { version, host, clock, signal }: EnrolOptions,
  { pool, address }: Session,
  nonce: Buffer,
): Promise<EnrolmentBegun> {
  const { hostId, role, name } = host;
  const body = { version, hostId, role, name, nonce: nonce.toString('base64url'), time: clock.now() };
  const path = '/api/v1/enrolment/begin';
  const answer = await jsonCall(pool, address, { method: 'POST', path, body, signal });
  return checkAnswer(enrolmentBegunSchema, answer, address);
}

/** Asks until it is enrolled. */
async function finish(
  options: EnrolOptions,
  { pool, address }: Session,
  body: object,
  progress: Progress,
): Promise<{ certificate: string; proof: string }> {
  for (;;) {
    const call = { method: 'POST', path: '/api/v1/enrolment/finish', body, signal: options.signal } as const;
    const answer = checkAnswer(enrolmentFinishedSchema, await jsonCall(pool, address, call), address);
    if (answer.state === 'enrolled') return answer;
    if (!progress.waited) logWaiting(options, address, answer.reason);
    progress.waited = true;
    progress.unreachable = false;
    await pause(options, options.pollMs ?? limits.approvalPollMs, address);
  }
}

/**
 * The key is named so that an operator can see that it is this host that asks, and not one that calls itself
 * alike.
 */
function logWaiting({ log, host, key }: EnrolOptions, server: string, reason = 'new-host'): void {
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const keyHash = createHash('sha256').update(spki).digest('hex').slice(0, 12);
  const { hostId, name } = host;
  const command = `homeward hosts approve ${keyHash}`;
  log.info('waiting-for-approval', { server, host: name, hostId, reason, command });
}

/**
 * What is wrong on both sides whoever they are; a liar gains nothing by it but that the host does not enrol.
 */
function checkBegun({ clock, version }: EnrolOptions, address: string, begun: EnrolmentBegun): void {
  const here = clock.now();
  if (Math.abs(here - begun.time) > limits.clockSkewMs * 1000) {
    const there = formatTime(microseconds(begun.time));
    throw new HomewardError(
      'clock-apart',
      `the clock of this host says ${formatTime(here)}, that of ${address} ${there}`,
    );
  }
  if (isNewerVersion(version, begun.version)) {
    const message = `this host has version ${version}, ${address} has ${begun.version}`;
    throw new HomewardError('version-newer', message);
  }
}

function checkPassphrase(passphrase: string): string {
  if (passphrase.length >= limits.passphraseCharacters) return passphrase;
  throw new HomewardError(
    'passphrase-too-short',
    `the passphrase has ${passphrase.length} characters, not ${limits.passphraseCharacters}`,
  );
}

async function pause({ signal }: EnrolOptions, ms: number, address: string): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    throw new HomewardError('interrupted', `enrolling at ${address} was interrupted`, { cause: error });
  }
}

const fromBase64 = (text: string): Buffer => Buffer.from(text, 'base64url');

function certificateDerOf(pem: string, address: string): Buffer {
  try {
    return certificateDer(pem);
  } catch (error) {
    throw new HomewardError('server-failed', `${address} sent a certificate that cannot be read`, {
      cause: error,
    });
  }
}

const impostor = (address: string): HomewardError =>
  new HomewardError(
    'certificate-not-vouched',
    `${address} does not know the passphrase, or somebody sits between`,
  );
