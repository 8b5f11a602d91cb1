// The release tree: a directory that looks like a checkout and brings its own Node.
import fs from 'node:fs';
import path from 'node:path';
import type { Build } from './build.ts';
import { writeCompletions } from './completions.ts';
import { writeManPages } from './man-pages.ts';

/** Of the checkout, as they are. */
const programs = ['agent', 'cli', 'config-server', 'core', 'hostconfig-tui', 'mobility', 'process-server'];
const parts = ['bin', ...programs, 'docs', 'installer', 'systemd'];

/** Writes it to `release`, but for `node_modules` and `runtime`; says what was not there. */
export function writeReleaseTree(build: Build, release: string): string[] {
  fs.mkdirSync(release, { recursive: true });
  const missing: string[] = [];
  for (const part of parts) {
    const from = path.join(build.root, part);
    if (!fs.existsSync(from)) {
      missing.push(part);
      continue;
    }
    fs.cpSync(from, path.join(release, part), { recursive: true, filter: belongs, verbatimSymlinks: true });
  }
  fs.copyFileSync(path.join(build.root, 'LICENSE'), path.join(release, 'LICENSE'));
  const script = path.join(release, 'docs/examples/customscript.sh');
  fs.mkdirSync(path.dirname(script), { recursive: true });
  fs.copyFileSync(path.join(build.root, 'scripts/customscript.sh'), script);
  fs.writeFileSync(path.join(release, 'package.json'), manifest(build));
  fs.writeFileSync(path.join(release, 'BUILD'), `${build.revision}\n`);
  writeManPages(build, path.join(release, 'share/man'));
  writeCompletions(path.join(release, 'share/completions'));
  return missing;
}

/** Editors' and tests' leavings stay behind. */
function belongs(file: string): boolean {
  const name = path.basename(file);
  return (
    !name.startsWith('.') && !name.endsWith('~') && !name.endsWith('.test.ts') && name !== 'node_modules'
  );
}

/** What Node reads of ours, and who asks for the version. */
function manifest({ root, version }: Build): string {
  const ours = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  const kept = ['name', 'description', 'license', 'type', 'private', 'engines', 'bin', 'dependencies'];
  const entries = kept.filter((key) => key in ours).map((key) => [key, ours[key]]);
  return `${JSON.stringify({ ...Object.fromEntries(entries), version }, null, 2)}\n`;
}
