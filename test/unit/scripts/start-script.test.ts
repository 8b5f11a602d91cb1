// bin/homeward: which Node it runs, and where compiled programs are kept.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { root } from '../../support/source-files.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const print = '#!/bin/sh\necho "$0"\necho "cache=${NODE_COMPILE_CACHE-none}"\n';

/** A tree with a stand-in for Node at `place`, and what the script says in it. */
function tree(t: Test, place: string): { directory: string; say: (env: Record<string, string>) => string[] } {
  const directory = fs.realpathSync(temporaryDirectory(t));
  fs.mkdirSync(path.join(directory, 'bin'));
  fs.copyFileSync(path.join(root, 'bin/homeward'), path.join(directory, 'bin/homeward'));
  const node = path.join(directory, place);
  fs.mkdirSync(path.dirname(node), { recursive: true });
  fs.writeFileSync(node, print, { mode: 0o755 });
  const say = (env: Record<string, string>): string[] => {
    const { stdout } = spawnSync('sh', [path.join(directory, 'bin/homeward')], {
      env: { PATH: '/usr/bin:/bin', ...env },
      encoding: 'utf8',
    });
    return stdout.trimEnd().split('\n');
  };
  return { directory, say };
}

t.test('a release is never written to: its cache is elsewhere, or nowhere', async (t) => {
  const { directory, say } = tree(t, 'runtime/bin/node');
  const node = path.join(directory, 'runtime/bin/node');
  const home = temporaryDirectory(t);
  t.same(say({}), [node, 'cache=none']);
  t.same(say({ HOME: home }), [node, `cache=${home}/.cache/homeward`]);
  t.same(say({ HOME: '/' }), [node, 'cache=none']);
  t.same(say({ HOME: home, CACHE_DIRECTORY: '/var/cache/homeward/a:/var/cache/b' }), [
    node,
    'cache=/var/cache/homeward/a',
  ]);
  t.same(say({ HOME: home, NODE_COMPILE_CACHE: '/elsewhere' }), [node, 'cache=/elsewhere']);
  t.match(say({ HOME: home, NODE_COMPILE_CACHE: '' })[1], /^cache=$/, 'switched off');
});

t.test('what somebody else could have written is not run', async (t) => {
  const { say } = tree(t, 'runtime/bin/node');
  // Belongs to root; to root, a directory of somebody else's does.
  const foreign = process.geteuid?.() === 0 ? temporaryDirectory(t) : '/usr';
  if (foreign !== '/usr') fs.chownSync(foreign, 65_534, 65_534);
  t.equal(say({ HOME: foreign })[1], 'cache=none');
});

t.test('a checkout keeps it beside the packages', async (t) => {
  const { directory, say } = tree(t, `node_modules/node-linux-${os.arch()}/bin/node`);
  t.equal(say({ HOME: directory })[1], `cache=${directory}/node_modules/.cache/homeward`);
});

t.test('WebAssembly is not optimized while threads begin: V8 may abort over it', async (t) => {
  for (const program of ['bin/homeward', 'bin/hostconfigcli']) {
    const flags = 'data:text/javascript,process.stderr.write(process.execArgv.join())';
    const { stderr } = spawnSync(path.join(root, program), ['--version'], {
      env: { ...process.env, NODE_OPTIONS: `--import=${flags}` },
      encoding: 'utf8',
    });
    t.match(stderr, /^--no-wasm-tier-up,--no-wasm-dynamic-tiering/, program);
  }
});

t.test('without a Node it says what to do', async (t) => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(path.join(directory, 'bin'));
  fs.copyFileSync(path.join(root, 'bin/homeward'), path.join(directory, 'bin/homeward'));
  const { status, stderr } = spawnSync('sh', [path.join(directory, 'bin/homeward')], { encoding: 'utf8' });
  t.equal(status, 70);
  t.match(stderr, /its Node is missing/);
});
