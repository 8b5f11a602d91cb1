// The installer's dialogue in a real terminal: labels, defaults, wrong answers, and somebody who leaves.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { InstallerSite } from '../support/installer-site.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { Terminal, type TerminalOptions } from '../support/terminal.ts';

const where = 'Where do you want to install the agent (default /usr/local/ASR) :';
const choice = 'Please make your choice ? (1/2) [Default: 1]';

function start(
  t: Test,
  site: InstallerSite,
  { args = [], version, ...options }: TerminalOptions & { args?: string[]; version?: string } = {},
): Terminal {
  const env = { ...site.env(), ...options.env };
  return new Terminal(t, path.join(site.package(version), 'install'), args, { ...options, env });
}

t.test('Enter at every question installs a mobility service in /usr/local/ASR', async (t) => {
  const site = new InstallerSite(t);
  const terminal = start(t, site);
  await terminal.waitFor(where);
  terminal.answer('');
  await terminal.waitFor('        What is the Primary Role of this Agent ?\n        1. Mobility Service\n');
  await terminal.waitFor('        2. Master Target\n');
  await terminal.waitFor(choice);
  terminal.answer('');
  await terminal.waitFor('Check | Result | Corrective action');
  await terminal.waitFor('is installed as Mobility Service in /usr/local/ASR');
  t.same(await terminal.ended(), { status: 0, signal: null });
  t.match(
    site.read('usr/local/.vx_version'),
    /^VERSION=1\.0\.0\nROLE=Agent\nINSTALL_DIR=\/usr\/local\/ASR\n/,
  );
  t.match(site.read('usr/local/ASR/Vx/etc/drscout.conf'), /\[vxagent\]\n(?:.*\n)*Role = Agent\n/);
  t.equal(site.service(), null, 'it has nobody to send to yet');
  t.match(terminal.text, 'hostconfigcli');
});

t.test('a master target: checks, then the Host Config Interface, then the service starts', async (t) => {
  const site = new InstallerSite(t);
  const terminal = start(t, site);
  await terminal.waitFor(where);
  terminal.answer('/srv/asr/');
  await terminal.waitFor(choice);
  terminal.answer('2');
  await terminal.waitFor('Checking this host');
  await terminal.waitFor('No configuration server yet: run alone');
  terminal.answer('1');
  await terminal.waitFor('Host Config Interface\n');
  terminal.answer('connect');
  await terminal.waitFor('Starting homeward-master-target.service');
  await terminal.waitFor('Configuration server  typed');
  t.same(await terminal.ended(), { status: 0, signal: null });
  t.equal(site.service(), 'active 1.0.0');
  t.equal(fs.readlinkSync(site.at('usr/local/bin/homeward')), '/srv/asr/Vx/bin/homeward');
});

t.test('no configuration server yet is an answer, and so is leaving its screen', async (t) => {
  for (const answers of [['2'], ['1', 'quit']]) {
    const site = new InstallerSite(t);
    const terminal = start(t, site, { args: ['-r', 'MT', '-d', '/usr/local/ASR'] });
    await terminal.waitFor(choice);
    for (const answer of answers) terminal.answer(answer);
    await terminal.waitFor('none yet: it runs alone');
    t.same(await terminal.ended(), { status: 0, signal: null });
    t.equal(site.service(), 'active 1.0.0');
  }
});

t.test('wrong answers are explained, and asked again', async (t) => {
  const site = new InstallerSite(t);
  const terminal = start(t, site);
  const wrong = [
    ['asr', 'it has to be an absolute path'],
    ['/usr', 'a directory of the system'],
    ['/tmp/asr', 'does not stay'],
    ['/srv/a b', 'only letters, digits'],
    ['/srv/../etc', 'leads back up'],
    ['\u001b[A', 'it has to be an absolute path'],
  ];
  for (const [answer = '', why = ''] of wrong) {
    await terminal.waitFor(where);
    terminal.answer(answer);
    await terminal.waitFor(why);
  }
  await terminal.waitFor(where);
  terminal.answer(' /srv/asx\u0008r ');
  for (const answer of ['3', 'Master Target', 'y', '12']) {
    await terminal.waitFor(choice);
    terminal.answer(answer);
    await terminal.waitFor('Please answer 1 or 2.');
  }
  await terminal.waitFor(choice);
  terminal.answer('1');
  await terminal.waitFor('in /srv/asr');
  t.same(await terminal.ended(), { status: 0, signal: null });
});

