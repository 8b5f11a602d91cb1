// The installer without questions: what it lays, what it checks, and what it refuses before it changes
// anything.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { run } from '../support/homeward.ts';
import { InstallerSite, passphrase } from '../support/installer-site.ts';
import { skipUnless } from '../support/needs.ts';
import { root as checkout } from '../support/source-files.ts';

t.test(
  'shellcheck finds nothing in the installer',
  { skip: skipUnless({ commands: ['shellcheck'] }) },
  async (t) => {
    const scripts = ['install.sh', 'uninstall.sh'].map((name) => path.join(checkout, 'installer', name));
    const { status, out } = await run('shellcheck', ['--check-sourced', ...scripts]);
    t.equal(status, 0, out);
  },
);

t.test('both generations of flags give what the dialogue gives', async (t) => {
  const lines = [
    ['-d', '/usr/local/ASR', '-R', 'MasterTarget', '-v', 'VmWare', '-q'],
    [
      '-t',
      'both',
      '-a',
      'host',
      '-r',
      'MT',
      '-d',
      '/usr/local/ASR/',
      '-s',
      'y',
      '-c',
      'https',
      '-v',
      'vmware',
    ],
    ['--role=mastertarget', '--directory=/usr/local//ASR', '--alone', '--start', 'y', '--platform=VmWare'],
  ];
  const results: string[][] = [];
  for (const args of lines) {
    const site = new InstallerSite(t);
    const { status, err } = await site.install(args);
    t.equal(status, 0, err);
    t.equal(site.service(), 'active 1.0.0');
    t.match(site.read('usr/local/.vx_version'), /^BUILD=abc123$/m);
    results.push(site.snapshot());
  }
  t.same(results[1], results[0]);
  t.same(results[2], results[0]);
});

t.test('each role has its unit, which runs what is installed', async (t) => {
  const roles = {
    Agent: 'mobility',
    PS: 'process-server',
    ConfigServer: 'config-server',
    AllInOne: 'all-in-one',
  };
  for (const [role, word] of Object.entries(roles)) {
    const site = new InstallerSite(t);
    const { status, err } = await site.install(['-q', '-r', role, '-d', '/srv/asr']);
    t.equal(status, 0, err);
    const unit = site.read(`etc/systemd/system/homeward-${word}.service`) ?? '';
    t.match(unit, `ExecStart=/srv/asr/Vx/bin/homeward ${word} --config /srv/asr/Vx/etc/drscout.conf`);
    t.notMatch(unit, /@[A-Z]+@/);
    const waits = word === 'mobility' || word === 'process-server';
    t.equal(site.service(), waits ? null : 'active 1.0.0');
    t.equal(fs.statSync(site.at('srv/asr/Vx/etc/drscout.conf')).mode & 0o777, 0o640);
    t.equal(fs.statSync(site.at('srv/asr/Vx/private')).mode & 0o777, 0o700);
  }
});

t.test('a mobility service is started once its disks are named', async (t) => {
  const site = new InstallerSite(t);
  const args = ['-q', '-r', 'Agent', '-i', 'cs', '-P', site.passphraseFile(passphrase)];
  const first = await site.install(args);
  t.equal(first.status, 0, first.err);
  t.match(first.out, /Service +homeward-mobility\.service: waits for its disks/);
  t.match(first.out, /MachineDisks = root=.*MachineListen = /s);
  t.match(first.out, /config service --write --config \S+ && systemctl restart homeward-mobility\.service/);
  t.equal(site.service(), null);
  const config = 'usr/local/ASR/Vx/etc/drscout.conf';
  fs.appendFileSync(site.at(config), '[homeward]\nMachineDisks = root=/dev/vg/root\n');
  t.equal((await site.install(args)).status, 0);
  t.equal(site.service(), 'active 1.0.0');
});

t.test('a configuration server that does not answer leaves an installed host, and says so', async (t) => {
  const site = new InstallerSite(t);
  const file = site.passphraseFile(passphrase);
  const { status, out, err } = await site.install(['-q', '-r', 'MT', '-i', 'unreachable', '-P', file]);
  t.equal(status, 7);
  t.match(err, 'connection refused');
  t.match(out, 'none yet: it runs alone');
  t.equal(site.service(), 'active 1.0.0');
});

