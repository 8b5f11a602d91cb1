// The control socket over a real Unix socket: every call through client and server, failures, long work.
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { connectControl, type ControlClient } from '../../agent/control/client.ts';
import { startControlServer } from '../../agent/control/server.ts';
import type { Progress, RecoverRequest } from '../../agent/control/service.ts';
import { createLog, silentLog } from '../../core/log.ts';
import { stubService, stubStatus, type StubService } from '../support/stub-service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface Fixture {
  socket: string;
  service: StubService;
  client: ControlClient;
  logged: string[];
}

async function serve(t: Test): Promise<Fixture> {
  const socket = path.join(temporaryDirectory(t), 'control.sock');
  const service = stubService();
  const logged: string[] = [];
  const server = await startControlServer({
    path: socket,
    service,
    log: createLog('debug', (line) => logged.push(line)),
  });
  const client = connectControl(socket);
  t.teardown(async () => {
    await client.close();
    await server.close();
  });
  return { socket, service, client, logged };
}

/** One request made by hand. */
function ask(
  socketPath: string,
  method: string,
  url: string,
  body?: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const request = http.request({ socketPath, method, path: url, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

const recovery: RecoverRequest = {
  machine: 'web',
  at: '-15m',
  target: { kind: 'raw', directory: '/out' },
  overwrite: [],
};
const quiet = new AbortController().signal;

t.test(
  'every call arrives at the service with what the client was given, and brings its answer back',
  async (t) => {
    const { service, client } = await serve(t);
    const ingest = {
      machine: 'web',
      disks: [{ name: 'root', sizeBytes: 4096 }],
      listen: 'unix:/x',
      seeding: true,
    };
    t.same(await client.openIngest(ingest), {
      machine: 'web',
      id: '3f1c',
      listen: 'unix:/x',
      exports: ['root'],
      seeding: true,
      changed: true,
    });
    t.equal((await client.seeded('web')).lsn, 12);
    t.same(await client.closeIngest('web'), { machine: 'web', changed: true });
    t.equal((await client.tag('web', 'Ünïcode & 100 %')).name, 'Ünïcode & 100 %');
    t.same(await client.status(), stubStatus);
    t.equal((await client.points('web')).tags[0]?.name, 'before-upgrade');
    const view = { machine: 'web', at: 'lsn:0', listen: 'unix:/v', writable: false, leaseMs: null };
    t.equal((await client.openView(view)).id, 'v1');
    t.equal((await client.listViews()).length, 1);
    await client.closeViews({ id: 'v1' });
    await client.closeViews({ machine: 'web', at: '2026-01-31T14:05:00+01:00' });
    await client.closeViews({ machine: 'web', at: null });
    t.equal((await client.planRecovery(recovery)).disks[0]?.to, '/out/root.raw');
    t.same(service.calls, [
      ['openIngest', ingest],
      ['seeded', 'web'],
      ['closeIngest', 'web'],
      ['tag', 'web', 'Ünïcode & 100 %'],
      ['status'],
      ['points', 'web'],
      ['openView', view],
      ['listViews'],
      ['closeViews', { id: 'v1' }],
      ['closeViews', { machine: 'web', at: '2026-01-31T14:05:00+01:00' }],
      ['closeViews', { machine: 'web', at: null }],
      ['planRecovery', recovery],
    ]);
  },
);

t.test('long work brings its progress, then its result', async (t) => {
  const { client } = await serve(t);
  const seen: Progress[] = [];
  const report = await client.recover(recovery, (progress) => seen.push(progress), quiet);
  t.equal(report.bytesWritten, 1024 ** 2);
  t.same(seen, [{ done: 0, total: 100, what: 'root' }]);
  const verified = await client.verify(
    { machine: 'web', part: { n: 1, of: 4 }, forMs: null },
    () => undefined,
    quiet,
  );
  t.equal(verified.ok, true);
});

t.test('long work on the wire is lines of JSON, the last one the result', async (t) => {
  const { socket } = await serve(t);
  const { status, text } = await ask(socket, 'POST', '/v1/recoveries', JSON.stringify(recovery));
  t.equal(status, 200);
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => Object.keys(JSON.parse(line) as object)[0]);
  t.same(lines, ['progress', 'result']);
});

t.test('an abort of the client reaches the work, and the call ends as interrupted', async (t) => {
  const { client, service } = await serve(t);
  const controller = new AbortController();
  const work = client.recover(
    { ...recovery, machine: 'forever' },
    () => controller.abort(),
    controller.signal,
  );
  await t.rejects(work, { code: 'interrupted' });
  t.match(await service.aborted, { code: 'interrupted', message: 'the client went away' });
});

t.test('a client that was aborted before it asked does not ask', async (t) => {
  const { client, service } = await serve(t);
  await t.rejects(
    client.recover(recovery, () => undefined, AbortSignal.abort()),
    { code: 'interrupted' },
  );
  t.same(service.calls, []);
});

t.test('closing the server ends long work with its reason and takes the socket file away', async (t) => {
  const socket = path.join(temporaryDirectory(t), 'control.sock');
  const server = await startControlServer({ path: socket, service: stubService(), log: silentLog });
  const client = connectControl(socket);
  t.teardown(() => client.close());
  const begun = Promise.withResolvers<void>();
  const work = client.verify({ machine: 'forever', part: null, forMs: null }, () => begun.resolve(), quiet);
  const refused = t.rejects(work, { code: 'interrupted', message: 'the master target is stopping' });
  await begun.promise;
  await server.close();
  await refused;
  t.notOk(fs.existsSync(socket));
  await t.rejects(client.status(), { code: 'daemon-unreachable', message: socket });
});

t.test('a failure keeps its code, message and hint, and has the HTTP status of the table', async (t) => {
  const { client, socket } = await serve(t);
  await t.rejects(client.points('nowhere'), {
    code: 'no-such-machine',
    message: 'there is no machine "nowhere"',
    hint: '`homeward status` lists the machines this master target knows.',
  });
  const { status, text } = await ask(socket, 'GET', '/v1/machines/nowhere/points');
  t.equal(status, 404);
  t.same(Object.keys((JSON.parse(text) as { error: object }).error), ['code', 'message', 'hint']);
  await t.rejects(
    client.recover({ ...recovery, at: 'tag:none' }, () => undefined, quiet),
    { code: 'no-such-tag' },
  );
  const long = await ask(socket, 'POST', '/v1/machines/nowhere/verify', '{"part":null,"forMs":null}');
  t.equal(long.status, 404, 'also long work that fails before its first line');
});

t.test('what nobody foresaw is answered as a bug and logged once with its stack', async (t) => {
  const { client, logged } = await serve(t);
  await t.rejects(client.points('bug'), { code: 'bug', message: 'the stub was asked to break' });
  t.equal(logged.length, 1);
  t.match(logged[0], /control-call-failed.*stub-service/);
});

t.test('a request of the wrong shape is a usage error in one sentence', async (t) => {
  const { socket, service } = await serve(t);
  const inPlace = { ...recovery, target: { kind: 'in-place' } };
  const cases = [
    [
      'POST',
      '/v1/ingests',
      '{"machine":"web","disks":[],"listen":"unix:/x","seeding":false}',
      /^--disk is missing$/,
    ],
    ['POST', '/v1/ingests', '{"machine":"web"', /not JSON/],
    ['POST', '/v1/ingests', undefined, /not valid/],
    ['POST', '/v1/machines/web/tags', '{"name":"a","force":true}', /force/],
    ['POST', '/v1/machines/web/verify', '{"part":{"n":3,"of":2},"forMs":null}', /part: n may not be above t/],
    ['POST', '/v1/recoveries', JSON.stringify({ ...recovery, target: { kind: 'tape' } }), /target/],
    ['POST', '/v1/recoveries', JSON.stringify({ ...inPlace, verify: true }), /^--verify has no meaning/],
    ['POST', '/v1/recovery-plans', JSON.stringify({ ...inPlace, overwrite: ['x'] }), /^--overwrite-disk/],
  ] as const;
  for (const [method, url, body, expected] of cases) {
    const { status, text } = await ask(socket, method, url, body);
    t.equal(status, 400, `${url} ${body}`);
    const { error } = JSON.parse(text) as { error: { code: string; message: string } };
    t.equal(error.code, 'usage');
    t.match(error.message, expected);
    t.notMatch(error.message, /\n/);
  }
  t.same(service.calls, []);
});

t.test('names, sizes and addresses are looked at before the service is asked', async (t) => {
  const { client, service } = await serve(t);
  const good = {
    machine: 'web',
    disks: [{ name: 'root', sizeBytes: 4096 }],
    listen: 'unix:/x',
    seeding: false,
  };
  const bad = [
    [{ machine: '../web' }, 'bad-name'],
    [{ disks: [{ name: 'a/b', sizeBytes: 4096 }] }, 'bad-name'],
    [{ disks: [{ name: 'root', sizeBytes: 1000 }] }, 'bad-disk-size'],
    [{ disks: [...good.disks, ...good.disks] }, 'usage'],
    [{ listen: 'udp:1' }, 'bad-listen'],
  ] as const;
  for (const [wrong, code] of bad)
    await t.rejects(client.openIngest({ ...good, ...wrong } as typeof good), { code });
  await t.rejects(client.tag('web', 'a/b'), { code: 'bad-tag-name' });
  const view = { machine: 'web', at: 'latest', listen: 'unix:rel', writable: false, leaseMs: null };
  await t.rejects(client.openView(view), { code: 'bad-listen' });
  t.same(service.calls, []);
});

t.test('a body above the limit is refused', async (t) => {
  const { socket } = await serve(t);
  const { status, text } = await ask(socket, 'POST', '/v1/ingests', JSON.stringify('x'.repeat(1024 ** 2)));
  t.equal(status, 400);
  t.match(text, /too large/);
});

t.test('a route that this version does not have says so', async (t) => {
  const { socket } = await serve(t);
  const { status, text } = await ask(socket, 'GET', '/v2/wonders');
  t.equal(status, 501);
  t.match(text, /not-in-this-version/);
});

t.test('only owner and group may connect', async (t) => {
  const { socket } = await serve(t);
  t.equal(fs.statSync(socket).mode & 0o777, 0o660);
});

t.test('the socket file of a dead daemon is replaced', async (t) => {
  const socket = path.join(temporaryDirectory(t), 'control.sock');
  const dead = net.createServer().listen(socket);
  await new Promise((resolve) => dead.once('listening', resolve));
  fs.renameSync(socket, `${socket}.kept`);
  await new Promise((resolve) => dead.close(resolve));
  fs.renameSync(`${socket}.kept`, socket);
  const server = await startControlServer({ path: socket, service: stubService(), log: silentLog });
  const client = connectControl(socket);
  t.equal((await client.status()).version, '0.1.0');
  await client.close();
  await server.close();
});

t.test('a socket that answers is not taken over, and a file that is no socket is left alone', async (t) => {
  const { socket, client } = await serve(t);
  const service = stubService();
  await t.rejects(startControlServer({ path: socket, service, log: silentLog }), { code: 'already-running' });
  t.equal((await client.status()).version, '0.1.0');
  const file = path.join(path.dirname(socket), 'notes');
  fs.writeFileSync(file, 'precious');
  await t.rejects(startControlServer({ path: file, service, log: silentLog }), { code: 'conflict' });
  t.equal(fs.readFileSync(file, 'utf8'), 'precious');
});

t.test('a path that does not fit into a socket address is a usage error on both sides', async (t) => {
  const socket = path.join(temporaryDirectory(t), 'x'.repeat(108));
  await t.rejects(startControlServer({ path: socket, service: stubService(), log: silentLog }), {
    code: 'usage',
  });
  t.throws(() => connectControl(socket), { code: 'usage', message: /bytes; it may have 1 to 107/ });
});

t.test('nobody there is daemon-unreachable, and the socket is named', async (t) => {
  const directory = temporaryDirectory(t);
  for (const [name, why] of [
    ['missing', 'there is no such socket'],
    ['file', 'nobody listens on it'],
  ] as const) {
    const socket = path.join(directory, name);
    if (name === 'file') fs.writeFileSync(socket, '');
    const client = connectControl(socket);
    t.teardown(() => client.close());
    await t.rejects(client.status(), { code: 'daemon-unreachable', message: `${socket}: ${why}`, exit: 7 });
  }
});

t.test('a daemon that dies in the middle of long work is daemon-unreachable', async (t) => {
  const socket = path.join(temporaryDirectory(t), 'control.sock');
  const dying = http
    .createServer((_request, response) => {
      response.write('{"progress":{"done":0,"total":1,"what":"root"}}\n');
      setImmediate(() => response.destroy());
    })
    .listen(socket);
  await new Promise((resolve) => dying.once('listening', resolve));
  const client = connectControl(socket);
  t.teardown(async () => {
    await client.close();
    dying.close();
  });
  await t.rejects(
    client.recover(recovery, () => undefined, quiet),
    { code: 'daemon-unreachable' },
  );
});
