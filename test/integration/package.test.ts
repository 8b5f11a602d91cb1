// The tarball as it is shipped: what is in it, what it asks of a host, and that it runs there.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { compareNumbers, highestWanted, isElf, readWanted } from '../../scripts/packaging/elf.ts';
import { filesBelow, regularFilesBelow } from '../../scripts/packaging/files.ts';
import {
  cannotBuild,
  fingerprint,
  tarballIn,
  unpackedPackage,
  type BuiltPackage,
} from '../support/built-package.ts';
import { run, runOk } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { root } from '../support/source-files.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const mostBytes = 60e6;

t.setTimeout(300_000);

t.test('the package', { skip: cannotBuild, timeout: 300_000 }, async (t) => {
  const built = await unpackedPackage(t);

  await t.test('holds what a host needs, in one directory, and is small enough', (t) =>
    holdsWhatIsNeeded(t, built),
  );

  await t.test('leaves behind what no program reads', (t) => leavesTheRest(t, built));

  await t.test('belongs to root, has one time, and is in the order of its names', (t) => isRoots(t, built));

  await t.test(
    'asks for no newer C library than 2.28, nor C++ library than that of Enterprise Linux 8',
    (t) => asksForLittle(t, built),
  );

  await t.test('has sums and a signature that sha256sum and openssl check', (t) => isSigned(t, built));
});

async function holdsWhatIsNeeded(t: Test, { directory, tarball }: BuiltPackage): Promise<void> {
  const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  t.equal(path.basename(directory), `homeward-${version}`);
  t.ok(fs.statSync(tarball).size < mostBytes);
  t.equal(fs.readFileSync(path.join(directory, 'VERSION'), 'utf8'), `${version}\n`);
  const needed = [
    ...['README.md', 'SHA256SUMS', 'SHA256SUMS.sig', 'signing-key.pub', 'bom.json'],
    ...['release/LICENSE', 'release/bin/homeward', 'release/cli/main.ts', 'release/runtime/bin/node'],
    ...['release/share/man/man1/homeward.1', 'release/share/man/man8/hostconfigcli.8'],
    ...['release/share/completions/homeward', 'release/share/completions/_homeward'],
  ];
  t.same(
    needed.filter((file) => !fs.existsSync(path.join(directory, file))),
    [],
  );
  for (const link of ['install.sh', 'install', 'uninstall.sh', 'ApplyCustomChanges.sh']) {
    const place = path.join(directory, link);
    if (!fs.existsSync(path.join(root, 'installer', link === 'install' ? 'install.sh' : link))) continue;
    t.ok(fs.lstatSync(place).isSymbolicLink() && fs.statSync(place).mode & 0o100, `${link} runs`);
  }
}

async function leavesTheRest(t: Test, { directory }: BuiltPackage): Promise<void> {
  const release = path.join(directory, 'release');
  const files = filesBelow(release);
  const modules = files.filter((file) => file.startsWith('node_modules/'));
  t.same(
    modules.filter((file) => /\.d\.ts$|\.map$|\/\.bin\/|\.package-lock|node-pty|\/tap\//.test(file)),
    [],
  );
  t.same(
    files.filter((file) => /\.test\.ts$|(?:^|\/)\.[^/]*$/.test(file)),
    [],
  );
}

async function isRoots(t: Test, { tarball }: BuiltPackage): Promise<void> {
  const list = await runOk('tar', ['--numeric-owner', '--full-time', '-tvzf', tarball]);
  const lines = list
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ +/));
  t.same(new Set(lines.map(([, owner]) => owner)), new Set(['0/0']));
  t.equal(new Set(lines.map(([, , , day, time]) => `${day} ${time}`)).size, 1);
  const modes = new Set(lines.map(([mode]) => mode));
  t.same(modes, new Set(['-rw-r--r--', '-rwxr-xr-x', 'drwxr-xr-x', 'lrwxrwxrwx']));
}

async function asksForLittle(t: Test, { directory }: BuiltPackage): Promise<void> {
  const files = regularFilesBelow(directory).filter((file) =>
    isElf(fs.readFileSync(path.join(directory, file))),
  );
  t.same(files, [
    'release/node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node',
    'release/runtime/bin/node',
    'release/runtime/lib/libatomic.so.1',
  ]);
  // What GCC 8 brings. A minimal host has these libraries, but not libatomic.
  const most = { GLIBC: '2.28', GLIBCXX: '3.4.25', CXXABI: '1.3.11', GCC: '8.0.0' };
  const libraries = /^(?:ld-linux-x86-64|libc|libdl|libgcc_s|libm|libpthread|libstdc\+\+)\.so\.\d+$/;
  for (const file of files) {
    const wanted = readWanted(fs.readFileSync(path.join(directory, file)));
    for (const [prefix, limit] of Object.entries(most)) {
      const highest = highestWanted(wanted, prefix);
      t.comment(`${file}: ${prefix} ${highest ?? 'none'}`);
      t.ok(highest === null || compareNumbers(highest, limit) <= 0, `${file} ${prefix} ${highest}`);
    }
    const others = wanted.libraries.filter((library) => !libraries.test(library));
    t.same(others, file.endsWith('/node') ? ['libatomic.so.1'] : []);
    if (others.length > 0) t.equal(wanted.runpath, '$ORIGIN/../lib', 'and finds its own');
  }
}

async function isSigned(t: Test, { directory }: BuiltPackage): Promise<void> {
  const named = fs.readFileSync(path.join(directory, 'SHA256SUMS'), 'utf8').trimEnd().split('\n');
  const apart = ['SHA256SUMS', 'SHA256SUMS.sig', 'signing-key.pub'];
  t.same(
    named.map((line) => line.slice(66)),
    regularFilesBelow(directory).filter((file) => !apart.includes(file)),
  );
  await runOk('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: directory });
  const verify = ['pkeyutl', '-verify', '-pubin', '-inkey', 'signing-key.pub', '-rawin', '-in', 'SHA256SUMS'];
  const signed = [...verify, '-sigfile', 'SHA256SUMS.sig'];
  t.match(await runOk('openssl', signed, { cwd: directory }), /Verified Successfully/);
  const changed = path.join(temporaryDirectory(t), 'sums');
  fs.writeFileSync(
    changed,
    named.join('\n').replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
  );
  const forged = signed.map((word) => (word === 'SHA256SUMS' ? changed : word));
  t.not((await run('openssl', forged, { cwd: directory })).status, 0);
}

t.test(
  'built again, elsewhere and otherwise, it has the same bytes',
  { skip: cannotBuild || skipUnless({ full: true }), timeout: 300_000 },
  async (t) => {
    const out = temporaryDirectory(t);
    const sources = fingerprint();
    const { tarball } = await unpackedPackage(t);
    const program = path.join(root, 'scripts/packaging/main.ts');
    const env = { TZ: 'Asia/Kathmandu', LC_ALL: 'C', GZIP: '-1', TMPDIR: temporaryDirectory(t) };
    await runOk('sh', ['-c', 'umask 077; exec node "$@"', 'build', program, '--out', out], {
      env,
      cwd: out,
      timeoutMs: 240_000,
    });
    if (fingerprint() !== sources) {
      t.comment('somebody has changed the sources meanwhile: nothing to compare');
      return;
    }
    const hash = (file: string): string => crypto.hash('sha256', fs.readFileSync(file));
    t.equal(hash(tarballIn(out)), hash(tarball));
  },
);
