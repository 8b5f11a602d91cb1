// The package for Debian and Ubuntu, by dpkg-deb.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Build } from './build.ts';
import { filesBelow, regularFilesBelow } from './files.ts';
import { fillTemplate, writePackageTree } from './package-tree.ts';
import { runTool } from './run-tool.ts';

/** `release` lies beside its bill of materials. The path of the package comes back. */
export function writeDeb(build: Build, release: string, staging: string): string {
  const { directory, configuration } = writePackageTree(build, release, staging);
  fs.rmSync(path.join(directory, 'usr/share/zsh/site-functions'), { recursive: true });
  const doc = path.join(directory, 'usr/share/doc/homeward');
  fs.mkdirSync(doc, { recursive: true });
  const values = { RFC2822: rfc2822(build.epoch) };
  fs.writeFileSync(path.join(doc, 'copyright'), fillTemplate(build, 'deb/copyright'));
  fs.writeFileSync(
    path.join(doc, 'changelog.gz'),
    gzipSync(fillTemplate(build, 'deb/changelog', values), { level: 9 }),
  );
  fs.copyFileSync(path.join(release, '../bom.json'), path.join(doc, 'bom.json'));
  const overrides = path.join(directory, 'usr/share/lintian/overrides/homeward');
  fs.mkdirSync(path.dirname(overrides), { recursive: true });
  fs.writeFileSync(overrides, fillTemplate(build, 'deb/lintian-overrides'));

  const control = path.join(directory, 'DEBIAN');
  writeControl(build, { directory, control, configuration });
  const file = path.join(build.out, `homeward_${build.version}_amd64.deb`);
  // gzip: dpkg of Debian 11 reads no zstd, and xz takes a minute.
  runTool('dpkg-deb', ['--root-owner-group', '-Zgzip', '-z6', '--build', directory, file], {
    env: { SOURCE_DATE_EPOCH: String(build.epoch) },
  });
  return file;
}

interface ControlOptions {
  directory: string;
  control: string;
  configuration: readonly string[];
}

function writeControl(build: Build, { directory, control, configuration }: ControlOptions): void {
  const files = regularFilesBelow(directory);
  const bytes = files.map((file) => fs.statSync(path.join(directory, file)).size);
  const kib = bytes.reduce((sum, size) => sum + Math.ceil(size / 1024), filesBelow(directory).length);
  const sums = files.map((file) => `${md5(path.join(directory, file))}  ${file}\n`).join('');
  fs.mkdirSync(control);
  const write = (name: string, text: string, mode: number): void => {
    fs.writeFileSync(path.join(control, name), text);
    fs.chmodSync(path.join(control, name), mode);
  };
  write('control', fillTemplate(build, 'deb/control', { INSTALLED_SIZE: String(kib) }), 0o644);
  write('md5sums', sums, 0o644);
  if (configuration.length > 0) write('conffiles', configuration.map((file) => `${file}\n`).join(''), 0o644);
  for (const name of ['preinst', 'postinst', 'prerm', 'postrm']) {
    write(name, fillTemplate(build, `deb/${name}`), 0o755);
  }
}

/** What dpkg's format asks for; it is no protection. */
function md5(file: string): string {
  return crypto.hash('md5', fs.readFileSync(file));
}

function rfc2822(epoch: number): string {
  return new Date(epoch * 1000).toUTCString().replace('GMT', '+0000');
}
