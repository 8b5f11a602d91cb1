// The parts of the Host Config Interface that are pure: addresses, the file, the terminal, faults.
import fs from 'node:fs';
import path from 'node:path';
import ini from 'ini';
import fc from 'fast-check';
import t from 'tap';
import { HomewardError } from '../../../core/errors.ts';
import { changeEntries, readSettings, writeSettings } from '../../../hostconfig-tui/actions/config-file.ts';
import { findConfig } from '../../../hostconfig-tui/actions/places.ts';
import { speechOf } from '../../../hostconfig-tui/actions/probe.ts';
import { parseService, serviceWords } from '../../../hostconfig-tui/actions/service.ts';
import { parseFlags } from '../../../hostconfig-tui/flags.ts';
import { editText } from '../../../hostconfig-tui/model/field.ts';
import { faultOf } from '../../../hostconfig-tui/model/fault.ts';
import { textField } from '../../../hostconfig-tui/model/page.ts';
import { fit, paragraph, textOfRow, widthOf } from '../../../hostconfig-tui/model/row.ts';
import { readServer } from '../../../hostconfig-tui/model/server-address.ts';
import { forTerminal, lookOf, sizeOf } from '../../../hostconfig-tui/view/terminal.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('addresses are taken as people write them', async (t) => {
  for (const [address, port, host, number] of [
    ['cs.example', '443', 'cs.example', 443],
    [' 10.0.0.1 ', ' 8443 ', '10.0.0.1', 8443],
    ['cs.example:8443', '443', 'cs.example', 8443],
    ['https://cs.example/', '443', 'cs.example', 443],
    ['HTTPS://cs.example:9/x', '443', 'cs.example', 9],
    ['fe80::1', '443', 'fe80::1', 443],
    ['[fe80::1]:8443', '443', 'fe80::1', 8443],
    ['cs_1', '1', 'cs_1', 1],
  ] as const) {
    t.same(readServer(address, port), { host, port: number }, address);
  }
  for (const [address, port] of [
    ['', '443'],
    ['two words', '443'],
    ['300.1.1.1', '443'],
    ['-cs', '443'],
    ['cs;reboot', '443'],
    ['cs', ''],
    ['cs', '65536'],
    ['cs', '-1'],
    ['a:b:c', '443'],
  ] as const) {
    t.match(readServer(address, port), { problem: String }, `${address} ${port}`);
  }
});

t.test('a change leaves the rest of the file alone', async (t) => {
  const text =
    '# first\n[vxagent]\nHostId = x\nMine = 1\n\n; of homeward\n[homeward]\nLogLevel=info # why\n' +
    '\n[other]\na = 1\n';
  const changed = changeEntries(text, { HostId: 'y', LogLevel: 'debug', ConfigServerAddress: 'cs' });
  t.equal(
    changed,
    '# first\n[vxagent]\nHostId = y\nMine = 1\n\n; of homeward\n[homeward]\nLogLevel = debug\n' +
      'ConfigServerAddress = cs\n\n[other]\na = 1\n',
  );
  t.equal(changeEntries('', { LogFile: '/x' }), '[homeward]\nLogFile = /x\n');
  t.equal(changeEntries('[vxagent]\r\nHostId=a\r\n', { HostId: 'b' }), '[vxagent]\nHostId = b\n');
});

