// Running the installer again: what stays, what it refuses, and the way back when the new version does not
// come up.
import fs from 'node:fs';
import t from 'tap';
import type { Ended } from '../support/homeward.ts';
import { InstallerSite } from '../support/installer-site.ts';

const args = ['-q', '-r', 'MT', '--alone'];

t.test('an upgrade that does not come up goes back to what ran before', async (t) => {
  const site = new InstallerSite(t);
  await site.install(args);
  const before = site.snapshot();
  site.breakVersion('1.1.0');
  const { status, out, err } = await site.install(['-q'], { version: '1.1.0' });
  t.equal(status, 9);
  t.match(out, 'from 1.0.0 to 1.1.0');
  t.match(out, 'the journal says why');
  t.match(out, '1.0.0 runs again.');
  t.match(err, '1.1.0 did not come up');
  t.same(site.snapshot(), before);
  t.equal(site.service(), 'active 1.0.0');
});

t.test('SIGTERM while the new version starts goes back, too', async (t) => {
  const site = new InstallerSite(t);
  await site.install(args);
  const before = site.snapshot();
  const env = { TERM_WHILE_STARTING: '1.1.0' };
  const { status, out } = await site.install(['-q'], { version: '1.1.0', env });
  t.equal(status, 143);
  t.match(out, '1.0.0 runs again.');
  t.same(site.snapshot(), before);
  t.equal(site.service(), 'active 1.0.0');
});

t.test('configuration and data stay through upgrades; a downgrade has to be insisted on', async (t) => {
  const site = new InstallerSite(t);
  await site.install([...args, '--retention-volume', '/retention']);
  const conf = site.at('usr/local/ASR/Vx/etc/drscout.conf');
  fs.appendFileSync(conf, '; by hand\nWindowHours = 72h\n');
  fs.writeFileSync(site.at('var/lib/homeward/identity'), 'who I am');
  const configured = fs.readFileSync(conf, 'utf8');
  t.match(configured, '[homeward]\nRetentionVolume = /retention\n; by hand');
  t.equal((await site.install(['-q'], { version: '1.10.0' })).status, 0);
  t.equal((await site.install(['--yes'], { version: '1.9.0' })).status, 6);
  t.equal((await site.install(['--yes', '--allow-downgrade'], { version: '1.9.0' })).status, 0);
  t.equal(site.service(), 'active 1.9.0');
  t.equal(fs.readFileSync(conf, 'utf8'), configured);
  t.equal(site.read('var/lib/homeward/identity'), 'who I am');
  t.same(fs.readdirSync(site.at('usr/local/ASR/Vx/releases')), ['1.9.0']);
});

t.test('as something else after a removal, a host begins anew; what it was set to be is kept', async (t) => {
  const site = new InstallerSite(t);
  t.equal((await site.install(['-q', '-r', 'MT', '--retention-volume', '/retention'])).status, 0);
  const conf = 'usr/local/ASR/Vx/etc/drscout.conf';
  fs.appendFileSync(site.at(conf), 'ConfigServerAddress = cs\nConfigServerPort = 8443\n');
  const before = site.read(conf);
  t.equal((await site.uninstall(['-Y'])).status, 0);
  t.match(
    (await site.install(['-q', '-r', 'AllInOne', '--dry-run'])).out,
    'set for a Master Target beside it',
  );
  const { status, out } = await site.install(['-q', '-r', 'AllInOne']);
  t.equal(status, 0);
  t.match(out, `a Master Target is kept in /${conf}.MasterTarget`);
  t.equal(site.read(`${conf}.MasterTarget`), before);
  t.match(site.read(conf), 'Role = AllInOne');
  t.notMatch(site.read(conf), /Retention|ConfigServer/);
});

t.test('an upgrade keeps its role and place, and without a terminal wants --yes', async (t) => {
  const site = new InstallerSite(t);
  await site.install([...args, '-d', '/srv/asr']);
  const before = site.snapshot();
  const upgrade = (...flags: string[]): Promise<Ended> => site.install(flags, { version: '1.1.0' });
  const asked = await upgrade();
  t.equal(asked.status, 2);
  t.match(asked.err, 'this is no terminal, so it cannot ask');
  t.match((await upgrade('-q', '-r', 'MS')).err, 'this host is installed as MasterTarget, not as Agent');
  t.match(
    (await upgrade('-q', '-d', '/usr/local/ASR')).err,
    'is installed in /srv/asr, not in /usr/local/ASR',
  );
  t.same(site.snapshot(), before);
  t.equal((await upgrade('--yes')).status, 0);
  t.equal(fs.readlinkSync(site.at('srv/asr/Vx/current')), 'releases/1.1.0');
});

t.test('--alone does not disconnect a host that is connected', async (t) => {
  const site = new InstallerSite(t);
  t.equal((await site.install(['-q', '-r', 'MT', '--alone'])).status, 0);
  t.equal((await site.install(['-q', '--alone'])).status, 0);
  fs.appendFileSync(site.at('usr/local/ASR/Vx/etc/drscout.conf'), 'ConfigServerAddress = cs.example\n');
  await site.refuses(t, ['-q', '--alone'], {
    status: 5,
    why: 'connected to the configuration server cs.example',
  });
});

t.test('a service that was stopped stays stopped through an upgrade', async (t) => {
  const site = new InstallerSite(t);
  await site.install(args);
  site.forget();
  const { status, out } = await site.install(['-q'], { version: '1.1.0' });
  t.equal(status, 0);
  t.match(out, 'not started, as it was before');
  t.equal(site.service(), null);
  t.equal((await site.install(['-q', '-s', 'y'], { version: '1.1.0' })).status, 0);
  t.equal(site.service(), 'active 1.1.0');
});

t.test('programs that were damaged are put right by the same version', async (t) => {
  const site = new InstallerSite(t);
  await site.install(args);
  fs.appendFileSync(site.at('usr/local/ASR/Vx/current/bin/homeward'), 'damage');
  t.equal((await site.install(['-q'])).status, 0);
  t.equal(fs.readlinkSync(site.at('usr/local/ASR/Vx/current')), 'releases/1.0.0.r1');
  t.notMatch(site.read('usr/local/ASR/Vx/releases/1.0.0.r1/bin/homeward'), 'damage');
  t.same(fs.readdirSync(site.at('usr/local/ASR/Vx/releases')), ['1.0.0.r1']);
});
