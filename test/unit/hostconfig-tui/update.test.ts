// The model of the Host Config Interface: keys and news in, screens and orders out, without a terminal.
import t from 'tap';
import { helpOn, menuHelp } from '../../../hostconfig-tui/model/help.ts';
import { menu, type Fault } from '../../../hostconfig-tui/model/model.ts';
import { openPage } from '../../../hostconfig-tui/model/pages.ts';
import { settings, Typed, unregistered } from './typed.ts';

const passphrase = 'ABCDEFGHJKLMNPQRSTUVWXYZ';
const fault: Fault = { code: 'timed-out', what: 'Timed out.', hint: 'Wait.', usualPort: null, canSave: true };

t.test('the menu goes to its ends and not round them; only Enter quits', async (t) => {
  const typed = new Typed();
  typed.press('left').press('right', 'right', 'right', 'right', 'right', 'down', 'escape');
  t.equal(menu[typed.model.menuAt], 'Quit');
  t.same(typed.took(), []);
  t.same(typed.press('enter').took(), [{ kind: 'quit', status: 0 }]);
});

t.test('the banner is that of the printed instructions', async (t) => {
  t.equal(
    new Typed().screen
      .split('\n')
      .slice(0, 7)
      .map((row) => row.slice(20))
      .join('\n'),
    [
      '+--------------------------------------+',
      '|        Host Config Interface         |',
      '|  Pick the command you wish to run.   |',
      '|        Press ? for help.             |',
      '+--------------------------------------+',
      '|  [Global]Agent NAT Logging Quit      |',
      '+--------------------------------------+',
    ].join('\n'),
  );
});

t.test('each word of the menu and each field has help of its own', async (t) => {
  t.same(
    menuHelp.map(({ title }) => title),
    menu,
  );
  for (const id of ['global', 'agent', 'nat', 'logging'] as const) {
    for (const field of openPage(id, { settings, status: unregistered }).fields) {
      if (field.kind === 'shown') continue;
      t.not(helpOn(id, field.id).title, 'Help', `${id}/${field.id}`);
    }
  }
  const typed = new Typed().press('right', 'right').type('?');
  t.match(typed.screen, 'through an address translation');
  t.notMatch(typed.press('enter').screen, 'through an address translation', 'and any key closes it');
  t.equal(typed.model.page, null);
});

t.test('accepting contacts the server, with what was typed', async (t) => {
  const typed = new Typed()
    .press('enter')
    .paste('https://cs.example:8443/\n')
    .press('enter', 'enter', 'enter');
  typed.paste(`  ${passphrase}\r\n`);
  t.match(typed.screen, '[24 characters');
  t.notMatch(typed.screen, passphrase);
  typed.press('enter', 'enter');
  const server = { host: 'cs.example', port: 8443, passphrase };
  t.same(typed.took(), [{ kind: 'register', server }]);
  t.match(typed.screen, '[8443', 'the fields show what was understood');

  t.comment('meanwhile no key but Esc counts');
  typed.happen({ kind: 'progress', text: 'Connecting to cs.example:8443' });
  typed.happen({ kind: 'tick' }).happen({ kind: 'tick' });
  t.match(typed.screen, 'Connecting to cs.example:8443 ... (2 s)');
  t.same(typed.press('enter', 'up').took(), []);
  t.same(typed.press('escape').took(), [{ kind: 'cancel' }]);
  t.match(typed.happen({ kind: 'stopped' }).screen, 'Stopped. Nothing was saved.');
});

t.test('what is not complete is said in its field, and nobody is contacted', async (t) => {
  const accept = (typed: Typed): string =>
    typed.press('enter').press('tab', 'tab', 'tab', 'tab', 'enter').screen;
  const field = ({ model }: Typed): string => model.page?.fields[model.page.at]?.id ?? '';
  const nothing = new Typed();
  t.match(accept(nothing), 'Enter the name or the address');
  t.equal(field(nothing), 'address');
  const noPort = new Typed({ configServerAddress: 'cs', configServerPort: 0 });
  t.match(accept(noPort), 'is no port');
  t.equal(field(noPort), 'port');
  const plain = new Typed({ configServerAddress: 'cs', useHttps: false });
  t.match(accept(plain), 'speaks https and nothing else');
  t.equal(field(plain), 'https');
  const noPassphrase = new Typed({ configServerAddress: 'cs' });
  t.match(accept(noPassphrase), 'Enter the passphrase');
  t.equal(field(noPassphrase), 'passphrase');
  noPassphrase.type('short').press('enter', 'enter');
  t.match(noPassphrase.screen, 'it has 5 characters, not 24');
  const itself = new Typed({ role: 'AllInOne', configServerAddress: 'cs' });
  t.match(accept(itself), 'is the configuration server itself');
  for (const typed of [nothing, noPort, plain, noPassphrase, itself]) t.same(typed.took(), []);
});

