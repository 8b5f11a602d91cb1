// The configuration server over real TLS: who gets in and how, what it hands out, what operators see.
import { once } from 'node:events';
import fs from 'node:fs';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import path from 'node:path';
import t from 'tap';
import { connectConfigServer } from '../../config-server/client.ts';
import { hostClock, type Clock } from '../../core/clock.ts';
import { checkIssued, createKey, createRequest } from '../../core/identity/authority.ts';
import { ensureHostId } from '../../core/identity/host-identity.ts';
import { httpClient } from '../../core/identity/http-client.ts';
import { parseAddress } from '../../core/identity/address.ts';
import { silentLog } from '../../core/log.ts';
import { ensureEnrolled } from '../../core/registration/registration.ts';
import { microseconds } from '../../core/units.ts';
import { verifyAssignment } from '../../core/identity/assignment.ts';
import { ConfigSite, GiB, sourceReport } from '../support/config-site.ts';
import { until } from '../support/homeward.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.test('a mobility service joins at once, others wait for an operator', async (t) => {
  const site = await ConfigSite.start(t);
  const source = await site.enrol('mobility', 'web');
  t.match(await site.client.hosts(), [{ id: source.hostId, role: 'mobility', name: 'web', state: 'joined' }]);
  const waiting = site.enrol('process-server', 'ps');
  await until('it to ask', async () => (await site.client.hosts()).length === 2);
  t.match(
    (await site.client.hosts()).find(({ name }) => name === 'ps'),
    { state: 'waiting', reason: 'new-host', health: 'waiting', detail: 'waits for approval' },
  );
  t.match(await site.client.approveHost('ps'), { state: 'approved' });
  const joined = await waiting;
  t.match(await site.client.approveHost('ps'), { state: 'joined', id: joined.hostId }, 'again is no harm');
  const kinds = (await site.client.events({ limit: 10 })).map(({ kind }) => kind);
  t.same(kinds, ['registered', 'approval-wanted', 'approved', 'registered']);
});

t.test('one that was approved and did not come back is not in the way of another of its name', async (t) => {
  const site = await ConfigSite.start(t);
  const gone = new AbortController();
  const asked = ensureEnrolled({
    ...{ role: 'master-target', name: 'mt', data: path.join(site.directory, 'gone') },
    ...{ configServer: site.address, passphraseFile: path.join(site.data, 'passphrase') },
    ...{ clock: hostClock(), log: silentLog, signal: gone.signal },
  });
  await until('it to ask', async () => (await site.client.hosts()).length === 1);
  gone.abort();
  await t.rejects(asked, { code: 'interrupted' });
  t.match(await site.client.approveHost('mt'), { state: 'approved' });
  const second = site.enrol('master-target', 'mt');
  await until('the other to ask', async () => (await site.client.hosts()).length === 2);
  t.match(await site.client.approveHost('mt'), { name: 'mt', state: 'approved' });
  t.equal((await second).name, 'mt');
});

t.test('who does not know the passphrase is refused, and stopped after some attempts', async (t) => {
  const site = await ConfigSite.start(t);
  const wrong = path.join(site.directory, 'wrong');
  fs.writeFileSync(wrong, 'a'.repeat(24));
  const enrol = (name: string): Promise<unknown> =>
    site.enrol('mobility', name, { passphraseFile: wrong, data: path.join(site.directory, 'one') });
  await t.rejects(enrol('web'), { code: 'wrong-passphrase' });
  for (let tries = 1; tries < 20; tries += 1) await t.rejects(enrol('web'), { code: 'wrong-passphrase' });
  await t.rejects(enrol('web'), { code: 'too-many-attempts' });
  t.same(await site.client.hosts(), []);
});

