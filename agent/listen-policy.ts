// Where NBD may be offered without encryption, and the certificates where it may not.
import fs from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { HomewardError } from '../core/errors.ts';
import type { Listen } from '../core/names.ts';
import type { NbdTls } from '../core/nbd/tls.ts';

/**
 * TLS for a listener: null for a Unix socket, and for loopback when no certificates are configured. TCP
 * elsewhere without certificates is refused with 'plain-tcp'.
 */
export function tlsFor(listen: Listen, tlsDirectory: string): NbdTls | null {
  if (listen.kind === 'unix') return null;
  if (tlsDirectory === '') {
    if (isLoopback(listen.host)) return null;
    throw new HomewardError(
      'plain-tcp',
      `tcp:${listen.host}:${listen.port} can be reached from outside, and no certificates are configured`,
    );
  }
  const read = (name: string): Buffer => {
    try {
      return fs.readFileSync(join(tlsDirectory, name));
    } catch (cause) {
      throw new HomewardError('bad-config', `NbdTlsDirectory has no readable ${name}`, { cause });
    }
  };
  return {
    ca: read('ca-cert.pem'),
    cert: read('server-cert.pem'),
    key: read('server-key.pem'),
    requireClientCertificate: true,
    required: true,
  };
}

export interface ViewTls {
  /** Null for plain text. */
  tls: NbdTls | null;
  /** Where a client finds its certificate; null when nobody but the operator knows. */
  clientDirectory: string | null;
}

/**
 * TLS for a view: the certificates that are configured, else, when TLS is asked for, our own. Otherwise the
 * rules are the same as for every listener.
 */
export async function tlsForView(
  listen: Listen,
  asked: boolean,
  { tlsDirectory, data }: { tlsDirectory: string; data: string },
): Promise<ViewTls> {
  if (asked && listen.kind === 'unix')
    throw new HomewardError('usage', '--tls goes with tcp:HOST:PORT; a Unix socket is for its owner only');
  if (asked && listen.kind === 'tcp' && tlsDirectory === '') {
    // Certificates are made by a large library, which most daemons never need.
    const { ensureOwnTls } = await import('./recovery/view-tls.ts');
    return ensureOwnTls(data, listen.host);
  }
  try {
    return { tls: tlsFor(listen, tlsDirectory), clientDirectory: null };
  } catch (error) {
    if (!(error instanceof HomewardError) || error.code !== 'plain-tcp') throw error;
    const hint = 'Give --tls as well, or listen on loopback or a Unix socket, or set NbdTlsDirectory.';
    throw new HomewardError('plain-tcp', error.message, { hint });
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
