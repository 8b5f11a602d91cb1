// Removing what was installed, never what it keeps; and the installer with the programs of this checkout.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { run } from '../support/homeward.ts';
import { InstallerSite, passphrase } from '../support/installer-site.ts';

t.test('uninstall.sh -Y removes programs and services, and no data', async (t) => {
  const site = new InstallerSite(t);
  await site.install(['-q', '-r', 'MT', '-d', '/srv/asr', '--retention-volume', '/retention']);
  fs.mkdirSync(site.at('retention'));
  fs.writeFileSync(site.at('retention/segment'), 'history');
  for (const name of ['replicas', 'identity']) {
    fs.mkdirSync(site.at(`var/lib/homeward/master-target/${name}`), { recursive: true });
    fs.writeFileSync(site.at(`var/lib/homeward/master-target/${name}/file`), name);
  }
  fs.writeFileSync(site.at('usr/local/bin/other'), 'of somebody else');
  fs.mkdirSync(site.at('var/lib/homeward/custom-changes'));
  fs.writeFileSync(site.at('var/lib/homeward/custom-changes/manifest'), '/etc/lvm/lvm.conf\n');
  const installed = site.at('srv/asr/Vx/current/installer/uninstall.sh');
  const { status, out, err } = await run(installed, ['--directory=/srv/asr', '-Y'], { env: site.env() });
  t.equal(status, 0, err);
  t.match(out, '/srv/asr/Vx/current/installer/ApplyCustomChanges.sh --revert');
  for (const what of ['/srv/asr/Vx/etc/drscout.conf', '/var/lib/homeward', '/retention']) {
    t.match(out, `still here: ${what}`);
  }
  t.same(site.calls().slice(-3), [
    'systemctl disable homeward-master-target.service',
    'systemctl stop homeward-master-target.service',
    'systemctl daemon-reload',
  ]);
  const files = site.snapshot().filter((line) => !line.endsWith('/'));
  t.same(
    files.map((line) => line.split(/:| ->/)[0]),
    [
      'retention/segment',
      'srv/asr/Vx/etc/drscout.conf',
      'usr/local/bin/other',
      'var/lib/homeward/custom-changes/manifest',
      'var/lib/homeward/master-target/identity/file',
      'var/lib/homeward/master-target/replicas/file',
    ],
  );
  const again = await site.install(['-q', '-r', 'MT', '-d', '/srv/asr']);
  t.equal(again.status, 0, again.err);
  t.match(site.read('srv/asr/Vx/etc/drscout.conf'), 'RetentionVolume = /retention');

  const purged = await site.uninstall(['-Y', '--purge']);
  t.equal(purged.status, 0, purged.err);
  const left = site.snapshot().filter((line) => !line.endsWith('/'));
  t.same(
    left.map((line) => line.split(':')[0]),
    [
      'retention/segment',
      'usr/local/bin/other',
      'var/lib/homeward/custom-changes/manifest',
      'var/lib/homeward/master-target/replicas/file',
    ],
  );
  const nothing = await site.uninstall(['-Y']);
  t.same([nothing.status, /nothing to remove/.test(nothing.out)], [0, true]);
});

t.test(
  'uninstall.sh: what is wrong, what only looks, and what package managers have installed',
  async (t) => {
    const site = new InstallerSite(t);
    await site.install(['-q', '-r', 'MT']);
    const before = site.snapshot();
    t.equal((await site.uninstall(['-x'])).status, 2);
    t.equal((await site.uninstall([])).status, 2);
    const look = await site.uninstall(['--dry-run']);
    t.equal(look.status, 0);
    t.same(site.snapshot(), before);
    const version = 'VERSION=1.0.0\nROLE=\nINSTALL_DIR=/opt/homeward\n';
    fs.writeFileSync(site.at('usr/local/.vx_version'), version);
    fs.cpSync(site.at('usr/local/ASR'), site.at('opt/homeward'), { recursive: true, verbatimSymlinks: true });
    for (const ended of [await site.uninstall(['-Y']), await site.install(['-q'], { version: '1.1.0' })]) {
      t.equal(ended.status, 5);
      t.match(ended.err, 'as a package of the distribution');
    }
  },
);

t.test('what others have put beside a unit of ours stays, and so does a unit that is not ours', async (t) => {
  const site = new InstallerSite(t);
  await site.install(['-q', '-r', 'PS']);
  const units = 'etc/systemd/system';
  const dropIns = `${units}/homeward-process-server.service.d`;
  const theirs = [`${dropIns}/my-own.conf`, `${units}/homeward-backup.service`];
  fs.mkdirSync(site.at(dropIns), { recursive: true });
  for (const file of [...theirs, `${dropIns}/retention.conf`]) fs.writeFileSync(site.at(file), '[Service]\n');
  const look = await site.uninstall(['--dry-run']);
  t.match(look.out, `stays:  /${dropIns}/my-own.conf`);
  const { status, out, err } = await site.uninstall(['-Y']);
  t.equal(status, 0, err);
  t.match(out, `still here: /${dropIns}/my-own.conf`);
  t.notMatch(site.calls().join('\n'), 'homeward-backup');
  const left = site.snapshot().filter((line) => line.startsWith(units) && !line.endsWith('/'));
  t.same(
    left.map((line) => line.split(':')[0]),
    theirs.toReversed(),
  );
});