t.test('a rotated passphrase takes the place of the old one, and hosts stay', async (t) => {
  const site = await ConfigSite.start(t);
  const source = await site.source('web');
  const old = await site.client.passphrase();
  t.match(old, /^[A-HJ-NP-Za-km-z2-9]{24}$/);
  fs.writeFileSync(path.join(site.directory, 'old'), old);
  const made = await site.client.rotatePassphrase();
  t.not(made, old);
  t.equal(await site.client.passphrase(), made);
  const passphraseFile = path.join(site.directory, 'old');
  await t.rejects(site.enrol('mobility', 'late', { passphraseFile }), { code: 'wrong-passphrase' });
  t.ok(await site.enrol('mobility', 'late'));
  await site.restart();
  t.equal(await site.client.passphrase(), made, 'also after a restart');
  await until('the host to be back', async () => {
    const host = (await site.client.hosts()).find(({ id }) => id === source.identity.hostId);
    return host !== undefined && host.silentSeconds !== null && host.silentSeconds < 1;
  });
});

t.test('a wrong clock and a newer version are refused with both sides named', async (t) => {
  const site = await ConfigSite.start(t);
  const ahead: Clock = { ...hostClock(), now: () => microseconds((Date.now() + 16 * 60_000) * 1000) };
  await t.rejects(site.enrol('mobility', 'web', { clock: ahead }), {
    code: 'clock-apart',
    message: /T.*Z.*T.*Z/,
  });
  const begin = {
    ...{ version: '9.0.0', hostId: crypto.randomUUID(), role: 'mobility', name: 'web' },
    nonce: Buffer.alloc(32).toString('base64url'),
    time: Date.now() * 1000,
  };
  const { fingerprint, address } = site.operator;
  const anybody = httpClient({
    ...parseAddress(address),
    identity: null,
    authority: { fingerprint },
    expect: { role: 'config-server' },
  });
  t.teardown(() => anybody.close());
  const call = { method: 'POST', path: '/api/v1/enrolment/begin' } as const;
  await t.rejects(anybody.json({ ...call, body: begin }), {
    code: 'version-newer',
    message: /9\.0\.0.*0\.1\.0/,
  });
  const server = { ...begin, version: '0.1.0', role: 'config-server' };
  await t.rejects(anybody.json({ ...call, body: server }), { code: 'not-allowed' });
  await t.rejects(anybody.json({ ...call, body: { ...begin, nonce: 'x' } }), { code: 'usage' });
});

t.test('a host id seen before waits beside the first, and takes its place when approved', async (t) => {
  const site = await ConfigSite.start(t);
  const first = await site.source('web');
  const clone = path.join(site.directory, 'clone');
  fs.cpSync(path.join(site.directory, 'mobility-web'), clone, { recursive: true });
  fs.rmSync(path.join(clone, 'identity', 'cert.pem'));
  fs.writeFileSync(path.join(clone, 'identity', 'key.pem'), createKey());
  const second = site.enrol('mobility', 'web', { data: clone });
  const id = first.identity.hostId;
  await until('it to ask', async () => (await site.client.hosts()).length === 2);
  t.match(await site.client.hosts(), [
    { id, state: 'joined', reason: null },
    { id, state: 'waiting', reason: 'host-id-taken' },
  ]);
  await t.rejects(site.client.removeHost(id), { code: 'conflict', message: /web/ });
  await site.client.approveHost(id);
  const identity = await second;
  t.equal(identity.hostId, id);
  await until('the first to be shut out', () =>
    site.logged.some((line) => /config-server-lost.*not-allowed/.test(line)),
  );
  await site.report(identity, { data: clone, said: first.said });
  t.match(await site.client.hosts(), [{ id, state: 'joined' }]);
});

