// `homeward master-target` as a process: ready, asked, stopped; refused where it must be.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import t, { type Test } from 'tap';
import { temporaryDirectory } from '../support/temporary.ts';

const bin = path.resolve(import.meta.dirname, '../../bin/homeward');

interface Process {
  child: ChildProcess;
  out(): string;
  err(): string;
  /** Resolves with the exit status. */
  ended: Promise<number | null>;
}

function start(args: string[]): Process {
  const child = spawn(bin, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    out += piece;
  });
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    err += piece;
  });
  const ended = once(child, 'close').then(() => child.exitCode);
  return { child, out: () => out, err: () => err, ended };
}

async function startDaemon(t: Test, data: string): Promise<Process> {
  const daemon = start(['master-target', '--data', data]);
  t.teardown(() => daemon.child.kill('SIGKILL'));
  const ready = once(daemon.child.stdout ?? daemon.child, 'data');
  const dead = daemon.ended.then((status) => {
    throw new Error(`the daemon ended with ${status}: ${daemon.err()}`);
  });
  dead.catch(() => undefined);
  await Promise.race([ready, dead]);
  return daemon;
}

t.test('it says ready once on stdout, answers, and SIGTERM ends it with 0', async (t) => {
  const data = path.join(temporaryDirectory(t), 'data');
  const daemon = await startDaemon(t, data);
  t.equal(daemon.out(), `ready: control socket ${data}/control.sock\n`);
  const asked = start(['status', '--json', '--control', path.join(data, 'control.sock')]);
  t.equal(await asked.ended, 0, asked.err());
  t.match(JSON.parse(asked.out()), { machines: [], retention: { path: String } });
  daemon.child.kill('SIGTERM');
  t.equal(await daemon.ended, 0, daemon.err());
  t.equal(daemon.out().split('\n').length, 2, 'and stdout carries nothing else');
});

t.test('a second daemon on the same data directory is refused with exit status 5', async (t) => {
  const data = path.join(temporaryDirectory(t), 'data');
  const daemon = await startDaemon(t, data);
  const second = start(['master-target', '--data', data, '--json']);
  t.equal(await second.ended, 5);
  t.equal(second.out(), '');
  t.match(second.err(), /"code":"already-running"/);
  daemon.child.kill('SIGTERM');
  t.equal(await daemon.ended, 0);
});

t.test('after kill -9 a start needs no hand', async (t) => {
  const data = path.join(temporaryDirectory(t), 'data');
  const first = await startDaemon(t, data);
  first.child.kill('SIGKILL');
  await first.ended;
  const second = await startDaemon(t, data);
  second.child.kill('SIGINT');
  t.equal(await second.ended, 0, second.err());
});

t.test('without --data it is a usage error, and a socket path that is too long is one too', async (t) => {
  const without = start(['master-target']);
  t.equal(await without.ended, 2);
  t.match(without.err(), '--data is missing (usage)');
  const directory = temporaryDirectory(t);
  const long = start([
    'master-target',
    '--data',
    directory + '/data',
    '--control',
    path.join(directory, 'x'.repeat(108)),
  ]);
  t.equal(await long.ended, 2);
  t.match(long.err(), /it may have 1 to 107/);
});
