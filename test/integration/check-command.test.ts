// `homeward check` as it is typed: its forms, what it refuses, what is accepted, and who hears of it.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import t from 'tap';
import { readAccepted } from '../../agent/prerequisites/accepted-checks.ts';
import { allChecks } from '../../agent/prerequisites/all-checks.ts';
import { readCheckContext } from '../../agent/prerequisites/read-context.ts';
import type { CheckReport } from '../../agent/prerequisites/run-checks.ts';
import { run } from '../../cli/run.ts';
import { formatChecks } from '../../cli/commands/format-checks.ts';
import { formatHosts } from '../../cli/commands/hosts.ts';
import { formatStatus } from '../../cli/commands/status.ts';
import { createLog } from '../../core/log.ts';
import { readCheckSummary, writeCheckSummary } from '../../core/registration/check-summary.ts';
import { capturedIo } from '../support/captured-io.ts';
import { ConfigSite } from '../support/config-site.ts';
import { bin, DaemonProcess } from '../support/daemon-process.ts';
import { MasterTarget, run as runProgram, until, type Ended } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

async function check(data: string, ...args: string[]): Promise<Ended> {
  const io = capturedIo({ env: { PATH: process.env['PATH'], HOMEWARD_DATA_DIRECTORY: data } });
  const config = path.join(data, 'drscout.conf');
  if (!fs.existsSync(config)) fs.writeFileSync(config, '[vxagent]\nRole=MasterTarget\n');
  const status = await run(['check', '--config', config, ...args], io);
  return { status, out: io.out(), err: io.err() };
}

t.test('every check is in the table and in the document, and the status says what it comes to', async (t) => {
  const data = temporaryDirectory(t);
  const { status, out } = await check(data, '--offline', '--json');
  const report = JSON.parse(out) as CheckReport;
  t.same(
    report.checks.map(({ id }) => id),
    allChecks.filter(({ roles }) => roles?.includes('master-target') !== false).map(({ id }) => id),
  );
  t.equal(status, report.ok ? 0 : 1);
  t.match(
    report.checks.find(({ id }) => id === 'retention-volume'),
    { result: 'fail', blocks: true },
  );
  t.same(
    readCheckSummary(data)?.checks.map(({ id }) => id),
    report.checks.map(({ id }) => id),
    'and is remembered',
  );
});

t.test('with --hard only what keeps the service from starting is looked at, and decides', async (t) => {
  const data = temporaryDirectory(t);
  const { status, out } = await check(data, '--hard', '--offline');
  t.equal(status, 1);
  t.match(out, /^Check +Result +Corrective action$/m);
  t.match(out, /^retention-volume +FAILED: /m);
  t.match(out, /^The service does not start with: .*retention-volume/m);
  t.notMatch(out, /^firewall/m);
});

t.test('what is accepted is kept with who, when and why, and can be taken back', async (t) => {
  const data = temporaryDirectory(t);
  t.match(await check(data, '--accept', 'root-not-lvm', '--because', ' as installed '), {
    status: 0,
    out: 'root-not-lvm is accepted: as installed\n',
  });
  const [entry] = readAccepted(data);
  t.match(entry, { id: 'root-not-lvm', because: 'as installed', since: /^\d{4}-.*Z$/ });
  t.equal(entry?.by, process.env['SUDO_USER'] ?? os.userInfo().username);
  await check(data, '--accept', 'root-not-lvm', '--because', 'for good');
  t.match(readAccepted(data), [{ because: 'for good' }], 'a second word goes in place of the first');
  t.match(await check(data, '--withdraw', 'root-not-lvm'), { status: 0, out: /not accepted any more/ });
  t.match(await check(data, '--withdraw', 'root-not-lvm'), { status: 0, out: /was not accepted/ });
  t.same(readAccepted(data), []);
  const several = ['--accept', 'root-not-lvm,scsi-uuid', '--accept', 'lvm-quiet', '--because', 'a lab'];
  t.match(await check(data, ...several), {
    status: 0,
    out: /^root-not-lvm is .*\nscsi-uuid is .*\nlvm-quiet is /,
  });
  t.same(
    readAccepted(data).map(({ id }) => id),
    ['root-not-lvm', 'scsi-uuid', 'lvm-quiet'],
  );
});