t.test('a machine has one source: its name cannot be taken, nor its id', async (t) => {
  const site = await ConfigSite.start(t);
  const first = await site.source('web');
  const data = path.join(site.directory, 'other');
  await t.rejects(site.enrol('mobility', 'web', { data }), {
    code: 'host-id-taken',
    hint: new RegExp(`hosts remove ${first.identity.hostId}`),
  });
  const thief = await site.enrol('mobility', 'thief');
  const client = httpClient({ ...thief.configServer, identity: thief, expect: { role: 'config-server' } });
  t.teardown(() => client.close());
  const beat = (said: object): Promise<unknown> =>
    client.json({
      method: 'POST',
      path: '/api/v1/host/heartbeat',
      body: { version: '0.1.0', time: Date.now() * 1000, addresses: [], disks: [], ...said },
    });
  const machine = first.said.source?.machine ?? '';
  await t.rejects(beat({ source: sourceReport('thief', { machine }) }), { code: 'not-allowed' });
  await t.rejects(beat({ spools: [] }), { code: 'not-allowed', message: /process-server/ });
  await t.rejects(beat({ source: { ...sourceReport('x'), disks: 'none' } }), { code: 'usage' });
  await t.resolves(beat({ source: sourceReport('thief') }));
  await site.client.removeHost('thief');
  await t.rejects(beat({}), { code: 'not-allowed', message: /removed/ });
});

t.test('a certificate is renewed over mutual TLS, and a removed host gets none', async (t) => {
  const site = await ConfigSite.start(t);
  const identity = await site.enrol('mobility', 'web');
  const client = httpClient({ ...identity.configServer, identity, expect: { role: 'config-server' } });
  t.teardown(() => client.close());
  const renew = async (key: string): Promise<string> => {
    const body = { request: await createRequest(key, identity) };
    const answer = await client.json({ method: 'POST', path: '/api/v1/host/certificate', body });
    return (answer as { certificate: string }).certificate;
  };
  const certificate = await renew(identity.key);
  t.not(certificate, identity.certificate);
  checkIssued({ ...identity, certificate }, identity);
  t.ok(await renew(identity.key), 'again, as an answer may be lost');
  await t.rejects(renew(createKey()), { code: 'not-allowed', message: /same key/ });
  await t.rejects(client.json({ method: 'POST', path: '/api/v1/host/certificate', body: { request: 'x' } }), {
    code: 'usage',
  });
  await site.client.removeHost('web');
  await t.rejects(renew(identity.key), { code: 'not-allowed', message: /removed/ });
  const again = site.enrol('mobility', 'web', { data: path.join(site.directory, 'again') });
  t.ok(await again, 'another host may have its name now');
});

t.test(
  'who waits is let in by the very key that was approved, also over a restart of the server',
  async (t) => {
    const site = await ConfigSite.start(t);
    const waiting = site.enrol('master-target', 'mt');
    await until('it to ask', async () => (await site.client.hosts()).length === 1);
    await site.restart();
    t.match(await site.client.hosts(), [{ name: 'mt', state: 'waiting' }]);
    await site.client.approveHost('mt');
    const { hostId } = await waiting;
    t.match(await site.client.hosts(), [{ id: hostId, state: 'joined' }]);
  },
);

t.test('a host that is trusted needs no yes', async (t) => {
  const data = path.join(temporaryDirectory(t), 'mt');
  const { hostId } = ensureHostId(data, 'master-target', 'mt');
  const site = await ConfigSite.start(t, [hostId]);
  await site.enrol('master-target', 'mt', { data });
  t.match(await site.client.hosts(), [{ id: hostId, state: 'joined' }]);
});

