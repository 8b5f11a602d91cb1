// A root file system with a shell and little else, for package managers to install into.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { runTool } from '../../scripts/packaging/run-tool.ts';
import { temporaryDirectory } from './temporary.ts';

const programs = [
  ...['sh', 'cat', 'dirname', 'grep', 'ln', 'mkdir', 'mv', 'readlink', 'rm', 'rmdir', 'sed', 'uname'],
];
/** Stand-ins that write down what they are called with. */
const recorded = ['systemctl', 'systemd-sysusers', 'systemd-tmpfiles'];

export class MinimalRoot {
  readonly directory: string;

  constructor(t: Pick<Test, 'teardown'>) {
    this.directory = temporaryDirectory(t);
    for (const place of ['usr/bin', 'usr/local', 'dev', 'tmp', 'run/systemd/system', 'var/lib', 'var/log']) {
      fs.mkdirSync(this.at(place), { recursive: true });
    }
    // As on every distribution of today, and as maintainer scripts expect it.
    for (const place of ['bin', 'sbin', 'lib', 'lib64']) {
      fs.mkdirSync(this.at(`usr/${place}`), { recursive: true });
      fs.symlinkSync(`usr/${place}`, this.at(place));
    }
    fs.writeFileSync(this.at('dev/null'), '');
    for (const program of programs) this.add(runTool('sh', ['-c', `command -v ${program}`]).trim());
    for (const name of recorded) {
      fs.writeFileSync(this.at(`usr/bin/${name}`), `#!/bin/sh\necho "${name} $*" >>/var/log/calls\n`, {
        mode: 0o755,
      });
    }
  }

  /** An absolute path of it, as the host sees it. */
  at(place: string): string {
    return path.join(this.directory, place);
  }

  /** A program with its libraries, but for those whose names begin like one of `without`. */
  add(program: string, without: readonly string[] = []): void {
    this.copy(fs.realpathSync(program), path.join('/usr/bin', path.basename(program)));
    this.addLibrariesOf(program, without);
  }

  addLibrariesOf(program: string, without: readonly string[] = []): void {
    for (const [, library = ''] of runTool('ldd', [program]).matchAll(/(?:=> |^\t)(\/\S+) \(/gm)) {
      if (!without.some((name) => path.basename(library).startsWith(name))) this.copy(library, library);
    }
  }

  /** What the stand-ins were called with since the last time. */
  calls(): string[] {
    const file = this.at('var/log/calls');
    const lines = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trimEnd().split('\n') : [];
    fs.rmSync(file, { force: true });
    return lines;
  }

  exists(place: string): boolean {
    return fs.lstatSync(this.at(place), { throwIfNoEntry: false }) !== undefined;
  }

  copy(from: string, to: string): void {
    if (this.exists(to)) return;
    fs.mkdirSync(path.dirname(this.at(to)), { recursive: true });
    fs.copyFileSync(from, this.at(to));
  }
}
