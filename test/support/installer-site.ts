// A small package with a host's root of its own, for tests of the installer: its programs are stubs that do
// what they are told, and the service manager is a file.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { run, type Ended } from './homeward.ts';
import { root as checkout } from './source-files.ts';
import { temporaryDirectory } from './temporary.ts';

/** One line of the report that the stub of `homeward check` gives. */
export interface StubCheck {
  id: string;
  result?: 'pass' | 'fail' | 'warn';
  severity?: 'hard' | 'hard-unless-accepted' | 'advice';
  found?: string;
  action?: string;
  /** What --fix says of it; it is found fixed then. */
  fix?: string;
}

export interface InstallOptions {
  /** Of the package; 1.0.0 when left out. */
  version?: string;
  env?: Record<string, string>;
}

export const passphrase = 'ABCD-EFGH-JKLM-NPQR-STUV';

export class InstallerSite {
  readonly directory: string;
  /** The host's root. */
  readonly root: string;
  readonly #packages: string;
  /** Real programs would use this machine's. */
  #data: string | null = null;

  constructor(t: Pick<Test, 'teardown'>, { systemd = true }: { systemd?: boolean } = {}) {
    this.directory = temporaryDirectory(t);
    this.root = path.join(this.directory, 'root');
    this.#packages = path.join(this.directory, 'unpacked');
    for (const name of ['usr/local', 'var/lib', 'var/log', 'etc/systemd/system', 'run']) {
      fs.mkdirSync(path.join(this.root, name), { recursive: true });
    }
    if (systemd) fs.mkdirSync(path.join(this.root, 'run/systemd/system'), { recursive: true });
    this.checks([]);
    this.#program('path/systemctl', systemctl);
    // The disk of this machine has other things to do, and no test cuts its power.
    this.#program('path/sync', '#!/bin/sh\n');
    // Real checks with --fix must not install anything on the machine that the tests run on.
    for (const name of ['apt-get', 'dnf', 'yum']) {
      this.#program(`path/${name}`, '#!/bin/sh\necho "${0##*/} $*" >>"$SITE/calls"\n');
    }
    this.#program('path/journalctl', '#!/bin/sh\necho "the journal says why"\n');
  }

  /** Where the unpacked package of `version` is; it is made at the first call. */
  package(version = '1.0.0'): string {
    const directory = path.join(this.#packages, `homeward-${version}`);
    if (fs.existsSync(directory)) return directory;
    const release = path.join(directory, 'release');
    fs.mkdirSync(path.join(release, 'runtime/bin'), { recursive: true });
    fs.symlinkSync(process.execPath, path.join(release, 'runtime/bin/node'));
    for (const part of ['installer', 'systemd']) {
      fs.cpSync(path.join(checkout, part), path.join(release, part), {
        recursive: true,
        verbatimSymlinks: true,
      });
    }
    fs.rmSync(path.join(release, 'installer/ApplyCustomChanges.sh'), { force: true });
    const manifest = { name: 'homeward', type: 'module', version };
    fs.writeFileSync(path.join(release, 'package.json'), JSON.stringify(manifest, null, 2));
    fs.writeFileSync(path.join(release, 'BUILD'), 'abc123\n');
    for (const file of ['man/man8/homeward-check.8', 'completions/homeward']) {
      fs.mkdirSync(path.dirname(path.join(release, 'share', file)), { recursive: true });
      fs.writeFileSync(path.join(release, 'share', file), '');
    }
    this.#program(`unpacked/homeward-${version}/release/bin/homeward`, homeward);
    this.#program(`unpacked/homeward-${version}/release/bin/hostconfigcli`, hostconfigcli);
    for (const name of ['install.sh', 'uninstall.sh']) {
      fs.symlinkSync(`release/installer/${name}`, path.join(directory, name));
    }
    fs.symlinkSync('install.sh', path.join(directory, 'install'));
    return directory;
  }

  /** In place of stubs, from now on; what they keep goes to the host of this site. */
  useCheckout(version?: string): void {
    const release = path.join(this.package(version), 'release');
    const programs = [
      'agent',
      'cli',
      'config-server',
      'core',
      'hostconfig-tui',
      'mobility',
      'process-server',
    ];
    for (const part of [...programs, 'bin', 'node_modules']) {
      fs.rmSync(path.join(release, part), { recursive: true, force: true });
      const from = path.join(checkout, part);
      if (part === 'node_modules') fs.symlinkSync(from, path.join(release, part));
      else fs.cpSync(from, path.join(release, part), { recursive: true });
    }
    this.#data = this.at('var/lib/homeward');
  }

  /** What the checks find from now on. */
  checks(found: readonly StubCheck[]): void {
    fs.writeFileSync(path.join(this.directory, 'checks.json'), InstallerSite.report(found));
    const fixed = found.map((check) =>
      check.fix === undefined ? check : { ...check, result: 'pass' as const },
    );
    fs.writeFileSync(path.join(this.directory, 'fixed.json'), InstallerSite.report(fixed, true));
  }

  /** As `homeward check --json` prints it. */
  static report(found: readonly StubCheck[], isFixed = false): string {
    const checks = [{ id: 'glibc' }, ...found].map((check: StubCheck) => {
      const {
        id,
        result = 'pass',
        severity = 'hard',
        found: what = 'as it should be',
        action = null,
      } = check;
      const blocks = result === 'fail' && severity !== 'advice';
      const fixed = isFixed ? (check.fix ?? null) : null;
      return { id, title: id, severity, result, found: what, action, accepted: null, blocks, fixed };
    });
    return JSON.stringify({ checks });
  }

  /** How the service of a version ends its start; it comes up when nothing is said. */
  breakVersion(version: string): void {
    fs.writeFileSync(path.join(this.directory, `broken-${version}`), '');
  }

  /** Of whatever runs as on this host. */
  env(): Record<string, string> {
    return {
      HOMEWARD_INSTALL_ROOT: this.root,
      SITE: this.directory,
      ...(this.#data === null ? {} : { HOMEWARD_DATA_DIRECTORY: this.#data }),
      PATH: `${path.join(this.directory, 'path')}:${process.env['PATH'] ?? ''}`,
    };
  }

  install(args: readonly string[], { version, env = {} }: InstallOptions = {}): Promise<Ended> {
    return run(path.join(this.package(version), 'install.sh'), args, { env: { ...this.env(), ...env } });
  }

  uninstall(args: readonly string[], { version }: InstallOptions = {}): Promise<Ended> {
    return run(path.join(this.package(version), 'uninstall.sh'), args, { env: this.env() });
  }

  /** Whatever it is told, it ends with `status`, says why, and changes nothing. */
  async refuses(
    t: Test,
    args: readonly string[],
    { status = 2, why, version }: { status?: number; why: string | RegExp; version?: string },
  ): Promise<void> {
    const before = this.snapshot();
    const ended = await this.install(args, version === undefined ? {} : { version });
    t.equal(ended.status, status, `${args.join(' ')}: ${ended.err}`);
    t.match(ended.err, why);
    t.same(this.snapshot(), before, 'and nothing changed');
  }

  passphraseFile(text: string | Buffer, mode = 0o600): string {
    const file = path.join(this.directory, 'passphrase');
    fs.writeFileSync(file, text);
    fs.chmodSync(file, mode);
    return file;
  }

  at(name: string): string {
    return path.join(this.root, name);
  }

  read(name: string): string | null {
    return fs.existsSync(this.at(name)) ? fs.readFileSync(this.at(name), 'utf8') : null;
  }

  /** What the stubs were called with, a line each. */
  calls(): string[] {
    const file = path.join(this.directory, 'calls');
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trimEnd().split('\n') : [];
  }

  /** `active` and so on, as the stub of the service manager has it, with the release that it runs. */
  service(): string | null {
    const file = path.join(this.directory, 'state');
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim() : null;
  }

  /** The service manager knows nothing, and nobody has called it. */
  forget(): void {
    for (const name of ['state', 'calls']) fs.rmSync(path.join(this.directory, name), { force: true });
  }

  /** The service runs `version`. */
  runs(version: string): void {
    fs.writeFileSync(path.join(this.directory, 'state'), `active ${version}\n`);
  }

  /** Every file, link and directory of the host, with a digest of it; the log and the lock left out. */
  snapshot(): string[] {
    const lines = this.#below('').map((name) => {
      const file = this.at(name);
      const stat = fs.lstatSync(file);
      if (stat.isSymbolicLink()) return `${name} -> ${fs.readlinkSync(file)}`;
      return stat.isFile() ? `${name}: ${digestOf(file)}` : `${name}/`;
    });
    return lines.filter((line) => !/^run\/homeward-install|^var\/log\/homeward\/install\.log/.test(line));
  }