t.test('--dry-run says what would change, and changes nothing', async (t) => {
  const site = new InstallerSite(t);
  const before = site.snapshot();
  const { status, out } = await site.install(['-r', 'MT', '--dry-run', '--open-firewall']);
  t.equal(status, 0);
  for (const what of ['Vx/releases/1.0.0', 'drscout.conf', '.vx_version', 'homeward-master-target.service']) {
    t.match(out, what);
  }
  t.same(site.snapshot(), before);
  site.checks([{ id: 'retention-volume', result: 'fail' }]);
  t.equal((await site.install(['-r', 'MT', '--dry-run'])).status, 1);
  t.same(site.snapshot(), before);
});

t.test('failed checks stop it unless they are accepted; a master target too new always', async (t) => {
  const site = new InstallerSite(t);
  site.checks([
    { id: 'disk-count', result: 'fail', severity: 'hard-unless-accepted' },
    { id: 'retention-volume', result: 'fail' }, // not to be accepted for good
    { id: 'memory', result: 'fail', severity: 'advice' },
  ]);
  const args = ['-q', '-r', 'MT', '--alone'];
  await site.refuses(t, args, { status: 1, why: 'these checks failed: disk-count retention-volume' });
  const some = [...args, '--accept', 'disk-count', '--because', 'lab'];
  await site.refuses(t, some, { status: 1, why: '--accept retention-volume' });
  const all = await site.install([...args, '--accept', 'disk-count,retention-volume', '--because', 'a lab']);
  t.equal(all.status, 0, all.err);
  t.match(site.calls().join('\n'), 'check --accept disk-count --because a lab');
  t.notMatch(site.calls().join('\n'), '--accept retention-volume');
  t.match(all.out, 'retention-volume is accepted for the installation alone');

  site.checks([{ id: 'version', result: 'fail', found: '1.1.0 is newer than cs, which has 1.0.0' }]);
  const newer = { status: 6, why: 'newer than its configuration server', version: '1.1.0' };
  await site.refuses(t, ['-q', '--accept', 'all', '--because', 'x'], newer);
  t.equal(site.service(), 'active 1.0.0');
});

t.test('missing packages are installed, but with --offline named', async (t) => {
  const site = new InstallerSite(t);
  site.checks([{ id: 'packages', result: 'warn', severity: 'advice', found: 'lsscsi is missing' }]);
  const offline = await site.install(['-q', '-r', 'MS', '--offline']);
  t.equal(offline.status, 0, offline.err);
  t.match(offline.out, 'lsscsi is missing');
  t.notMatch(site.calls().join('\n'), '--fix');
  t.equal((await site.install(['-q'])).status, 0);
  t.match(site.calls().join('\n'), /check --json .*--fix/);
});

t.test(
  'systems that are too old, and packages for another processor, are told before anything',
  async (t) => {
    const site = new InstallerSite(t);
    const bin = path.join(site.directory, 'path');
    fs.writeFileSync(site.at('etc/os-release'), 'PRETTY_NAME="CentOS Linux 7 (Core)"\n');
    fs.writeFileSync(path.join(bin, 'getconf'), '#!/bin/sh\necho glibc 2.17\n', { mode: 0o755 });
    await site.refuses(t, ['-q', '-r', 'MT'], {
      status: 6,
      why: 'CentOS Linux 7 (Core) has glibc 2.17, and Homeward needs 2.28',
    });
    fs.writeFileSync(path.join(bin, 'getconf'), '#!/bin/sh\nexit 1\n');
    await site.refuses(t, ['-q', '-r', 'MT'], { status: 6, why: 'no GNU C library' });
    fs.writeFileSync(path.join(bin, 'getconf'), '#!/bin/sh\necho glibc 2.28\n');
    fs.rmSync(path.join(site.package(), 'release/runtime/bin/node'));
    await site.refuses(t, ['-q', '-r', 'MT'], { status: 6, why: 'does not run here' });
  },
);

t.test('a volume that is full is told before anything changes', async (t) => {
  const site = new InstallerSite(t);
  const df = '#!/bin/sh\necho Filesystem\necho "/dev/sda1 100000 99000 1000 99% /usr/local"\n';
  fs.writeFileSync(path.join(site.directory, 'path/df'), df, { mode: 0o755 });
  await site.refuses(t, ['-q', '-r', 'MT'], { status: 8, why: /needs \d+ MiB, and 0 MiB are free/ });
});

t.test('it does not run under the install directory, nor install into its package', async (t) => {
  const site = new InstallerSite(t);
  const env = { HOMEWARD_INSTALL_ROOT: '' };
  const under = await site.install(['--dry-run', '-r', 'MT', '-d', path.dirname(site.package())], { env });
  const reason = /runs from .* which is under the install directory|does not stay/;
  t.ok(under.status === 6 || under.status === 2, under.err);
  t.match(under.err, reason);
  fs.cpSync(site.package(), site.at('srv/asr/homeward-1.0.0'), { recursive: true, verbatimSymlinks: true });
  const { status, err } = await run(
    site.at('srv/asr/homeward-1.0.0/install.sh'),
    ['-r', 'MT', '-d', '/srv/asr'],
    {
      env: site.env(),
    },
  );
  t.equal(status, 6);
  t.match(err, 'which is under the install directory /srv/asr');
});