t.test('what makes no sense is refused with what would', async (t) => {
  const data = temporaryDirectory(t);
  const refusals: [string[], RegExp][] = [
    [['--accept', 'root-not-lvm'], /--because is missing/],
    [['--because', 'so'], /--because is for --accept/],
    [['--accept', 'glibc', '--because', 'so'], /glibc cannot be accepted/],
    [['--accept', 'clock', '--because', 'so'], /clock is advice/],
    [['--accept', 'rot-not-lvm', '--because', 'so'], /there is no check "rot-not-lvm"/],
    [['--accept', 'scsi-uuid,glibc', '--because', 'so'], /glibc cannot be accepted/],
    [['--accept', 'scsi-uuid', '--because', '  '], /--because takes one line/],
    [['--accept', 'scsi-uuid', '--because', 'a\nb'], /--because takes one line/],
    [['--accept', 'scsi-uuid', '--because', 'x'.repeat(501)], /--because takes one line/],
    [['--accept', 'scsi-uuid', '--because', 'so', '--withdraw', 'scsi-uuid'], /do not go together/],
    [['--withdraw', 'scsi-uuid', '--fix'], /look at nothing/],
    [['--nonsense'], /unknown option/],
    [['--data', ''], /--data is empty/],
  ];
  for (const [args, said] of refusals) {
    const { status, err } = await check(data, ...args);
    t.equal(status, 2, args.join(' '));
    t.match(err, said);
  }
  t.same(readAccepted(data), []);
});

t.test(
  'who may not read the configuration of this host is told so, and no other role is judged',
  { skip: skipUnless({ root: true, commands: ['unshare', 'setpriv'] }) },
  async (t) => {
    const file = '/usr/local/ASR/Vx/etc/drscout.conf';
    const somebody = '--reuid 65534 --regid 65534 --clear-groups';
    const asSomebody = async (mode: string): Promise<Ended> => {
      const script = [
        `mount -t tmpfs none /usr/local && mkdir -p ${path.dirname(file)}`,
        `printf '[vxagent]\\nRole=ProcessServer\\n' >${file} && chmod ${mode} ${file}`,
        // Without the hooks of the test runner, which write where only we may.
        `exec env -i PATH="$PATH" setpriv ${somebody} ${bin} check --offline --json`,
      ];
      return runProgram('unshare', ['--mount', 'sh', '-c', script.join(' && ')]);
    };
    const { status, out, err } = await asSomebody('0640');
    t.match({ status, out }, { status: 6, out: '' });
    t.match(err, `${file} cannot be read: EACCES`);
    t.match(err, 'as root');
    t.match(JSON.parse((await asSomebody('0644')).out), { role: 'process-server' });
  },
);

t.test('a list of accepted checks that is damaged is said, and not written over', async (t) => {
  const data = temporaryDirectory(t);
  await check(data, '--accept', 'scsi-uuid', '--because', 'so');
  const file = path.join(data, 'accepted-checks.json');
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('so', 'no'));
  const before = fs.readFileSync(file, 'utf8');
  t.match(await check(data, '--offline'), { status: 4, err: /accepted-checks\.json.*damaged/ });
  t.match(await check(data, '--accept', 'disk-count', '--because', 'so'), { status: 4 });
  t.equal(fs.readFileSync(file, 'utf8'), before);
});

const item = (id: string, over: object): CheckReport['checks'][number] => ({
  ...{ id, title: id, severity: 'advice', result: 'pass', found: 'as it should be', action: null },
  ...{ accepted: null, blocks: false, fixed: null },
  ...over,
});

t.test('the table fits the terminal, and below a narrow one each part has its line', async (t) => {
  const action =
    'Do this, then that, and then look again whether it has helped; if not, ask somebody who knows.';
  const report: CheckReport = {
    ...{ time: '2026-01-31T12:00:00Z', role: 'master-target', version: '1.0.0', ok: false, blocked: true },
    checks: [item('cpu', {}), item('scsi-uuid', { result: 'fail', action, blocks: true })],
  };
  const widest = (text: string): number => Math.max(...text.split('\n').map((line) => line.length));
  t.ok(widest(formatChecks({ ...report, blocked: false, checks: report.checks }, true, 80)) <= 80);
  t.ok(widest(formatChecks(report, true, 40).split('The service')[0] ?? '') <= 40);
  t.match(formatChecks(report, true, null), action, 'where nobody looks, a row is a line');
  t.match(formatChecks(report, false, 80), 'only root can see');
});

