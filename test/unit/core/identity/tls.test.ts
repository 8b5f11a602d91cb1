// Checks mutual TLS against real sockets: who gets through, and each reason why one does not, in its own
// code.
import net from 'node:net';
import http from 'node:http';
import { once } from 'node:events';
import tls from 'node:tls';
import t from 'tap';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import {
  createRequest,
  fingerprint,
  issueCertificate,
  type Authority,
} from '../../../../core/identity/authority.ts';
import type { HostIdentity } from '../../../../core/identity/host-identity.ts';
import { httpClient } from '../../../../core/identity/http-client.ts';
import { connectTls, fetchAuthority, type ConnectTlsOptions } from '../../../../core/identity/tls.ts';
import { identitySite, serveHttps, serveTcp, type IdentitySite } from '../../../support/identity-site.ts';

const host = '127.0.0.1';
const dayMs = 24 * 60 * 60 * 1000;

let site: IdentitySite;
let mobility: HostIdentity;
t.before(async () => {
  site = await identitySite();
  mobility = await site.host('mobility');
});

const connect = (port: number, more: Partial<ConnectTlsOptions> = {}): Promise<tls.TLSSocket> =>
  connectTls({ host, port, identity: mobility, expect: { role: 'config-server' }, ...more });

t.test('both sides know each other by authority, role and host id, whatever the name', async (t) => {
  const { port } = await serveHttps(t, site.configServer, ({ peer }) => ({ body: peer }));
  const { hostId } = site.configServer;
  const options = { host: 'localhost', port, identity: mobility };
  const client = httpClient({ ...options, expect: { role: 'config-server', hostId } });
  t.teardown(client.close);
  t.same(await client.json({ method: 'GET', path: '/' }), { hostId: mobility.hostId, role: 'mobility' });
  const socket = await connect(port);
  t.equal(socket.getProtocol(), 'TLSv1.3');
  socket.destroy();
});