t.test('files that are not as they were packed are refused', async (t) => {
  const site = new InstallerSite(t);
  const top = site.package();
  const { out } = await run('sha256sum', ['release/package.json', 'release/bin/homeward'], { cwd: top });
  fs.writeFileSync(path.join(top, 'SHA256SUMS'), out);
  t.equal((await site.install(['-r', 'MT', '--dry-run'])).status, 0);
  fs.appendFileSync(path.join(top, 'release/bin/homeward'), '\n');
  await site.refuses(t, ['-q', '-r', 'MT'], { status: 6, why: 'not as they were packed' });
});

t.test('a host without a service manager gets the programs, and is told how to start', async (t) => {
  const site = new InstallerSite(t, { systemd: false });
  const { status, out } = await site.install(['-q', '-r', 'MT']);
  t.equal(status, 0);
  t.match(out, 'Start it, at every boot, with:\n  /usr/local/ASR/Vx/bin/homeward master-target --config');
  t.notMatch(site.calls().join('\n'), 'systemctl');
  t.equal((await site.uninstall(['-Y'])).status, 0);
  const source = await site.install(['-q', '-r', 'Agent', '-i', 'cs', '-P', site.passphraseFile(passphrase)]);
  t.match(source.out, /MachineDisks = root=.*MachineListen = .*\n +before it is started\.\n/s);
  t.notMatch(source.out, 'systemctl');
});

t.test('where SELinux is on, what is placed gets its labels before it is used', async (t) => {
  const site = new InstallerSite(t);
  const stub = [
    '#!/bin/sh',
    'current=$(readlink "$HOMEWARD_INSTALL_ROOT/usr/local/ASR/Vx/current")',
    'echo "restorecon $* $current" >>"$SITE/calls"',
    '',
  ].join('\n');
  fs.writeFileSync(path.join(site.directory, 'path/restorecon'), stub, { mode: 0o755 });
  fs.writeFileSync(path.join(site.directory, 'path/selinuxenabled'), '#!/bin/sh\n', { mode: 0o755 });
  t.equal((await site.install(['-q', '-r', 'MT'])).status, 0);
  const labelled = site.calls().filter((call) => call.startsWith('restorecon'));
  t.equal(labelled[0], `restorecon -RF ${site.at('usr/local/ASR')} `, 'no release is in use yet');
  t.match(labelled.join('\n'), 'etc/systemd/system/homeward-master-target.service');
});

t.test('the host of a master target is prepared when that is wanted, and looked at again', async (t) => {
  const site = new InstallerSite(t);
  const lvm = { id: 'lvm-quiet', result: 'fail', severity: 'hard-unless-accepted' } as const;
  site.checks([lvm]);
  const script = path.join(site.package(), 'release/installer/ApplyCustomChanges.sh');
  const good = JSON.stringify({ checks: [] });
  const lines = [
    '#!/bin/sh',
    'echo "ApplyCustomChanges $*" >>"$SITE/calls"',
    `echo '${good}' >"$SITE/checks.json"`,
  ];
  fs.writeFileSync(script, `${lines.join('\n')}\n`, { mode: 0o755 });
  const args = ['-q', '-r', 'MT'];
  await site.refuses(t, args, { status: 1, why: 'lvm-quiet' });
  t.match((await site.install(args)).out, 'put right with: --apply-custom-changes y (or --yes)');
  await site.refuses(t, [...args, '--apply-custom-changes', 'n', '--yes'], { status: 1, why: 'lvm-quiet' });
  const { status, out, err } = await site.install([...args, '--apply-custom-changes', 'y']);
  t.equal(status, 0, err);
  t.match(out, 'Nothing is open.');
  t.match(site.calls().join('\n'), `ApplyCustomChanges --yes --root ${site.root}`);
});

