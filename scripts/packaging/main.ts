// Builds what is released, in a staging directory that goes afterwards: the tarball, with --rpm and --deb the
// packages of the distributions.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { describeBuild } from './build.ts';
import { writeDeb } from './deb.ts';
import { writeRpm } from './rpm.ts';
import { readSigningKey, writeSignedSums } from './signing.ts';
import { stageTarball, writeTarball } from './tarball.ts';

const usage = `scripts/package [--rpm] [--deb] [--out DIR]
Writes homeward-<version>-linux-x64.tar.gz to DIR (default: dist), with --rpm and --deb packages, too.
VERSION, SOURCE_DATE_EPOCH and HOMEWARD_SIGNING_KEY (a PEM file, Ed25519) are taken from the environment.
`;

const root = path.resolve(import.meta.dirname, '../..');
const { values: options } = parseArgs({
  options: {
    rpm: { type: 'boolean', default: false },
    deb: { type: 'boolean', default: false },
    out: { type: 'string', default: path.join(root, 'dist') },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (options.help) process.stdout.write(usage);
else main();

function main(): void {
  process.umask(0o022);
  const build = describeBuild(root, path.resolve(options.out), process.env);
  const keyFile = process.env['HOMEWARD_SIGNING_KEY'];
  const key = keyFile ? readSigningKey(keyFile) : null;
  const staging = fs.mkdtempSync(path.join(os.tmpdir(), 'homeward-package-'));
  try {
    const tree = stageTarball(build, staging, key);
    for (const part of tree.missing) say(`${part} is not in this checkout: left out`);
    fs.mkdirSync(build.out, { recursive: true });
    const written = [writeTarball(build, tree)];
    if (options.deb) written.push(writeDeb(build, tree.release, path.join(staging, 'deb')));
    if (options.rpm) written.push(writeRpm(build, tree.release, path.join(staging, 'rpm')));
    const names = written.map((file) => path.basename(file)).toSorted();
    writeSignedSums(build.out, names, key);
    for (const file of written) say(`${(fs.statSync(file).size / 2 ** 20).toFixed(1)} MiB  ${file}`);
    say(
      keyFile
        ? `signed with ${keyFile}`
        : 'signed with a key made for this build: it says nothing about who built it',
    );
  } finally {
    fs.rmSync(staging, { recursive: true, force: true });
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
