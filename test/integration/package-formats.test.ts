// The packages for distributions, installed, upgraded and removed by the distributions' own tools in a small
// root: what is placed, what is kept, what is refused.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { writeDeb } from '../../scripts/packaging/deb.ts';
import { writeRpm } from '../../scripts/packaging/rpm.ts';
import { run, type Ended } from '../support/homeward.ts';
import { MinimalRoot } from '../support/minimal-root.ts';
import { skipUnless } from '../support/needs.ts';
import { smallRelease } from '../support/small-release.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.setTimeout(120_000);

const vx = '/opt/homeward/Vx';
const older = '7.0.1';
const newer = '7.0.2';

/** What the two package managers have in common. */
interface Kind {
  write(directory: string, version: string): string;
  /** By the tools that come with its format. */
  judge(t: Test, file: string): Promise<void>;
  prepare(root: MinimalRoot): void;
  install(root: MinimalRoot, file: string): Promise<Ended>;
  remove(root: MinimalRoot): Promise<Ended>;
}

const deb: Kind = {
  write: (directory, version) => {
    const { build, release } = smallRelease(directory, version);
    return writeDeb(build, release, path.join(directory, `deb-${version}`));
  },
  judge: async (t, file) => {
    const { status, out, err } = await run('lintian', ['--fail-on', 'error,warning', '--allow-root', file]);
    t.equal(status, 0, out + err);
  },
  prepare: (root) => {
    for (const place of ['info', 'updates', 'triggers']) {
      fs.mkdirSync(root.at(`var/lib/dpkg/${place}`), { recursive: true });
    }
    for (const name of ['status', 'available']) fs.writeFileSync(root.at(`var/lib/dpkg/${name}`), '');
  },
  install: (root, file) => dpkg(root, '--install', file),
  remove: (root) => dpkg(root, '--remove', 'homeward'),
};

function dpkg(root: MinimalRoot, ...action: string[]): Promise<Ended> {
  return run('dpkg', [
    `--root=${root.directory}`,
    '--force-depends',
    '--force-unsafe-io',
    '--log=/dev/null',
    ...action,
  ]);
}

const rpm: Kind = {
  write: (directory, version) => {
    const { build, release } = smallRelease(directory, version);
    return writeRpm(build, release, path.join(directory, `rpm-${version}`));
  },
  judge: async (t, file) => {
    const { status, out, err } = await run('rpm', ['--checksig', '--nosignature', file]);
    t.equal(status, 0, out + err);
  },
  prepare: () => undefined,
  install: (root, file) => run('rpm', ['--root', root.directory, '--nodeps', '-U', file]),
  remove: (root) => run('rpm', ['--root', root.directory, '--nodeps', '-e', 'homeward']),
};

for (const [name, kind, commands] of [
  ['deb', deb, ['dpkg', 'dpkg-deb', 'lintian', 'chroot']],
  ['rpm', rpm, ['rpm', 'rpmbuild', 'chroot']],
] as const) {
  const skip = skipUnless({ root: true, commands });
  t.test(`the ${name} package`, { skip }, async (t) => {
    const directory = temporaryDirectory(t);
    const first = kind.write(directory, older);
    const second = kind.write(directory, newer);
    await t.test('its own tools find nothing wrong with it', (t) => kind.judge(t, first));
    await t.test('is installed, upgraded and removed; what is configured stays', (t) =>
      liveOnce(t, kind, { first, second }),
    );
    await t.test('leaves an installation alone that is not its own', (t) => refuse(t, kind, first));
  });
}

interface Packages {
  first: string;
  second: string;
}

async function liveOnce(t: Test, kind: Kind, { first, second }: Packages): Promise<void> {
  const root = new MinimalRoot(t);
  kind.prepare(root);
  const link = (place: string): string | null => linkIn(root, place);

  done(t, await kind.install(root, first));
  t.equal(link(`${vx}/current`), `releases/${older}`);
  t.equal(link('/usr/local/ASR'), '/opt/homeward');
  t.equal(link('/usr/bin/homeward'), `${vx}/bin/homeward`);
  t.match(
    fs.readFileSync(root.at('/usr/local/.vx_version'), 'utf8'),
    `VERSION=${older}\nROLE=\nINSTALL_DIR=/opt/homeward\n`,
  );
  t.equal(fs.statSync(root.at(`${vx}/private`)).mode & 0o777, 0o700);
  const unit = fs.readFileSync(root.at('/usr/lib/systemd/system/homeward-master-target.service'), 'utf8');
  t.match(unit, `ExecStart=${vx}/bin/homeward master-target`);
  t.notMatch(unit, /@[A-Z]+@/);
  for (const place of ['sysusers.d', 'tmpfiles.d'])
    t.ok(root.exists(`/usr/lib/${place}/homeward.conf`), place);
  for (const place of ['man/man1/homeward.1.gz', 'bash-completion/completions/homeward']) {
    t.ok(root.exists(`/usr/share/${place}`), place);
  }
  const started = await run('chroot', [root.directory, '/usr/local/ASR/Vx/bin/homeward', 'status']);
  t.match(started, { status: 0, out: `${vx}/releases/${older}/cli/main.ts status` });
  const calls = root.calls();
  t.ok(calls.includes('systemctl daemon-reload'));
  t.ok(calls.some((call) => call.startsWith('systemd-sysusers')));
  t.notOk(
    calls.some((call) => /restart|enable|start/.test(call)),
    'nothing is started that nobody asked for',
  );

  gather(root);
  await upgrade(t, kind, { root, second });
  done(t, await kind.remove(root));
  for (const place of ['/usr/local/ASR', '/usr/local/.vx_version', '/usr/bin/homeward', `${vx}/current`]) {
    t.notOk(root.exists(place), `${place} is gone`);
  }
  t.notOk(root.exists(`${vx}/releases/${newer}`));
  t.ok(root.calls().includes('systemctl --quiet disable --now homeward-master-target.service'));
  kept(t, root);
  if (kind !== deb) return;
  done(t, await dpkg(root, '--purge', 'homeward'));
  t.notOk(root.exists('/opt/homeward'));
  t.ok(root.exists('/var/lib/homeward/master-target'), 'the state stays even then');
}

