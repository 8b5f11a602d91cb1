// The command line where no daemon answers: help, the version, the check of a file, and which socket it asks.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { run } from '../../cli/run.ts';
import { capturedIo } from '../support/captured-io.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.test('HOMEWARD_CONTROL names the socket, and --control goes before it', async (t) => {
  const directory = temporaryDirectory(t);
  const fromEnvironment = capturedIo({ env: { HOMEWARD_CONTROL: 'env.sock' }, cwd: directory });
  t.equal(await run(['status'], fromEnvironment), 7);
  t.match(fromEnvironment.err(), `${directory}/env.sock`);
  const fromFlag = capturedIo({ env: { HOMEWARD_CONTROL: 'env.sock' }, cwd: directory });
  t.equal(await run(['status', '--control', 'flag.sock'], fromFlag), 7);
  t.match(fromFlag.err(), `${directory}/flag.sock`);
  const neither = capturedIo();
  t.equal(await run(['status', '--control', '/nowhere/x'], neither), 7);
});

t.test('help and version are answers', async (t) => {
  const helps = [
    ['help'],
    ['--help'],
    ['help', 'view'],
    ['help', 'points', 'lock'],
    ['view', 'close', '--help'],
  ];
  for (const args of [...helps, ['--version']]) {
    const plain = capturedIo();
    t.equal(await run(args, plain), 0, args.join(' '));
    t.not(plain.out(), '');
    t.equal(plain.err(), '');
    const json = capturedIo();
    t.equal(await run([...args, '--json'], json), 0);
    t.type(JSON.parse(json.out()), 'object');
  }
  const deep = capturedIo();
  await run(['help', 'points', 'lock'], deep);
  t.match(deep.out(), /^Usage: homeward points lock /);
  const unknown = capturedIo();
  t.equal(await run(['help', 'points', 'lok'], unknown), 2);
  t.match(unknown.err(), /points has no command lok/);
});

t.test('config check finds what is wrong, and says so with exit status 1', async (t) => {
  const directory = temporaryDirectory(t);
  fs.writeFileSync(path.join(directory, 'bad.conf'), '[homeward]\nWindowHous=3h\nLogLevel=loud\n');
  fs.writeFileSync(path.join(directory, 'good.conf'), '[homeward]\nWindowHours=3h\n');
  const check = async (...args: string[]): Promise<{ status: number; out: string }> => {
    const io = capturedIo({ cwd: directory });
    return { status: await run(['config', 'check', ...args], io), out: io.out() };
  };
  t.match(await check('--config', 'bad.conf'), { status: 1, out: /2 problems\n[^]*WindowHous[^]*LogLevel/ });
  t.match(await check('--config', 'good.conf'), { status: 0, out: /good\.conf is in order/ });
  t.match(JSON.parse((await check('--config', 'bad.conf', '--json')).out), { ok: false, problems: [{}, {}] });
  t.match(await check('--config', 'none.conf'), { status: 1, out: /does not exist/ });
  t.match(await check(), { status: 0 });
});