t.test('protect chooses the only hosts, signs, tells all three, and repeats change nothing', async (t) => {
  const site = await ConfigSite.start(t);
  const { spool, target, source } = await site.chain();
  await t.rejects(site.client.protect({ machine: 'nobody' }), { code: 'no-such-machine' });
  await t.rejects(site.client.protect({ machine: 'web', masterTarget: 'x' }), { code: 'no-such-host' });
  await t.rejects(site.client.protect({ machine: 'web', disks: ['x'] }), { code: 'no-such-disk' });
  const report = await site.client.protect({ machine: 'web' });
  t.match(report, {
    machine: 'web',
    epoch: 1,
    changed: true,
    masterTarget: { name: 'mt' },
    processServer: { name: 'ps', addresses: ['127.0.0.1:9443'] },
    windowMs: 86_400_000,
  });
  for (const host of [spool, target, source]) {
    await until('the assignment', () => host.assignments.length === 1);
    const [signed] = host.assignments;
    if (signed === undefined) throw new Error('no assignment');
    const assignment = verifyAssignment(host.identity.authority, signed);
    t.match(assignment, { name: 'web', epoch: 1, source: source.identity.hostId, ended: false });
    t.same(assignment.disks, [{ name: 'root', size: 20 * GiB }]);
  }
  t.match(await site.client.protect({ machine: 'web', processServer: 'ps' }), { epoch: 1, changed: false });
  t.match(await site.client.protect({ machine: 'web', windowMs: 3_600_000 }), { epoch: 2, changed: true });
  t.match(await site.client.machines(), [{ name: 'web', protected: true, epoch: 2, windowMs: 3_600_000 }]);
  await t.rejects(site.client.removeHost('mt'), { code: 'conflict' });
  t.match(await site.client.unprotect('web'), { changed: true });
  t.match(await site.client.unprotect('web'), { changed: false });
  await until('the end to be told', () => /"ended":true/.test(target.assignments[0]?.text ?? ''));
  t.match(await site.client.machines(), [{ name: 'web', protected: false, epoch: 3, masterTarget: null }]);
});

t.test('with several hosts of a role one has to be named, and the one left hears of it', async (t) => {
  const site = await ConfigSite.start(t);
  const { target } = await site.chain();
  await site.client.protect({ machine: 'web' });
  const other = await site.host('master-target', 'mt2');
  const another = site.client.protect({ machine: 'web' });
  t.match(await another, { changed: false, masterTarget: { name: 'mt' } }, 'it keeps what it has');
  await site.source('db');
  await t.rejects(site.client.protect({ machine: 'db' }), { code: 'conflict', hint: /--master-target/ });
  t.match(await site.client.protect({ machine: 'web', masterTarget: 'mt2' }), { epoch: 2 });
  for (const host of [other, target]) {
    await until('both to hear', () => /"epoch":2/.test(host.assignments[0]?.text ?? ''));
  }
});

t.test('an assignment follows the address of its process server and the disks of its machine', async (t) => {
  const site = await ConfigSite.start(t);
  const { spool, target, source } = await site.chain();
  await site.client.protect({ machine: 'web' });
  spool.said = { ...spool.said, addresses: ['10.0.0.9:9443', '127.0.0.1:9443'] };
  await until('the new address', () => /10\.0\.0\.9:9443/.test(target.assignments[0]?.text ?? ''));
  const report = source.said.source;
  if (report === undefined) throw new Error('no report');
  const disks = [...report.disks, { name: 'data', size: GiB, kind: 'front' as const }];
  source.said = { ...source.said, source: { ...report, disks } };
  await until('the new disk', () => /"data"/.test(target.assignments[0]?.text ?? ''));
  t.match(await site.client.machines(), [{ epoch: 3, disks: [{ name: 'root' }, { name: 'data' }] }]);
  await site.restart();
  t.match(await site.client.machines(), [{ epoch: 3, protected: true }], 'and all that outlives a restart');
  await until('everybody to be back', async () => {
    const { hosts } = await site.client.status();
    return hosts.ok === 3;
  });
});

