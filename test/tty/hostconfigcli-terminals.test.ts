// The Host Config Interface on all kinds of terminals, and what it leaves behind on them.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { until, run } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { keys, pasted, TerminalScreen } from '../support/screen.ts';
import { clear, ConfiguredHost, hostconfigcli, quit } from './hostconfig-site.ts';

t.test('it follows the size of the window, and says so when that is too small', async (t) => {
  const host = new ConfiguredHost(t);
  const screen = await host.open();
  screen.type(keys.enter);
  await screen.until('CX Server settings');
  screen.type('cs.example');
  await screen.until('[cs.example ');
  screen.resize(40, 10);
  await screen.until('Make the window larger');
  screen.matches(t, 'small-40x10');
  t.comment('what cannot be seen is not typed into');
  const before = screen.raw.length;
  screen.type('lost', keys.enter, keys.redraw);
  await until('the screen to be drawn anew', () => screen.raw.length > before);
  screen.resize(100, 30);
  await screen.until('CX Server settings');
  screen.matches(t, 'global-100x30');
  screen.resize(80, 24);
  await screen.until(/^ {20}┌/m);
  screen.matches(t, 'global-typed');
  screen.resize(20, 3);
  await screen.until('This terminal has 20');
  screen.type(keys.interrupt);
  t.same(await screen.ended(), { status: 130, signal: 0 });
});

t.test('a terminal that is too small from the start waits for a resize', async (t) => {
  const screen = new ConfiguredHost(t).launch({ columns: 40, rows: 10 });
  await screen.until('This terminal has 40 columns');
  screen.resize(80, 24);
  await screen.until('Quit');
  screen.matches(t, 'menu');
  t.same(await quit(screen), { status: 0, signal: 0 });
});

