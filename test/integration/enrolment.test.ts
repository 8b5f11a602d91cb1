// Enrolment against real sockets: the good case, and everybody who must not gain anything by it.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { startDaemon as startConfigServer } from '../../config-server/daemon.ts';
import { hostClock } from '../../core/clock.ts';
import { parseAddress } from '../../core/identity/address.ts';
import { createKey } from '../../core/identity/authority.ts';
import { enrol, type Enrolled } from '../../core/identity/enrol.ts';
import { createPassphrase } from '../../core/identity/enrolment-proof.ts';
import type { HostName } from '../../core/identity/host-identity.ts';
import { httpClient } from '../../core/identity/http-client.ts';
import { connectTls } from '../../core/identity/tls.ts';
import { createLog, silentLog, type Log } from '../../core/log.ts';
import { ensureEnrolled, Registration, type EnrolOptions } from '../../core/registration/registration.ts';
import { readVersion } from '../../core/version.ts';
import { until } from '../support/homeward.ts';
import {
  enrolmentServer,
  identitySite,
  serveHttps,
  type EnrolmentServer,
  type HttpAnswer,
  type HttpRequest,
  type HttpServer,
  type IdentitySite,
} from '../support/identity-site.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { sitInBetween } from '../support/tls-in-between.ts';

const version = readVersion();

interface Scene {
  site: IdentitySite;
  passphrase: string;
  server: EnrolmentServer;
  http: HttpServer;
}

type Meddle = (
  request: HttpRequest,
  server: EnrolmentServer,
) => Promise<HttpAnswer | null> | HttpAnswer | null;

async function scene(t: Test, meddle: Meddle = () => null): Promise<Scene> {
  const site = await identitySite();
  const passphrase = createPassphrase();
  const server = await enrolmentServer(site, passphrase, version);
  const http = await serveHttps(
    t,
    site.configServer,
    async (request) => (await meddle(request, server)) ?? server.answer(request),
  );
  return { site, passphrase, server, http };
}

interface Attempt {
  port: number;
  passphrase: string;
  log?: Log;
  signal?: AbortSignal;
  host?: HostName;
  key?: string;
}

const someHost = (): HostName => ({ hostId: crypto.randomUUID(), role: 'mobility', name: 'db1' });

function attempt({ port, ...more }: Attempt): Promise<Enrolled> {
  return enrol({
    server: { host: '127.0.0.1', port },
    ...{ host: someHost(), key: createKey(), version, pollMs: 5 },
    ...{ clock: hostClock(), log: silentLog, signal: new AbortController().signal },
    ...more,
  });
}

function options(t: Test, { http }: Scene, more: Partial<EnrolOptions> = {}): EnrolOptions {
  return {
    ...{ data: path.join(temporaryDirectory(t), 'data'), role: 'mobility', name: 'db1' },
    ...{ configServer: `127.0.0.1:${http.port}`, passphraseFile: null, clock: hostClock(), log: silentLog },
    signal: new AbortController().signal,
    ...more,
  };
}

function passphraseFile(t: Test, passphrase: string): string {
  const file = path.join(temporaryDirectory(t), 'passphrase');
  fs.writeFileSync(file, `${passphrase}\n`, { mode: 0o600 });
  return file;
}

t.test('a host enrols with the passphrase, once, and keeps only what the server proved', async (t) => {
  const at = await scene(t);
  const enrolling = options(t, at, { passphraseFile: passphraseFile(t, at.passphrase) });
  const identity = await ensureEnrolled(enrolling);
  t.equal(identity.authority, at.site.authority.certificate);
  t.same(identity.configServer, { host: '127.0.0.1', port: at.http.port });
  const { port } = at.http;
  const expect = { role: 'config-server', hostId: at.site.configServer.hostId } as const;
  (await connectTls({ host: '127.0.0.1', port, identity, expect })).destroy();

  t.same(await ensureEnrolled({ ...enrolling, passphraseFile: null }), identity, 'it is known from now on');
  t.equal(at.server.finishes.length, 1);
  const moved = await ensureEnrolled({ ...enrolling, configServer: 'config.example:8443' });
  t.same(moved, { ...identity, configServer: { host: 'config.example', port: 8443 } });
  const files = fs.readdirSync(path.join(enrolling.data, 'identity'));
  t.same(files.toSorted(), ['ca.pem', 'cert.pem', 'host.json', 'key.pem', 'server.json']);
  for (const file of files) {
    const text = fs.readFileSync(path.join(enrolling.data, 'identity', file), 'utf8');
    t.notOk(text.includes(at.passphrase), `${file} does not have the passphrase`);
  }
});

