// The tarball of this checkout, built once for all tests that want it, and again when a source has changed.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { describeBuild } from '../../scripts/packaging/build.ts';
import { filesBelow } from '../../scripts/packaging/files.ts';
import { runOk } from './homeward.ts';
import { skipUnless } from './needs.ts';
import { root } from './source-files.ts';
import { temporaryDirectory } from './temporary.ts';

/** For tap's `skip`. */
export const cannotBuild = skipUnless({
  commands: ['strip', 'patchelf', 'npm', 'flock'],
  files: ['/usr/lib/x86_64-linux-gnu/libatomic.so.1'],
});

const builds = path.join(root, 'dist/tests');
const sources = [
  ...['agent', 'bin', 'cli', 'config-server', 'core', 'docs', 'hostconfig-tui', 'installer', 'mobility'],
  ...['packaging', 'process-server', 'scripts', 'systemd', 'package.json', 'package-lock.json', 'LICENSE'],
];
/** As many builds are kept: a test of an older one may still run. */
const kept = 3;
const buildMs = 240_000;

export interface BuiltPackage {
  tarball: string;
  /** The directory that it unpacks to, in a temporary one. */
  directory: string;
}

/** Asked for once in each file of tests: where several work on one checkout its sources change meanwhile. */
export async function unpackedPackage(t: Pick<Test, 'teardown'>): Promise<BuiltPackage> {
  const tarball = tarballIn(await builtPackage());
  const directory = temporaryDirectory(t);
  await runOk('tar', ['-xzf', tarball, '-C', directory]);
  return { tarball, directory: path.join(directory, fs.readdirSync(directory)[0] ?? '') };
}

/** The directory that `scripts/package` filled; that of HOMEWARD_PACKAGE, a directory, where it is set. */
export async function builtPackage(): Promise<string> {
  const given = process.env['HOMEWARD_PACKAGE'];
  if (given) return given;
  const out = path.join(builds, fingerprint());
  fs.mkdirSync(builds, { recursive: true });
  // Of several tests that come at once one builds, and the others wait for it.
  const build = '[ -d "$1" ] || { rm -rf "$1.new" && node "$2" --out "$1.new" && mv "$1.new" "$1"; }';
  const program = path.join(root, 'scripts/packaging/main.ts');
  const lock = path.join(builds, 'lock');
  await runOk('flock', [lock, 'sh', '-c', build, 'build', out, program], { timeoutMs: buildMs });
  forgetOld(out);
  return out;
}

export function tarballIn(out: string): string {
  const name = fs.readdirSync(out).find((file) => file.endsWith('-linux-x64.tar.gz'));
  if (name === undefined) throw new Error(`no tarball in ${out}`);
  return path.join(out, name);
}

/** The same as long as no file that goes into a package changes. */
export function fingerprint(): string {
  const { epoch, revision } = describeBuild(root, builds, process.env);
  const hash = crypto.createHash('sha256').update(`${epoch} ${revision}\n`);
  for (const source of sources) {
    const place = path.join(root, source);
    if (!fs.existsSync(place)) continue;
    const files = fs.statSync(place).isDirectory() ? filesBelow(place) : [''];
    for (const file of files) {
      const full = path.join(place, file);
      hash.update(`${source}/${file} ${fs.statSync(full).mode & 0o100}\n`).update(fs.readFileSync(full));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

function forgetOld(current: string): void {
  const others = fs
    .readdirSync(builds)
    .map((name) => path.join(builds, name))
    .filter((place) => place !== current && /\/[0-9a-f]{16}$/.test(place))
    .map((place) => ({ place, time: fs.statSync(place).mtimeMs }))
    .toSorted((a, b) => b.time - a.time);
  for (const { place } of others.slice(kept - 1)) fs.rmSync(place, { recursive: true, force: true });
}
