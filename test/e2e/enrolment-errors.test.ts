// What somebody reads who starts a host that cannot enrol: each reason with its code, the address and a hint.
import fs from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { createPassphrase } from '../../core/identity/enrolment-proof.ts';
import { readVersion } from '../../core/version.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { homeward, until } from '../support/homeward.ts';
import { enrolmentServer, identitySite, serveHttps, serveTcp } from '../support/identity-site.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface Told {
  code: string;
  status: number;
  /** In the message. */
  says: RegExp;
}

/** Starts a process server that cannot enrol there, and looks at what it says. */
async function refused(
  t: Test,
  { server, file, data }: { server: string; file: string; data: string },
  { code, status, says }: Told,
): Promise<void> {
  const where = ['--data', data, '--listen', '127.0.0.1:0', '--config-server', server];
  const ended = await homeward(['process-server', '--json', ...where, '--passphrase-file', file]);
  const line = ended.err.split('\n').find((each) => each.startsWith('{')) ?? '{}';
  const { error } = JSON.parse(line) as { error?: { hint?: string } };
  t.match(error, { code, message: says }, code);
  t.ok((error?.hint ?? '').length > 10, `${code} has a hint`);
  t.equal(ended.status, status, `${code} ends with ${status}`);
  t.equal(ended.out, '');
}

t.test('each reason that a host cannot enrol has its code, its words and its status', async (t) => {
  const directory = temporaryDirectory(t);
  const [data, file] = [path.join(directory, 'ps'), path.join(directory, 'passphrase')];
  const passphrase = createPassphrase();
  const site = await identitySite();
  const fake = await enrolmentServer(site, passphrase, readVersion());
  const https = await serveHttps(t, site.configServer, (request) => fake.answer(request));
  const server = `127.0.0.1:${https.port}`;
  const named = new RegExp(server.replaceAll('.', '\\.'));
  fs.writeFileSync(file, `${createPassphrase()}\n`, { mode: 0o600 });
  const to = (address: string, told: Told): Promise<void> =>
    refused(t, { server: address, file, data }, told);

  const silent = `127.0.0.1:${await serveTcp(t, () => undefined)}`;
  const silence = refused(
    t,
    { server: silent, file, data: path.join(directory, 'silent') },
    { code: 'timed-out', status: 7, says: /127\.0\.0\.1:\d+ took the connection, but said nothing/ },
  );
  await to('nobody.invalid:8443', { code: 'name-not-resolved', status: 7, says: /nobody\.invalid:8443/ });
  await to('127.0.0.1:1', { code: 'connection-refused', status: 7, says: /127\.0\.0\.1:1/ });
  const plain = http.createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1');
  t.teardown(() => plain.close());
  await once(plain, 'listening');
  const { port } = plain.address() as AddressInfo;
  await to(`127.0.0.1:${port}`, { code: 'not-tls', status: 7, says: new RegExp(`127\\.0\\.0\\.1:${port}`) });
  await to('config.example', { code: 'usage', status: 2, says: /not HOST:PORT/ });
  await to(server, { code: 'wrong-passphrase', status: 6, says: named });

  fs.writeFileSync(file, passphrase);
  fake.clockUs = 16 * 60_000_000;
  await to(server, { code: 'clock-apart', status: 6, says: /Z, that of 127\.0\.0\.1:\d+ 20\S+Z/ });
  fake.clockUs = 0;
  fake.version = '0.0.1';
  await to(server, { code: 'version-newer', status: 6, says: named });
  fake.version = readVersion();
  fake.refuses = { status: 409, code: 'host-id-taken' };
  await to(server, { code: 'host-id-taken', status: 5, says: named });
  fs.writeFileSync(file, createPassphrase());
  Object.assign(fake, { refuses: null, credulous: true });
  await to(server, { code: 'certificate-not-vouched', status: 6, says: named });

  const asked = https.connections();
  fs.writeFileSync(file, 'too-short');
  await to(server, { code: 'passphrase-too-short', status: 2, says: /9 characters, not 24/ });
  fs.rmSync(file);
  await to(server, { code: 'no-such-file', status: 3, says: /no passphrase file/ });
  fs.mkdirSync(file);
  await to(server, { code: 'no-such-file', status: 3, says: /cannot be read: EISDIR/ });
  t.equal(https.connections(), asked, 'said before the server is asked');
  await silence;
});

t.test('a process server that is stopped while it waits for a yes stops cleanly', async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'passphrase');
  const passphrase = createPassphrase();
  fs.writeFileSync(file, passphrase, { mode: 0o600 });
  const site = await identitySite();
  const fake = await enrolmentServer(site, passphrase, readVersion());
  fake.waits = Infinity;
  const https = await serveHttps(t, site.configServer, (request) => fake.answer(request));
  const where = ['--data', path.join(directory, 'ps'), '--listen', '127.0.0.1:0'];
  const how = ['--config-server', `127.0.0.1:${https.port}`, '--passphrase-file', file];
  const waiting = new DaemonProcess({ what: 'it', args: ['process-server', ...where, ...how] });
  t.teardown(() => waiting.kill());
  const ended = waiting.launch();
  await until('it to wait', () => waiting.logged('waiting-for-approval') === 1);
  process.kill(waiting.pid, 'SIGTERM');
  t.equal(await ended, 0);
  t.match(waiting.log, /homeward hosts approve [0-9a-f]{12}/);
});
