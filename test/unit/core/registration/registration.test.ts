// Checks a host's link to a configuration server, played by a small HTTPS server that is told what to say.
import path from 'node:path';
import t, { type Test } from 'tap';
import { hostClock } from '../../../../core/clock.ts';
import { HomewardError } from '../../../../core/errors.ts';
import { signAssignment, type SignedAssignment } from '../../../../core/identity/assignment.ts';
import { issueCertificate } from '../../../../core/identity/authority.ts';
import { readIdentity, writeIdentity, type HostIdentity } from '../../../../core/identity/host-identity.ts';
import { createLog } from '../../../../core/log.ts';
import type { Heartbeat, HostCall } from '../../../../core/registration/messages.ts';
import { Registration, type RegistrationOptions } from '../../../../core/registration/registration.ts';
import { readVersion } from '../../../../core/version.ts';
import { until } from '../../../support/homeward.ts';
import {
  identitySite,
  serveHttps,
  type HttpAnswer,
  type HttpRequest,
  type HttpServer,
  type IdentitySite,
} from '../../../support/identity-site.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const dayMs = 24 * 60 * 60 * 1000;
const heartbeatMs = 20;

/** What the server says, and what it has heard. */
interface Desk {
  revision: number;
  assignments: SignedAssignment[];
  calls: HostCall[];
  /** Added to its clock, in microseconds. */
  clockUs: number;
  heartbeats: (Heartbeat & { peer: unknown })[];
  answers: Map<string, { status: unknown; text: string }>;
  certificates: string[];
}

interface Link {
  site: IdentitySite;
  desk: Desk;
  identity: HostIdentity;
  data: string;
  server: HttpServer;
  registration: Registration;
  /** How often an event was logged. */
  logged(event: string): number;
  serve(port: number): Promise<HttpServer>;
}

async function link(
  t: Test,
  more: Partial<RegistrationOptions> = {},
  issuedMs = Date.now(),
  site?: IdentitySite,
): Promise<Link> {
  const home = site ?? (await identitySite());
  const desk: Desk = {
    ...{ revision: 1, assignments: [], calls: [], clockUs: 0 },
    ...{ heartbeats: [], answers: new Map(), certificates: [] },
  };
  const serve = (port: number): Promise<HttpServer> =>
    serveHttps(t, home.configServer, (request) => answer(home, desk, request), { port });
  const server = await serve(0);
  const identity = await home.host('mobility', issuedMs);
  identity.configServer = { host: '127.0.0.1', port: server.port };
  const data = path.join(temporaryDirectory(t), 'data');
  writeIdentity(data, identity);
  let log = '';
  const registration = new Registration({
    ...{ identity, data, heartbeatMs, clock: hostClock() },
    log: createLog('info', (line) => (log += line)),
    heartbeat: () => Promise.resolve({ addresses: ['10.0.0.7:9443'], disks: [] }),
    assignments: () => undefined,
    ...more,
  });
  t.teardown(() => registration.stop());
  registration.start();
  const logged = (event: string): number => log.split(`event=${event} `).length - 1;
  return { site: home, desk, identity, data, server, registration, logged, serve };
}

async function answer(site: IdentitySite, desk: Desk, request: HttpRequest): Promise<HttpAnswer | null> {
  const { path: route, text, peer, headers } = request;
  if (peer?.role !== 'mobility') throw new Error('a stranger');
  if (route === '/api/v1/host/heartbeat') {
    desk.heartbeats.push({ ...(JSON.parse(text) as Heartbeat), peer });
    return { body: { time: Date.now() * 1000 + desk.clockUs, revision: desk.revision } };
  }
  if (route === '/api/v1/host/certificate') {
    const asked = JSON.parse(text) as { request: string };
    const certificate = await issueCertificate(site.authority, asked.request, peer);
    desk.certificates.push(certificate);
    return { body: { certificate } };
  }
  if (route.startsWith('/api/v1/host/answers/')) {
    desk.answers.set(route.split('/').at(-1) ?? '', { status: headers['homeward-status'], text });
    return { body: {} };
  }
  const after = Number(/after=(\d+)/.exec(route)?.[1]);
  await until('work', () => desk.revision > after || desk.calls.length > 0, 1000).catch(() => undefined);
  const { revision, assignments } = desk;
  return { body: { revision, assignments, calls: desk.calls.splice(0) } };
}