t.test(
  'who leaves the Host Config Interface by Ctrl-C has an installed host that is not started',
  async (t) => {
    const site = new InstallerSite(t);
    const terminal = start(t, site, { args: ['-r', 'MT', '-d', '/usr/local/ASR'] });
    await terminal.waitFor(choice);
    terminal.answer('1');
    await terminal.waitFor('Host Config Interface\n');
    terminal.type('\u0003');
    await terminal.waitFor('is installed, and not started');
    t.same(await terminal.ended(), { status: 130, signal: null });
    t.equal(fs.readlinkSync(site.at('usr/local/ASR/Vx/current')), 'releases/1.0.0');
    const again = start(t, site);
    await again.waitFor('is installed in /usr/local/ASR already');
    await again.waitFor(choice);
    again.answer('2');
    t.same(await again.ended(), { status: 0, signal: null });
    t.equal(site.service(), 'active 1.0.0');
  },
);

t.test('without systemd, whoever leaves by Ctrl-C is told the line that starts it', async (t) => {
  const site = new InstallerSite(t, { systemd: false });
  const terminal = start(t, site, { args: ['-r', 'MT', '-d', '/usr/local/ASR'] });
  await terminal.waitFor(choice);
  terminal.answer('1');
  await terminal.waitFor('Host Config Interface\n');
  terminal.type('\u0003');
  await terminal.waitFor(
    'or start it: /usr/local/ASR/Vx/bin/homeward master-target --config /usr/local/ASR/Vx',
  );
  t.same(await terminal.ended(), { status: 130, signal: null });
  t.notMatch(terminal.text, 'systemctl');
});

t.test('-i without -P opens the Host Config Interface with that server in its fields', async (t) => {
  for (const role of ['MT', 'Agent']) {
    const site = new InstallerSite(t);
    const args = ['-r', role, '-d', '/usr/local/ASR', '-i', 'cs.example', '-p', '8443'];
    const terminal = start(t, site, { args });
    await terminal.waitFor('Host Config Interface\n');
    t.match(site.calls().join('\n'), 'hostconfigcli --suggest-address cs.example --suggest-port 8443');
    terminal.answer('connect');
    await terminal.waitFor('Configuration server  typed');
    t.same(await terminal.ended(), { status: 0, signal: null });
  }
});

t.test('a failed check stops, or is accepted with a reason that is kept', async (t) => {
  const site = new InstallerSite(t);
  const found = 'sdb and sdc show no identity';
  site.checks([
    { id: 'scsi-uuid', result: 'fail', severity: 'hard-unless-accepted', found, action: 'Set it' },
  ]);
  const args = ['-r', 'MT', '-d', '/usr/local/ASR', '--alone'];
  const stopped = start(t, site, { args });
  await stopped.waitFor('scsi-uuid | FAILED | sdb and sdc show no identity. Set it');
  await stopped.waitFor('Install all the same ? (y/n) [Default: n]');
  stopped.answer('');
  await stopped.waitFor('nothing was changed, since these checks failed: scsi-uuid');
  t.same(await stopped.ended(), { status: 1, signal: null });
  t.equal(site.read('usr/local/.vx_version'), null);

  const accepted = start(t, site, { args });
  await accepted.waitFor('Install all the same ?');
  accepted.answer('y');
  await accepted.waitFor('Why may they stay so ?');
  accepted.answer('');
  await accepted.waitFor('Why may they stay so ?');
  accepted.answer('disks of the lab');
  t.same(await accepted.ended(), { status: 0, signal: null });
  t.match(site.calls().join('\n'), '--accept scsi-uuid --because disks of the lab');
});

t.test('a reason is kept also by who leaves the Host Config Interface', async (t) => {
  const site = new InstallerSite(t);
  site.checks([{ id: 'scsi-uuid', result: 'fail', severity: 'hard-unless-accepted', found: 'sdb has none' }]);
  const accept = ['--accept', 'scsi-uuid', '--because', 'disks of the lab'];
  const terminal = start(t, site, { args: ['-r', 'MT', '-d', '/usr/local/ASR', ...accept] });
  await terminal.waitFor(choice);
  terminal.answer('1');
  await terminal.waitFor('Host Config Interface\n');
  terminal.type('\u0003');
  t.same(await terminal.ended(), { status: 130, signal: null });
  t.match(site.calls().join('\n'), '--accept scsi-uuid --because disks of the lab');
});