t.test('whatever is written is read back, or refused', async () => {
  const value = fc.string({ unit: 'grapheme-ascii' }).map((text) => text.trim());
  fc.assert(
    fc.property(value, value, (name, file) => {
      const before = '# x\n[homeward]\nLogLevel = warn\n';
      const text = tryChange(before, { NatHostName: name, LogFile: file });
      if (text === null) return /["'\\]/.test(name + file);
      const read = ini.parse(text) as { homeward: Record<string, unknown> };
      return (
        read.homeward['NatHostName'] === name &&
        read.homeward['LogFile'] === file &&
        read.homeward['LogLevel'] === 'warn'
      );
    }),
    { verbose: true },
  );
});

t.test('the file keeps its mode, and a wrong value is not written', async (t) => {
  const file = path.join(temporaryDirectory(t), 'deep/etc/drscout.conf');
  writeSettings(file, { LogLevel: 'debug' });
  t.equal(fs.statSync(file).mode & 0o777, 0o640);
  fs.chmodSync(file, 0o600);
  writeSettings(file, { NatIpAddress: '10.0.0.1' });
  t.equal(fs.statSync(file).mode & 0o777, 0o600);
  t.match(readSettings(file), { logLevel: 'debug', natIpAddress: '10.0.0.1', configServerPort: 443 });
  const before = fs.readFileSync(file, 'utf8');
  t.throws(() => writeSettings(file, { LogLevel: 'loud' }), { code: 'bad-config' });
  t.throws(() => writeSettings(file, { CacheDirectory: 'relative' }), { code: 'bad-config' });
  t.equal(fs.readFileSync(file, 'utf8'), before);
  const link = path.join(path.dirname(file), 'link.conf');
  fs.symlinkSync('drscout.conf', link);
  writeSettings(link, { LogLevel: 'warn' });
  t.ok(fs.lstatSync(link).isSymbolicLink(), 'a link stays one');
  t.match(readSettings(file), { logLevel: 'warn' });
});

t.test('the configuration of an installation is found from its programs', async (t) => {
  const asked = { config: undefined, control: undefined, units: undefined, cwd: '/cwd', environment: {} };
  const root = '/usr/local/ASR/Vx/releases/1.2.3';
  t.equal(findConfig({ ...asked, root }), '/usr/local/ASR/Vx/etc/drscout.conf');
  t.equal(findConfig({ ...asked, root, config: 'x.conf' }), '/cwd/x.conf');
  t.equal(findConfig({ ...asked, root, environment: { HOMEWARD_CONFIG: '/y.conf' } }), '/y.conf');
  t.throws(() => findConfig({ ...asked, root: '/somewhere/checkout' }), { code: 'usage' });
});

t.test('what a terminal can do', async (t) => {
  const look = (environment: Record<string, string>): string => {
    const { lines, attributes, colour } = lookOf(environment);
    return [lines && 'lines', attributes && 'attributes', colour && 'colour'].filter(Boolean).join(' ');
  };
  t.equal(look({ TERM: 'xterm', LANG: 'de_DE.utf8' }), 'lines attributes colour');
  t.equal(look({ TERM: 'xterm', LANG: 'de_DE' }), 'attributes colour');
  t.equal(look({ TERM: 'xterm', LANG: 'C.UTF-8', LC_ALL: '' }), 'lines attributes colour');
  t.equal(look({ TERM: 'xterm', LANG: 'C.UTF-8', LC_ALL: 'POSIX' }), 'attributes colour');
  t.equal(look({ TERM: 'xterm', LANG: 'C.UTF-8', NO_COLOR: '' }), 'lines attributes colour');
  t.equal(look({ TERM: 'xterm', LANG: 'C.UTF-8', NO_COLOR: '1' }), 'lines attributes');
  t.equal(look({ TERM: 'vt220', LANG: 'C.UTF-8' }), 'attributes');
  t.equal(look({ TERM: 'dumb', LANG: 'C.UTF-8' }), '');
  t.equal(look({ LANG: 'C.UTF-8' }), '');
  t.same(sizeOf(0, 0), { columns: 80, rows: 24 });
  t.same(sizeOf(undefined, undefined), { columns: 80, rows: 24 });
  t.same(sizeOf(200, 50), { columns: 200, rows: 50 });
});

t.test('nothing of others moves the cursor', async (t) => {
  t.equal(forTerminal('a\u001b[2Jb\u202ec\u0300 \u65e5 \u{1f600} ─ ä', true), 'a?[2Jb?c? ? ? ─ ä');
  t.equal(forTerminal('─ ä \u0007', false), '? ? ?');
});

t.test('text is cut and broken at its width, and nothing of it is lost', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 40 }), (text, width) => {
      const lines = paragraph(text, width);
      const whole = (pieces: readonly string[]): string => pieces.join('').replaceAll(' ', '');
      return lines.every((line) => widthOf(line) <= width) && whole(lines) === whole([text]);
    }),
    { verbose: true },
  );
  t.equal(textOfRow(fit([{ text: 'abc' }, { text: 'def' }], 4)), 'abcd');
});

