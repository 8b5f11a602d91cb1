// The release as it was unpacked, on a host that has no Node, no HOME and next to no PATH: its daemons start,
// its native code, threads and database work, and it writes nothing into itself.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { filesBelow } from '../../scripts/packaging/files.ts';
import { cannotBuild, unpackedPackage } from '../support/built-package.ts';
import { run, runOk, type Ended } from '../support/homeward.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** Without what this shell has: `env -i` leaves nothing. */
const bare = ['-i', 'PATH=/bin:/usr/bin'];

t.setTimeout(300_000);

t.test('a release that was unpacked', { skip: cannotBuild }, async (t) => {
  const { directory } = await unpackedPackage(t);
  const bin = path.join(directory, 'release/bin/homeward');
  const command = (...args: string[]): Promise<Ended> => run('env', [...bare, bin, ...args]);
  const before = filesBelow(directory);

  await t.test('says its version', async (t) => {
    const version = fs.readFileSync(path.join(directory, 'VERSION'), 'utf8');
    t.match(await command('--version'), { status: 0, out: version, err: '' });
  });

  await t.test('runs a master target that takes writes and opens views', async (t) => {
    const data = temporaryDirectory(t);
    const target = await start(t, bin, ['master-target', '--data', path.join(data, 'mt')]);
    const ask = (...args: string[]): Promise<Ended> =>
      command(...args, '--control', path.join(data, 'mt/control.sock'), '--json');
    const socket = (name: string): string => `unix:${path.join(data, name)}`;
    const opened = await ask('ingest', 'open', 'web', '--disk', 'root=1M', '--listen', socket('in.sock'));
    t.match(opened, { status: 0 });
    t.match(await ask('tag', 'web', '--name', 'first'), { status: 0 });
    // A view is a thread of its own.
    t.match(await ask('view', 'web', '--at', 'tag:first', '--listen', socket('view.sock')), { status: 0 });
    // As completions look for names.
    t.match(await ask('status'), { status: 0, out: /"machines":\[\{"id":"[^"]*","name":"web"/ });
    t.match(await ask('verify', 'web'), { status: 0, out: /"ok":true/ });
    t.equal(await target.stop(), 0);
  });

  await t.test('runs a whole site', async (t) => {
    const data = path.join(temporaryDirectory(t), 'site');
    const listen = ['--listen', '127.0.0.1:0', '--process-server-listen', '127.0.0.1:0'];
    const site = await start(t, bin, ['all-in-one', '--data', data, ...listen]);
    const hosts = await command('hosts', '--operator', path.join(data, 'operator.json'), '--json');
    t.match(hosts, { status: 0, out: /"master-target"/ });
    t.equal(await site.stop(), 0);
  });

  await t.test('is as it was unpacked after that', async (t) => {
    t.same(filesBelow(directory), before);
    await runOk('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: directory });
  });
});

interface Daemon {
  /** SIGTERM; resolves with its exit status. */
  stop(): Promise<number | null>;
}

/** Resolves when it says `ready`. */
async function start(t: Test, bin: string, args: readonly string[]): Promise<Daemon> {
  const child = spawn('env', [...bare, bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => (log += piece));
  const failed = ended.then(([status]) => Promise.reject(new Error(`it ended with ${status}: ${log}`)));
  failed.catch(() => undefined);
  const lines = createInterface({ input: child.stdout });
  const ready = new Promise<void>((resolve) => {
    lines.on('line', (line) => {
      if (line.includes('ready')) resolve();
    });
  });
  await Promise.race([ready, failed]);
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM');
    const [status] = await ended;
    return status;
  };
  return { stop };
}
