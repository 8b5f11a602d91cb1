// `bin/homeward` as a process: its streams, its exit status, its signals, and from where it can be started.
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { startControlServer } from '../../agent/control/server.ts';
import { silentLog } from '../../core/log.ts';
import { stubService, stubStatus, type StubService } from '../support/stub-service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const bin = path.resolve(import.meta.dirname, '../../bin/homeward');

interface Ended {
  status: number | null;
  out: string;
  err: string;
}

interface RunOptions {
  program?: string;
  env?: Record<string, string>;
  /** Called with the process at its first output. */
  onOutput?: (child: ChildProcess) => void;
}

function homeward(args: string[], { program = bin, env = {}, onOutput }: RunOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/bin:/bin', NO_COLOR: '1', ...env },
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      out += piece;
      onOutput?.(child);
    });
    child.stderr.setEncoding('utf8').on('data', (piece: string) => {
      err += piece;
      onOutput?.(child);
    });
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, out, err }));
  });
}

async function serve(t: Test): Promise<{ socket: string; service: StubService }> {
  const socket = path.join(temporaryDirectory(t), 'control.sock');
  const service = stubService();
  const server = await startControlServer({ path: socket, service, log: silentLog });
  t.teardown(() => server.close());
  return { socket, service };
}

t.test('metrics are printed, or written into a file that a collector reads', async (t) => {
  const { socket } = await serve(t);
  const { status, out } = await homeward(['metrics', '--control', socket]);
  t.equal(status, 0);
  t.match(
    out,
    '# TYPE homeward_machine_rpo_seconds gauge\nhomeward_machine_rpo_seconds{machine="web",id="3f1c"} 0.4',
  );
  t.match(out, 'homeward_machine_backlog_bytes{machine="web",id="3f1c",at="target"} 78');
  t.match(out, 'homeward_retention_free_bytes{target="",path="/retention"} 12884901888');
  const file = path.join(temporaryDirectory(t), 'homeward.prom');
  t.equal((await homeward(['metrics', '--write', file, '--control', socket])).out, '');
  t.equal(fs.readFileSync(file, 'utf8'), out);
  const nowhere = path.join(path.dirname(file), 'none', 'homeward.prom');
  const refused = await homeward(['metrics', '--write', nowhere, '--control', socket]);
  t.match(refused, { status: 6, err: /homeward\.prom cannot be written: ENOENT/ });
});

t.test('an answer is on stdout alone, as JSON one document', async (t) => {
  const { socket } = await serve(t);
  const { status, out, err } = await homeward(['status', '--json', '--control', socket]);
  t.equal(status, 0);
  t.same(JSON.parse(out), stubStatus);
  t.equal(out.trimEnd().split('\n').length, 1);
  t.equal(err, '');
});

t.test('each kind of failure has its exit status, and stdout stays empty', async (t) => {
  const { socket } = await serve(t);
  const cases = [
    [['stats'], 2, 'usage'],
    [['points', 'nowhere'], 3, 'no-such-machine'],
    [['recover', 'web', '--at', 'latest', '--to', 'block:root=/dev/null'], 6, 'needs-yes'],
    [['points', 'bug'], 70, 'bug'],
  ] as const;
  for (const [args, exit, code] of cases) {
    const json = await homeward([...args, '--json', '--control', socket]);
    t.same({ status: json.status, out: json.out }, { status: exit, out: '' }, args.join(' '));
    t.match(JSON.parse(json.err), { error: { code, message: String, hint: String } });
    const plain = await homeward([...args, '--control', socket]);
    t.same({ status: plain.status, out: plain.out }, { status: exit, out: '' });
    t.match(plain.err, `(${code})`);
  }
});

t.test('no daemon is exit status 7, and the socket is named', async (t) => {
  const socket = path.join(temporaryDirectory(t), 'none.sock');
  const { status, out, err } = await homeward(['status'], { env: { HOMEWARD_CONTROL: socket } });
  t.equal(status, 7);
  t.equal(out, '');
  t.match(err, `no master target answers on ${socket}: there is no such socket (daemon-unreachable)`);
});

t.test('Ctrl-C in long work aborts it in the daemon and ends with 1', async (t) => {
  const { socket, service } = await serve(t);
  const { status, err } = await homeward(['verify', 'forever', '--control', socket], {
    onOutput: (child) => {
      child.kill('SIGINT');
    },
  });
  t.equal(status, 1);
  t.match(err, /interrupted; it changes nothing \(interrupted\)/);
  t.match(await service.aborted, { code: 'interrupted' });
});

t.test('a reader that goes away is no fault', async (t) => {
  const { socket } = await serve(t);
  const { status, err } = await homeward(['-c', `"${bin}" status --control "${socket}" | true`], {
    program: '/bin/sh',
  });
  t.equal(status, 0);
  t.equal(err, '');
});

t.test('it starts through links, and with whatever Node the shell has', async (t) => {
  const directory = temporaryDirectory(t);
  const first = path.join(directory, 'homeward');
  fs.symlinkSync(bin, first);
  fs.symlinkSync('homeward', path.join(directory, 'again'));
  fs.writeFileSync(path.join(directory, 'node'), '#!/bin/sh\necho the wrong Node >&2\nexit 99\n', {
    mode: 0o755,
  });
  const { status, out } = await homeward(['--version'], {
    program: path.join(directory, 'again'),
    env: { PATH: `${directory}:/usr/bin:/bin` },
  });
  t.equal(status, 0);
  t.match(out, /^\d+\.\d+\.\d+\n$/);
});
