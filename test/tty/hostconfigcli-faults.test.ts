// The Host Config Interface when something is wrong on the way to the configuration server: each has its own
// words, and nothing is saved.
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { createPassphrase } from '../../core/identity/enrolment-proof.ts';
import { parseAddress } from '../../core/identity/address.ts';
import { readVersion } from '../../core/version.ts';
import { ConfigSite } from '../support/config-site.ts';
import { enrolmentServer, identitySite, serveHttps, serveTcp } from '../support/identity-site.ts';
import { keys, type Masks, type TerminalScreen } from '../support/screen.ts';
import { accept, clear, ConfiguredHost, quit } from './hostconfig-site.ts';

const passphrase = createPassphrase();
const nobody = 65_534;

/** One attempt on a page that is opened anew; resolves when it says what is wrong. */
async function attempt(
  screen: TerminalScreen,
  given: { host?: string; port: number; passphrase?: string },
): Promise<void> {
  await accept(screen, { passphrase, ...given });
  await screen.until('Save anyway');
}

async function back(screen: TerminalScreen): Promise<void> {
  screen.type(keys.escape);
  await screen.until('Enter opens');
}

const maskOf = (port: number): Masks => ({ PORT: String(port) });
const times: Masks = { TIME: /\d{4}-\d\d-\d\dT[\d:.]+Z/g };

t.test('what does not answer as it should', async (t) => {
  const host = new ConfiguredHost(t);
  const before = host.text;
  const screen = await host.open();

  await attempt(screen, { host: 'no-such-host.invalid', port: 443 });
  screen.matches(t, 'fault-name');
  await back(screen);

  const nobody = await freePort();
  await attempt(screen, { port: nobody });
  screen.matches(t, 'fault-refused', maskOf(nobody));
  await back(screen);

  const http = await serveTcp(t, (socket) => {
    socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  });
  await attempt(screen, { port: http });
  screen.matches(t, 'fault-http', maskOf(http));
  await back(screen);

  const silent = await serveTcp(t, () => undefined);
  await attempt(screen, { port: silent });
  screen.matches(t, 'fault-timeout', maskOf(silent));
  await back(screen);

  t.equal(host.text, before, 'nothing is saved');
  t.same(host.asked, [], 'and no service restarted');
  t.same(await quit(screen), { status: 0, signal: 0 });
});

t.test('a server that the passphrase does not vouch for, or that does not fit', async (t) => {
  const site = await identitySite();
  const host = new ConfiguredHost(t);
  const before = host.text;
  const screen = await host.open();
  const stub = await enrolmentServer(site, passphrase, readVersion());
  const { port } = await serveHttps(t, site.configServer, (request) => stub.answer(request));

  stub.clockUs = 42 * 60 * 1_000_000;
  await attempt(screen, { port });
  t.match(screen.text(), /Clock off by 42 minutes/);
  await back(screen);

  stub.clockUs = 0;
  stub.version = '0.0.9';
  await attempt(screen, { port });
  screen.matches(t, 'fault-version', { ...maskOf(port), VERSION: readVersion() });
  await back(screen);

  stub.version = readVersion();
  stub.credulous = true;
  await attempt(screen, { port, passphrase: createPassphrase() });
  screen.matches(t, 'fault-certificate', maskOf(port));
  await back(screen);

  screen.type(keys.enter);
  await screen.until('CX Server');
  screen.type('127.0.0.1', keys.enter, keys.enter, keys.enter, 'short', keys.enter, keys.enter);
  await screen.until('Passphrase too short');
  screen.matches(t, 'fault-short');
  t.equal(host.text, before, 'nothing is saved');
});