t.test('a second removal says what the first has left, and what takes it off', async (t) => {
  const site = new InstallerSite(t);
  await site.install(['-q', '-r', 'MT']);
  t.match((await site.uninstall(['-Y'])).out, 'Homeward is removed.');
  const before = site.snapshot();
  const { status, out } = await site.uninstall(['-Y']);
  t.equal(status, 0);
  t.match(out, 'is not installed here: nothing to remove. --purge removes configuration');
  t.match(out, 'still here: /usr/local/ASR/Vx/etc/drscout.conf');
  t.notMatch(out, /is removed|beginning/);
  t.same(site.snapshot(), before);
  t.match((await site.uninstall(['-Y', '--purge'])).out, 'What it had left is removed.');
  t.equal(site.read('usr/local/ASR/Vx/etc/drscout.conf'), null);
});

t.test('the product that is replaced is neither installed over nor removed', async (t) => {
  const site = new InstallerSite(t);
  const theirs = {
    'usr/local/ASR/Vx/bin/svagents': 'a program',
    'usr/local/ASR/Vx/etc/drscout.conf': '[vxagent]\nHostId="abc"\nRole=MasterTarget\n',
    'usr/local/.vx_version': 'VERSION=9.62.1.1\nROLE=MasterTarget\nINSTALL_DIR=/usr/local/ASR\n',
  };
  for (const [file, text] of Object.entries(theirs)) {
    fs.mkdirSync(path.dirname(site.at(file)), { recursive: true });
    fs.writeFileSync(site.at(file), text);
  }
  const all = ['--accept', 'all', '--because', 'x', '--offline'];
  const there = { status: 5, why: "/usr/local/ASR/Vx/bin is there, and is not Homeward's" };
  await site.refuses(t, ['-q', '-r', 'MT', ...all], there);
  await site.refuses(t, ['-r', 'MT', '--dry-run'], there);
  // Beside it, with a version file and a command that both want, is no better.
  await site.refuses(t, ['-q', '-r', 'MT', '-d', '/srv/asr'], there);
  const before = site.snapshot();
  for (const flags of [['-Y'], ['-Y', '--purge']]) {
    const { status, out } = await site.uninstall(flags);
    t.equal(status, 0);
    t.match(out, "Vx/bin is not Homeward's. Nothing to remove.");
  }
  t.same(site.snapshot(), before);
  // Half removed: its version file is what is left of it.
  fs.rmSync(site.at('usr/local/ASR/Vx/bin'), { recursive: true });
  await site.refuses(t, ['-q', '-r', 'MT', ...all], {
    status: 5,
    why: '/usr/local/.vx_version is there, and',
  });
  fs.rmSync(site.at('usr/local/.vx_version'));
  t.equal((await site.install(['-q', '-r', 'MT', ...all])).status, 0);
});

t.test('ours beside programs of others can be removed, but not purged', async (t) => {
  const site = new InstallerSite(t);
  await site.install(['-q', '-r', 'MT']);
  fs.rmSync(site.at('usr/local/ASR/Vx/bin'));
  fs.mkdirSync(site.at('usr/local/ASR/Vx/bin'));
  const purged = await site.uninstall(['-Y', '--purge']);
  t.equal(purged.status, 5);
  t.match(purged.err, 'so the files beside it may not be either');
  t.equal((await site.uninstall(['-Y'])).status, 0);
  t.ok(fs.existsSync(site.at('usr/local/ASR/Vx/bin')));
  t.notOk(fs.existsSync(site.at('usr/local/ASR/Vx/releases')));
});

t.test('the programs of this checkout do their part', async (t) => {
  const site = new InstallerSite(t);
  site.useCheckout();
  const file = site.passphraseFile(passphrase);
  const connect = ['-i', '127.0.0.1', '-p', '1', '-P', file];
  const accept = ['--accept', 'all', '--because', 'a test'];
  const { status, out, err } = await site.install([
    ...['-q', '-r', 'MT', '--offline', '--retention-volume', site.at('var/lib'), ...connect, ...accept],
  ]);
  t.equal(status, 7, err);
  t.match(out, 'retention-volume');
  t.match(err, /refused/);
  t.match(
    site.read('etc/systemd/system/homeward-master-target.service.d/retention.conf'),
    site.at('var/lib'),
  );
  t.equal((await site.uninstall(['-Y'])).status, 0);
});
