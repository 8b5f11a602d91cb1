// Parts of the packaging that need no package: what is left out, ELF files, versions, signatures.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { describeBuild } from '../../../scripts/packaging/build.ts';
import { compareNumbers, highestWanted, isElf, readWanted } from '../../../scripts/packaging/elf.ts';
import { isLeftOut } from '../../../scripts/packaging/left-out.ts';
import { readSigningKey, writeSignedSums } from '../../../scripts/packaging/signing.ts';
import { skipUnless } from '../../support/needs.ts';
import { root } from '../../support/source-files.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('what packages bring and nothing reads is left out; licences stay', async (t) => {
  const kept = [
    ...['zod/v4/core/index.js', 'koffi/src/koffi/index.cjs', 'yaml/dist/doc/Document.js', 'ajv/dist/ajv.js'],
    ...['undici/LICENSE', 'undici/lib/web/fetch/LICENSE', 'blessed/usr/xterm', 'kysely/package.json'],
    ...['@koromix/koffi-linux-x64/linux_x64/koffi.node', 'ajv/dist/refs/json-schema-draft-07.json'],
    ...['a/node_modules/b/LICENSE.md', 'koffi/LICENSE.txt'],
  ];
  const gone = [
    ...['.package-lock.json', 'zod/src/index.ts', 'zod/index.d.cts', 'fastify/test/a.js', 'ajv/lib/ajv.ts'],
    ...['@koromix/koffi-linux-x64/musl_x64/koffi.node', 'undici/README.md', 'pino/.github/x.yml'],
    ...['a/node_modules/b/test/c.js', 'a/b.js.map', 'pino/.husky/pre-commit'],
  ];
  t.same(kept.filter(isLeftOut), []);
  t.same(
    gone.filter((file) => !isLeftOut(file)),
    [],
  );
});

t.test(
  'ELF files are read as binutils reads them',
  { skip: skipUnless({ commands: ['objdump'] }) },
  async (t) => {
    for (const file of [process.execPath, '/bin/ls', '/usr/lib/x86_64-linux-gnu/libstdc++.so.6']) {
      if (!fs.existsSync(file)) continue;
      const { libraries, versions } = readWanted(fs.readFileSync(file));
      const { stdout } = spawnSync('objdump', ['-p', file], { encoding: 'utf8', maxBuffer: 2 ** 24 });
      t.same(
        libraries,
        [...stdout.matchAll(/^ +NEEDED +(\S+)/gm)].map(([, name]) => name),
      );
      const wanted = (stdout.split('Version References:')[1] ?? '').matchAll(/0x\S+ 0x\S+ \d+ (\S+)/g);
      t.same(Object.values(versions).flat().toSorted(), [...wanted].map(([, name = '']) => name).toSorted());
    }
    t.notOk(isElf(Buffer.from('#!/bin/sh\n')));
    t.throws(() => readWanted(Buffer.alloc(100)), /not an ELF file/);
  },
);

t.test('the highest version is found by its numbers', async (t) => {
  t.ok(compareNumbers('2.9', '2.28') < 0);
  const wanted = {
    libraries: [],
    runpath: null,
    versions: { a: ['GLIBC_2.9'], b: ['GLIBC_2.28', 'GLIBCXX_3.4'] },
  };
  t.equal(highestWanted(wanted, 'GLIBC'), '2.28');
  t.equal(highestWanted(wanted, 'GLIBCXX'), '3.4');
  t.equal(highestWanted(wanted, 'GCC'), null);
});

t.test('version and time come from the environment, the commit, or are asked for', async (t) => {
  const env = { VERSION: '1.2.3', SOURCE_DATE_EPOCH: '1700000000' };
  t.match(describeBuild(root, '/out', env), { version: '1.2.3', epoch: 1_700_000_000, out: '/out' });
  for (const version of ['1.2', '../x', '1.2.3-rc1', '1.2.3 ']) {
    t.throws(() => describeBuild(root, '/out', { ...env, VERSION: version }), /is no version/);
  }
  t.throws(() => describeBuild(root, '/out', { ...env, SOURCE_DATE_EPOCH: 'now' }), /set SOURCE_DATE_EPOCH/);
});

t.test('sums are signed with the key that is given, else with one that belongs to the content', async (t) => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const openssl = (...args: string[]): string =>
    spawnSync('openssl', args, { cwd: directory, encoding: 'utf8' }).stdout;
  const verified = (key: string): string =>
    openssl(
      'pkeyutl',
      '-verify',
      '-pubin',
      '-inkey',
      key,
      '-rawin',
      '-in',
      'SHA256SUMS',
      '-sigfile',
      'SHA256SUMS.sig',
    );
  openssl('genpkey', '-algorithm', 'ed25519', '-out', 'key.pem');
  openssl('pkey', '-in', 'key.pem', '-pubout', '-out', 'known.pub');
  fs.writeFileSync(at('file'), 'content');

  writeSignedSums(directory, ['file'], readSigningKey(at('key.pem')));
  t.match(verified('known.pub'), /Verified Successfully/);
  t.equal(fs.readFileSync(at('signing-key.pub'), 'utf8'), fs.readFileSync(at('known.pub'), 'utf8'));

  writeSignedSums(directory, ['file'], null);
  const signature = fs.readFileSync(at('SHA256SUMS.sig'));
  t.match(verified('signing-key.pub'), /Verified Successfully/);
  t.notMatch(verified('known.pub'), /Verified Successfully/);
  writeSignedSums(directory, ['file'], null);
  t.same(fs.readFileSync(at('SHA256SUMS.sig')), signature);

  openssl('genpkey', '-algorithm', 'x25519', '-out', 'other.pem');
  t.throws(() => readSigningKey(at('other.pem')), /no Ed25519 key/);
});