t.test('editing never leaves the text', async () => {
  const key = fc.oneof(
    fc
      .constantFrom('left', 'right', 'home', 'end', 'backspace', 'delete', 'clear')
      .map((name) => ({ kind: 'named', name }) as const),
    fc.string({ unit: 'grapheme', minLength: 1 }).map((text) => ({ kind: 'paste', text }) as const),
  );
  fc.assert(
    fc.property(fc.array(key), (keys) => {
      let field = textField({ id: 'x', label: 'x', value: '' });
      for (const each of keys) field = editText(field, each);
      const { length } = Array.from(field.value);
      return field.cursor >= 0 && field.cursor <= length && !/[\r\n]/.test(field.value);
    }),
    { verbose: true },
  );
});

t.test('what answers is told by its first words', async (t) => {
  t.equal(speechOf('SSH-2.0-OpenSSH_9.6\r\n'), 'ssh');
  t.equal(speechOf('Authorised use only\r\nSSH-2.0-x'), 'ssh');
  t.equal(speechOf('HTTP/1.1 400 Bad Request'), 'http');
  t.equal(speechOf('220 mail.example ESMTP'), 'nothing-known');
});

t.test('a clock that is off is off by minutes, whoever of both has said so', async (t) => {
  const message = 'the clock says 2026-01-01T10:00:00.000Z, that of cs 2026-01-01T10:42:10.123456Z';
  const { what } = faultOf(new HomewardError('clock-apart', message), null);
  t.match(what, /^Clock off by 42 minutes: the clock says /);
  t.match(faultOf(new HomewardError('clock-apart', 'who knows'), null).what, /^Clock off: who knows\.$/);
  t.match(faultOf(new HomewardError('no-space', 'it is full'), null), {
    what: 'It is full.',
    canSave: false,
  });
});

t.test('the state of a unit is said in a word', async (t) => {
  const words = (text: string): string | null => serviceWords(parseService(text));
  t.equal(words('LoadState=loaded\nActiveState=active\nSubState=running\n'), 'running');
  t.equal(words('LoadState=loaded\nActiveState=failed\n'), 'failed');
  t.equal(words('LoadState=loaded\nActiveState=maintenance\n'), 'maintenance');
  t.equal(words('LoadState=not-found\nActiveState=inactive\n'), null);
  t.equal(words(''), null);
});

t.test('flags that contradict each other are refused', async (t) => {
  for (const args of [
    ['--address', 'cs', '--run-alone'],
    ['--run-alone', '--passphrase-file', 'x'],
    ['--show', '--volumes'],
    ['--show', '--address', 'cs'],
    ['--adress', 'cs'],
    ['--address'],
    ['surplus'],
  ]) {
    t.throws(() => parseFlags(args), { code: 'usage' }, args.join(' '));
  }
  t.match(parseFlags(['--help']), { text: /Exit status: 0 done/ });
  t.match(parseFlags(['--nat-ip', '', '--json']), { flags: { natIp: '', json: true } });
});

/** Null for what cannot be spelled. */
function tryChange(text: string, changes: Record<string, string>): string | null {
  try {
    return changeEntries(text, changes);
  } catch (error) {
    if (error instanceof HomewardError && error.code === 'bad-config') return null;
    throw error;
  }
}