const assignment = (site: IdentitySite, epoch: number): SignedAssignment =>
  signAssignment(site.authority, {
    ...{ machine: '8d2f7c1e-2b6a-4f0e-9a53-0c6f5a1b7d11', name: 'db1', epoch, disks: [], seeds: [] },
    ...{ source: crypto.randomUUID(), masterTarget: crypto.randomUUID() },
    processServer: { hostId: crypto.randomUUID(), addresses: [] },
    ...{ windowMs: 1, consistencyIntervalMs: 1, ended: false },
  });

const call = (id: string): HostCall => ({ id, method: 'GET', path: `/v1/${id}`, body: null });

t.test('heartbeats say who, when and which version; contact and clock are known from them', async (t) => {
  const { desk, identity, registration } = await link(t);
  t.equal(registration.lastContactMs, null);
  t.equal(registration.skewUs, null);
  await until('three heartbeats', () => desk.heartbeats.length >= 3);
  t.match(desk.heartbeats[0], {
    ...{ version: readVersion(), addresses: ['10.0.0.7:9443'], disks: [] },
    peer: { hostId: identity.hostId, role: 'mobility' },
  });
  t.ok(Math.abs((desk.heartbeats[0]?.time ?? 0) - Date.now() * 1000) < 60_000_000);
  t.ok((registration.lastContactMs ?? Infinity) < 10_000);
  t.ok(Math.abs(registration.skewUs ?? Infinity) < 10_000_000);
});

t.test('a host that is woken does not wait for its next heartbeat', async (t) => {
  const { desk, registration } = await link(t, { heartbeatMs: 3_600_000 });
  await until('the first heartbeat', () => registration.lastContactMs !== null);
  registration.wake();
  await until('the second', () => desk.heartbeats.length === 2);
});

t.test('a clock that is far ahead is warned of once, and again only after it was right', async (t) => {
  const { desk, registration, logged } = await link(t);
  const beats = async (): Promise<void> => {
    const { length } = desk.heartbeats;
    await until('two more heartbeats', () => desk.heartbeats.length > length + 2);
  };
  for (const times of [1, 2]) {
    desk.clockUs = 16 * 60_000_000;
    await beats();
    t.ok((registration.skewUs ?? 0) > 15 * 60_000_000);
    t.equal(logged('clock-apart'), times);
    desk.clockUs = 0;
    await beats();
  }
});

t.test('assignments are handed over when they change, and again when they could not be taken', async (t) => {
  const taken: string[][] = [];
  let refuse = false;
  const { site, desk, logged } = await link(t, {
    assignments(signed) {
      if (refuse) throw new HomewardError('no-space', 'the disk is full');
      taken.push(signed.map(({ text }) => text));
    },
  });
  await until('nothing to be assigned', () => taken.length === 1);
  const [first, second] = [assignment(site, 1), assignment(site, 2)];
  desk.assignments = [first];
  desk.revision += 1;
  await until('the first', () => taken.length === 2);
  desk.revision += 1;
  const { length } = desk.heartbeats;
  await until('heartbeats', () => desk.heartbeats.length > length + 3);
  t.equal(taken.length, 2, 'the same again is no change');
  refuse = true;
  desk.assignments = [second];
  desk.revision += 1;
  await until('the refusal', () => logged('assignments-not-taken') === 1);
  refuse = false;
  await until('the second', () => taken.length === 3);
  t.same(taken, [[], [first.text], [second.text]]);
  t.equal(logged('assignments-not-taken'), 1);
});

t.test('a server whose revisions begin anew is asked for everything', async (t) => {
  const taken: number[] = [];
  const { site, desk, registration } = await link(t, {
    assignments: (signed) => void taken.push(signed.length),
  });
  desk.revision = 100;
  await until('the first', () => taken.length === 1 && registration.lastContactMs !== null);
  desk.revision = 1;
  desk.assignments = [assignment(site, 1)];
  await until('the assignment', () => taken.at(-1) === 1);
});