t.test('who has enrolled needs no passphrase', async (t) => {
  const registered = { server: 'cs:443', hostId: 'one' };
  const typed = new Typed({ configServerAddress: 'cs' }, { enrolled: true, registered });
  t.match(typed.press('enter').screen, '[Enrolled');
  typed.press('tab', 'tab', 'tab', 'tab', 'enter');
  t.same(typed.took(), [{ kind: 'register', server: { host: 'cs', port: 443, passphrase: null } }]);
});

t.test('after a failure Enter tries again; saving all the same is a step further', async (t) => {
  const typed = new Typed({ configServerAddress: 'cs' }, { enrolled: true });
  typed.press('enter').happen({ kind: 'failed', fault });
  t.match(typed.screen, '[>Accept ]  [ Run alone ]  [ Save anyway ]');
  t.match(typed.press('enter').took(), [{ kind: 'register' }]);
  typed.happen({ kind: 'failed', fault }).press('right', 'right', 'enter');
  const changes = { ConfigServerAddress: 'cs', ConfigServerPort: '443', UseHttps: 'yes' };
  t.match(typed.took(), [{ kind: 'save', changes }]);

  t.comment('what is changed then is not what failed');
  typed.happen({ kind: 'failed', fault }).press('up').type('x');
  t.notMatch(typed.screen, 'Save anyway');
  typed.happen({ kind: 'failed', fault: { ...fault, canSave: false } });
  t.notMatch(typed.screen, 'Save anyway');
});

t.test('where the usual port answers, one key takes it', async (t) => {
  const typed = new Typed({ configServerAddress: 'cs', configServerPort: 22 }, { enrolled: true });
  typed.press('enter').happen({ kind: 'failed', fault: { ...fault, usualPort: 443 } });
  t.match(typed.screen, '[>Use port 443 ]  [ Accept ]');
  t.match(typed.press('enter').took(), [{ kind: 'register', server: { host: 'cs', port: 443 } }]);
});

t.test('no configuration server: run alone is an answer', async (t) => {
  const typed = new Typed({ configServerAddress: 'cs' }).press('enter');
  typed.press('tab', 'tab', 'tab', 'tab', 'right', 'enter');
  t.match(typed.took(), [{ kind: 'save', changes: { ConfigServerAddress: '' } }]);
});

const rows = [
  { text: '/retention', detail: 'ext4, 1 TiB free of 2 TiB', value: '/retention' },
  { text: '/', detail: 'not eligible: it is the system', value: null },
  ...Array.from({ length: 6 }, (_each, at) => ({ text: `/v${at}`, detail: 'not eligible: no', value: null })),
];

