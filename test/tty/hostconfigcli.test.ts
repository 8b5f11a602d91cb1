// The Host Config Interface on a terminal against a real configuration server: what goes well.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { ConfigSite } from '../support/config-site.ts';
import { keys, pasted } from '../support/screen.ts';
import { parseAddress } from '../../core/identity/address.ts';
import { clear, ConfiguredHost, quit } from './hostconfig-site.ts';

t.test('a host is registered, and the status line says so', async (t) => {
  const site = await ConfigSite.start(t);
  const passphrase = fs.readFileSync(path.join(site.data, 'passphrase'), 'utf8').trim();
  const { port } = parseAddress(site.address);
  const host = new ConfiguredHost(t);
  const screen = await host.open();
  const masks = { PORT: String(port) };
  screen.matches(t, 'menu');
  screen.type(keys.enter);
  await screen.until('CX Server settings');
  screen.matches(t, 'global-empty');
  screen.type(
    '127.0.0.1',
    keys.enter,
    clear,
    String(port),
    keys.enter,
    keys.enter,
    pasted(`${passphrase}\r\n`),
  );
  await screen.until('24 characters');
  screen.matches(t, 'global-filled', masks);
  t.notOk(screen.raw.includes(passphrase), 'the passphrase is never on the screen');
  screen.type(keys.enter, keys.enter);
  await screen.until('Waiting for approval');
  const command = /homeward hosts approve ([0-9a-f]{12})/.exec(screen.text());
  t.ok(command, 'it says what an operator has to type');
  t.equal(host.setting('ConfigServerAddress'), null, 'nothing is saved before it worked');
  await site.approve('target-1');
  await screen.until('Saved.');
  const hostId = host.setting('HostId') ?? '';
  screen.matches(t, 'global-registered', { ...masks, HOSTID: hostId });
  t.match(hostId, /^[0-9a-f-]{36}$/);
  t.equal(host.setting('ConfigServerAddress'), '127.0.0.1');
  t.equal(host.setting('ConfigServerPort'), String(port));
  t.match(host.text, /^# kept$/m, 'comments stay');
  t.ok(host.isEnrolled, 'the identity lies where the daemon looks for it');
  t.same(
    host.asked.filter((line) => line !== 'daemon-reload'),
    ['restart homeward-master-target.service'],
  );
  t.notOk(host.text.includes(passphrase));
  t.same(
    await site.client.hosts().then((hosts) => hosts.map(({ id, name, state }) => ({ id, name, state }))),
    [{ id: hostId, name: 'target-1', state: 'joined' }],
  );
  screen.type(keys.escape);
  await screen.until('Enter opens');
  t.same(await quit(screen), { status: 0, signal: 0 });
  t.ok(screen.raw.endsWith('\x1b[?2004l'), 'the terminal is as it was');

  t.comment('again: the field reads Enrolled, and accepting needs no passphrase');
  const again = await host.open();
  again.type(keys.enter);
  await again.until('Enrolled');
  again.matches(t, 'global-enrolled', masks);
  again.type(keys.up, keys.enter, keys.enter, keys.enter, keys.enter, keys.enter);
  await again.until('Saved.');
  t.equal(host.setting('HostId'), hostId, 'it is the same host');
});

t.test('what is suggested is offered, and not saved', async (t) => {
  const host = new ConfiguredHost(t);
  const before = host.text;
  const screen = await host.open({ args: ['--suggest-address', 'cs.example', '--suggest-port', '8443'] });
  screen.type(keys.enter);
  await screen.until('[cs.example ');
  await screen.until('[8443 ');
  screen.type(keys.escape);
  await screen.until('Enter opens');
  t.same(await quit(screen), { status: 0, signal: 0 });
  t.equal(host.text, before);
});

t.test('the other pages save what they say', async (t) => {
  const host = new ConfiguredHost(t);
  const log = path.join(host.directory, 'homeward.log');
  const replicas = path.join(host.directory, 'replicas');
  fs.mkdirSync(replicas);
  const screen = await host.open();

  screen.type(keys.right, keys.enter);
  await screen.until('Agent settings');
  await screen.until(/^(?:(?!Looking)[^])*$/);
  screen.type(keys.tab, keys.tab, pasted(replicas), keys.enter);
  await screen.until('> Cache directory');
  screen.type(keys.enter, keys.enter);
  await screen.until('Saved.');
  t.equal(host.setting('ReplicaDirectory'), replicas);
  screen.type(keys.escape);
  await screen.until('Enter opens');

  screen.type(keys.right, keys.enter);
  await screen.until('NAT settings');
  screen.matches(t, 'nat');
  screen.type('y', keys.enter, 'nat.example', keys.enter, keys.enter, keys.enter);
  await screen.until('Saved.');
  screen.matches(t, 'nat-saved');
  t.equal(host.setting('NatHostName'), 'nat.example');
  t.equal(host.setting('NatIpAddress'), null, 'what nobody has changed is not written');
  screen.type(keys.escape);
  await screen.until('Enter opens');

  screen.type(keys.right, keys.enter);
  await screen.until('one line of the journal');
  screen.matches(t, 'logging');
  screen.type(keys.right, keys.enter, pasted(log), keys.enter, keys.enter);
  await screen.until('Saved.');
  t.equal(host.setting('LogLevel'), 'debug');
  t.equal(host.setting('LogFile'), log);
  await screen.until('is empty, or not there yet');
  fs.appendFileSync(log, 'level=info event=started\n');
  await screen.until('event=started');
  fs.appendFileSync(log, 'level=info event=\u001b[2Jforged\n');
  await screen.until('event=\\u001b[2Jforged');
  screen.type(keys.escape);
  await screen.until('Enter opens');
  t.same(host.asked, [
    ...['daemon-reload', 'restart homeward-master-target.service', 'restart homeward-master-target.service'],
    ...['daemon-reload', 'restart homeward-master-target.service'],
  ]);
});