t.test('calls are served once, side by side, and their answers streamed', async (t) => {
  const served: string[] = [];
  const { desk } = await link(t, {
    async call({ id }) {
      served.push(id);
      if (id === 'missing') throw new HomewardError('no-such-machine', 'no machine db9');
      if (id === 'text') return { status: 202, body: 'hello' };
      return { status: 200, body: pieces() };
    },
  });
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('one ');
    await until('the others', () => desk.answers.size === 2);
    yield Buffer.from('two');
  }
  desk.calls.push(call('stream'), call('text'), call('missing'), call('text'));
  await until('three answers', () => desk.answers.size === 3);
  t.same(served, ['stream', 'text', 'missing']);
  t.same(desk.answers.get('stream'), { status: '200', text: 'one two' });
  t.same(desk.answers.get('text'), { status: '202', text: 'hello' });
  t.equal(desk.answers.get('missing')?.status, '404');
  t.match(JSON.parse(desk.answers.get('missing')?.text ?? ''), { error: { code: 'no-such-machine' } });
});

t.test('more calls than a host serves at a time are refused, and stop ends the others', async (t) => {
  const { desk, registration } = await link(t, { call: () => new Promise(() => undefined) });
  desk.calls.push(...Array.from({ length: 17 }, (_, at) => call(`call-${at}`)));
  await until('the refusal', () => desk.answers.size === 1);
  t.match(JSON.parse(desk.answers.get('call-16')?.text ?? ''), { error: { code: 'too-many-attempts' } });
  await registration.stop();
});

t.test('contact that is lost is logged once, and once when it is back', async (t) => {
  const { desk, server, registration, logged, serve } = await link(t);
  await until('contact', () => registration.lastContactMs !== null);
  await server.close();
  await until('the loss', () => logged('config-server-lost') === 1);
  const { length } = desk.heartbeats;
  await serve(server.port);
  await until('contact again', () => desk.heartbeats.length > length + 2);
  t.equal(logged('config-server-lost'), 1);
  t.equal(logged('config-server-back'), 1);
  t.equal(logged('work-not-received'), 0, 'one line says it all');
});

t.test('a daemon that cannot say how it is does not lose contact for ever', async (t) => {
  let fails = 3;
  const { desk, logged } = await link(t, {
    async heartbeat() {
      fails -= 1;
      if (fails >= 0) throw new HomewardError('no-space', 'full');
      return { addresses: [], disks: [] };
    },
  });
  await until('a heartbeat', () => desk.heartbeats.length > 0);
  t.equal(logged('heartbeat-failed'), 1);
  t.equal(logged('config-server-lost'), 0);
});

t.test('a certificate near its end is renewed, kept, and used from then on', async (t) => {
  let renewed = 0;
  const issuedMs = Date.now() - 300 * dayMs;
  const { desk, identity, data, logged } = await link(t, { renewed: () => (renewed += 1) }, issuedMs);
  await until('the renewal', () => renewed === 1);
  t.equal(desk.certificates.length, 1);
  t.equal(identity.certificate, desk.certificates[0]);
  t.equal(readIdentity(data)?.certificate, desk.certificates[0]);
  t.equal(readIdentity(data)?.key, identity.key);
  t.equal(logged('certificate-renewed'), 1);
});

t.test('a certificate of somebody else is not taken for a renewal', async (t) => {
  const site = await identitySite();
  const foreign = (await identitySite()).authority;
  const issuedMs = Date.now() - 300 * dayMs;
  const { identity, logged, data } = await link(t, {}, issuedMs, { ...site, authority: foreign });
  await until('the refusal', () => logged('certificate-not-renewed') === 1);
  t.equal(readIdentity(data)?.certificate, identity.certificate);
});

t.test('stop ends everything at once, also a heartbeat that hangs', async (t) => {
  const hanging = await link(t, { heartbeat: () => new Promise(() => undefined) });
  await hanging.registration.stop();
  const { registration, logged } = await link(t);
  await until('contact', () => registration.lastContactMs !== null);
  const begun = performance.now();
  await registration.stop();
  t.ok(performance.now() - begun < 900, 'a long poll is under way, which is not waited for');
  t.equal(logged('config-server-lost'), 0);
});