t.test('what is wrong on this side is said before the server is asked', async (t) => {
  const at = await scene(t);
  const refused = async (more: Partial<EnrolOptions>, code: string): Promise<void> => {
    await t.rejects(ensureEnrolled(options(t, at, more)), { code });
  };
  await refused({ passphraseFile: passphraseFile(t, at.passphrase.slice(1)) }, 'passphrase-too-short');
  await refused({ passphraseFile: '/nowhere/passphrase' }, 'no-such-file');
  await refused({}, 'usage');
  await refused({ configServer: 'config.example' }, 'usage');
  await t.rejects(attempt({ port: at.http.port, passphrase: 'short' }), { code: 'passphrase-too-short' });
  t.equal(at.http.connections(), 0);
});

t.test('a wrong passphrase is refused by the server, and nothing is kept', async (t) => {
  const at = await scene(t);
  const enrolling = options(t, at, { passphraseFile: passphraseFile(t, createPassphrase()) });
  await t.rejects(ensureEnrolled(enrolling), { code: 'wrong-passphrase' });
  t.same(fs.readdirSync(path.join(enrolling.data, 'identity')).toSorted(), ['host.json', 'key.pem']);
});

t.test('a man in the middle gains nothing: neither side takes what the other proved', async (t) => {
  const at = await scene(t);
  const other = await identitySite();
  const between = await sitInBetween(t, other.configServer, at.http.port);
  const meddled = attempt({ port: between.port, passphrase: at.passphrase });
  await t.rejects(
    meddled,
    { code: 'wrong-passphrase' },
    'the server saw another certificate than the client',
  );
  t.equal(at.server.finishes.length, 1);
  t.notOk(between.heard().includes(at.passphrase));

  // The best he can do: play the server to the end, with an authority and a passphrase of his own.
  const impostor = await enrolmentServer(other, createPassphrase(), version);
  impostor.credulous = true;
  const lying = await serveHttps(t, other.configServer, (request) => impostor.answer(request));
  const trapped = attempt({ port: lying.port, passphrase: at.passphrase });
  await t.rejects(trapped, { code: 'certificate-not-vouched', message: /does not know the passphrase/ });
});

t.test('an impostor without the passphrase gets in nowhere, whatever else he has', async (t) => {
  // He has got the server's own key, so that both sides see the same certificate, and puts his authority in.
  const other = await identitySite();
  const at = await scene(t, async (request, server) => {
    const answer = await server.answer(request);
    if (!request.path.endsWith('/begin')) return answer;
    return { body: { ...(answer?.body as object), authority: other.authority.certificate } };
  });
  await t.rejects(attempt({ port: at.http.port, passphrase: at.passphrase }), { code: 'wrong-passphrase' });

  // The proof covers the certificate too: one for another host or key does not go with it.
  const swapping = await scene(t, async (request, server) => {
    const answer = await server.answer(request);
    if (!request.path.endsWith('/finish')) return answer;
    const { certificate } = await swapping.site.host('mobility');
    return { body: { ...(answer?.body as object), certificate } };
  });
  const swapped = attempt({ port: swapping.http.port, passphrase: swapping.passphrase });
  await t.rejects(swapped, { code: 'certificate-not-vouched' });
});

t.test('a proof counts once: neither another session nor another request takes it', async (t) => {
  const at = await scene(t);
  await attempt({ port: at.http.port, passphrase: at.passphrase });
  const [recorded] = at.server.finishes;
  const call = async (
    path: string,
    body: object,
  ): Promise<{ status: number; body: Record<string, unknown> }> => {
    const request = { method: 'POST', path, text: JSON.stringify(body), headers: {}, peer: null };
    const { status = 200, body: answer } = (await at.server.answer(request as unknown as HttpRequest)) ?? {
      body: {},
    };
    return { status, body: answer as Record<string, unknown> };
  };
  const { hostId, role, name } = someHost();
  const nonce = Buffer.alloc(32, 9).toString('base64url');
  const begun = await call('/begin', { version, hostId, role, name, nonce, time: Date.now() * 1000 });
  const replayed = await call('/finish', { ...recorded, session: begun.body['session'] });
  t.match(replayed, { status: 401, body: { error: { code: 'wrong-passphrase' } } });
});

