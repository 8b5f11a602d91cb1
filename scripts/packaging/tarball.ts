// The tarball: a release tree, the installer's entry points, sums, signature and bill of materials.
import fs from 'node:fs';
import path from 'node:path';
import { writeArchive } from './archive.ts';
import { billOfMaterials } from './bill-of-materials.ts';
import type { Build } from './build.ts';
import { normaliseModes, regularFilesBelow } from './files.ts';
import { installModules, pruneModules } from './production-modules.ts';
import { writeReleaseTree } from './release-tree.ts';
import { makeRuntime } from './runtime.ts';
import { writeSignedSums, type SigningKey } from './signing.ts';

export interface StagedTarball {
  /** The one directory that is packed. */
  directory: string;
  release: string;
  /** What the checkout does not have yet. */
  missing: string[];
}

/** What is run from the unpacked directory, and where it lies in the release. */
const entryPoints = ['install.sh', 'uninstall.sh', 'ApplyCustomChanges.sh'];

export function stageTarball(build: Build, staging: string, key: SigningKey | null): StagedTarball {
  const directory = path.join(staging, `homeward-${build.version}`);
  const release = path.join(directory, 'release');
  const missing = writeReleaseTree(build, release);
  const modules = path.join(release, 'node_modules');
  const fetched = path.join(staging, 'modules');
  installModules(build.root, fetched);
  fs.renameSync(path.join(fetched, 'node_modules'), modules);
  fs.writeFileSync(path.join(directory, 'bom.json'), billOfMaterials(build, modules));
  makeRuntime(modules, path.join(release, 'runtime'));
  pruneModules(modules);

  for (const name of entryPoints) {
    if (fs.existsSync(path.join(release, 'installer', name))) {
      fs.symlinkSync(`release/installer/${name}`, path.join(directory, name));
    } else missing.push(`installer/${name}`);
  }
  if (fs.existsSync(path.join(directory, 'install.sh')))
    fs.symlinkSync('install.sh', path.join(directory, 'install'));
  fs.writeFileSync(path.join(directory, 'VERSION'), `${build.version}\n`);
  fs.copyFileSync(path.join(build.root, 'packaging/README.md'), path.join(directory, 'README.md'));
  normaliseModes(directory);
  writeSignedSums(directory, regularFilesBelow(directory), key);
  return { directory, release, missing };
}

/** Its path. */
export function writeTarball(build: Build, { directory }: StagedTarball): string {
  const file = path.join(build.out, `homeward-${build.version}-linux-x64.tar.gz`);
  writeArchive(directory, file, build.epoch);
  return file;
}