const terminals: Readonly<Record<string, { env: Record<string, string>; screen: string; colour: boolean }>> =
  {
    'xterm-256color': { env: { TERM: 'xterm-256color' }, screen: 'problem', colour: true },
    NO_COLOR: { env: { TERM: 'xterm-256color', NO_COLOR: '1' }, screen: 'problem', colour: false },
    'the linux console': { env: { TERM: 'linux' }, screen: 'problem', colour: true },
    'PuTTY without UTF-8': {
      env: { TERM: 'putty', LANG: 'de_DE.ISO-8859-1' },
      screen: 'problem-ascii',
      colour: true,
    },
    'LANG=C': { env: { TERM: 'xterm', LANG: 'C' }, screen: 'problem-ascii', colour: true },
    'LC_ALL before LANG': {
      env: { TERM: 'xterm', LANG: 'C.UTF-8', LC_ALL: 'C' },
      screen: 'problem-ascii',
      colour: true,
    },
    'a VT100': { env: { TERM: 'vt100' }, screen: 'problem-ascii', colour: false },
    'a terminal that nobody has described': {
      env: { TERM: 'no-such-terminal' },
      screen: 'problem',
      colour: true,
    },
    'TERM=dumb': { env: { TERM: 'dumb' }, screen: 'problem-plain', colour: false },
    'German words and time': {
      env: { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8', TZ: 'Europe/Berlin' },
      screen: 'problem',
      colour: true,
    },
  };

for (const [name, { env, screen: file, colour }] of Object.entries(terminals)) {
  t.test(`on ${name}`, async (t) => {
    const screen = await new ConfiguredHost(t).open({ env });
    screen.type(keys.enter);
    await screen.until('CX Server settings');
    screen.type(keys.up, 'cs', keys.enter, keys.enter, keys.enter, keys.enter, keys.enter);
    await screen.until('Enter the passphrase');
    screen.matches(t, file);
    t.equal(screen.hasColour(), colour);
    screen.type(keys.interrupt);
    t.same(await screen.ended(), { status: 130, signal: 0 });
  });
}

t.test('a serial console that tells no size gets 80 by 24', async (t) => {
  const host = new ConfiguredHost(t);
  const line = `stty cols 0 rows 0; exec ${hostconfigcli} ${host.places.join(' ')}`;
  const screen = new TerminalScreen(t, {
    program: '/bin/sh',
    args: ['-c', line],
    env: { PATH: host.path, TERM: 'vt220' },
  });
  await screen.until('Quit');
  screen.matches(t, 'menu-ascii');
  screen.type(keys.end, keys.enter);
  t.same(await screen.ended(), { status: 0, signal: 0 });
});

t.test('keys come in the ways of all terminals', async (t) => {
  const screen = await new ConfiguredHost(t).open();
  screen.type('\x1bOC', '\x1bOD', keys.enter);
  await screen.until('CX Server settings');
  screen.type('abcdef', keys.backspace8, keys.backspace127);
  await screen.until('[abcd ');
  screen.type(keys.home, keys.delete, 'x', keys.end, 'é');
  await screen.until('[xbcdé ');
  t.comment('a character, and an arrow key, that come in two pieces');
  screen.type(clear);
  const [first, second] = ['\xc3', '\xa4'].map((byte) => Buffer.from(byte, 'latin1'));
  screen.bytes(first ?? Buffer.alloc(0));
  screen.bytes(second ?? Buffer.alloc(0));
  await screen.until('[ä ');
  screen.type(clear, pasted('  pasted.example \r\nsecond line\r\n'));
  await screen.until('[pasted.example ');
  screen.type('?');
  await screen.until('The name or the IP address of the configuration server');
  screen.matches(t, 'help-address');
  screen.type(keys.escape);
  await screen.until('[pasted.example ');
  screen.type(keys.tab, keys.tab, ' ');
  await screen.until('( ) Yes  (*) No');
  screen.type(keys.backTab, keys.backTab, '!');
  await screen.until('[pasted.example! ');
  screen.type(keys.redraw);
  await screen.until('[pasted.example! ');
  screen.type(keys.escape);
  await screen.until('Enter opens');
});

/** What `stty` says before and after; between them the screen runs and is ended. */
for (const [how, end, status] of [
  ['Quit', null, 0],
  ['SIGINT', 'SIGINT', 130],
  ['SIGTERM', 'SIGTERM', 143],
  ['SIGHUP', 'SIGHUP', 129],
  ['a fault of ours', 'SIGUSR2', 70],
] as const) {
  t.test(`the terminal is as it was after ${how}`, async (t) => {
    const host = new ConfiguredHost(t);
    const pidFile = path.join(host.directory, 'pid');
    // The shell tells who it is, and becomes the program in a child, so that it can look afterwards.
    const line =
      `stty -g > ${host.directory}/before; ` +
      `sh -c 'echo $$ > ${pidFile}; exec "$0" "$@"' ${hostconfigcli} ${host.places.join(' ')}; ` +
      `echo "status $?"; stty -g > ${host.directory}/after`;
    const boom = `process.on('SIGUSR2',()=>{throw Error('boom')})`;
    const options = `--import=data:text/javascript,${encodeURIComponent(boom)}`;
    const screen = new TerminalScreen(t, {
      program: '/bin/sh',
      args: ['-c', line],
      env: { PATH: host.path, NODE_OPTIONS: options },
    });
    await screen.until('Quit');
    if (end === null) screen.type(keys.end, keys.enter);
    else process.kill(Number(fs.readFileSync(pidFile, 'utf8')), end);
    await screen.until(`status ${status}`);
    await screen.ended();
    if (status === 70) t.match(screen.text(), /boom/);
    const [before, after] = ['before', 'after'].map((name) =>
      fs.readFileSync(path.join(host.directory, name), 'utf8'),
    );
    t.equal(after, before, 'line settings');
    t.ok(screen.raw.includes('\x1b[?1049l'), 'the screen from before');
    t.ok(screen.raw.lastIndexOf('\x1b[?25h') > screen.raw.lastIndexOf('\x1b[?25l'), 'a cursor');
    t.ok(screen.raw.lastIndexOf('\x1b[?2004l') > screen.raw.lastIndexOf('\x1b[?2004h'), 'plain pastes');
  });
}

t.test('it ends with the line', async (t) => {
  const screen = await new ConfiguredHost(t).open();
  screen.hangUp();
  await until('the program to be gone', () => !isRunning(screen.pid));
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !fs.readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

t.test('inside tmux', { skip: skipUnless({ commands: ['tmux'] }) }, async (t) => {
  const host = new ConfiguredHost(t);
  const socket = path.join(host.directory, 'tmux.sock');
  const tmux = (...args: string[]): ReturnType<typeof run> =>
    run('tmux', ['-S', socket, '-f', '/dev/null', ...args], {
      env: { PATH: host.path, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' },
    });
  t.teardown(() => tmux('kill-server'));
  const command = `${hostconfigcli} ${host.places.join(' ')}; echo "status $?"; sleep 1000`;
  await tmux('new-session', '-d', '-x', '80', '-y', '24', command, ';', 'set', 'status', 'off');
  const shows = async (what: string): Promise<string> => {
    let text = '';
    await until(`tmux to show ${what}`, async () => {
      text = (await tmux('capture-pane', '-p')).out;
      return text.includes(what);
    });
    return text;
  };
  await shows('Quit');
  await tmux('send-keys', 'Enter');
  await shows('CX Server settings');
  await tmux('set-buffer', 'cs.example', ';', 'paste-buffer', '-p');
  const text = await shows('[cs.example ');
  const known = fs.readFileSync(path.resolve('test/tty/screens/global-typed.txt'), 'utf8');
  t.equal(text.trimEnd(), known.split('\n\n--')[0]?.trimEnd());
  await tmux('send-keys', 'Escape');
  await shows('Enter opens');
  await tmux('send-keys', 'End', 'Enter');
  await shows('status 0');
});

t.test('inside screen', { skip: skipUnless({ commands: ['screen'] }) }, async (t) => {
  const host = new ConfiguredHost(t);
  const sockets = path.join(host.directory, 'sockets');
  fs.mkdirSync(sockets, { mode: 0o700 });
  const screen = new TerminalScreen(t, {
    program: 'screen',
    args: ['-U', '-c', '/dev/null', hostconfigcli, ...host.places],
    env: { PATH: host.path, SCREENDIR: sockets, TERM: 'xterm' },
  });
  await screen.until('Quit');
  screen.type(keys.enter);
  await screen.until('CX Server settings');
  screen.type('cs.example');
  await screen.until('[cs.example ');
  const known = fs.readFileSync(path.resolve('test/tty/screens/global-typed.txt'), 'utf8');
  t.equal(screen.text().trimEnd(), known.split('\n\n--')[0]?.trimEnd());
  screen.type(keys.escape);
  await screen.until('Enter opens');
  screen.type(keys.end, keys.enter);
  await screen.ended();
});

t.test('without a terminal it says what to do', async (t) => {
  const { status, err } = await new ConfiguredHost(t).run([]);
  t.equal(status, 2);
  t.match(err, 'this is no terminal');
  t.match(err, '--address');
});