t.test('a host waits for approval, over a server that goes away, and says so once', async (t) => {
  const lines: string[] = [];
  let away = 1;
  const at = await scene(t, ({ path, socket }, server) => {
    if (!path.endsWith('/finish') || server.waits > 0 || away === 0) return null;
    away -= 1;
    socket.destroy();
    return { body: null };
  });
  at.server.waits = 3;
  const log = createLog('info', (line) => lines.push(line));
  const { certificate } = await attempt({ port: at.http.port, passphrase: at.passphrase, log });
  t.ok(certificate);
  t.equal(lines.filter((line) => line.includes('event=waiting-for-approval')).length, 1);
  t.match(lines.join(''), /command="homeward hosts approve [0-9a-f]{12}"/);
  t.equal(lines.filter((line) => line.includes('event=enrolment-broken')).length, 1);
});

t.test('waiting ends with the signal, and with a no', async (t) => {
  const at = await scene(t);
  at.server.waits = Infinity;
  const abort = new AbortController();
  const log = createLog('info', () => abort.abort());
  const waiting = attempt({ port: at.http.port, passphrase: at.passphrase, log, signal: abort.signal });
  await t.rejects(waiting, { code: 'interrupted' });

  const refuse = createLog('info', () => (at.server.refuses = { status: 409, code: 'host-id-taken' }));
  const refused = attempt({ port: at.http.port, passphrase: at.passphrase, log: refuse });
  await t.rejects(refused, { code: 'host-id-taken' });
});

t.test('clocks that are apart and a newer host are refused, with both sides in the message', async (t) => {
  const at = await scene(t);
  const { port } = at.http;
  for (const minutes of [-16, 16]) {
    at.server.clockUs = minutes * 60_000_000;
    await t.rejects(attempt({ port, passphrase: at.passphrase }), {
      code: 'clock-apart',
      message: /this host says 20\S+Z, that of 127\.0\.0\.1:\d+ 20\S+Z/,
    });
  }
  at.server.clockUs = 14 * 60_000_000;
  at.server.version = '0.0.1';
  await t.rejects(attempt({ port, passphrase: at.passphrase }), {
    code: 'version-newer',
    message: /0\.0\.1/,
  });
  t.equal(at.server.finishes.length, 0, 'before anything is proved');
  at.server.version = '99.0.0';
  t.ok(await attempt({ port, passphrase: at.passphrase }));
});

t.test('a server that answers nonsense is no server of ours', async (t) => {
  for (const body of [null, {}, { session: 'x', salt: 'AAAA' }]) {
    const at = await scene(t, () => ({ body }));
    await t.rejects(attempt({ port: at.http.port, passphrase: at.passphrase }), { code: 'server-failed' });
  }
});

t.test(
  'with the real configuration server: approved by an operator, then heard and given work',
  async (t) => {
    const data = path.join(temporaryDirectory(t), 'cs');
    const started = await startConfigServer({
      ...{ data, listen: '127.0.0.1:0', log: silentLog, trusted: new Set(), version },
      operator: { file: null, home: null },
    });
    t.teardown(() => started.stop());
    const operator = JSON.parse(fs.readFileSync(started.operatorFile, 'utf8')) as Record<string, string>;
    const { host, port } = parseAddress(started.address);
    const client = httpClient({
      ...{ host, port, identity: null, expect: { role: 'config-server' } },
      authority: { fingerprint: operator['fingerprint'] ?? '' },
    });
    t.teardown(client.close);
    const headers = { authorization: `Bearer ${operator['token']}` };
    const ask = (method: 'GET' | 'POST', route: string): Promise<unknown> =>
      client.json({ method, path: `/api/v1/${route}`, headers });

    const lines: string[] = [];
    const enrolling = ensureEnrolled({
      ...{ data: path.join(temporaryDirectory(t), 'ps'), role: 'process-server', name: 'ps' },
      ...{ configServer: started.address, passphraseFile: started.passphraseFile, clock: hostClock() },
      ...{ log: createLog('info', (line) => lines.push(line)), signal: new AbortController().signal },
    });
    enrolling.catch(() => undefined);
    await until('the host to wait', () => lines.some((line) => line.includes('waiting-for-approval')));
    const key = /hosts approve ([0-9a-f]{12})/.exec(lines.join(''))?.[1];
    await ask('POST', `hosts/${key}/approve`);
    const identity = await enrolling;

    let assigned = -1;
    const registration = new Registration({
      ...{ identity, data, clock: hostClock(), log: silentLog },
      heartbeat: () => Promise.resolve({ addresses: ['127.0.0.1:9443'], disks: [], spools: [] }),
      assignments: (signed) => void (assigned = signed.length),
    });
    t.teardown(() => registration.stop());
    registration.start();
    await until('contact', () => registration.lastContactMs !== null);
    t.match(await ask('GET', 'hosts'), {
      hosts: [{ id: identity.hostId, state: 'joined', addresses: ['127.0.0.1:9443'] }],
    });
    t.ok(assigned <= 0, 'nothing is assigned to it');
  },
);
