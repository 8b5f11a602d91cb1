// The HTTPS server of a process server: streams behind an upgrade, and whether it is well.
import https from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ChainConnection, ChainListener } from '../core/chain/chain-connection.ts';
import type { Hello } from '../core/chain/messages.ts';
import { chainPath, chainProtocol } from '../core/chain/open-chain.ts';
import type { Address } from '../core/identity/address.ts';
import type { HostIdentity } from '../core/identity/host-identity.ts';
import { peerOf, serverTls, type Peer } from '../core/identity/tls.ts';
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

/** Only hosts with a certificate of the authority get through the handshake. */
export async function startStreamServer(options: StreamServerOptions): Promise<StreamServer> {
  const { identity, log } = options;
  const sockets = new Set<Duplex>();
  const server = https.createServer({ ...serverTls(identity, 'required'), ALPNProtocols: ['http/1.1'] });
  server.maxConnections = limits.streams;
  server.headersTimeout = limits.controlRequestMs;
  server.requestTimeout = limits.controlRequestMs;
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
    renewed: () => server.setSecureContext(serverTls(identity, 'required')),
    close: () => close(server, sockets),
  };
}

function answer(
  options: StreamServerOptions,
  { method, url }: IncomingMessage,
  response: ServerResponse,
): void {
  const isHealth = method === 'GET' && url === '/api/v1/health';
  const body = isHealth
    ? options.health()
    : { error: { code: 'usage', message: 'there is no such thing here' } };
  response.writeHead(isHealth ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function upgrade(
  { log, admit }: StreamServerOptions,
  { url, headers }: IncomingMessage,
  socket: Duplex,
  first: Buffer,
): void {
  const peer = peerOf(socket);
  if (peer === null || url !== chainPath || headers.upgrade !== chainProtocol) {
    const status = peer === null ? '403 Forbidden' : '400 Bad Request';
    socket.on('error', () => socket.destroy());
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    return;
  }
  const answered = ['HTTP/1.1 101 Switching Protocols', `Upgrade: ${chainProtocol}`, 'Connection: Upgrade'];
  socket.write(`${answered.join('\r\n')}\r\n\r\n`);
  receiveVisit({ socket, first, peer, log, admit });
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
