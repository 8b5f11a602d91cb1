// `runtime/`: the Node that Homeward runs on, made smaller, with the one library that hosts lack beside it.
import fs from 'node:fs';
import path from 'node:path';
import { runtimePackage } from './production-modules.ts';
import { runTool } from './run-tool.ts';

/** Debian's; it asks for less of the C library than Node does, which a test keeps. */
const libatomic = '/usr/lib/x86_64-linux-gnu/libatomic.so.1';
const libatomicLicence = '/usr/share/doc/libatomic1/copyright';

/** Moves Node out of `modules` into `runtime`. */
export function makeRuntime(modules: string, runtime: string): void {
  const from = path.join(modules, runtimePackage);
  const node = path.join(runtime, 'bin/node');
  fs.mkdirSync(path.dirname(node), { recursive: true });
  fs.renameSync(path.join(from, 'bin/node'), node);
  fs.renameSync(path.join(from, 'LICENSE'), path.join(runtime, 'LICENSE'));
  fs.rmSync(from, { recursive: true });
  // What debuggers want is a fifth of it. The names that native modules link against are in another table.
  runTool('strip', [node]);
  // Node wants libatomic, which a minimal host of any distribution has not: not even `homeward check` could
  // say so. Ours is found relative to the program, before the host's.
  const library = path.join(runtime, 'lib/libatomic.so.1');
  fs.mkdirSync(path.dirname(library), { recursive: true });
  fs.copyFileSync(libatomic, library);
  fs.copyFileSync(libatomicLicence, path.join(runtime, 'lib/LICENSE.libatomic'));
  runTool('patchelf', ['--set-rpath', '$ORIGIN/../lib', node]);
}

/** The version of the compiler's library that was put in, for the bill of materials. */
export function libatomicVersion(): string {
  return runTool('dpkg-query', ['-W', '-f', '${Version}', 'libatomic1']).trim();
}
