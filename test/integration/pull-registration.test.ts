// The master target and its configuration server: enrolment in the background, reports, assignments, and
// calls of operators.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Heartbeat, HostCall } from '../../core/registration/messages.ts';
import { readVersion } from '../../core/version.ts';
import { until } from '../support/homeward.ts';
import { enrolmentServer, serveHttps } from '../support/identity-site.ts';
import { PullSite } from '../support/pull-site.ts';

const passphrase = 'abcdefghjkmnpqrstuvwxyz2';

interface Answered {
  id: string;
  status: string;
  text: string;
}

/** A configuration server that says what a test puts into it. */
async function playedServer(t: Test, site: PullSite) {
  const enrolment = await enrolmentServer(site.identities, passphrase, readVersion());
  const played = {
    enrolment,
    revision: 1,
    assignments: [] as { text: string; signature: string }[],
    calls: [] as HostCall[],
    heartbeats: [] as Heartbeat[],
    answers: [] as Answered[],
    asked: 0,
  };
  const server = await serveHttps(t, site.identities.configServer, (request) => {
    const { path: at, text, headers } = request;
    if (at.includes('/enrolment/')) return enrolment.answer(request);
    if (at.endsWith('/heartbeat')) {
      played.heartbeats.push(JSON.parse(text) as Heartbeat);
      return { body: { time: Date.now() * 1000, revision: played.revision } };
    }
    if (at.includes('/answers/')) {
      const id = at.split('/').at(-1) ?? '';
      played.answers.push({ id, status: String(headers['homeward-status']), text });
      return { body: {} };
    }
    const { revision, assignments, calls } = played;
    const after = Number(/after=(\d+)/.exec(at)?.[1]);
    played.asked += 1;
    if (after >= revision && calls.length === 0) return null;
    return { body: { revision, assignments, calls: calls.splice(0) } };
  });
  site.configServer = `127.0.0.1:${server.port}`;
  return played;
}

t.test('it reports, follows assignments, and serves calls as its control socket does', async (t) => {
  const site = await PullSite.start(t);
  const played = await playedServer(t, site);
  const web = site.source('web');
  web.syncBegin();
  web.write(0, 0, Buffer.alloc(512, 'a'));
  web.syncEnd();
  played.assignments = [site.sign(web.assignment)];
  played.calls = [
    { id: 'one', method: 'GET', path: '/v1/machines/nobody/points', body: null },
    { id: 'two', method: 'GET', path: '/v1/status', body: null },
    { id: 'three', method: 'GET', path: '/metrics', body: null },
  ];
  await site.startTarget();
  await site.settled(web);
  await until('three answers', () => played.answers.length === 3);
  const answer = (id: string): Answered | undefined => played.answers.find((one) => one.id === id);
  t.match(answer('one'), { status: '404', text: /no-such-machine/ });
  t.match(answer('two'), { status: '200', text: /"configServer"/ });
  t.match(answer('three'), { status: '400', text: /usage/ });
  await until('it to be reported', () => played.heartbeats.at(-1)?.target?.machines.length === 1);
  t.match(played.heartbeats.at(-1), {
    addresses: [],
    target: {
      retention: { path: path.join(site.data, 'retention') },
      machines: [{ name: 'web', path: 'chain' }],
    },
  });
  t.ok(Array.isArray(played.heartbeats.at(-1)?.disks));
  t.match((await site.client.status()).configServer, { hostId: site.host.hostId, problem: null });
});

t.test('long work of an operator is carried out, and its lines come back', async (t) => {
  const site = await PullSite.start(t);
  const played = await playedServer(t, site);
  const web = site.assign('web');
  web.syncBegin();
  web.write(0, 0, Buffer.alloc(512, 'a'));
  web.syncEnd();
  await site.startTarget();
  await site.settled(web);
  const target = { kind: 'raw', directory: path.join(site.data, 'out') };
  const body = JSON.stringify({ machine: 'web', at: 'latest', target, overwrite: [] });
  played.calls = [{ id: 'recover', method: 'POST', path: '/v1/recoveries', body }];
  await site.restartTarget();
  await until('the answer', () => played.answers.length === 1);
  t.match(played.answers[0], { id: 'recover', status: '200', text: /"result":\{.*"bytesWritten"/ });
  t.equal(
    fs
      .readFileSync(path.join(site.data, 'out', 'root.raw'))
      .subarray(0, 3)
      .toString(),
    'aaa',
  );
});

t.test('while it cannot enrol it serves and recovers, says why, and goes on when it can', async (t) => {
  const site = await PullSite.start(t);
  fs.rmSync(path.join(site.data, 'identity'), { recursive: true });
  const played = await playedServer(t, site);
  site.passphraseFile = path.join(site.data, 'passphrase');
  fs.writeFileSync(site.passphraseFile, `${passphrase}\n`, { mode: 0o600 });
  played.enrolment.waits = 1;
  played.enrolment.refuses = { status: 401, code: 'wrong-passphrase' };
  await site.startTarget();
  const problem = async (): Promise<string | null> =>
    (await site.client.status()).configServer?.problem ?? null;
  await until('the problem to be shown', async () => /wrong-passphrase/.test((await problem()) ?? ''));
  t.same((await site.client.status()).machines, [], 'and the control socket answers');
  await site.stop();
  played.enrolment.refuses = null;
  await site.startTarget();
  await until('a heartbeat', () => played.heartbeats.length > 0);
  t.equal(await problem(), null);
  t.ok(fs.existsSync(path.join(site.data, 'identity', 'cert.pem')));
});
