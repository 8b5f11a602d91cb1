// An authority with hosts of its own, and small HTTPS servers that show their certificates.
import { once } from 'node:events';
import https from 'node:https';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { endsConnections } from '../../core/end-connections.ts';
import {
  certificateDer,
  createAuthority,
  createKey,
  createRequest,
  issueCertificate,
  parseRequest,
  type Authority,
} from '../../core/identity/authority.ts';
import type { EnrolmentBegin, EnrolmentFinish } from '../../core/identity/enrolment-messages.ts';
import {
  clientProof,
  createNonce,
  createSalt,
  deriveKey,
  proofFits,
  serverProof,
  transcript,
} from '../../core/identity/enrolment-proof.ts';
import type { HostIdentity, HostRole } from '../../core/identity/host-identity.ts';
import { peerOf, serverTls, type Peer } from '../../core/identity/tls.ts';

export interface IdentitySite {
  authority: Authority;
  configServer: HostIdentity;
  /** Another host of this authority. */
  host(role: HostRole, nowMs?: number): Promise<HostIdentity>;
}

export async function identitySite(): Promise<IdentitySite> {
  const authority = await createAuthority();
  const host = async (role: HostRole, nowMs = Date.now()): Promise<HostIdentity> => {
    const key = createKey();
    const hostId = crypto.randomUUID();
    const request = await createRequest(key, { hostId, role });
    const certificate = await issueCertificate(authority, request, { hostId, role }, nowMs);
    const configServer = { host: '127.0.0.1', port: 1 };
    return { hostId, role, name: role, key, certificate, authority: authority.certificate, configServer };
  };
  return { authority, configServer: await host('config-server'), host };
}

export interface HttpRequest {
  method: string;
  path: string;
  /** As it came. */
  text: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  peer: Peer | null;
  /** Of the connection. */
  socket: TLSSocket;
}

export interface HttpAnswer {
  status?: number;
  body: unknown;
}

export interface HttpServer {
  port: number;
  /** Connections that were made so far. */
  connections(): number;
  close(): Promise<void>;
}

/** HTTPS on loopback with the certificate of `identity`; null as an answer leaves the client waiting. */
export async function serveHttps(
  t: Test,
  identity: HostIdentity,
  answer: (request: HttpRequest) => Promise<HttpAnswer | null> | HttpAnswer | null,
  { port = 0, clientCertificate = 'asked' }: { port?: number; clientCertificate?: 'asked' | 'required' } = {},
): Promise<HttpServer> {
  let connections = 0;
  const server = https.createServer(serverTls(identity, clientCertificate), (request, response) => {
    const parts: Buffer[] = [];
    request.on('error', () => undefined);
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const socket = request.socket as TLSSocket;
      const { method = '', url: path = '', headers } = request;
      const text = Buffer.concat(parts).toString();
      void Promise.resolve(answer({ method, path, text, headers, peer: peerOf(socket), socket })).then(
        (given) => {
          if (given === null) return;
          response.writeHead(given.status ?? 200, { 'content-type': 'application/json' });
          response.end(JSON.stringify(given.body));
        },
      );
    });
  });
  server.on('secureConnection', () => (connections += 1));
  server.on('tlsClientError', () => undefined);
  const endConnections = endsConnections(server);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    endConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  t.teardown(close);
  return { port: (server.address() as AddressInfo).port, connections: () => connections, close };
}

/** A plain TCP server that does what `onSocket` says, and nothing else. */
export async function serveTcp(t: Test, onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** The server's side of an enrolment as docs/chain.md has it, from the pure parts; it can be told to lie. */
export interface EnrolmentServer {
  answer(request: HttpRequest): Promise<HttpAnswer | null>;
  /** What was asked at `finish`, newest last. */
  finishes: EnrolmentFinish[];
  /** Answers `waiting` so many times. */
  waits: number;
  /** Added to its clock, in microseconds. */
  clockUs: number;
  version: string;
  /** Takes whatever a client proves with, as an impostor does who does not know the passphrase. */
  credulous: boolean;
  /** Answers this error, {code, message, hint}, to every `finish`. */
  refuses: { status: number; code: string } | null;
}

export async function enrolmentServer(
  site: IdentitySite,
  passphrase: string,
  version: string,
): Promise<EnrolmentServer> {
  const salt = createSalt();
  const key = await deriveKey(passphrase, salt);
  const begun: Begun = new Map();
  const server: EnrolmentServer = {
    ...{ finishes: [], waits: 0, clockUs: 0, version, credulous: false, refuses: null },
    async answer({ path, text }) {
      const body: unknown = JSON.parse(text);
      if (path.endsWith('/begin')) return { body: beginOne(body as EnrolmentBegin) };
      return finishOne({ site, server, key, begun }, body as EnrolmentFinish);
    },
  };
  const beginOne = (begin: EnrolmentBegin): object => {
    const session = crypto.randomUUID();
    const nonce = createNonce();
    begun.set(session, { begin, nonce });
    return {
      ...{ session, salt: salt.toString('base64url'), nonce: nonce.toString('base64url') },
      ...{ version: server.version, time: Date.now() * 1000 + server.clockUs },
      authority: site.authority.certificate,
    };
  };
  return server;
}

type Begun = Map<string, { begin: EnrolmentBegin; nonce: Buffer }>;

interface Finishing {
  site: IdentitySite;
  server: EnrolmentServer;
  key: Buffer;
  begun: Begun;
}

async function finishOne(
  { site, server, key, begun }: Finishing,
  finish: EnrolmentFinish,
): Promise<HttpAnswer> {
  server.finishes.push(finish);
  const known = begun.get(finish.session);
  if (known === undefined) return errorAnswer(504, 'timed-out');
  const seen = transcript({
    ...known.begin,
    clientNonce: Buffer.from(known.begin.nonce, 'base64url'),
    serverNonce: known.nonce,
    serverCertificate: certificateDer(site.configServer.certificate),
    request: (await parseRequest(finish.request)).der,
    authority: certificateDer(site.authority.certificate),
  });
  const fits = proofFits(Buffer.from(finish.proof, 'base64url'), clientProof(key, seen));
  if (!server.credulous && !fits) return errorAnswer(401, 'wrong-passphrase');
  if (server.refuses !== null) return errorAnswer(server.refuses.status, server.refuses.code);
  if (server.waits > 0) {
    server.waits -= 1;
    return { body: { state: 'waiting' } };
  }
  const certificate = await issueCertificate(site.authority, finish.request, known.begin);
  const proof = serverProof(key, seen, certificateDer(certificate)).toString('base64url');
  return { body: { state: 'enrolled', certificate, proof } };
}

const errorAnswer = (status: number, code: string): HttpAnswer => ({
  status,
  body: { error: { code, message: `the server says ${code}`, hint: 'see its log' } },
});