t.test('failed checks are answered for once, and before packages are installed', async (t) => {
  const site = new InstallerSite(t);
  site.checks([
    { id: 'packages', result: 'fail', severity: 'advice', fix: 'installed lsscsi' },
    { id: 'scsi-uuid', result: 'fail', severity: 'hard-unless-accepted' },
  ]);
  const args = ['-r', 'MT', '-d', '/usr/local/ASR', '--alone'];
  const stopped = start(t, site, { args });
  await stopped.waitFor('Install all the same ?');
  stopped.answer('n');
  t.same(await stopped.ended(), { status: 1, signal: null });
  t.notMatch(site.calls().join('\n'), '--fix');
  const terminal = start(t, site, { args });
  await terminal.waitFor('Install all the same ?');
  terminal.answer('y');
  await terminal.waitFor('Why may they stay so ?');
  terminal.answer('disks of the lab');
  await terminal.waitFor('Install what is missing with the package manager ? (y/n) [Default: y]');
  terminal.answer('');
  t.same(await terminal.ended(), { status: 0, signal: null });
  t.equal(terminal.text.split('Install all the same ?').length, 2);
  const kept = site.calls().filter((call) => call.includes('--accept scsi-uuid --because disks of the lab'));
  t.equal(kept.length, 1);
});

t.test('a retention volume that is not chosen yet does not stop the dialogue', async (t) => {
  const site = new InstallerSite(t);
  site.checks([{ id: 'retention-volume', result: 'fail', found: 'it is the volume of the system' }]);
  const terminal = start(t, site, { args: ['-r', 'MT', '-d', '/usr/local/ASR'] });
  await terminal.waitFor('retention-volume | FAILED | it is the volume of the system');
  await terminal.waitFor('The retention volume is chosen in the Host Config Interface, on its page Agent.');
  await terminal.waitFor(choice);
  terminal.answer('1');
  await terminal.waitFor('Host Config Interface\n');
  terminal.answer('connect');
  t.same(await terminal.ended(), { status: 0, signal: null });
});

t.test('an upgrade shows from and to, and asks', async (t) => {
  const site = new InstallerSite(t);
  await site.install(['-r', 'MT', '--alone']);
  const before = site.snapshot();
  const declined = start(t, site, { version: '1.1.0' });
  await declined.waitFor('Upgrade in /usr/local/ASR (Master Target): from 1.0.0 to 1.1.0');
  await declined.waitFor('configuration server, process servers, master targets, mobility services');
  await declined.waitFor('Go on ? (y/n) [Default: y]');
  declined.answer('n');
  await declined.waitFor('nothing was changed');
  t.same(await declined.ended(), { status: 3, signal: null });
  t.same(site.snapshot(), before);
  const upgraded = start(t, site, { version: '1.1.0' });
  await upgraded.waitFor('Go on ?');
  upgraded.answer('');
  t.same(await upgraded.ended(), { status: 0, signal: null });
  t.equal(site.service(), 'active 1.1.0');
});

t.test('German words and times of the host change nothing; a terminal of 40×10 is enough', async (t) => {
  const site = new InstallerSite(t);
  const locales = temporaryDirectory(t);
  const made = spawnSync('localedef', ['-i', 'de_DE', '-f', 'UTF-8', path.join(locales, 'de_DE.UTF-8')]);
  t.comment(made.status === 0 ? 'with de_DE.UTF-8' : 'de_DE.UTF-8 cannot be made here');
  const german = { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8', LANGUAGE: 'de', TZ: 'Europe/Berlin' };
  site.checks([
    { id: 'at-rest', result: 'warn', severity: 'advice', found: 'a long sentence about where it lies' },
  ]);
  const terminal = start(t, site, { env: { ...german, LOCPATH: locales }, columns: 40, rows: 10 });
  await terminal.waitFor('Where do you want to install the agent');
  terminal.answer('');
  await terminal.waitFor('(1/2) [Default: 1]');
  terminal.answer('2');
  await terminal.waitFor('at-rest: WARNING\n  a long sentence about where it lies\n');
  await terminal.waitFor('run alone');
  terminal.answer('2');
  t.same(await terminal.ended(), { status: 0, signal: null });
  t.equal(site.service(), 'active 1.0.0');
  t.notOk(terminal.text.split('\n').some((line) => line.startsWith('bash:') || line.includes('warning')));
});
