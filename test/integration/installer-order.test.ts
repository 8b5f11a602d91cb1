// The installer decides before it changes: versions and failed checks before packages and the preparation of
// the host, and what was changed by then is said.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { ConfigSite } from '../support/config-site.ts';
import { InstallerSite, passphrase, type StubCheck } from '../support/installer-site.ts';

const missing: StubCheck = {
  ...{ id: 'packages', result: 'fail', severity: 'advice', found: 'not installed: lsscsi, rsync' },
  fix: 'installed lsscsi, rsync',
};
const loud: StubCheck = { id: 'lvm-quiet', result: 'fail', severity: 'hard-unless-accepted' };
const noIdentity: StubCheck = { id: 'scsi-uuid', result: 'fail', severity: 'hard-unless-accepted' };
const newer: StubCheck = { id: 'version', result: 'fail', found: '1.1.0 is newer than cs, which has 1.0.0' };

/** Stands for ApplyCustomChanges.sh: it is called, and LVM is quiet, or is not. */
function prepare(site: InstallerSite, after: readonly StubCheck[], version?: string): void {
  const script = path.join(site.package(version), 'release/installer/ApplyCustomChanges.sh');
  const report = path.join(site.directory, 'prepared.json');
  fs.writeFileSync(report, InstallerSite.report(after));
  const lines = [
    '#!/bin/sh',
    'echo "ApplyCustomChanges $*" >>"$SITE/calls"',
    `cp ${report} "$SITE/checks.json"`,
  ];
  fs.writeFileSync(script, `${lines.join('\n')}\n`, { mode: 0o755 });
}

const changed = /--fix|ApplyCustomChanges/;

t.test('what nothing can mend is refused before packages and the preparation of the host', async (t) => {
  const site = new InstallerSite(t);
  prepare(site, []);
  site.checks([missing, loud, noIdentity]);
  await site.refuses(t, ['-q', '--yes', '-r', 'MT'], {
    status: 1,
    why: 'nothing was changed, since these checks failed: scsi-uuid\n',
  });
  site.checks([missing, loud, newer]);
  const all = ['--accept', 'all', '--because', 'x'];
  for (const flags of [['-q', '--yes'], ['--dry-run']]) {
    const why = /newer than its configuration server\n.*: Nothing was changed\. Upgrade in this order/;
    await site.refuses(t, ['-r', 'MT', ...flags, ...all], { status: 6, why });
  }
  t.notMatch(site.calls().join('\n'), changed);
});

t.test('an upgrade is refused before packages, too', async (t) => {
  const site = new InstallerSite(t);
  t.equal((await site.install(['-q', '-r', 'MT', '--alone'])).status, 0);
  site.forget();
  site.checks([missing, newer]);
  await site.refuses(t, ['--yes'], { status: 6, why: 'Nothing was changed.', version: '1.1.0' });
  t.notMatch(site.calls().join('\n'), changed);
});

t.test('what was installed before a refusal is named', async (t) => {
  const site = new InstallerSite(t);
  prepare(site, [loud, noIdentity]);
  site.checks([missing, loud]);
  const { status, out, err } = await site.install(['-q', '--yes', '-r', 'MT']);
  t.equal(status, 1, err);
  t.match(site.calls().join('\n'), /--fix[^]*ApplyCustomChanges --yes/);
  t.match(err, 'nothing of Homeward was changed, since these checks failed: lvm-quiet scsi-uuid');
  t.notMatch(err, 'nothing was changed');
  t.match(out, 'Packages that were installed before stay: lsscsi, rsync');
  t.match(out, 'This host stays prepared; ApplyCustomChanges.sh --revert takes that back.');
  t.equal(site.read('usr/local/.vx_version'), null);
});

t.test('-q asks nothing: it installs packages, and leaves the preparation to --yes', async (t) => {
  const site = new InstallerSite(t);
  prepare(site, []);
  site.checks([missing, loud]);
  await site.refuses(t, ['-q', '-r', 'MT'], { status: 1, why: 'lvm-quiet' });
  t.notMatch(site.calls().join('\n'), changed);
  const accept = ['--accept', 'lvm-quiet', '--because', 'a lab'];
  t.equal((await site.install(['-q', '-r', 'MT', ...accept])).status, 0);
  t.match(site.calls().join('\n'), /--fix/);
  t.notMatch(site.calls().join('\n'), 'ApplyCustomChanges');
});

t.test('a host that is newer than the server that -i names is refused before anything changes', async (t) => {
  const server = await ConfigSite.start(t);
  const [host = '', port = ''] = server.address.split(':');
  const site = new InstallerSite(t);
  const connect = ['-i', host, '-p', port, '-P', site.passphraseFile(passphrase)];
  const flags = ['-q', '--offline', '--accept', 'all', '--because', 'a lab', ...connect];
  const why = 'this Master Target would be newer than its configuration server';
  site.useCheckout('9.0.0');
  await site.refuses(t, ['-r', 'MT', ...flags], { status: 6, why, version: '9.0.0' });
  await site.refuses(t, ['-r', 'MT', '--dry-run', ...flags], { status: 6, why, version: '9.0.0' });
  t.notOk(fs.existsSync(site.at('var/log/homeward')));
  // The same version goes on, to a server that does not know this passphrase.
  site.useCheckout('0.1.0');
  const { status, out, err } = await site.install(['-r', 'MT', ...flags], { version: '0.1.0' });
  t.equal(status, 7, err);
  t.match(out, /version +\| OK +\| 0\.1\.0; the configuration server 127\.0\.0\.1 has 0\.1\.0/);
  t.match(err, 'wrong-passphrase');
});
