// A tarball that has the same bytes whenever and wherever it is made from the same tree.
import fs from 'node:fs';
import { spawnSync } from 'node:child_process';
import path from 'node:path';

/** Packs `directory`, which becomes the one directory in it, into `file`. */
export function writeArchive(directory: string, file: string, epoch: number): void {
  const tar = [
    'tar --create --format=ustar --sort=name --numeric-owner --owner=0 --group=0',
    `--mtime=@${epoch} --directory "$1" "$2"`,
  ].join(' ');
  // -n: neither a name nor a time of its own. -9 would take three times as long, for half a percent.
  const script = `set -o pipefail; ${tar} | gzip -n -6 >"$3"`;
  const partial = `${file}.partial`;
  const args = ['-c', script, 'archive', path.dirname(directory), path.basename(directory), partial];
  const { status, stderr } = spawnSync('bash', args, {
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC', GZIP: '', TAR_OPTIONS: '' },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the tarball could not be written: ${stderr}`);
  fs.renameSync(partial, file);
}
