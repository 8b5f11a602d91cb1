// Removing what was installed, never what it keeps; and the installer with the programs of this checkout.
import fs from 'node:fs';
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
  const installed = site.at('srv/asr/Vx/current/installer/uninstall.sh');
  const { status, out, err } = await run(installed, ['-Y'], { env: site.env() });
  t.equal(status, 0, err);
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
    ['retention/segment', 'usr/local/bin/other', 'var/lib/homeward/master-target/replicas/file'],
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