  /** Links are not followed: what `current` leads to is one thing, not two. */
  #below(directory: string): string[] {
    const entries = fs.readdirSync(this.at(directory), { withFileTypes: true });
    return entries
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((entry) => {
        const name = path.join(directory, entry.name);
        return entry.isDirectory() ? [name, ...this.#below(name)] : [name];
      });
  }

  #program(name: string, text: string): void {
    const file = path.join(this.directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text, { mode: 0o755 });
  }
}

const digestOf = (file: string): string =>
  createHash('sha256').update(fs.readFileSync(file)).digest('hex').slice(0, 16);

const homeward = `#!/bin/sh
echo "homeward $*" >>"$SITE/calls"
case "$*" in
  *--accept*) exit 0 ;;
  *--fix*) cat "$SITE/fixed.json"; cp "$SITE/fixed.json" "$SITE/checks.json"; exit 1 ;;
  check*) cat "$SITE/checks.json"; exit 1 ;;
esac
`;

/** It connects when an address is given, and writes that down as the real one does. */
const hostconfigcli = `#!/bin/sh
echo "hostconfigcli $*" >>"$SITE/calls"
conf=$(dirname "$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")")/etc/drscout.conf
case "$*" in
  *unreachable*) echo 'connection refused' >&2; exit 7 ;;
  *--address*) echo "ConfigServerAddress = $2" >>"$conf" ;;
  *)
    echo 'Host Config Interface'
    read -r line
    [ "$line" != connect ] || echo 'ConfigServerAddress = typed' >>"$conf"
    ;;
esac
`;

/**
 * Its parent is timeout, whose parent is the installer. The version that `current` leads to decides whether a
 * start works.
 */
const systemctl = `#!/bin/bash
echo "systemctl $*" >>"$SITE/calls"
cd "$HOMEWARD_INSTALL_ROOT" || exit
current=$(basename "$(readlink */*/*/Vx/current */*/Vx/current 2>/dev/null | head -1)")
case $1 in
  is-active) state=$(cat "$SITE/state" 2>/dev/null || echo inactive); echo "\${state%% *}" ;;
  start | restart)
    if [ "\${TERM_WHILE_STARTING:-}" = "$current" ]; then
      read -r _ _ _ installer _ <"/proc/$PPID/stat"
      kill -TERM "$installer"
    fi
    if [ -e "$SITE/broken-$current" ]; then echo "failed $current" >"$SITE/state"; exit 1; fi
    echo "active $current" >"$SITE/state" ;;
  stop) echo inactive >"$SITE/state" ;;
esac
exit 0
`;