t.test(
  'a retention volume is chosen from the list, or typed; why others cannot be it stands there',
  async (t) => {
    const typed = new Typed().press('right', 'enter');
    t.same(typed.took(), [{ kind: 'look-for-volumes' }]);
    typed.happen({ kind: 'volumes', rows });
    t.match(typed.screen, /Retention volume +\[retention\/ in the data directory/);
    t.match(typed.screen, '/retention  ext4, 1 TiB free of 2 TiB');
    t.match(typed.screen, '/  not eligible: it is the system');
    t.match(typed.screen, /Volumes here +\d more below/);
    typed.press('down', 'down', 'enter');
    t.match(typed.screen, '[retention/ in the data directory', 'one that cannot be it is not taken');
    t.match(typed.screen, '/: not eligible: it is the system');
    typed.press('up', 'enter');
    t.match(typed.screen, '[/retention ');
    t.notMatch(typed.screen, '/: not eligible', 'what was said of another is no more');
    typed.type('relative').press('tab', 'tab', 'enter');
    t.match(typed.screen, 'is no absolute path');
    t.same(typed.took(), []);
    typed.press('clear', 'tab', 'tab', 'enter');
    const changes = { RetentionVolume: '/retention' };
    const places = { ...changes, ReplicaDirectory: '', CacheDirectory: '' };
    t.same(typed.took(), [{ kind: 'save-places', places, changes }]);
    typed.happen({ kind: 'failed', fault }).press('right', 'enter');
    t.match(typed.took(), [{ kind: 'save', changes }]);
  },
);

t.test('a reason that is longer than its row is told whole by choosing it', async (t) => {
  const reason = `not eligible: ${'it has a reason that is long '.repeat(3)}and ends here`;
  const row = { text: '/somewhere/below/the/root', detail: reason, value: null };
  const typed = new Typed().press('right', 'enter').happen({ kind: 'volumes', rows: [row] });
  t.match(typed.screen, /below\/the\/root  not eligible: it has a reason .*\.\.\. +\|/);
  t.notMatch(typed.screen, 'and ends here');
  typed.press('down', 'enter');
  t.match(typed.screen, 'and ends here');
});

t.test('the page fits into 24 rows with everything it has to say', async (t) => {
  const typed = new Typed().press('right', 'enter').happen({ kind: 'volumes', rows });
  const hint = 'A sentence that is as long as sentences of this kind are, and a little longer than that.';
  typed.happen({ kind: 'failed', fault: { ...fault, what: `${hint} ${hint}`, hint: `${hint} ${hint}` } });
  t.notMatch(typed.screen, '/retention ', 'the list makes room');
  t.equal(typed.screen.trimEnd().split('\n').length, 24);
  t.match(typed.screen, 'Nothing was saved.');
  t.match(typed.screen, 'Save anyway');
  typed.press('up', 'up', 'up');
  t.match(typed.screen, '/retention ', 'but not when the cursor is in it');
});

t.test('what somebody else has set meanwhile is shown, and not written over', async (t) => {
  const typed = new Typed().press('right', 'enter').happen({ kind: 'volumes', rows });
  typed.took();
  const other = { ...settings, replicaDirectory: '/replicas', cacheDirectory: '/cache' };
  typed.happen({ kind: 'status', status: unregistered, settings: other });
  typed.press('down', 'enter', 'tab', 'tab', 'enter');
  t.match(typed.took(), [{ kind: 'save-places', changes: { RetentionVolume: '/retention' } }]);
  typed.happen({ kind: 'stopped' }).press('escape', 'enter');
  t.match(typed.screen, '[/replicas ');
});

t.test('a role without history has no retention volume', async (t) => {
  const typed = new Typed({ role: 'Agent' }).press('right', 'enter');
  t.match(typed.screen, 'Mobility Service');
  t.notMatch(typed.screen, 'Retention volume');
});

t.test('NAT is asked for only where somebody says yes', async (t) => {
  const typed = new Typed().press('right', 'right', 'enter');
  t.notMatch(typed.screen, 'Enter NAT');
  typed.type('y').press('enter', 'enter', 'enter', 'enter');
  t.match(typed.screen, 'Enter the NAT host name, or answer No.');
  typed.type('10.0.0.1').press('enter', 'enter', 'enter');
  t.match(typed.screen, 'is no host name');
  typed.press('clear').type('nat.example').press('enter', 'right', 'enter').type('10.0.0.300');
  typed.press('enter', 'enter');
  t.match(typed.screen, 'is no IP address');
  typed.press('backspace', 'enter', 'enter');
  t.match(typed.took(), [
    { kind: 'save', changes: { NatHostName: 'nat.example', NatIpAddress: '10.0.0.30' } },
  ]);
});

t.test('the log is followed while its page is open', async (t) => {
  const typed = new Typed().press('right', 'right', 'right', 'enter');
  t.same(typed.took(), [{ kind: 'follow-log', on: true }]);
  const lines = Array.from({ length: 50 }, (_each, at) => `line ${at}`);
  typed.happen({ kind: 'log', lines });
  t.match(typed.screen, 'line 49');
  t.notMatch(typed.screen, 'line 3 ');
  typed.press('right').press('tab', 'tab', 'enter');
  t.match(typed.took(), [{ kind: 'save-places', places: { LogFile: '' }, changes: { LogLevel: 'debug' } }]);
  typed.happen({ kind: 'saved', lines: ['Saved.'], settings, status: unregistered });
  t.same(typed.press('escape').took(), [{ kind: 'follow-log', on: false }]);
});

t.test('the status line has room for the longest address', async (t) => {
  const line = (server: string, contactSeconds: number | null, service: string | null): string => {
    const typed = new Typed({}, { registered: { server, hostId: 'one' }, contactSeconds, service });
    return typed.screen.trimEnd().split('\n').at(-1) ?? '';
  };
  const long = line(`${'a'.repeat(200)}:443`, 3, 'running');
  t.ok(long.length <= 80, long);
  t.match(long, / Registered with a+\.\.\. \| contact 3 s ago \| service running/);
  const usual = ' Registered with 10.0.0.1:443 | last contact 3 s ago | service running';
  t.equal(line('10.0.0.1:443', 3, 'running'), usual);
  const tight = ' Registered with 192.168.101.102:8443 | contact unknown | service not installed';
  t.equal(line('192.168.101.102:8443', null, null), tight);
});

t.test('the configuration server itself is registered nowhere, and says so', async (t) => {
  const line = new Typed({ role: 'ConfigServer' }).screen.trimEnd().split('\n').at(-1);
  t.equal(line, ' This is the configuration server | service stopped');
});

t.test('news while a help text or another page is open do no harm', async (t) => {
  const typed = new Typed();
  typed
    .happen({ kind: 'volumes', rows })
    .happen({ kind: 'log', lines: ['x'] })
    .happen({ kind: 'tick' });
  typed.happen({ kind: 'failed', fault }).happen({ kind: 'stopped' }).happen({ kind: 'progress', text: 'x' });
  t.equal(typed.model.page, null);
  typed.press('enter').happen({ kind: 'volumes', rows });
  t.equal(typed.model.page?.id, 'global');
});
