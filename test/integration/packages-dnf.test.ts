// `homeward check --fix` with the real dnf: packages that are made here, in a repository that is made here,
// are installed into a root of their own; apt-get is asked what it would do, with a repository of its kind.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { emptyContext } from '../../agent/prerequisites/check.ts';
import { liveHost, type CommandResult, type Host } from '../../agent/prerequisites/host.ts';
import { packages } from '../../agent/prerequisites/packages.ts';
import { runChecks, type CheckedItem } from '../../agent/prerequisites/run-checks.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const context = emptyContext('master-target', '0.1.0', '/nowhere');
const plain = ['xfsprogs', 'lsscsi', 'rsync', 'wget', 'kexec-tools', 'util-linux'];

/** EL splits it: the package that people ask for is one that another provides. */
const perl = { name: 'perl-interpreter', more: 'Provides: perl = 4:5.32' };

function buildRpms(directory: string, names: readonly { name: string; more?: string }[]): string {
  const repository = path.join(directory, 'repository');
  const specs = names.map(({ name, more = '' }) => {
    const file = path.join(directory, `${name}.spec`);
    const about = 'Version: 1\nRelease: 1\nSummary: made for a test\nLicense: none\nBuildArch: noarch';
    fs.writeFileSync(file, `Name: ${name}\n${about}\n${more}\n%description\nmade for a test\n%files\n`);
    return file;
  });
  const define = [`_topdir ${directory}/build`, `_rpmdir ${repository}`, '_build_id_links none'];
  const defines = define.flatMap((one) => ['--define', one]);
  for (const spec of specs) execFileSync('rpmbuild', ['-bb', ...defines, spec], { stdio: 'pipe' });
  execFileSync('createrepo_c', ['-q', repository], { stdio: 'pipe' });
  return repository;
}

/** This host with the packages of another: rpm and dnf work below `root`, which says that it is EL 9. */
function hostWithRoot(directory: string, repository: string): Host {
  const root = path.join(directory, 'root');
  fs.mkdirSync(root, { recursive: true });
  const configuration = path.join(directory, 'dnf.conf');
  const places = ['cachedir', 'persistdir', 'logdir'].map((key) => `${key}=${directory}/${key}`);
  const main = ['[main]', 'gpgcheck=0', 'plugins=0', 'reposdir=/nonexistent', ...places];
  const local = ['[local]', 'name=local', `baseurl=file://${repository}`, 'enabled=1'];
  fs.writeFileSync(configuration, [...main, ...local, ''].join('\n'));
  const host = liveHost();
  const inRoot = ['-c', configuration, `--installroot=${root}`, '--releasever=9'];
  return {
    ...host,
    read: (file) =>
      file === '/etc/os-release' ? 'ID="rocky"\nID_LIKE="rhel"\nVERSION_ID="9.4"\n' : host.read(file),
    run: (program, args, options) => {
      if (program === 'rpm') return host.run('rpm', ['--root', root, ...args], options);
      if (program === 'dnf') return host.run('dnf', [...inRoot, ...args], options);
      return host.run(program, args, options);
    },
  };
}

async function check(host: Host, fix: boolean): Promise<CheckedItem> {
  const { checks } = await runChecks([packages], host, context, { fix });
  const [item] = checks;
  if (item === undefined) throw new Error('the check was not run');
  return item;
}

const needsDnf = skipUnless({ root: true, commands: ['dnf', 'rpmbuild', 'createrepo_c'] });

t.test('--fix installs with dnf what rpm does not know', { skip: needsDnf }, async (t) => {
  const directory = temporaryDirectory(t);
  const repository = buildRpms(directory, [...plain.map((name) => ({ name })), perl]);
  const host = hostWithRoot(directory, repository);
  const before = await check(host, false);
  t.match(before, {
    result: 'fail',
    found: 'not installed: xfsprogs, perl, lsscsi, rsync, wget, kexec-tools, util-linux',
  });
  const fixed = await check(host, true);
  t.equal(fixed.result, 'pass', `${fixed.found} ${fixed.fixed}`);
  t.match(fixed.fixed, 'installed xfsprogs, perl');
  t.match((await check(host, true)).fixed, null, 'a second time there is nothing to do');
});