t.test('secrets are for their owner only, and in no log', async (t) => {
  const site = await ConfigSite.start(t);
  await site.chain();
  await site.client.rotatePassphrase();
  await site.restart();
  const mode = (...names: string[]): string =>
    (fs.statSync(path.join(site.data, ...names)).mode & 0o777).toString(8);
  t.equal(mode(), '700');
  for (const file of ['operator.json', 'passphrase', 'authority/key.pem', 'identity/key.pem']) {
    t.equal(mode(file), '600', file);
  }
  const ownCopy = path.join(site.directory, '.config', 'homeward', 'operator.json');
  t.same(JSON.parse(fs.readFileSync(ownCopy, 'utf8')), site.operator);
  t.equal((fs.statSync(ownCopy).mode & 0o777).toString(8), '600');
  const log = site.logged.join('');
  const key = fs.readFileSync(path.join(site.data, 'authority/key.pem'), 'utf8').split('\n')[1] ?? '';
  for (const secret of [site.operator.token, await site.client.passphrase(), key])
    t.notOk(log.includes(secret));
});

t.test('an operator needs the token, and the server that the fingerprint names', async (t) => {
  const site = await ConfigSite.start(t);
  const wrongToken = connectConfigServer({ ...site.operator, token: 'x' });
  t.teardown(() => wrongToken.close());
  await t.rejects(wrongToken.hosts(), { code: 'not-allowed' });
  const fingerprint = site.operator.fingerprint.replace(/^../, (pair) => (pair === '00' ? '01' : '00'));
  const wrongServer = connectConfigServer({ ...site.operator, fingerprint });
  t.teardown(() => wrongServer.close());
  await t.rejects(wrongServer.hosts(), { code: 'certificate-not-vouched' });
});

t.test('a collector reads the metrics with the token', async (t) => {
  const site = await ConfigSite.start(t);
  const { address, token } = site.operator;
  const scrape = async (authorization: string): Promise<{ status: number | undefined; text: string }> => {
    const options = { headers: { authorization }, rejectUnauthorized: false };
    const [answer] = (await once(https.get(`https://${address}/api/v1/metrics`, options), 'response')) as [
      IncomingMessage,
    ];
    return { status: answer.statusCode, text: (await answer.setEncoding('utf8').toArray()).join('') };
  };
  const { status, text } = await scrape(`Bearer ${token}`);
  t.equal(status, 200);
  t.match(text, '# TYPE homeward_machine_rpo_seconds gauge');
  t.equal((await scrape('Bearer x')).status, 403);
});

t.test('OpenAPI describes every route', async (t) => {
  const site = await ConfigSite.start(t);
  const { fingerprint, address } = site.operator;
  const anybody = httpClient({
    ...parseAddress(address),
    identity: null,
    authority: { fingerprint },
    expect: { role: 'config-server' },
  });
  t.teardown(() => anybody.close());
  const described = (await anybody.json({ method: 'GET', path: '/api/v1/openapi.json' })) as {
    openapi: string;
    paths: Record<string, Record<string, { summary: string; responses: object }>>;
  };
  t.equal(described.openapi, '3.1.0');
  const routes = Object.entries(described.paths).flatMap(([place, methods]) =>
    Object.keys(methods).map((method) => `${method} ${place.replace('/api/v1', '')}`),
  );
  t.same(routes.toSorted(), [
    'delete /call/v1/{*}',
    'delete /hosts/{host}',
    'delete /machines/{machine}/protection',
    'get /call/v1/{*}',
    'get /events',
    'get /host/site',
    'get /host/work',
    'get /hosts',
    'get /machines',
    'get /metrics',
    'get /openapi.json',
    'get /passphrase',
    'get /status',
    'post /call/v1/{*}',
    'post /enrolment/begin',
    'post /enrolment/finish',
    'post /host/answers/{id}',
    'post /host/certificate',
    'post /host/heartbeat',
    'post /hosts/{host}/approve',
    'post /passphrase/rotate',
    'put /machines/{machine}/protection',
  ]);
  for (const methods of Object.values(described.paths)) {
    for (const { summary, responses } of Object.values(methods)) t.ok(summary.length > 5 && responses);
  }
  await t.rejects(anybody.json({ method: 'GET', path: '/api/v1/x' }), { code: 'not-in-this-version' });
});