/** What a host has after a while. */
function gather(root: MinimalRoot): void {
  fs.writeFileSync(root.at(`${vx}/etc/drscout.conf`), '[vxagent]\nRole = MasterTarget\n');
  fs.writeFileSync(root.at(`${vx}/private/key`), 'secret');
  fs.appendFileSync(root.at('/etc/logrotate.d/homeward'), '# ours\n');
  fs.mkdirSync(root.at('/var/lib/homeward/master-target'), { recursive: true });
  const version = root.at('/usr/local/.vx_version');
  fs.writeFileSync(version, fs.readFileSync(version, 'utf8').replace('ROLE=', 'ROLE=MasterTarget'));
}

async function upgrade(
  t: Test,
  kind: Kind,
  { root, second }: { root: MinimalRoot; second: string },
): Promise<void> {
  const version = root.at('/usr/local/.vx_version');
  done(t, await kind.install(root, second));
  t.equal(linkIn(root, `${vx}/current`), `releases/${newer}`);
  t.notOk(root.exists(`${vx}/releases/${older}`));
  t.ok(root.exists(`${vx}/current/only-${newer}`));
  t.equal(linkIn(root, '/usr/local/ASR'), '/opt/homeward');
  t.match(fs.readFileSync(version, 'utf8'), `VERSION=${newer}\nROLE=MasterTarget\n`);
  const upgraded = root.calls();
  t.ok(upgraded.includes('systemctl try-restart homeward-*.service'));
  t.notOk(
    upgraded.some((call) => call.includes('disable')),
    'no unit is disabled by an upgrade',
  );
  kept(t, root);
  t.match(fs.readFileSync(root.at('/etc/logrotate.d/homeward'), 'utf8'), '# ours');
}

function linkIn(root: MinimalRoot, place: string): string | null {
  return root.exists(place) ? fs.readlinkSync(root.at(place)) : null;
}

function kept(t: Test, root: MinimalRoot): void {
  t.equal(fs.readFileSync(root.at(`${vx}/etc/drscout.conf`), 'utf8'), '[vxagent]\nRole = MasterTarget\n');
  t.equal(fs.readFileSync(root.at(`${vx}/private/key`), 'utf8'), 'secret');
  t.ok(root.exists('/var/lib/homeward/master-target'));
}

async function refuse(t: Test, kind: Kind, file: string): Promise<void> {
  const root = new MinimalRoot(t);
  kind.prepare(root);
  const refused = async (what: RegExp): Promise<void> => {
    const { status, out, err } = await kind.install(root, file);
    t.not(status, 0);
    t.match(out + err, what);
    t.notOk(root.exists(`${vx}/current`), 'nothing was unpacked');
  };
  fs.mkdirSync(root.at('/usr/local/ASR/Vx'), { recursive: true });
  await refused(/\/usr\/local\/ASR is there already/);
  fs.rmSync(root.at('/usr/local/ASR'), { recursive: true });
  fs.symlinkSync('/srv/other', root.at('/usr/local/ASR'));
  await refused(/is a link to \/srv\/other/);
  t.equal(fs.readlinkSync(root.at('/usr/local/ASR')), '/srv/other');
  fs.rmSync(root.at('/usr/local/ASR'));
  fs.writeFileSync(root.at('/usr/local/.vx_version'), 'VERSION=1\nINSTALL_DIR=/data/asr\n');
  await refused(/installed elsewhere \(\/data\/asr\)/);
  t.match(fs.readFileSync(root.at('/usr/local/.vx_version'), 'utf8'), 'VERSION=1\n');
}

function done(t: Test, { status, out, err }: Ended): void {
  t.equal(status, 0, `${out}${err}`);
  t.notMatch(err, /error/i);
}