t.test('a package that no repository has is named, and nothing is claimed', { skip: needsDnf }, async (t) => {
  const directory = temporaryDirectory(t);
  const some = plain.filter((name) => name !== 'kexec-tools').map((name) => ({ name }));
  const host = hostWithRoot(directory, buildRpms(directory, [...some, perl]));
  const { result, fixed } = await check(host, true);
  t.equal(result, 'fail');
  t.match(fixed, /^not put right: .*kexec-tools.*try: sudo dnf install /s);
});

t.test('a repository that cannot be reached is told, with what to type', { skip: needsDnf }, async (t) => {
  const directory = temporaryDirectory(t);
  const host = hostWithRoot(directory, path.join(directory, 'gone'));
  const { result, fixed } = await check(host, true);
  t.equal(result, 'fail');
  t.match(fixed, /^not put right: .*local.*try: sudo dnf install /s);
});

/** A repository of packages without anything in them, and what apt needs to go by it alone. */
function aptOptions(directory: string, names: readonly string[]): { apt: string[]; admin: string } {
  const repository = path.join(directory, 'debs');
  const admin = path.join(directory, 'dpkg');
  for (const made of [
    repository,
    admin,
    path.join(directory, 'lists/partial'),
    path.join(directory, 'parts'),
  ])
    fs.mkdirSync(made, { recursive: true });
  const fields = (name: string): string =>
    `Package: ${name}\nVersion: 1\nArchitecture: all\nMaintainer: test <test@example>\n` +
    'Description: made for a test\n';
  const entries = names.map((name) => {
    const tree = path.join(directory, 'tree', name, 'DEBIAN');
    fs.mkdirSync(tree, { recursive: true });
    fs.writeFileSync(path.join(tree, 'control'), fields(name));
    const file = path.join(repository, `${name}.deb`);
    execFileSync('dpkg-deb', ['--build', path.dirname(tree), file], { stdio: 'pipe' });
    const bytes = fs.readFileSync(file);
    const sum = createHash('sha256').update(bytes).digest('hex');
    return `${fields(name)}Filename: ./${name}.deb\nSize: ${bytes.length}\nSHA256: ${sum}\n`;
  });
  fs.writeFileSync(path.join(repository, 'Packages'), entries.join('\n'));
  fs.writeFileSync(path.join(admin, 'status'), '');
  const sources = path.join(directory, 'sources.list');
  fs.writeFileSync(sources, `deb [trusted=yes] file:${repository} ./\n`);
  const options = {
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': path.join(directory, 'parts'),
    'Dir::State::lists': path.join(directory, 'lists'),
    'Dir::State::status': path.join(admin, 'status'),
    'Dir::Cache': directory,
    'APT::Sandbox::User': 'root',
  };
  return { apt: Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]), admin };
}

const needsApt = skipUnless({ root: true, commands: ['apt-get', 'dpkg-query', 'dpkg-deb'] });

t.test('--fix asks apt-get for the names that Debian has', { skip: needsApt }, async (t) => {
  const directory = temporaryDirectory(t);
  const { apt, admin } = aptOptions(directory, [...plain, 'perl']);
  execFileSync('apt-get', [...apt, 'update'], { stdio: 'pipe' });
  const answers: CommandResult[] = [];
  const live = liveHost();
  const host: Host = {
    ...live,
    read: (file) => (file === '/etc/os-release' ? 'ID=debian\nVERSION_ID="12"\n' : live.read(file)),
    run: async (program, args, options) => {
      if (program === 'dpkg-query' && args[0] === '-W')
        return live.run(program, [`--admindir=${admin}`, ...args], options);
      if (program !== 'apt-get' || !args.includes('install')) return live.run(program, args, options);
      const said = await live.run(program, [...apt, '-s', ...args], options);
      if (said !== null) answers.push(said);
      return said;
    },
  };
  const { fixed } = await check(host, true);
  t.match(fixed, 'installed xfsprogs, perl, lsscsi');
  t.equal(answers.length, 1);
  for (const name of [...plain, 'perl']) t.match(answers[0]?.stdout, new RegExp(`^Inst ${name} `, 'm'));
});
