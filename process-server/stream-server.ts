// The HTTPS server of a process server: streams behind an upgrade, and whether it is well.
import https from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ChainConnection, ChainListener } from '../core/chain/chain-connection.ts';
import type { Hello } from '../core/chain/messages.ts';
import { chainPath, chainProtocol } from '../core/chain/open-chain.ts';
import { HomewardError } from '../core/errors.ts';
import type { Address } from '../core/identity/address.ts';
import type { HostIdentity } from '../core/identity/host-identity.ts';
import { peerOf, serverTls, strangerError, type Peer } from '../core/identity/tls.ts';
import { limits } from '../core/limits.ts';
import { listenError } from '../core/listen-error.ts';
import type { Log } from '../core/log.ts';
import { receiveVisit } from './visit.ts';

export interface StreamServerOptions {
  identity: HostIdentity;
  listen: Address;
  log: Log;
  /** What `GET /api/v1/health` answers. */
  health(): object;
  admit(hello: Hello, peer: Peer, connection: ChainConnection): Promise<ChainListener>;
}

export interface StreamServer {
  port: number;
  /** The certificate in the identity has been renewed. */
  renewed(): void;
  /** Ends every stream, after what has been sent where that goes quickly. */
  close(): Promise<void>;
}

/**
 * Certificates are asked for rather than required, so that who shows a wrong one is told what is wrong: all
 * that it gets is that answer, and little time.
 */
export async function startStreamServer(options: StreamServerOptions): Promise<StreamServer> {
  const { identity, log } = options;
  const sockets = new Set<Duplex>();
  const server = https.createServer({
    ...serverTls(identity, 'asked'),
    ALPNProtocols: ['http/1.1'],
    connectionsCheckingInterval: limits.connectionsCheckMs,
  });
  server.maxConnections = limits.streams;
  server.headersTimeout = limits.controlRequestMs;
  server.requestTimeout = limits.controlRequestMs;
  server.on('secureConnection', (socket) => {
    if (peerOf(socket) !== null) return;
    const timer = setTimeout(() => socket.destroy(), limits.controlRequestMs).unref();
    socket.once('close', () => clearTimeout(timer));
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) =>
    answer(options, request, response),
  );
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, first: Buffer) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    upgrade(options, request, socket, first);
  });
  server.on('tlsClientError', (error) => log.debug('handshake-failed', { error }));
  const port = await listen(server, options.listen);
  return {
    port,
    renewed: () => server.setSecureContext(serverTls(identity, 'asked')),
    close: () => close(server, sockets),
  };
}

function answer(
  options: StreamServerOptions,
  { method, url, socket }: IncomingMessage,
  response: ServerResponse,
): void {
  const isKnown = peerOf(socket) !== null;
  if (isKnown && method === 'GET' && url === '/api/v1/health') return reply(response, 200, options.health());
  const error = isKnown ? nothingHere() : strangerError(socket);
  // What may still come of its body is not waited for.
  response.setHeader('connection', 'close');
  reply(response, isKnown ? 404 : 403, { error });
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function upgrade(
  { log, admit }: StreamServerOptions,
  { url, headers }: IncomingMessage,
  socket: Duplex,
  first: Buffer,
): void {
  const peer = peerOf(socket);
  if (peer === null) {
    const error = strangerError(socket);
    log.debug('stranger-refused', { code: error.code, error });
    return refuse(socket, '403 Forbidden', error);
  }
  if (url !== chainPath || headers.upgrade !== chainProtocol)
    return refuse(socket, '400 Bad Request', nothingHere());
  const answered = ['HTTP/1.1 101 Switching Protocols', `Upgrade: ${chainProtocol}`, 'Connection: Upgrade'];
  socket.write(`${answered.join('\r\n')}\r\n\r\n`);
  receiveVisit({ socket, first, peer, log, admit });
}

const nothingHere = (): HomewardError =>
  new HomewardError('usage', `nothing is offered here but ${chainProtocol}`);

/** Whoever does not take the answer, and close, is cut off. */
function refuse(socket: Duplex, status: string, error: HomewardError): void {
  const body = JSON.stringify({ error });
  const about = ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`];
  const timer = setTimeout(() => socket.destroy(), limits.streamCloseMs).unref();
  socket.once('close', () => clearTimeout(timer));
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.end([`HTTP/1.1 ${status}`, 'Connection: close', ...about, '', body].join('\r\n'));
}

function listen(server: https.Server, { host, port }: Address): Promise<number> {
  return new Promise((resolve, reject) => {
    const refused = (error: Error): void => reject(listenError({ kind: 'tcp', host, port }, error));
    server.once('error', refused);
    server.listen(port, host, () => {
      server.off('error', refused);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function close(server: https.Server, sockets: ReadonlySet<Duplex>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, limits.streamCloseMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
