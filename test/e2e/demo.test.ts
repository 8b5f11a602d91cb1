// scripts/demo, as a newcomer runs it: to its end, and interrupted.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { run } from '../support/homeward.ts';
import { loopDeviceMissing } from '../support/loop-device.ts';
import { mountCommands } from '../support/mounted-disk.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const demo = path.resolve(import.meta.dirname, '../../scripts/demo');
const missing =
  skipUnless({ root: true, commands: [...mountCommands, 'sqlite3', 'nbdkit'], files: ['/dev/fuse'] }) ||
  (loopDeviceMissing() ?? false);

t.setTimeout(240_000);

/** Nothing of a demo that worked in `directory` is left on this machine. */
async function checkNothingLeft(t: Test, directory: string): Promise<void> {
  t.same(fs.readdirSync(directory), [], 'its directory is gone');
  t.notMatch(fs.readFileSync('/proc/mounts', 'utf8'), directory, 'nothing is mounted');
  t.notMatch((await run('losetup', ['-a'])).out, directory, 'no loop device is left');
  t.notMatch((await run('ps', ['-eo', 'args'])).out, `${directory}/homeward-demo`, 'no process is left');
}

t.test('it brings both moments back in under two minutes', { skip: missing }, async (t) => {
  const directory = temporaryDirectory(t);
  const begun = performance.now();
  const { status, out, err } = await run(demo, [], { env: { TMPDIR: directory }, timeoutMs: 150_000 });
  t.equal(status, 0, err);
  t.match(out, 'Both moments came back over the chain, and both are exactly what they were.');
  t.equal(out.match(/the database is sound and complete/g)?.length, 2);
  t.equal(out.match(/the file system is clean/g)?.length, 2);
  t.ok(performance.now() - begun < 120_000);
  await checkNothingLeft(t, directory);
});

t.test('interrupted at any stage it cleans up and says so', { skip: missing }, async (t) => {
  for (const [stage, signal] of [
    [/a master target run/, 'SIGTERM'],
    [/tagged/, 'SIGINT'],
    [/as a view/, 'SIGHUP'],
  ] as const) {
    const directory = temporaryDirectory(t);
    const child = spawn(demo, {
      env: { ...process.env, TMPDIR: directory },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let said = '';
    child.stdout.on('data', (text: Buffer) => {
      const before = stage.test(said);
      said += text.toString();
      // As a terminal does it: everything in the foreground gets it.
      if (!before && stage.test(said)) process.kill(-(child.pid ?? 0), signal);
    });
    let complaint = '';
    child.stderr.on('data', (text: Buffer) => {
      complaint += text.toString();
    });
    await once(child, 'close');
    t.not(child.exitCode, 0, `${signal} at ${stage.source}`);
    t.match(complaint, /(stopped|interrupted) while .*; cleaning up/);
    await checkNothingLeft(t, directory);
  }
});
