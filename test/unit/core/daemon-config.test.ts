// Where a daemon's places come from: flags, its configuration file, the usual ones.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { natNames, readDaemonConfig, serverOf } from '../../../core/daemon-config.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

function configFile(t: Test, ...lines: string[]): string {
  const file = path.join(temporaryDirectory(t), 'drscout.conf');
  fs.writeFileSync(file, ['[homeward]', ...lines, ''].join('\n'));
  return file;
}

t.test('data is by flag, else by setting, else in the usual place of the role', (t) => {
  const set = configFile(t, 'DataDirectory = /srv/who');
  const bare = configFile(t);
  const dataOf = (flags: Omit<Parameters<typeof readDaemonConfig>[0], 'role'>) => {
    const { data, installed } = readDaemonConfig({ role: 'process-server', ...flags }, {});
    return { data, installed };
  };
  t.same(dataOf({ data: '/flag', config: set }), { data: '/flag', installed: false });
  t.same(dataOf({ data: '/flag' }), { data: '/flag', installed: false });
  t.same(dataOf({ config: set }), { data: '/srv/who', installed: true });
  t.same(dataOf({ config: bare }), { data: '/var/lib/homeward/process-server', installed: true });
  t.equal(readDaemonConfig({ role: 'all-in-one', config: bare }, {}).data, '/var/lib/homeward');
  t.throws(() => dataOf({}), { code: 'usage', message: '--data is missing' });
  t.end();
});

t.test('the configuration server is by flag, else by two settings, else there is none', (t) => {
  const config = configFile(t, 'ConfigServerAddress = fd00::1', 'ConfigServerPort = 8443');
  const told = (flags: object) => readDaemonConfig({ role: 'mobility', ...flags }, {});
  t.equal(told({ config, configServer: 'other:1' }).configServer, 'other:1');
  t.equal(told({ config }).configServer, '[fd00::1]:8443');
  t.equal(told({ config: configFile(t, 'ConfigServerAddress = cs') }).configServer, 'cs:443');
  const alone = told({ config: configFile(t) });
  t.equal(alone.configServer, null);
  t.throws(() => serverOf(alone), { code: 'usage', message: '--config-server is missing' });
  const both = configFile(t, 'ConfigServerAddress = cs:8443');
  t.throws(() => told({ config: both }), { code: 'bad-config', message: /ConfigServerAddress cannot be/ });
  t.end();
});

t.test('anything but HTTPS is refused in words', (t) => {
  const config = configFile(t, 'UseHttps = no');
  t.throws(() => readDaemonConfig({ role: 'master-target', config }, {}), {
    code: 'bad-config',
    message: /UseHttps cannot be "no"/,
  });
  t.end();
});

t.test('names behind an address translation are those that are set', (t) => {
  const config = configFile(t, 'NatIpAddress = 192.0.2.7');
  t.same(natNames(readDaemonConfig({ role: 'process-server', config }, {}).config), ['192.0.2.7']);
  t.end();
});

t.test('a log file gets each line with its time; one that is moved away is made anew', (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'homeward.log');
  const config = configFile(t, `LogFile = ${file}`, 'LogLevel = warn');
  const { log } = readDaemonConfig({ role: 'master-target', config }, {});
  const err: string[] = [];
  t.intercept(process.stderr, 'write', {
    value: (line: string) => {
      err.push(line);
      return true;
    },
  });
  log.warn('first', { n: 1 });
  log.info('unimportant');
  fs.renameSync(file, `${file}.1`);
  log.error('second');
  const stamp = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;
  t.match(fs.readFileSync(`${file}.1`, 'utf8'), new RegExp(`^${stamp} level=warn event=first n=1\n$`));
  t.match(fs.readFileSync(file, 'utf8'), new RegExp(`^${stamp} level=error event=second\n$`));
  fs.rmSync(directory, { recursive: true });
  log.warn('third');
  log.warn('fourth');
  t.equal(err.filter((line) => line.includes('event=log-file-failed')).length, 1, 'and failing is said once');
  t.same(
    err.filter((line) => /event=(?:first|second|third|fourth)/.test(line)).map((line) => line.slice(0, 3)),
    ['<4>', '<3>', '<4>', '<4>'],
    'stderr gets them all, with their priority',
  );
  t.end();
});
