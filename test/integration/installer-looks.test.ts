// What --dry-run says, and to whom: all that would change, also to somebody who is not root.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { run, type Ended } from '../support/homeward.ts';
import { InstallerSite } from '../support/installer-site.ts';

/** Every path that it names, as `snapshot` spells it. */
const named = (out: string): string[] =>
  [...out.matchAll(/ \/([\w./-]+?)(?=[,.;]?(?:\s|$))/g)].map(([, file = '']) => file);

t.test('--dry-run names every place that an installation changes', async (t) => {
  for (const systemd of [true, false]) {
    const site = new InstallerSite(t, { systemd });
    const args = ['-q', '-r', 'MT', '--retention-volume', '/retention'];
    const look = await site.install([...args, '--dry-run']);
    t.equal(look.status, 0, look.err);
    const before = site.snapshot();
    t.equal((await site.install(args)).status, 0);
    const places = named(look.out);
    const made = site.snapshot().filter((line) => !before.includes(line) && !line.endsWith('/'));
    t.ok(made.length > 20);
    const unnamed = made
      .map((line) => line.split(/:| ->/)[0] ?? '')
      .filter((file) => !places.some((place) => file === place || file.startsWith(`${place}/`)));
    t.same(unnamed, []);
    t.ok(places.includes('var/log/homeward'));
    t.equal(look.out.includes('enable and start homeward-master-target.service'), systemd);
    t.equal(look.out.includes('start nothing, since there is no systemd here'), !systemd);
  }
});

t.test('--dry-run on an installed host says what is left as it is', async (t) => {
  const site = new InstallerSite(t);
  await site.install(['-q', '-r', 'MT']);
  const same = await site.install(['--dry-run']);
  t.match(same.out, 'leave the programs of 1.0.0 in /usr/local/ASR/Vx as they are');
  t.notMatch(same.out, /copy the programs|write .*drscout\.conf/);
  const upgrade = await site.install(['--dry-run'], { version: '1.1.0' });
  t.match(upgrade.out, 'copy the programs of 1.1.0 to /usr/local/ASR/Vx/releases/1.1.0');
  t.match(upgrade.out, 'remove the programs of 1.0.0, once the new ones run');
  fs.appendFileSync(site.at('usr/local/ASR/Vx/current/bin/homeward'), 'damage');
  t.match((await site.install(['--dry-run'])).out, 'copy the programs of 1.0.0');
});

const isRoot = process.geteuid?.() === 0;

t.test('--dry-run needs no root', { skip: !isRoot && 'this is not root anyway' }, async (t) => {
  const site = new InstallerSite(t);
  for (const place of [site.directory, site.root]) fs.chmodSync(place, 0o755);
  fs.writeFileSync(path.join(site.directory, 'calls'), '');
  fs.chmodSync(path.join(site.directory, 'calls'), 0o666);
  const look = (...args: string[]): Promise<Ended> => {
    const install = path.join(site.package(), 'install.sh');
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    return run('setpriv', [...nobody, install, '--dry-run', ...args], { env: site.env() });
  };
  const before = site.snapshot();
  const fresh = await look('-r', 'MS');
  t.equal(fresh.status, 0, fresh.err);
  t.match(fresh.out, 'copy the programs of 1.0.0 to /usr/local/ASR/Vx/releases/1.0.0');
  t.match(fresh.out, 'some of it only root can see');
  t.same(site.snapshot(), before);
  await site.install(['-q', '-r', 'MT']);
  const installed = await look();
  t.equal(installed.status, 0, installed.err);
  t.match(installed.out, /This host is not checked: only root can read .*drscout\.conf\./);
});
