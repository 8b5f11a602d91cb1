// Checks which names, sizes and addresses are taken and which are refused.
import t from 'tap';
import {
  checkDiskName,
  checkDiskSize,
  checkMachineName,
  checkTagName,
  formatListen,
  parseListen,
} from '../../../core/names.ts';

/** For the names of assertions, where a line separator or half a character would break the output. */
const escape = (name: string): string => encodeURIComponent(name.toWellFormed());

t.test('machine and disk names are letters, digits, dots, dashes and underscores', (t) => {
  for (const name of ['a', '7', 'web-01', 'Db.main_2', 'x'.repeat(63)]) {
    t.equal(checkMachineName(name), name);
    t.equal(checkDiskName(name), name);
  }
  const bad = ['', '.', '..', '.hidden', '-a', '_a', 'a/b', 'a b', 'ä', 'a\n', 'a\0', 'x'.repeat(64)];
  for (const name of bad) {
    const message = /is not a machine name$/;
    t.throws(() => checkMachineName(name), { code: 'bad-name', message }, escape(name));
    t.throws(() => checkDiskName(name), { code: 'bad-name', message: /is not a disk name$/ });
  }
  t.end();
});

t.test('a hostile name does not fill the message', (t) => {
  t.throws(() => checkMachineName('x'.repeat(1e6)), { message: /^.{0,200}$/ });
  t.end();
});

t.test('tag names are printable', (t) => {
  const good = ['a', 'before upgrade', 'größe ✓ 😀', '😀'.repeat(120), '..'];
  for (const name of good) t.equal(checkTagName(name), name);
  const unprintable = ['a\tb', 'a\nb', '\u001b[31m', 'a\u2028b', '\ud800'];
  for (const name of ['', ' ', ' a', 'a ', 'a/b', 'x'.repeat(121), ...unprintable]) {
    t.throws(() => checkTagName(name), { code: 'bad-tag-name' }, escape(name));
  }
  t.end();
});

t.test('disk sizes are whole sectors up to 64 TiB', (t) => {
  for (const size of [512, 1024 ** 3 + 512, 64 * 1024 ** 4]) t.equal(checkDiskSize(size), size);
  for (const size of [0, -512, 511, 513, 512.5, NaN, Infinity, 64 * 1024 ** 4 + 512]) {
    t.throws(() => checkDiskSize(size), { code: 'bad-disk-size' }, String(size));
  }
  t.end();
});

t.test('listen addresses are read and written', (t) => {
  const addresses: Record<string, ReturnType<typeof parseListen>> = {
    'unix:/run/a.sock': { kind: 'unix', path: '/run/a.sock' },
    [`unix:/${'x'.repeat(106)}`]: { kind: 'unix', path: `/${'x'.repeat(106)}` },
    'tcp:127.0.0.1:10809': { kind: 'tcp', host: '127.0.0.1', port: 10809 },
    'tcp:[::1]:10809': { kind: 'tcp', host: '::1', port: 10809 },
    'tcp:nbd.example.com:1': { kind: 'tcp', host: 'nbd.example.com', port: 1 },
  };
  for (const [text, listen] of Object.entries(addresses)) {
    t.same(parseListen(text), listen);
    t.equal(formatListen(listen), text);
  }
  t.end();
});

t.test('other addresses are refused, saying why', (t) => {
  const refused: Record<string, RegExp> = {
    '': /neither unix: nor tcp:/,
    '/run/a.sock': /neither unix: nor tcp:/,
    'unix:': /absolute/,
    'unix:a.sock': /absolute/,
    'unix:/run/': /absolute/,
    'unix:/a\0b': /zero byte/,
    [`unix:/${'x'.repeat(107)}`]: /108 bytes; the system takes 107/,
    [`unix:/${'ä'.repeat(60)}`]: /121 bytes/,
    'tcp:10809': /not tcp:HOST:PORT/,
    'tcp::10809': /not tcp:HOST:PORT/,
    'tcp:host:': /not tcp:HOST:PORT/,
    'tcp:::1:10809': /not tcp:HOST:PORT/,
    'tcp:[]:10809': /not an IPv6 address/,
    'tcp:[127.0.0.1]:10809': /not an IPv6 address/,
    'tcp:host:0': /from 1 to 65535/,
    'tcp:host:65536': /from 1 to 65535/,
    'tcp:host:123456': /not tcp:HOST:PORT/,
  };
  for (const [text, message] of Object.entries(refused)) {
    t.throws(() => parseListen(text), { code: 'bad-listen', message }, escape(text));
  }
  t.end();
});
