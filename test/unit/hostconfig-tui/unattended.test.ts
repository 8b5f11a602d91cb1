// hostconfigcli with flags, in this process: what is refused before anything is asked or written.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { readSettings } from '../../../hostconfig-tui/actions/config-file.ts';
import { placesOf } from '../../../hostconfig-tui/actions/places.ts';
import { parseFlags } from '../../../hostconfig-tui/flags.ts';
import { carryOut, show, type Order } from '../../../hostconfig-tui/unattended.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

function orderOf(t: Test, args: readonly string[]): { order: Order; file: string } {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'drscout.conf');
  fs.writeFileSync(file, `[homeward]\nDataDirectory = ${directory}/data\n`);
  const parsed = parseFlags(args);
  if (!('flags' in parsed)) throw new Error(`${args.join(' ')} prints a text`);
  const settings = readSettings(file);
  const asked = { config: file, control: undefined, units: directory, cwd: '/', environment: {}, root: '/' };
  const places = placesOf(asked, file, settings);
  const { signal } = new AbortController();
  const order = {
    flags: parsed.flags,
    places,
    settings,
    resolve: path.resolve,
    note: () => undefined,
    signal,
  };
  return { order, file };
}

t.test('flags that make no sense are refused before anything is done', async (t) => {
  for (const [args, code, message] of [
    [['--address', 'cs', '--port', '0'], 'usage', /is no port/],
    [['--address', 'cs:8443', '--port', '444'], 'usage', /names port 8443, and --port 444/],
    [['--address', 'not a name'], 'usage', /neither a name nor an IP address/],
    [['--port', '443'], 'usage', /name or the address of the configuration server/],
    [['--address', 'cs', '--https', 'no'], 'usage', /https and nothing else/],
    [['--address', 'cs', '--https', 'maybe'], 'usage', /https and nothing else/],
    [['--address', '127.0.0.1', '--wait', 'long'], 'bad-duration', /long/],
    [
      ['--address', 'cs', '--passphrase-file', '/no/such/file'],
      'no-such-file',
      /there is no passphrase file/,
    ],
    [['--nat-ip', '300.1.1.1'], 'usage', /is no IP address/],
    [['--nat-host', '10.0.0.1'], 'usage', /is no host name/],
    [['--log-level', 'loud'], 'bad-config', /LogLevel cannot be/],
    [['--log-file', 'relative'], 'bad-config', /LogFile cannot be/],
    [['--replicas', 'relative', '--save-anyway'], 'bad-config', /ReplicaDirectory cannot be/],
    [['--retention', '/no/such/directory'], 'not-a-volume', /there is no directory/],
    [['--cache', '/etc/passwd'], 'not-a-volume', /is not a directory/],
  ] as const) {
    const { order, file } = orderOf(t, args);
    const before = fs.readFileSync(file, 'utf8');
    await t.rejects(carryOut(order), { code, message }, args.join(' '));
    t.equal(fs.readFileSync(file, 'utf8'), before);
  }
});

t.test('what is shown has every setting, and no key of this host', async (t) => {
  const { order } = orderOf(t, ['--show']);
  const { document, text } = await show(order);
  t.match(document, {
    settings: { configServerAddress: '', configServerPort: 443, role: 'MasterTarget' },
    status: { enrolled: false, registered: null, contactSeconds: null },
  });
  t.match(text, /^\[vxagent\]\n[^]*^\[homeward\]\n[^]*^ConfigServerPort = 443$[^]*^WindowHours = 24h$/m);
  const file = path.join(temporaryDirectory(t), 'shown.conf');
  fs.writeFileSync(file, text);
  t.same(readSettings(file), order.settings, 'it can be read as a configuration again');
  t.notMatch(text, /passphrase|PRIVATE/i);
});
