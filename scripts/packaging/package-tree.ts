// The tree that an rpm and a deb carry: a release below /opt/homeward, and the places of the distribution.
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Build } from './build.ts';
import { normaliseModes } from './files.ts';

export const home = '/opt/homeward';
const vx = `${home}/Vx`;

export interface PackageTree {
  directory: string;
  /** Absolute paths of directories that hold what is configured: kept on upgrade and on removal. */
  kept: readonly string[];
  /** Absolute paths of configuration files that the package brings. */
  configuration: readonly string[];
}

/** By how their names end: where the distribution wants them. */
const places = [
  [/\.(?:service|socket|target|timer|path|slice)$/, '/usr/lib/systemd/system', ''],
  [/\.sysusers\.conf$/, '/usr/lib/sysusers.d', '.conf'],
  [/\.tmpfiles\.conf$/, '/usr/lib/tmpfiles.d', '.conf'],
  [/\.logrotate$/, '/etc/logrotate.d', ''],
] as const;

/** Copies `release` to where it is installed below `directory`. */
export function writePackageTree(build: Build, release: string, directory: string): PackageTree {
  const inTree = (absolute: string): string => path.join(directory, absolute);
  const installed = `${vx}/releases/${build.version}`;
  fs.mkdirSync(inTree(path.dirname(installed)), { recursive: true });
  // Hard links: nothing writes into the files of a release once they are staged.
  linkTree(release, inTree(installed));
  const links: Record<string, string> = {
    [`${vx}/current`]: `releases/${build.version}`,
    [`${vx}/bin`]: 'current/bin',
    [`${vx}/runtime`]: 'current/runtime',
    // sudo looks in /usr/bin everywhere, in /usr/local/bin not on Enterprise Linux.
    '/usr/bin/homeward': `${vx}/bin/homeward`,
  };
  for (const [from, to] of Object.entries(links)) {
    fs.mkdirSync(path.dirname(inTree(from)), { recursive: true });
    fs.symlinkSync(to, inTree(from));
  }
  writeServices(release, inTree);
  writeManual(release, inTree);
  normaliseModes(inTree('/usr'));
  const kept = [`${vx}/etc`, `${vx}/private`];
  for (const place of kept) fs.mkdirSync(inTree(place), { mode: 0o755 });
  fs.chmodSync(inTree(`${vx}/private`), 0o700);
  const logrotate = '/etc/logrotate.d/homeward';
  const configuration = fs.existsSync(inTree(logrotate)) ? [logrotate] : [];
  for (const place of configuration) fs.chmodSync(inTree(place), 0o644);
  return { directory, kept, configuration };
}

function linkTree(from: string, to: string): void {
  fs.mkdirSync(to, { mode: 0o755 });
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const source = path.join(from, entry.name);
    if (entry.isDirectory()) linkTree(source, path.join(to, entry.name));
    else fs.linkSync(source, path.join(to, entry.name));
  }
}

function writeServices(release: string, inTree: (absolute: string) => string): void {
  const sources = path.join(release, 'systemd');
  if (!fs.existsSync(sources)) return;
  for (const name of fs.readdirSync(sources)) {
    const found = places.find(([ending]) => ending.test(name));
    if (found === undefined) continue;
    const [ending, place, suffix] = found;
    // A unit keeps its name, homeward.sysusers.conf becomes sysusers.d/homeward.conf.
    const placed = place.endsWith('/system') ? name : name.replace(ending, suffix);
    const text = fs.readFileSync(path.join(sources, name), 'utf8').replaceAll('@VX@', vx);
    if (/@[A-Z_]+@/.test(text)) throw new Error(`systemd/${name} has a place that nobody fills in`);
    fs.mkdirSync(inTree(place), { recursive: true });
    fs.writeFileSync(path.join(inTree(place), placed), text);
  }
}

/** Manual and completions, where `man` and shells look without being told. */
function writeManual(release: string, inTree: (absolute: string) => string): void {
  const share = path.join(release, 'share');
  for (const section of ['man1', 'man8']) {
    const to = inTree(`/usr/share/man/${section}`);
    fs.mkdirSync(to, { recursive: true });
    for (const page of fs.readdirSync(path.join(share, 'man', section))) {
      const text = fs.readFileSync(path.join(share, 'man', section, page));
      fs.writeFileSync(path.join(to, `${page}.gz`), gzipSync(text, { level: 9 }));
    }
  }
  const completions = [
    ['homeward', '/usr/share/bash-completion/completions/homeward'],
    ['_homeward', '/usr/share/zsh/site-functions/_homeward'],
    ['_homeward', '/usr/share/zsh/vendor-completions/_homeward'],
    ['homeward.fish', '/usr/share/fish/vendor_completions.d/homeward.fish'],
  ] as const;
  for (const [name, place] of completions) {
    fs.mkdirSync(path.dirname(inTree(place)), { recursive: true });
    fs.copyFileSync(path.join(share, 'completions', name), inTree(place));
  }
}

/** A template of `packaging/` with the scripts that both kinds of package share put in. */
export function fillTemplate(build: Build, template: string, values: Record<string, string> = {}): string {
  const read = (file: string): string => fs.readFileSync(path.join(build.root, 'packaging', file), 'utf8');
  const script = (name: string): string => read(`scripts/${name}.sh`).trimEnd();
  const all: Record<string, () => string> = {
    BEFORE_INSTALL: () => script('before-install'),
    AFTER_INSTALL: () => script('after-install'),
    BEFORE_REMOVE: () => script('before-remove'),
    AFTER_REMOVE: () => script('after-remove'),
    VERSION: () => build.version,
    BUILD: () => build.revision,
  };
  const fill = (text: string): string =>
    text.replaceAll(/@([A-Z_0-9]+)@/g, (_, name: string) => {
      const value = values[name] ?? all[name]?.();
      if (value === undefined) throw new Error(`packaging/${template}: nothing is known of @${name}@`);
      return name in values ? value : fill(value);
    });
  return fill(read(template));
}