t.test('an operator has no certificate, and knows the authority by its fingerprint', async (t) => {
  const { port } = await serveHttps(t, site.configServer, ({ peer }) => ({ body: peer }));
  const known = fingerprint(site.authority.certificate);
  t.match(known, /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  t.equal(fingerprint(await fetchAuthority({ host, port, fingerprint: known })), known);
  const expect = { role: 'config-server' } as const;
  const client = httpClient({ host, port, identity: null, authority: { fingerprint: known }, expect });
  t.teardown(client.close);
  t.equal(await client.json({ method: 'GET', path: '/' }), null, 'a peer without a certificate is nobody');

  const other = fingerprint((await identitySite()).authority.certificate);
  const wrong = httpClient({ host, port, identity: null, authority: { fingerprint: other }, expect });
  t.teardown(wrong.close);
  await t.rejects(wrong.json({ method: 'GET', path: '/' }), { code: 'certificate-not-vouched' });
});

t.test('another role, another host and another authority are refused', async (t) => {
  const { port } = await serveHttps(t, await site.host('process-server'), () => ({ body: null }));
  const refused = { code: 'certificate-not-vouched', message: new RegExp(`127\\.0\\.0\\.1:${port} is`) };
  await t.rejects(connect(port), refused, 'a process server is no configuration server');
  const expect = { role: 'process-server', hostId: mobility.hostId } as const;
  await t.rejects(connect(port, { expect }), refused, 'another host of the role');
  const { authority } = await (await identitySite()).host('mobility');
  await t.rejects(
    connect(port, { authority, expect: { role: 'process-server' } }),
    { code: 'certificate-not-vouched', message: /not from the authority/ },
    'another authority',
  );
});

t.test('a certificate is not in force before and after its time', async (t) => {
  for (const nowMs of [Date.now() - 500 * dayMs, Date.now() + 2 * dayMs]) {
    const { port } = await serveHttps(t, await site.host('config-server', nowMs), () => ({ body: null }));
    await t.rejects(connect(port), { code: 'certificate-not-vouched', message: /not in force/ });
  }
});

t.test('a subject that says two things says nothing', async (t) => {
  const twice = await site.host('config-server');
  await t.rejects(
    issueCertificate(site.authority, await createRequest(twice.key, twice), {
      hostId: 'x,OU=config-server',
      role: 'mobility',
    }),
    'a host id is a UUID',
  );
  const subject = `CN=${twice.hostId}, OU=config-server, OU=mobility`;
  twice.certificate = await certificateFor(site.authority, twice.key, subject);
  const { port } = await serveHttps(t, twice, () => ({ body: null }));
  await t.rejects(connect(port), { code: 'certificate-not-vouched' });
});

t.test('a server that wants a certificate refuses those it does not know, and we say so', async (t) => {
  const options = { clientCertificate: 'required' } as const;
  const { port } = await serveHttps(t, site.configServer, ({ peer }) => ({ body: peer }), options);
  const stranger = await (await identitySite()).host('mobility');
  const expired = await site.host('mobility', Date.now() - 500 * dayMs);
  const { authority } = mobility;
  for (const identity of [stranger, expired, null]) {
    const client = httpClient({ host, port, identity, authority, expect: { role: 'config-server' } });
    t.teardown(client.close);
    await t.rejects(client.json({ method: 'GET', path: '/' }), {
      code: 'server-failed',
      message: /does not accept this host/,
    });
  }
});

t.test(
  'a server that only asks takes nobody for a peer whose certificate is not of the authority',
  async (t) => {
    const { port } = await serveHttps(t, site.configServer, ({ peer }) => ({ body: { peer } }));
    const stranger = { ...(await (await identitySite()).host('mobility')), authority: mobility.authority };
    const client = httpClient({ host, port, identity: stranger, expect: { role: 'config-server' } });
    t.teardown(client.close);
    t.same(await client.json({ method: 'GET', path: '/' }), { peer: null });
  },
);

t.test('each reason why nothing answers has its code, and names the address', async (t) => {
  const closed = await freePort();
  const address = (port: number): RegExp => new RegExp(`127\\.0\\.0\\.1:${port}`);
  await t.rejects(connect(closed), { code: 'connection-refused', message: address(closed) });
  await t.rejects(connect(closed, { host: 'localhost' }), { code: 'connection-refused' }, 'of all addresses');
  await t.rejects(connect(443, { host: 'no-such-host.invalid' }), {
    code: 'name-not-resolved',
    message: /no-such-host\.invalid:443/,
  });
  const silent = await serveTcp(t, () => undefined);
  await t.rejects(connect(silent, { timeoutMs: 50 }), {
    code: 'timed-out',
    message: /took the connection, but said nothing within 50 ms/,
  });
  const rude = await serveTcp(t, (socket) => socket.destroy());
  await t.rejects(connect(rude), { code: 'server-failed', message: address(rude) });
  const banner = await serveTcp(t, (socket) => socket.write('SSH-2.0-OpenSSH_9.9\r\n'));
  await t.rejects(connect(banner), { code: 'not-tls', message: address(banner) });
});

t.test('a plain HTTP server does not speak TLS', async (t) => {
  const server = http.createServer((_request, response) => response.end('hello')).listen(0, host);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  await t.rejects(connect(port), { code: 'not-tls', message: new RegExp(`127\\.0\\.0\\.1:${port}`) });
});

t.test('TLS 1.2 is not spoken, by neither side', async (t) => {
  const { key, certificate: cert } = site.configServer;
  const old = tls.createServer({ key, cert, maxVersion: 'TLSv1.2' }).listen(0, host);
  await once(old, 'listening');
  t.teardown(() => old.close());
  old.on('tlsClientError', () => undefined);
  const { port } = old.address() as net.AddressInfo;
  await t.rejects(connect(port), { code: 'not-tls', message: /TLS 1\.3/ });

  const ours = await serveHttps(t, site.configServer, () => ({ body: null }));
  const client = tls.connect({ host, port: ours.port, maxVersion: 'TLSv1.2', rejectUnauthorized: false });
  const [error] = (await once(client, 'error')) as [Error & { code?: string }];
  t.match(error.code, /ALERT_PROTOCOL_VERSION/);
});

t.test('an aborted connection ends at once', async (t) => {
  const silent = await serveTcp(t, () => undefined);
  const abort = new AbortController();
  const connecting = connect(silent, { signal: abort.signal });
  abort.abort();
  await t.rejects(connecting, { code: 'interrupted' });
  await t.rejects(connect(silent, { signal: abort.signal }), { code: 'interrupted' });
});

t.test('what is answered is an answer of ours, or an error with its code', async (t) => {
  const answers: Record<string, { status?: number; body: unknown }> = {
    '/refused': { status: 409, body: { error: { code: 'host-id-taken', message: 'taken', hint: 'look' } } },
    '/newer': { status: 409, body: { error: { code: 'of-next-year', message: 'what', hint: 'look' } } },
    '/foreign': { status: 404, body: 'not found' },
  };
  const { port } = await serveHttps(t, site.configServer, ({ path }) => answers[path] ?? null);
  const client = httpClient({ host, port, identity: mobility, expect: { role: 'config-server' } });
  t.teardown(client.close);
  const get = (path: string): Promise<unknown> => client.json({ method: 'GET', path, timeoutMs: 2000 });
  await t.rejects(get('/refused'), { code: 'host-id-taken', message: 'taken', hint: 'look' });
  await t.rejects(get('/newer'), { code: 'server-failed', message: 'of-next-year: what' });
  await t.rejects(get('/foreign'), { code: 'server-failed' });
  await t.rejects(client.json({ method: 'GET', path: '/silent', timeoutMs: 50 }), { code: 'timed-out' });
});

/** A certificate with any subject, in force today. */
async function certificateFor(authority: Authority, key: string, subject: string): Promise<string> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const made = await x509.X509CertificateGenerator.create({
    subject,
    issuer: new x509.X509Certificate(authority.certificate).subject,
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(Date.now() + dayMs),
    signingAlgorithm: algorithm,
    publicKey: createPublicKey(key).toCryptoKey(algorithm, true, ['verify']),
    signingKey: createPrivateKey(authority.key).toCryptoKey(algorithm, false, ['sign']),
  });
  return made.toString('pem');
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
