// Checks where a value comes from, what is refused, and that typing errors are told with the nearest setting.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { checkConfig, environmentName, loadConfig } from '../../../core/config.ts';
import { createLog, silentLog } from '../../../core/log.ts';
import { parseSetting } from '../../../core/setting-value.ts';
import { settings, type Setting } from '../../../core/settings.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const log = silentLog;
const environment = {};

function configFile(t: Test, text: string): string {
  const file = path.join(temporaryDirectory(t), 'drscout.conf');
  fs.writeFileSync(file, text);
  return file;
}

t.test('without a file every setting has its default', (t) => {
  t.same(loadConfig({ file: null, environment, log }), {
    hostId: '',
    role: 'MasterTarget',
    configServerAddress: '',
    configServerPort: 443,
    useHttps: true,
    dataDirectory: '',
    retentionVolume: '',
    replicaDirectory: '',
    cacheDirectory: '',
    natHostName: '',
    natIpAddress: '',
    machineName: '',
    machineDisks: '',
    machineListen: '',
    logFile: '',
    checkAtStart: true,
    windowMs: 86_400_000,
    windowMaxBytes: 0,
    keepRules: 'hourly=7d,daily=4w,tags=4w',
    floorMs: 14_400_000,
    whenFull: 'shorten',
    applyBacklogBytes: 0,
    replicaLagMs: 300_000,
    segmentBytes: 67_108_864,
    syncIntervalMs: 200,
    unsyncedBytes: 100_663_296,
    logLevel: 'info',
    retentionReserveBytes: 268_435_456,
    spoolBytes: 0,
    spoolReserveBytes: 268_435_456,
    outboxMemoryBytes: 67_108_864,
    outboxBytes: 8_589_934_592,
    chainCompression: true,
    customScriptMs: 60_000,
    batchResync: 3,
    nbdTlsDirectory: '',
  });
  t.end();
});

t.test('a flag goes before the environment, that before the file, that before the default', (t) => {
  const file = configFile(
    t,
    '[vxagent]\nHostId = abc\nRole=Agent\n[homeward]\nWindowHours = 2\n' +
      'ReplicaLag = 10m\nSegmentBytes = 1M ; a comment\nLogLevel = "debug"\n',
  );
  const config = loadConfig({
    file,
    log,
    flags: { WindowHours: '90m' },
    environment: { HOMEWARD_WINDOW_HOURS: '3h', HOMEWARD_REPLICA_LAG: '7' },
  });
  t.match(config, { windowMs: 90 * 60_000, replicaLagMs: 7000, segmentBytes: 2 ** 20, logLevel: 'debug' });
  t.match(config, { hostId: 'abc', role: 'Agent', unsyncedBytes: 96 * 2 ** 20 });
  t.end();
});

t.test('a value that its setting does not take is refused, saying where it was set', (t) => {
  const file = configFile(t, '[homeward]\nSegmentBytes = 63K\n');
  const message =
    'SegmentBytes cannot be "63K": it is bytes, or a number with K, M, G or T, ' +
    `from 64K to 1G (set in ${file})`;
  t.throws(() => loadConfig({ file, environment, log }), { code: 'bad-config', message });
  t.throws(() => loadConfig({ file: null, environment: { HOMEWARD_LOG_LEVEL: 'loud' }, log }), {
    message:
      'LogLevel cannot be "loud": it is error, warn, info or debug ' +
      '(set in the environment, HOMEWARD_LOG_LEVEL)',
  });
  const flags = { WindowHours: '' };
  t.throws(() => loadConfig({ file: null, environment, flags, log }), { message: /by flag/ });
  t.end();
});

