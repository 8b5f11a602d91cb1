// The configuration server against those who are nobody: no certificate, a wrong one, half requests, floods.
import { once } from 'node:events';
import net from 'node:net';
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { parseAddress } from '../../core/identity/address.ts';
import {
  createAuthority,
  createKey,
  createRequest,
  issueCertificate,
} from '../../core/identity/authority.ts';
import { httpClient } from '../../core/identity/http-client.ts';
import type { HostIdentity } from '../../core/identity/host-identity.ts';
import { limits } from '../../core/limits.ts';
import { ConfigSite } from '../support/config-site.ts';
import { ensureAuthority } from '../../config-server/secrets.ts';

const dayMs = 24 * 60 * 60 * 1000;

/** What a server says to `request` before it closes the connection. */
async function answerTo(t: Test, site: ConfigSite, request: string, options: ConnectionOptions = {}) {
  const socket = await connect(t, site, options);
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString()));
  socket.write(request);
  // Not `once`: a reset behind the answer is no failure here.
  await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

async function connect(t: Test, site: ConfigSite, options: ConnectionOptions): Promise<TLSSocket> {
  const { host, port } = parseAddress(site.address);
  const socket = tls.connect({ host, port, rejectUnauthorized: false, ...options });
  t.teardown(() => socket.destroy());
  socket.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

const heartbeat = { method: 'POST', path: '/api/v1/host/heartbeat', body: {} } as const;

t.test('a wrong certificate is refused in words, and so is none', async (t) => {
  const site = await ConfigSite.start(t);
  const host = await site.enrol('mobility', 'web');
  const as = async (identity: HostIdentity | null): Promise<unknown> => {
    const client = httpClient({
      ...parseAddress(site.address),
      identity,
      authority: host.authority,
      expect: { role: 'config-server' },
    });
    t.teardown(() => client.close());
    return client.json(heartbeat);
  };
  await t.rejects(as(null), { code: 'not-allowed', message: /needs the certificate of a host/ });
  const key = createKey();
  const request = await createRequest(key, host);
  const issue = async (authority: Parameters<typeof issueCertificate>[0], nowMs = Date.now()) =>
    issueCertificate(authority, request, host, nowMs);
  const foreign = { ...host, key, certificate: await issue(await createAuthority()) };
  await t.rejects(as(foreign), { code: 'certificate-not-vouched', message: /not from the authority/ });
  const authority = await ensureAuthority(site.data);
  const old = { ...host, key, certificate: await issue(authority, Date.now() - 500 * dayMs) };
  await t.rejects(as(old), { code: 'certificate-not-vouched', message: /counts from .* to .*; here it is/ });
  const late = { ...host, key, certificate: await issue(authority, Date.now() + 5 * dayMs) };
  await t.rejects(as(late), { code: 'certificate-not-vouched', hint: /clock/ });
  const other = { ...host, key, certificate: await issue(authority) };
  await t.rejects(as(other), { code: 'not-allowed', message: /taken the place/ }, 'not the key that joined');
  await t.rejects(as(await site.enrol('mobility', 'db')), { code: 'usage' }, 'a heartbeat of nothing');
});

t.test('nothing below TLS 1.3', async (t) => {
  const site = await ConfigSite.start(t);
  await t.rejects(connect(t, site, { maxVersion: 'TLSv1.2' }), { code: /PROTOCOL_VERSION/ });
});

t.test('half a request of a stranger holds no connection, and a large one is not taken', async (t) => {
  const site = await ConfigSite.start(t);
  const head = (line: string, length: number): string =>
    `${line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n{`;
  t.match(await answerTo(t, site, head('POST /api/v1/host/heartbeat', 1e6)), /^HTTP\/1.1 403.*not-allowed/s);
  t.match(await answerTo(t, site, head('POST /api/v1/host/answers/1', 1e6)), /^HTTP\/1.1 403.*not-allowed/s);
  t.match(await answerTo(t, site, head('PUT /api/v1/machines/x/protection', 1e6)), /^HTTP\/1.1 403/);
  t.match(await answerTo(t, site, head('GET /api/v1/openapi.json', 1e6)), /^HTTP\/1.1 200/);
  t.match(await answerTo(t, site, head('POST /api/v1/enrolment/begin', 1e6)), /^HTTP\/1.1 400.*"usage"/s);
  t.match(
    await answerTo(t, site, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(1e5)}`),
    /^(?:HTTP\/1.1 4|$)/,
  );
  t.match(await answerTo(t, site, 'nonsense\r\n\r\n'), /^HTTP\/1.1 400/);
});

// Before the server itself would give up on them.
t.test('connections that say nothing do not hold up a stop', { timeout: limits.connectMs / 2 }, async (t) => {
  const site = await ConfigSite.start(t);
  const { host, port } = parseAddress(site.address);
  const silent = net.connect({ host, port });
  t.teardown(() => silent.destroy());
  silent.on('error', () => undefined);
  await once(silent, 'connect');
  await connect(t, site, {}); // behind it, so the first has arrived
  await site.stop();
  t.pass('it has stopped');
});

t.test('what cannot be shown, and what would become another object, is no enrolment', async (t) => {
  const site = await ConfigSite.start(t);
  const { fingerprint } = site.operator;
  const client = httpClient({
    ...parseAddress(site.address),
    identity: null,
    authority: { fingerprint },
    expect: { role: 'config-server' },
  });
  t.teardown(() => client.close());
  const begin = (said: object): Promise<unknown> =>
    client.json({
      method: 'POST',
      path: '/api/v1/enrolment/begin',
      body: {
        ...{ version: '0.1.0', hostId: crypto.randomUUID(), role: 'process-server', name: 'ps' },
        nonce: Buffer.alloc(32).toString('base64url'),
        time: Date.now() * 1000,
        ...said,
      },
    });
  await t.resolves(begin({}));
  await t.rejects(begin({ name: 'ps\u001b[2K' }), { code: 'usage' });
  await t.rejects(begin({ name: 'ps\nps2  0123456789ab' }), { code: 'usage' });
  await t.rejects(begin({ name: 'ps\u202e' }), { code: 'usage' });
  await t.rejects(begin({ role: 'mobility', name: '../../etc' }), { code: 'bad-name' });
  await t.rejects(begin({ hostId: '../../../etc/passwd' }), { code: 'usage' });
  await t.rejects(begin({ version: 'x\n' }), { code: 'usage' });
  await t.rejects(begin(JSON.parse('{"__proto__": {"role": "x"}}') as object), { code: 'usage' });
  await t.rejects(begin({ constructor: { prototype: {} } }), { code: 'usage' });
});