t.test('a wrong passphrase, and a clock that is off, at a real server', async (t) => {
  const site = await ConfigSite.start(t);
  const { port } = parseAddress(site.address);
  const host = new ConfiguredHost(t);
  const screen = await host.open();
  await attempt(screen, { port });
  screen.matches(t, 'fault-passphrase', maskOf(port));
  t.equal(host.setting('ConfigServerAddress'), null);

  t.comment('save anyway is a step further than trying again');
  screen.type(keys.right, keys.right, keys.enter);
  await screen.until('not registered:');
  screen.matches(t, 'saved-anyway', maskOf(port));
  t.equal(host.setting('ConfigServerPort'), String(port));
  t.notOk(host.isEnrolled);

  const late = 'const now=Date.now;Date.now=()=>now()-1500000';
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(late)}` };
  const other = await host.open({ env });
  await attempt(other, { port, passphrase: readPassphrase(site) });
  other.matches(t, 'fault-clock', { ...maskOf(port), ...times });
});

t.test('where port 22 is SSH, one key takes the port of the configuration server', async (t) => {
  const site = await ConfigSite.start(t);
  // An address of this test's own: both ports are the usual ones on it.
  const address = `127.${88 + Math.floor(Math.random() * 60)}.${process.pid % 250}.7`;
  const usual = process.geteuid?.() === 0 ? 443 : 8443;
  await site.restart(`${address}:${usual}`);
  const ssh = await serveSsh(t, address);
  const host = new ConfiguredHost(t, { role: 'Agent' });
  const isRoot = process.geteuid?.() === 0;
  fs.mkdirSync(host.data);
  if (isRoot) fs.chownSync(host.data, nobody, nobody);
  const screen = await host.open();
  await attempt(screen, { host: address, port: ssh, passphrase: readPassphrase(site) });
  t.match(screen.text(), `Not TLS: port ${ssh} of ${address} answers as SSH`);
  t.match(screen.reversed(), [`Global`, `[ Use port ${usual} ]`]);
  screen.type(keys.enter);
  await screen.until('Saved.');
  t.equal(host.setting('ConfigServerPort'), String(usual));
  t.equal(host.setting('ConfigServerAddress'), address);
  const key = fs.statSync(path.join(host.data, 'identity/key.pem'));
  t.equal(key.mode & 0o777, 0o600);
  if (isRoot) t.equal(key.uid, nobody, 'a daemon that is not root can read it');

  t.comment('another server at that address is not taken for the one that this host knows');
  const other = await identitySite();
  const { port } = await serveHttps(t, other.configServer, () => ({ body: {} }));
  screen.type(keys.escape);
  await screen.until('Enter opens');
  screen.type(keys.enter);
  await screen.until('Enrolled');
  screen.type(
    clear,
    `127.0.0.1:${port}`,
    keys.up,
    keys.enter,
    keys.enter,
    keys.enter,
    keys.enter,
    keys.enter,
  );
  await screen.until('Save anyway');
  t.match(screen.text(), 'Certificate not vouched for');
  t.equal(host.setting('ConfigServerAddress'), address);
});

t.test('Esc ends what takes long, and saves nothing', async (t) => {
  const silent = await serveTcp(t, () => undefined);
  const host = new ConfiguredHost(t);
  const before = host.text;
  const screen = await host.open();
  await accept(screen, { port: silent, passphrase });
  await screen.until('Connecting to');
  screen.type(keys.escape);
  await screen.until('Stopped. Nothing was saved.');
  await back(screen);

  t.comment('also what was typed and not accepted');
  screen.type(keys.right, keys.right, keys.enter);
  await screen.until('NAT settings');
  screen.type('y', keys.enter, 'nat.example', keys.enter, keys.escape);
  await screen.until('Enter opens');
  t.equal(host.text, before);
});

const readPassphrase = (site: ConfigSite): string =>
  fs.readFileSync(path.join(site.data, 'passphrase'), 'utf8').trim();

async function serveSsh(t: Test, address: string): Promise<number> {
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('SSH-2.0-OpenSSH_9.6\r\n');
  });
  server.listen(0, address);
  await once(server, 'listening');
  t.teardown(() => void server.close());
  return (server.address() as net.AddressInfo).port;
}

/** A port where nobody listens any more. */
async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
