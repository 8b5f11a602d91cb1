// hostconfigcli without a screen: the same checks and messages, exit codes, JSON.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { parseAddress } from '../../core/identity/address.ts';
import { createPassphrase } from '../../core/identity/enrolment-proof.ts';
import { readVersion } from '../../core/version.ts';
import { ConfigSite } from '../support/config-site.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import type { Ended } from '../support/homeward.ts';
import { enrolmentServer, identitySite, serveHttps, serveTcp } from '../support/identity-site.ts';
import { ConfiguredHost } from './hostconfig-site.ts';

/** The error of a command that failed with `status`. */
function refusedWith(
  t: Test,
  { status, out, err }: Ended,
  exit: number,
): { code: string; message: string; hint: string } {
  t.equal(status, exit, err);
  t.equal(out, '', 'stdout carries results only');
  return (JSON.parse(err) as { error: { code: string; message: string; hint: string } }).error;
}

function passphraseFile(host: ConfiguredHost, text: string, mode = 0o600): string {
  const file = path.join(host.directory, 'passphrase');
  fs.writeFileSync(file, text);
  fs.chmodSync(file, mode);
  return file;
}

const passphraseOf = (site: ConfigSite): string =>
  fs.readFileSync(path.join(site.data, 'passphrase'), 'utf8').trim();

t.test('a master target waits for approval, and is registered at the next call', async (t) => {
  const site = await ConfigSite.start(t);
  const { host: address, port } = parseAddress(site.address);
  const host = new ConfiguredHost(t);
  const file = passphraseFile(host, `${passphraseOf(site)}\r\n`, 0o644);
  const flags = ['--address', address, '--port', String(port), '--https', 'yes', '--passphrase-file', file];

  const waiting = refusedWith(t, await host.run([...flags, '--wait', '0', '--json']), 6);
  t.equal(waiting.code, 'waiting-for-approval');
  const command = /homeward (hosts approve [0-9a-f]{12})/.exec(waiting.hint)?.[1]?.split(' ') ?? [];
  t.equal(command.length, 3, waiting.hint);
  t.equal(host.setting('ConfigServerAddress'), null, 'nothing is saved');

  await site.client.approveHost(command[2] ?? '');
  const done = await host.run([...flags, '--log-level', 'debug', '--json']);
  t.equal(done.status, 0, done.err);
  const answer = JSON.parse(done.out) as {
    saved: boolean;
    registered: { server: string; hostId: string };
    warnings: string[];
  };
  t.match(answer, {
    saved: true,
    registered: { server: site.address, hostId: host.setting('HostId') ?? '' },
  });
  t.match(answer.warnings, [/passphrase \(0644\) can be read by everybody/]);
  t.equal(host.setting('LogLevel'), 'debug');

  t.comment('the daemon takes the settings and the identity as they lie there');
  const control = path.join(host.directory, 'control.sock');
  const args = ['master-target', '--config', host.config, '--control', control];
  const daemon = new DaemonProcess({ what: 'the master target', args });
  t.teardown(() => daemon.kill());
  await daemon.start();
  const screen = await host.open({ args: ['--control', control] });
  await screen.until(/Registered with 127\.0\.0\.1:\d+ \| last contact \d+ s ago \| service running/);
  const shown = await host.run(['--show', '--json', '--control', control]);
  t.equal(shown.status, 0, shown.err);
  t.match(JSON.parse(shown.out), {
    file: host.config,
    settings: { configServerAddress: address, configServerPort: port },
    status: { registered: { server: site.address }, service: 'running' },
  });
  for (const secret of [passphraseOf(site), 'PRIVATE KEY']) t.notOk(shown.out.includes(secret));
});

