// The packages as they are shipped: what rpm says of one, and that Node runs where a distribution has
// installed nothing but its C and C++ libraries.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Build } from '../../scripts/packaging/build.ts';
import { writeDeb } from '../../scripts/packaging/deb.ts';
import { writeRpm } from '../../scripts/packaging/rpm.ts';
import { cannotBuild, unpackedPackage } from '../support/built-package.ts';
import { run, runOk } from '../support/homeward.ts';
import { MinimalRoot } from '../support/minimal-root.ts';
import { skipUnless } from '../support/needs.ts';
import { root } from '../support/source-files.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.setTimeout(300_000);

const needs = skipUnless({
  root: true,
  full: true,
  commands: ['dpkg', 'dpkg-deb', 'rpm', 'rpmbuild', 'unshare'],
});

interface Whole {
  build: Build;
  release: string;
}

t.test('packages of the whole release', { skip: cannotBuild || needs }, async (t) => {
  const { directory } = await unpackedPackage(t);
  const release = path.join(directory, 'release');
  const version = fs.readFileSync(path.join(directory, 'VERSION'), 'utf8').trim();
  const out = temporaryDirectory(t);
  const build: Build = { root, version, epoch: 1_700_000_000, revision: 'test', out };

  await t.test('installed, it runs without libatomic on the host', (t) =>
    runsInstalled(t, { build, release }),
  );

  await t.test('installed anywhere, it is about the configuration there', (t) => findsItsOwn(t, release));

  await t.test('the rpm asks for libraries by name alone, and provides only itself', (t) =>
    asksByName(t, { build, release }),
  );
});

async function findsItsOwn(t: Test, release: string): Promise<void> {
  const vx = path.join(temporaryDirectory(t), 'Vx');
  for (const place of ['etc', 'releases']) fs.mkdirSync(path.join(vx, place), { recursive: true });
  await runOk('cp', ['-al', release, path.join(vx, 'releases/1.0.0')]);
  fs.writeFileSync(path.join(vx, 'etc/drscout.conf'), '[vxagent]\nRole = ProcessServer\n');
  const { out } = await run(path.join(vx, 'releases/1.0.0/bin/homeward'), ['check', '--offline', '--json']);
  t.match(JSON.parse(out), { role: 'process-server' });
}

async function runsInstalled(t: Test, { build, release }: Whole): Promise<void> {
  const deb = writeDeb(build, release, path.join(build.out, 'deb'));
  const installed = new MinimalRoot(t);
  for (const place of ['info', 'updates', 'triggers']) {
    fs.mkdirSync(installed.at(`var/lib/dpkg/${place}`), { recursive: true });
  }
  for (const name of ['status', 'available']) fs.writeFileSync(installed.at(`var/lib/dpkg/${name}`), '');
  const dpkg = [`--root=${installed.directory}`, '--force-depends', '--force-unsafe-io', '--log=/dev/null'];
  await runOk('dpkg', [...dpkg, '--install', deb]);
  const node = path.join(release, 'runtime/bin/node');
  const koffi = path.join(release, 'node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node');
  for (const file of [node, koffi]) installed.addLibrariesOf(file, ['libatomic']);
  t.same(
    fs
      .readdirSync(installed.at('usr/lib'), { recursive: true, encoding: 'utf8' })
      .filter((file) => /atomic/.test(file)),
    [],
  );
  // /proc is how the loader finds what lies beside a program.
  fs.mkdirSync(installed.at('proc'));
  const apart = ['--pid', '--fork', '--mount', `--root=${installed.directory}`, '--mount-proc'];
  const homeward = (...args: string[]): ReturnType<typeof run> =>
    run('env', [
      '-i',
      'PATH=/usr/bin:/usr/sbin:/sbin:/bin',
      'unshare',
      ...apart,
      '/usr/bin/homeward',
      ...args,
    ]);
  t.match(await homeward('--version'), { status: 0, out: build.version, err: '' });
  // As far as asking a daemon that is not there: the whole command is loaded, koffi with it.
  t.match(await homeward('status'), { status: 7 });
  t.match(await homeward('rescue', '/var/lib/none'), { status: 3 });
}

async function asksByName(t: Test, { build, release }: Whole): Promise<void> {
  const rpm = writeRpm(build, release, path.join(build.out, 'rpm'));
  const ask = async (what: string): Promise<string[]> =>
    (await runOk('rpm', ['-qp', what, rpm]))
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith('rpmlib('));
  t.same(new Set(await ask('--requires')), new Set(['/bin/sh', 'glibc >= 2.28', 'libgcc', 'libstdc++ >= 5']));
  const own = [`homeward = ${build.version}-1`, `homeward(x86-64) = ${build.version}-1`];
  t.same(
    (await ask('--provides')).filter((line) => !own.includes(line)),
    [],
  );
  const list = await runOk('rpm', ['-qp', '--qf', '[%{FILEUSERNAME} %{FILEGROUPNAME}\\n]', rpm]);
  t.same(new Set(list.trimEnd().split('\n')), new Set(['root root']));
  await runOk('rpm', ['-K', '--nosignature', rpm]);
}