t.test('status names what was accepted, as text and as JSON', async (t) => {
  const target = await MasterTarget.start(t);
  t.notOk('accepted' in (await target.client.status()));
  t.match(await check(target.data, '--accept', 'scsi-uuid', '--because', 'a test host'), { status: 0 });
  const status = await target.client.status();
  t.match(status.accepted, [{ id: 'scsi-uuid', because: 'a test host' }]);
  t.match(formatStatus(status), /^Accepted, although it failed: scsi-uuid \(a test host; /m);
});

t.test('a master target that is started by hand warns, and serves all the same', async (t) => {
  const data = temporaryDirectory(t);
  const target = new DaemonProcess({
    what: 'the master target',
    args: ['master-target', '--data', data],
    env: { HOMEWARD_CHECK_AT_START: 'yes' },
  });
  t.teardown(() => target.kill());
  await target.start();
  await until('the warning', () => target.log.includes('event=check-failed check=retention-volume'));
  t.ok(target.running);
  t.match(
    readCheckSummary(data)?.checks.find(({ id }) => id === 'retention-volume'),
    { result: 'fail' },
  );
});

t.test('the configuration server hears what was found, and tells operators', async (t) => {
  const site = await ConfigSite.start(t);
  const data = path.join(site.directory, 'mt-data');
  const host = await site.host('master-target', 'mt', { data });
  t.match((await site.client.hosts())[0], { checks: null }, 'nothing before the first run');
  const time = '2026-01-31T12:00:00.000Z';
  const checked = { time, found: 'something', action: 'change it', result: 'fail' } as const;
  writeCheckSummary(data, {
    time,
    checks: [
      { ...checked, id: 'lvm-quiet', severity: 'hard-unless-accepted', because: null },
      { ...checked, id: 'root-not-lvm', severity: 'hard-unless-accepted', because: 'as installed' },
    ],
  });
  await until('it to be heard', async () => (await site.client.hosts())[0]?.checks !== null);
  const hosts = await site.client.hosts();
  t.match(hosts, [{ checks: { time, checks: [{ id: 'lvm-quiet' }, { because: 'as installed' }] } }]);
  const text = formatHosts(hosts);
  t.match(text, /^mt \(.*\): failed checks: lvm-quiet$/m);
  t.match(text, /^mt \(.*\): accepted, although it failed: root-not-lvm \(as installed\)$/m);
  await host.registration.stop();
});

t.test('an enrolled host learns versions, clock and process servers for its checks', async (t) => {
  const site = await ConfigSite.start(t);
  const data = path.join(site.directory, 'mt-data');
  await site.host('process-server', 'ps', { said: { addresses: ['127.0.0.1:9443'] } });
  await site.host('master-target', 'mt', { data });
  const context = await readCheckContext({
    ...{ config: null, environment: { HOMEWARD_DATA_DIRECTORY: data }, offline: false },
    log: createLog('error', () => undefined),
  });
  t.match(context, {
    role: 'master-target',
    configServer: { host: '127.0.0.1' },
    processServers: [{ host: '127.0.0.1', port: 9443 }],
    versions: [
      { role: 'config-server', version: '0.1.0' },
      { role: 'process-server', name: 'ps' },
    ],
  });
  t.ok(Math.abs(context.clockOffsetMs ?? Infinity) < 60_000);
});

t.test('a mobility service is told of its own process servers alone', async (t) => {
  const site = await ConfigSite.start(t);
  const { source } = await site.chain();
  const ask = async (): Promise<number> => {
    const data = path.join(site.directory, `mobility-${source.identity.name}`);
    const log = createLog('error', () => undefined);
    const environment = { HOMEWARD_DATA_DIRECTORY: data, HOMEWARD_ROLE: 'Agent' };
    const context = await readCheckContext({ config: null, environment, offline: false, log });
    t.match(context.versions[0], { role: 'config-server' });
    return context.processServers.length;
  };
  t.equal(await ask(), 0);
  await site.client.protect({ machine: 'web' });
  t.equal(await ask(), 1);
});
