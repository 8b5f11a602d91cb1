// TLS for NBD: what a server needs to offer it, and the hand-over of a socket after STARTTLS.
import type { Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { limits } from '../limits.ts';

/** PEM text. */
export interface NbdTls {
  /** Authorities that client certificates are checked against. */
  ca: string | Buffer;
  cert: string | Buffer;
  key: string | Buffer;
  requireClientCertificate: boolean;
  /** False lets clients stay in plain text. Default true: nothing is said before STARTTLS. */
  required?: boolean;
}

/**
 * Resolves with the encrypted socket after the handshake. A `tls.Server` of its own for each connection,
 * because only that checks client certificates, and so that certificates renewed on disk need no restart.
 */
export function startTls(socket: Socket, tls: NbdTls): Promise<TLSSocket> {
  const server = createServer({
    ca: tls.ca,
    cert: tls.cert,
    key: tls.key,
    minVersion: 'TLSv1.2',
    requestCert: tls.requireClientCertificate,
    rejectUnauthorized: tls.requireClientCertificate,
    handshakeTimeout: limits.nbdNegotiationMs,
  });
  return new Promise((resolve, reject) => {
    server.once('secureConnection', resolve);
    server.once('tlsClientError', reject);
    socket.once('close', () => reject(new Error('closed during the TLS handshake')));
    server.emit('connection', socket);
  });
}