t.test('each thing that is wrong has its code, its status and its words', async (t) => {
  const passphrase = createPassphrase();
  const site = await identitySite();
  const stub = await enrolmentServer(site, passphrase, readVersion());
  const { port } = await serveHttps(t, site.configServer, (request) => stub.answer(request));
  const host = new ConfiguredHost(t, { role: 'Agent' });
  const before = host.text;
  const file = passphraseFile(host, passphrase);
  const attempt = async (exit: number, ...flags: string[]): Promise<{ code: string; message: string }> =>
    refusedWith(t, await host.run(['--json', '--passphrase-file', file, ...flags]), exit);

  t.match(await attempt(7, '--address', 'no-such-host.invalid'), {
    code: 'name-not-resolved',
    message: /^Name does not resolve: /,
  });
  const http = await serveTcp(t, (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  t.match(await attempt(7, '--address', `127.0.0.1:${http}`), { code: 'not-tls', message: /plain HTTP/ });
  stub.clockUs = -20 * 60 * 1_000_000;
  t.match(await attempt(6, '--address', `127.0.0.1:${port}`), {
    code: 'clock-apart',
    message: /^Clock off by 20 minutes: /,
  });
  stub.clockUs = 0;
  fs.writeFileSync(file, createPassphrase());
  t.match(await attempt(6, '--address', `127.0.0.1:${port}`), {
    code: 'wrong-passphrase',
    message: /^Wrong passphrase: /,
  });
  t.equal(host.text, before, 'nothing is saved');

  const saved = await host.run([
    '--json',
    '--passphrase-file',
    file,
    '--address',
    `127.0.0.1:${port}`,
    '--save-anyway',
  ]);
  t.equal(saved.status, 0, saved.err);
  t.match(JSON.parse(saved.out), { saved: true, registered: null, problem: { code: 'wrong-passphrase' } });
  t.equal(host.setting('ConfigServerPort'), String(port));
});

t.test('a passphrase file that is none', async (t) => {
  const host = new ConfiguredHost(t);
  const given = async (exit: number, file: string): Promise<{ code: string; message: string }> =>
    refusedWith(t, await host.run(['--json', '--address', '127.0.0.1', '--passphrase-file', file]), exit);
  t.match(await given(3, path.join(host.directory, 'absent')), {
    code: 'no-such-file',
    message: /there is no/,
  });
  t.match(await given(2, host.directory), { code: 'usage', message: /is a directory/ });
  t.match(await given(2, passphraseFile(host, '')), {
    code: 'passphrase-too-short',
    message: /0 characters/,
  });
  t.match(await given(2, passphraseFile(host, 'short\n')), { code: 'passphrase-too-short' });
  const wide = Buffer.from(createPassphrase(), 'utf16le').toString('latin1');
  t.match(await given(2, passphraseFile(host, wide)), { code: 'usage', message: /more than a passphrase/ });
});

t.test('a flag that makes no sense is refused in the form that was asked for', async (t) => {
  const host = new ConfiguredHost(t);
  const before = host.text;
  t.match(refusedWith(t, await host.run(['--json', '--adress', 'x']), 2), {
    code: 'usage',
    message: /unknown option/,
  });
  const { status, err } = await host.run(['--address', 'cs', '--https', 'no']);
  for (const alone of [['--wait', '5m'], ['--save-anyway']])
    t.match(refusedWith(t, await host.run(['--json', ...alone]), 2), { code: 'usage', message: /goes with/ });
  t.equal(status, 2);
  t.match(err, /^hostconfigcli: The configuration server speaks https.* \(usage\)\nLeave --https away/);
  t.equal(host.text, before);
});

t.test('places are looked at before they are saved', async (t) => {
  const host = new ConfiguredHost(t);
  const retention = path.join(host.directory, 'retention');
  const absent = refusedWith(t, await host.run(['--json', '--retention', retention]), 6);
  t.match(absent, { code: 'not-a-volume', message: /there is no directory/ });
  fs.mkdirSync(retention);
  const system = refusedWith(t, await host.run(['--json', '--retention', retention]), 6);
  t.match(system, { code: 'not-a-volume', message: /^Retention volume: / });
  const same = await host.run(['--retention', retention, '--replicas', retention]);
  t.match(same.err, /cannot be the same directory/);
  const nat = ['--nat-host', 'nat.example', '--nat-ip', '192.0.2.7'];
  const forced = await host.run([
    '--retention',
    retention,
    '--cache',
    host.directory,
    ...nat,
    '--save-anyway',
  ]);
  t.equal(forced.status, 0, forced.err);
  t.equal(host.setting('RetentionVolume'), retention);
  const beside = refusedWith(t, await host.run(['--json', '--replicas', `${retention}/`]), 6);
  t.match(beside.message, /cannot be the same directory/, 'as what is saved, however it is spelled');
  const log = refusedWith(t, await host.run(['--json', '--log-file', '/nowhere/homeward.log']), 6);
  t.match(log.message, 'Log file: there is no directory /nowhere');
  t.equal(host.setting('LogFile'), null);
  t.equal(host.setting('NatHostName'), 'nat.example');
  t.equal(host.setting('NatIpAddress'), '192.0.2.7');
  t.ok(fs.existsSync(path.join(host.directory, 'units/homeward-master-target.service.d')));
  t.same(host.asked, ['daemon-reload', 'restart homeward-master-target.service']);

  const volumes = await host.run(['--volumes', '--json']);
  t.equal(volumes.status, 0, volumes.err);
  t.ok(Array.isArray((JSON.parse(volumes.out) as { volumes: unknown }).volumes));
});

t.test('a host without systemd, and one that runs alone', async (t) => {
  const host = new ConfiguredHost(t, { lines: ['ConfigServerAddress = cs.example'] });
  fs.writeFileSync(path.join(host.directory, 'no-systemd'), '');
  const { status, out } = await host.run(['--run-alone']);
  t.equal(status, 0);
  t.match(out, 'There is no systemd here: if the daemon runs, restart it yourself: homeward master-target');
  t.equal(host.setting('ConfigServerAddress'), '');
  const shown = await host.run(['--show']);
  t.match(shown.out, 'Not registered | service not installed');
});

t.test('the role is chosen before a host has registered, and not after', async (t) => {
  const host = new ConfiguredHost(t);
  t.match(refusedWith(t, await host.run(['--json', '--role', 'Master']), 2), { code: 'usage' });
  const { status, err } = await host.run(['--role', 'ProcessServer']);
  t.equal(status, 0, err);
  t.equal(host.setting('Role'), 'ProcessServer');
  t.match((await host.run(['--show'])).out, 'Role = ProcessServer');
  t.equal((await host.run(['--role', 'ConfigServer'])).status, 0);
  const server = refusedWith(t, await host.run(['--json', '--run-alone']), 2);
  t.match(server.message, 'is the configuration server');
  const registered = new ConfiguredHost(t, { lines: ['[vxagent]', 'HostId = 7f0c'] });
  t.match(refusedWith(t, await registered.run(['--json', '--role', 'Agent']), 5), { code: 'conflict' });
  t.equal(registered.setting('Role'), 'MasterTarget');
});

t.test('a checkout has no configuration of its own', async (t) => {
  const host = new ConfiguredHost(t);
  const { status, err } = await host.runBare(['--show']);
  t.equal(status, 2);
  t.match(err, '--config FILE or HOMEWARD_CONFIG');
  const named = await host.runBare(['--show', '--json'], { HOMEWARD_CONFIG: host.config });
  t.match(JSON.parse(named.out), { file: host.config });
});
