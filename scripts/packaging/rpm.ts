// The package for Enterprise Linux and its kin, by rpmbuild.
import fs from 'node:fs';
import path from 'node:path';
import type { Build } from './build.ts';
import { filesBelow } from './files.ts';
import { fillTemplate, home, writePackageTree, type PackageTree } from './package-tree.ts';
import { runTool } from './run-tool.ts';

/** Its path. */
export function writeRpm(build: Build, release: string, staging: string): string {
  const tree = writePackageTree(build, release, path.join(staging, 'tree'));
  fs.rmSync(path.join(tree.directory, 'usr/share/zsh/vendor-completions'), { recursive: true });
  const doc = path.join(tree.directory, 'usr/share/doc/homeward');
  fs.mkdirSync(doc, { recursive: true });
  fs.copyFileSync(path.join(release, '../bom.json'), path.join(doc, 'bom.json'));
  fs.copyFileSync(path.join(release, 'LICENSE'), path.join(doc, 'LICENSE'));

  const spec = path.join(staging, 'homeward.spec');
  fs.writeFileSync(spec, fillTemplate(build, 'rpm/homeward.spec', { FILES: fileList(build, tree) }));
  const define = (name: string, value: string): string[] => ['--define', `${name} ${value}`];
  runTool(
    'rpmbuild',
    [
      '-bb',
      '--quiet',
      '--target=x86_64-linux',
      ...define('_topdir', path.join(staging, 'rpmbuild')),
      ...define('_dbpath', path.join(staging, 'db')),
      ...define('staged', tree.directory),
      spec,
    ],
    { env: { SOURCE_DATE_EPOCH: String(build.epoch), HOME: staging } },
  );
  const name = `homeward-${build.version}-1.x86_64.rpm`;
  const file = path.join(build.out, name);
  fs.copyFileSync(path.join(staging, 'rpmbuild/RPMS/x86_64', name), file);
  return file;
}

/** Directories of ours whole, elsewhere file by file: the directories there belong to the distribution. */
function fileList(build: Build, { directory, kept, configuration }: PackageTree): string {
  const vx = `${home}/Vx`;
  const elsewhere = filesBelow(directory)
    .map((file) => `/${file}`)
    .filter((file) => !file.startsWith(`${home}/`) && !configuration.includes(file));
  return [
    '%defattr(-,root,root,-)',
    ...[home, vx, `${vx}/releases`].map((place) => `%dir ${place}`),
    ...kept.map((place) => `%dir ${place.endsWith('/private') ? '%attr(0700,root,root) ' : ''}${place}`),
    `${vx}/releases/${build.version}`,
    ...['current', 'bin', 'runtime'].map((link) => `${vx}/${link}`),
    ...configuration.map((file) => `%config(noreplace) ${file}`),
    ...elsewhere.map(documented),
  ].join('\n');
}

function documented(file: string): string {
  return file.startsWith('/usr/share/doc/') ? `%doc ${file}` : file;
}
