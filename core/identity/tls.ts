// Mutual TLS 1.3 between hosts: peers are known by authority, role and host id, never by name or address.
import { X509Certificate } from 'node:crypto';
import type { TcpSocketConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import tls, { TLSSocket, type ConnectionOptions, type TlsOptions } from 'node:tls';
import { HomewardError } from '../errors.ts';
import { limits } from '../limits.ts';
import { formatAddress } from './address.ts';
import { explainConnect } from './explain-connect.ts';
import type { HostIdentity, HostRole } from './host-identity.ts';
import { peerIn, type Peer } from './peer.ts';

/** AES with 128 bits first: as safe here, and a third faster on what moves the most. */
const ciphers = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

export type { Peer } from './peer.ts';

/** Who has to answer; without `hostId`, any host of the role. */
export interface Expected {
  role: HostRole;
  hostId?: string | undefined;
}

/**
 * For `tls` and `https` servers. `required`: a client without a certificate of the authority is dropped
 * behind the handshake, without a word; `asked`: it is not, `peerOf` gives null, and the server can say what
 * is wrong. The authority's certificate goes along with that of the host, so that operators who know its
 * fingerprint can learn it.
 */
export function serverTls(identity: HostIdentity, clientCertificate: 'required' | 'asked'): TlsOptions {
  return {
    key: identity.key,
    cert: `${identity.certificate}\n${identity.authority}`,
    ca: identity.authority,
    minVersion: 'TLSv1.3',
    ciphers,
    requestCert: true,
    rejectUnauthorized: clientCertificate === 'required',
    handshakeTimeout: limits.connectMs,
  };
}

/** Who is at the other end by a certificate that was checked against the authority, or null. */
export function peerOf(socket: Duplex): Peer | null {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return null;
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? null : peerIn(certificate);
}

/** Why `peerOf` gives nobody, in words for the other side, which sees nothing of it in its handshake. */
export function strangerError(socket: Duplex): HomewardError {
  const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  if (!(socket instanceof TLSSocket) || shown === undefined) {
    const hint = 'Only hosts that have enrolled get through here: start them with --passphrase-file.';
    return new HomewardError('not-allowed', 'this needs the certificate of a host', { hint });
  }
  const code = socket.authorized ? '' : String(socket.authorizationError);
  if (/^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)$/.test(code)) {
    const now = new Date().toISOString();
    const [from, to] = [shown.validFromDate, shown.validToDate].map((date) => date.toISOString());
    return refusedHere(`the certificate of this host counts from ${from} to ${to}; here it is ${now}`, [
      'Set the wrong clock. If the certificate has ended, start the host again with --passphrase-file.',
    ]);
  }
  const what = socket.authorized ? 'is not that of a host' : 'is not from the authority known here';
  return refusedHere(`the certificate of this host ${what}`, [
    'If the configuration server was set up anew, enrol again: remove DATA/identity on the host,',
    'start it with --passphrase-file.',
  ]);
}

const refusedHere = (message: string, hint: string[]): HomewardError =>
  new HomewardError('certificate-not-vouched', message, { hint: hint.join(' ') });

export interface ConnectOptions {
  host: string;
  port: number;
  signal?: AbortSignal | undefined;
  /** From the look-up of the name to the end of the handshake; `limits.connectMs` when left out. */
  timeoutMs?: number | undefined;
}

export interface ConnectTlsOptions extends ConnectOptions {
  /** What this side shows; null for an operator, who has a token instead. */
  identity: HostIdentity | null;
  /** PEM; that of `identity` when left out. */
  authority?: string | undefined;
  expect: Expected;
}

/**
 * A connection to a host that the authority vouches for as what is expected. Throws, each with the address in
 * its words: 'name-not-resolved', 'connection-refused', 'timed-out', 'not-tls', 'certificate-not-vouched',
 * 'server-failed', 'interrupted'. That the other side refuses *our* certificate shows only with the first
 * read (TLS 1.3): `explainConnect` knows it.
 */