t.test('a port of the firewall is opened with --open-firewall alone', async (t) => {
  for (const flags of [[], ['--open-firewall']]) {
    const site = new InstallerSite(t);
    const stub = '#!/bin/sh\necho "firewall-cmd $*" >>"$SITE/calls"\n';
    fs.writeFileSync(path.join(site.directory, 'path/firewall-cmd'), stub, { mode: 0o755 });
    t.equal((await site.install(['-q', '-r', 'ConfigServer', ...flags])).status, 0);
    const calls = site.calls().filter((call) => call.startsWith('firewall-cmd'));
    t.equal(calls.includes('firewall-cmd -q --permanent --add-port=443/tcp'), flags.length > 0);
    t.equal(calls.length > 0, flags.length > 0);
    fs.appendFileSync(site.at('usr/local/ASR/Vx/etc/drscout.conf'), 'ConfigServerPort = 9001\n');
    t.equal((await site.install(['-q', ...flags])).status, 0);
    const own = 'firewall-cmd -q --permanent --add-port=9001/tcp';
    t.equal(site.calls().includes(own), flags.length > 0, 'the one that it listens on');
  }
});

t.test('-s n starts nothing; a service that does not come up is an error with its reason', async (t) => {
  const site = new InstallerSite(t);
  const quiet = await site.install(['-q', '-r', 'MT', '-s', 'n']);
  t.equal(quiet.status, 0);
  t.equal(site.service(), null);
  site.breakVersion('1.0.0');
  const broken = await site.install(['-q']);
  t.equal(broken.status, 9);
  t.match(broken.out, 'the journal says why');
  t.match(site.read('usr/local/.vx_version'), 'VERSION=1.0.0');
});

t.test('a normal user is told at once; so is whoever runs it twice', async (t) => {
  const site = new InstallerSite(t);
  fs.chmodSync(site.directory, 0o755);
  const asNobody = process.geteuid?.() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups'] : ['env'];
  const [program = '', ...before] = asNobody;
  const install = path.join(site.package(), 'install.sh');
  const { status, err } = await run(program, [...before, install, '-q', '-r', 'MT'], {
    env: { HOMEWARD_INSTALL_ROOT: '' },
  });
  t.equal(status, 77);
  t.match(err, 'it has to run as root');
  const others = { 'uninstall.sh': '-Y', 'ApplyCustomChanges.sh': '--yes' };
  for (const [name, flag] of Object.entries(others)) {
    const script = path.join(checkout, 'installer', name);
    const ended = await run(program, [...before, script, flag], { env: { HOMEWARD_INSTALL_ROOT: '' } });
    t.equal(ended.status, 77, `${name}: ${ended.err}`);
  }

  const holder = spawn('flock', [site.at('run/homeward-install.lock'), 'sh', '-c', 'echo held; cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  await site.refuses(t, ['-q', '-r', 'MT'], { status: 5, why: 'another installation or removal runs' });
  holder.stdin.end();
  await once(holder, 'close');
  t.equal((await site.install(['-q', '-r', 'MT'])).status, 0);
});

const isAbleToMount = spawnSync('unshare', ['-m', 'true']).status === 0;

t.test(
  'a read-only /usr/local is told before anything',
  { skip: !isAbleToMount && 'cannot mount' },
  async (t) => {
    const site = new InstallerSite(t);
    const place = site.at('usr/local');
    const mount = `mount --bind ${place} ${place} && mount -o remount,ro,bind ${place} && exec "$0" "$@"`;
    const install = path.join(site.package(), 'install.sh');
    const { status, err } = await run('unshare', ['-m', 'sh', '-c', mount, install, '-q', '-r', 'MT'], {
      env: site.env(),
    });
    t.equal(status, 8, err);
    t.match(err, 'usr/local cannot be written: its file system is mounted read-only');
  },
);

t.test(
  'a volume that fills while programs are copied is told in one line, and nothing stays',
  { skip: !isAbleToMount && 'cannot mount' },
  async (t) => {
    const site = new InstallerSite(t);
    // There was room when it looked.
    const df = '#!/bin/sh\necho Filesystem\necho "/dev/sda1 9999999 1 9999998 1% /usr/local"\n';
    fs.writeFileSync(path.join(site.directory, 'path/df'), df, { mode: 0o755 });
    const place = site.at('usr/local');
    const mount = `mount -t tmpfs -o size=64k none ${place} && "$0" "$@"
      code=$?; find ${place} -type f; exit $code`;
    const install = path.join(site.package(), 'install.sh');
    const { status, out, err } = await run('unshare', ['-m', 'sh', '-c', mount, install, '-q', '-r', 'MT'], {
      env: site.env(),
    });
    t.equal(status, 8, err);
    t.match(err, /^install\.sh: the programs could not be copied to \S+: No space left on device\n/);
    t.equal(err.trim().split('\n').length, 2, err);
    t.notMatch(out, `\n${place}`);
  },
);