t.test('each type refuses what it cannot read, and takes both ends of its range', (t) => {
  const wrong: Record<Setting['type'], string[]> = {
    bytes: ['', '-1', '1X', 'one', '9999999T'],
    duration: ['', '-1s', '5 apples', '1e9w', '99999w'],
    integer: ['', '1.5', '-1', '99999999', '0x7'],
    boolean: ['', 'maybe', '2'],
    choice: ['', 'INFO', 'info '],
    path: ['relative/path', './x'],
    'keep-rules': ['hourly', 'hourly=7', 'dayly=4w', 'hourly=7d,', 'daily=1h'],
    text: [],
  };
  const about = {
    key: 'Sample',
    name: 'sample',
    section: 'homeward',
    default: '',
    applies: 'restart',
    doc: '',
  } as const;
  const samples: Setting[] = [
    ...settings,
    { ...about, type: 'integer', least: '5', most: '10' },
    { ...about, type: 'boolean' },
  ];
  for (const setting of samples) {
    for (const text of wrong[setting.type]) {
      t.throws(() => parseSetting(setting, text), { code: 'bad-config' }, `${setting.key} = "${text}"`);
    }
    if ('least' in setting) t.ok(parseSetting(setting, setting.least) < parseSetting(setting, setting.most));
  }
  t.equal(parseSetting({ ...about, type: 'boolean' }, 'Yes'), true);
  t.equal(parseSetting({ ...about, type: 'boolean' }, 'off'), false);
  const fiveToTen = { ...about, type: 'integer', least: '5', most: '10' } as const;
  t.equal(parseSetting(fiveToTen, '7'), 7);
  for (const text of ['4', '11']) t.throws(() => parseSetting(fiveToTen, text), { code: 'bad-config' });
  t.end();
});

t.test('an unknown key is a warning at start and an error in the check, with the nearest setting', (t) => {
  const file = configFile(t, 'Stray = 1\n[homeward]\nWindowHour = 5\nHostId = a\n[vxagant]\nRole = Agent\n');
  const lines: string[] = [];
  const config = loadConfig({ file, environment, log: createLog('info', (line) => lines.push(line)) });
  t.equal(config.windowMs, 86_400_000);
  t.equal(lines.length, 4);
  t.match(lines[1], /^<4>level=warn event=config-unknown-key .* key=WindowHour .* nearest=WindowHours\n$/);
  t.match(checkConfig({ file, environment }), [
    { section: null, key: 'Stray', message: /before any section is not a setting/ },
    { section: 'homeward', key: 'WindowHour', nearest: 'WindowHours' },
    { section: 'homeward', key: 'HostId', message: 'HostId stands in [homeward]; it belongs in [vxagent]' },
    { section: 'vxagant', key: 'Role', message: 'Role stands in [vxagant]; it belongs in [vxagent]' },
  ]);
  t.end();
});

t.test('the check lists all that is wrong at once, also a file that is missing or unreadable', (t) => {
  const file = configFile(t, '[homeward]\nWindowHours = soon\nLogLevel\nSegmentBytes=1M\n');
  const problems = checkConfig({ file, environment: { HOMEWARD_NBD_TLS_DIRECTORY: 'here' } });
  t.same(
    problems.map((problem) => problem.key),
    ['WindowHours', 'LogLevel', 'NbdTlsDirectory'],
  );
  t.same(checkConfig({ file: configFile(t, ''), environment }), []);
  const missing = path.join(temporaryDirectory(t), 'drscout.conf');
  t.same(checkConfig({ file: missing, environment }), [
    { section: null, key: null, message: `${missing} does not exist` },
  ]);
  t.throws(() => loadConfig({ file: missing, environment, log }), { code: 'no-such-file' });
  t.throws(() => loadConfig({ file: path.dirname(missing), environment, log }), {
    code: 'bad-config',
    message: /EISDIR/,
    hint: /may read/,
  });
  t.end();
});

t.test('names in the environment are spelled in capitals with underscores', (t) => {
  t.equal(environmentName('WindowHours'), 'HOMEWARD_WINDOW_HOURS');
  t.equal(environmentName('NbdTlsDirectory'), 'HOMEWARD_NBD_TLS_DIRECTORY');
  t.end();
});