export async function connectTls(options: ConnectTlsOptions): Promise<TLSSocket> {
  const { identity, expect } = options;
  const authority = options.authority ?? identity?.authority;
  if (authority === undefined) throw new HomewardError('bug', 'a connection that no authority vouches for');
  const address = formatAddress(options.host, options.port);
  return handshake(options, {
    ca: authority,
    ...(identity === null ? {} : { key: identity.key, cert: identity.certificate }),
    rejectUnauthorized: true,
    checkServerIdentity: (_name, { raw }) => unexpected(new X509Certificate(raw), expect, address),
  });
}

/**
 * A connection to whoever answers, for the enrolment, which binds its proofs to the certificate that it sees
 * here. Nothing may be believed that comes over it.
 */
export function connectUnchecked(options: ConnectOptions): Promise<TLSSocket> {
  return handshake(options, { rejectUnauthorized: false });
}

/**
 * The authority's certificate with this fingerprint, from the server that shows it. Throws
 * 'certificate-not-vouched' when the server shows another. It is a certificate only: what the server is, the
 * next connection checks against it.
 */
export async function fetchAuthority(options: ConnectOptions & { fingerprint: string }): Promise<string> {
  const socket = await connectUnchecked(options);
  try {
    const shown = socket.getPeerX509Certificate();
    for (let at = shown, depth = 0; at !== undefined && depth < 4; at = at.issuerCertificate, depth += 1) {
      if (at.fingerprint256 === options.fingerprint) return at.toString();
    }
  } finally {
    socket.destroy();
  }
  const address = formatAddress(options.host, options.port);
  throw new HomewardError(
    'certificate-not-vouched',
    `the certificate of ${address} is not from the authority with the fingerprint ${options.fingerprint}`,
  );
}

// Goes on to `net.connect`; the types of tls do not know it. The default of 250 ms is less than far networks
// take.
const attempts: Pick<TcpSocketConnectOpts, 'autoSelectFamilyAttemptTimeout'> = {
  autoSelectFamilyAttemptTimeout: limits.connectAttemptMs,
};

function handshake(options: ConnectOptions, security: ConnectionOptions): Promise<TLSSocket> {
  const { host, port, signal, timeoutMs = limits.connectMs } = options;
  const address = formatAddress(host, port);
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(interrupted(address));
      return;
    }
    let taken = false;
    const socket = tls.connect({
      host,
      port,
      minVersion: 'TLSv1.3',
      ciphers,
      ALPNProtocols: ['http/1.1'],
      ...attempts,
      ...security,
    });
    const settle = (error: HomewardError | null): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('secureConnect', onSecure);
      if (error === null) {
        socket.off('error', onError);
        resolve(socket);
      } else {
        // Errors that follow the first one have nothing to add; `onError` stays so that they are heard.
        socket.destroy();
        reject(error);
      }
    };
    const onSecure = (): void => {
      socket.setNoDelay(true);
      socket.setKeepAlive(true, limits.keepAliveMs);
      settle(null);
    };
    const onError = (error: Error): void => settle(explainConnect(error, address));
    const onAbort = (): void => settle(interrupted(address));
    const timer = setTimeout(() => settle(late(address, taken, timeoutMs)), timeoutMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => (taken = true));
    socket.once('secureConnect', onSecure);
    socket.on('error', onError);
  });
}

function unexpected(
  certificate: X509Certificate,
  expect: Expected,
  address: string,
): HomewardError | undefined {
  const peer = peerIn(certificate);
  const wanted = expect.hostId === undefined ? expect.role : `${expect.role} ${expect.hostId}`;
  if (peer?.role === expect.role && (expect.hostId === undefined || peer.hostId === expect.hostId)) {
    return undefined;
  }
  const found = peer === null ? 'something else' : `${peer.role} ${peer.hostId}`;
  return new HomewardError('certificate-not-vouched', `${address} is ${found}, not ${wanted}`);
}

const late = (address: string, taken: boolean, timeoutMs: number): HomewardError =>
  new HomewardError(
    'timed-out',
    taken
      ? `${address} took the connection, but said nothing within ${timeoutMs} ms`
      : `${address} did not answer within ${timeoutMs} ms`,
  );

const interrupted = (address: string): HomewardError =>
  new HomewardError('interrupted', `connecting to ${address} was interrupted`);
