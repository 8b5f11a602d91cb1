// Requests that make no sense, or not now: each is refused with its own code, in words that say what and what to do, and
// changes nothing.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { connectControl, type IngestReport } from '../../agent/control/client.ts';
import { run as runHere } from '../../cli/run.ts';
import { capturedIo } from '../support/captured-io.ts';
import { MasterTarget, nbdUri, run, runOk } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { snapshot, startRefused } from '../support/volumes.ts';

type Expected = [args: string[], status: number, code: string, message: RegExp];

/** The real command against the real daemon, but in this process: a hundred processes would take minutes. */
async function refused(target: MasterTarget, args: readonly string[]): Promise<unknown> {
  const io = capturedIo();
  const status = await runHere([...args, '--json', '--control', target.control], io);
  await nextTurn();
  return { status, out: io.out(), ...(JSON.parse(io.err()) as { error: object }).error };
}

async function allRefused(t: Test, target: MasterTarget, cases: readonly Expected[]): Promise<void> {
  for (const [args, status, code, message] of cases) {
    t.match(await refused(target, args), { status, out: '', code, message, hint: /\w/ }, args.join(' ').slice(0, 100));
  }
}

t.test('names, sizes and disks that cannot be', async (t) => {
  const target = await MasterTarget.start(t);
  const open = (machine: string, ...disks: string[]): string[] =>
    ['ingest', 'open', machine, ...disks.flatMap((disk) => ['--disk', disk]), '--listen', `unix:${target.inDirectory('x.sock')}`];
  const before = snapshot(target.data);
  await allRefused(t, target, [
    ...['../web', 'a/b', '..', '.', '.web', '-web'.slice(1) + '/', 'wéb', 'web web', 'w'.repeat(64), ' web'].map((name): Expected =>
      [open(name, 'root=1M'), 2, 'bad-name', /is not a machine name/]),
    ...['../etc', '..', 'd/e', 'disk\u202e', 'd'.repeat(64)].map((name): Expected => [open('web', `${name}=1M`), 2, 'bad-name', /is not a disk name/]),
    [open('', 'root=1M'), 2, 'usage', /machine/],
    [open('web', '=1M'), 2, 'usage', /"=1M" is not a disk/],
    [open('web', 'root'), 2, 'usage', /"root" is not a disk/],
    [open('web'), 2, 'usage', /--disk is missing/],
    [open('web', 'root=0'), 2, 'bad-size', /"0" is not a size/],
    [open('web', 'root=-1M'), 2, 'bad-size', /"-1M" is not a size/],
    [open('web', 'root=big'), 2, 'bad-size', /"big" is not a size/],
    [open('web', 'root=1000'), 2, 'bad-disk-size', /1000 bytes is not a multiple of 512/],
    [open('web', 'root=511'), 2, 'bad-disk-size', /511 bytes is not a multiple of 512/],
    [open('web', 'root=65T'), 2, 'bad-disk-size', /65 TiB is more than 64 TiB/],
    [open('web', 'root=1M', 'root=2M'), 2, 'usage', /the disk "root" is there twice/],
    [open('web', 'root=1M@no-such-device'), 6, 'target-missing', /by-id\/no-such-device is not a block device/],
    [['ingest', 'open', 'web', '--disk', 'root=1M'], 2, 'usage', /--listen is missing/],
  ]);
  t.same(snapshot(target.data), before, 'nothing was made');
  for (const [name, size] of [['w'.repeat(63), '512'], ['0', '15T']] as const) {
    const socket = await target.ingest(name, [`${'d'.repeat(63)}=${size}`]);
    const info = JSON.parse(await runOk('nbdinfo', ['--json', nbdUri(socket, 'd'.repeat(63))])) as { exports: { 'export-size': number }[] };
    t.equal(info.exports[0]?.['export-size'], size === '512' ? 512 : 15 * 2 ** 40, 'long names and sizes go');
  }
  // Sparse files of 64 TiB are more than ext4 takes, and fine on XFS.
  const largest = await target.command([...open('largest', 'root=64T'), '--json']);
  if (largest.status !== 0) t.match(largest.err, /"target-too-small".*takes no file as large as disk root, 64 TiB/);
});

t.test('the same ingest again changes nothing; another one is a conflict that says why', async (t) => {
  const target = await MasterTarget.start(t);
  const socket = target.inDirectory('web.sock');
  const open = (listen: string, ...disks: string[]): string[] =>
    ['ingest', 'open', 'web', ...disks.flatMap((disk) => ['--disk', disk]), '--listen', listen];
  const first = await target.ask<IngestReport>(...open(`unix:${socket}`, 'root=1M', 'data=2M'));
  t.equal(first.changed, true);
  const before = snapshot(target.data);
  t.same(await target.ask(...open(`unix:${socket}`, 'root=1M', 'data=2M')), { ...first, changed: false });
  await allRefused(t, target, [
    [open(`unix:${socket}`, 'root=1M'), 5, 'machine-differs', /web has the disks root=1048576 data=2097152, not root=1048576$/],
    [open(`unix:${socket}`, 'root=1M', 'data=3M'), 5, 'machine-differs', /not root=1048576 data=3145728$/],
    [open(`unix:${socket}`, 'data=2M', 'root=1M'), 5, 'machine-differs', /not data=2097152 root=1048576$/],
    [open(`unix:${socket}x`, 'root=1M', 'data=2M'), 5, 'conflict', new RegExp(`already listens on unix:${socket}$`)],
    [['ingest', 'open', 'two', '--disk', 'root=1M', '--listen', `unix:${socket}`], 5, 'conflict', /another machine listens on/],
    [[...open(`unix:${socket}`, 'root=1M', 'data=2M'), '--seeding'], 5, 'conflict', /has points already/],
    [['ingest', 'seeded', 'web'], 5, 'conflict', /is not being seeded/],
  ]);
  t.same(snapshot(target.data), before, 'a refused machine leaves nothing behind');
  await target.ask('tag', 'web', '--name', 'once');
  t.match(await target.refused('tag', 'web', '--name', 'once'), { status: 5, code: 'tag-exists', message: 'web has a tag "once"' });
});

t.test('addresses that nobody can listen on', async (t) => {
  const target = await MasterTarget.start(t);
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, '');
  const taken = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => { taken.once('listening', resolve); });
  t.teardown(() => taken.close());
  const { port } = taken.address() as net.AddressInfo;
  const busy = path.join(directory, 'busy.sock');
  const other = net.createServer().listen(busy);
  await new Promise((resolve) => { other.once('listening', resolve); });
  t.teardown(() => other.close());
  await target.ingest('web', ['root=1M']);
  const before = snapshot(target.inData('retention'));
  const bad: [listen: string, status: number, code: string, message: RegExp][] = [
    ['web.sock', 2, 'bad-listen', /begins with neither unix: nor tcp:/],
    ['unix:', 2, 'bad-listen', /its path is not absolute/],
    [`unix:${directory}/${'x'.repeat(108)}`, 2, 'bad-listen', /its path has \d+ bytes; the system takes 107/],
    ['tcp:127.0.0.1', 2, 'bad-listen', /it is not tcp:HOST:PORT/],
    ['tcp:127.0.0.1:0', 2, 'bad-listen', /a port is a number from 1 to 65535/],
    ['tcp:127.0.0.1:65536', 2, 'bad-listen', /a port is a number from 1 to 65535/],
    ['tcp:[::zz]:10809', 2, 'bad-listen', /that is not an IPv6 address/],
    ['tcp:0.0.0.0:10809', 6, 'plain-tcp', /can be reached from outside, and no certificates are configured/],
    ['tcp:192.0.2.1:10809', 6, 'plain-tcp', /can be reached from outside/],
    [`tcp:127.0.0.1:${port}`, 5, 'conflict', new RegExp(`tcp:127\\.0\\.0\\.1:${port} is in use already`)],
    [`unix:${directory}/none/x.sock`, 2, 'bad-listen', /cannot listen on .*none is not a directory/],
    [`unix:${file}/x.sock`, 2, 'bad-listen', /file is not a directory/],
    [`unix:${file}`, 5, 'conflict', /is in use already/],
    [`unix:${busy}`, 5, 'conflict', /is in use already/],
  ];
  await allRefused(t, target, bad.flatMap(([listen, ...rest]): Expected[] => [
    [['ingest', 'open', 'new', '--disk', 'root=1M', '--listen', listen], ...rest],
    [['view', 'web', '--at', 'latest', '--listen', listen], ...rest],
  ]));
  t.same(snapshot(target.inData('retention')), before, 'no machine was made');
  t.same(await target.ask('views'), { views: [] });
  t.equal(fs.readFileSync(file, 'utf8'), '', 'what was there is there still');
  await target.ask('ingest', 'open', 'new', '--disk', 'root=9M', '--listen', `unix:${directory}/new.sock`);
});

t.test('moments that cannot be had', { skip: skipUnless({ commands: ['qemu-io'] }) }, async (t) => {
  const target = await MasterTarget.start(t, { WindowHours: '1s', SegmentBytes: '64K' });
  const socket = await target.ingest('web', ['root=16M']);
  const first = await target.ask<{ time: string }>('tag', 'web', '--name', 'first');
  for (let n = 0; n < 4; n++) await runOk('qemu-io', ['-f', 'raw', '-c', `write -P 5 ${n}m 512k`, '-c', 'flush', nbdUri(socket, 'root')]);
  await target.ask('ingest', 'open', 'copy', '--disk', 'root=16M', '--listen', `unix:${target.inDirectory('copy.sock')}`, '--seeding');
  const view = (machine: string, at: string): string[] => ['view', machine, `--at=${at}`, '--listen', `unix:${target.inDirectory('v.sock')}`];
  const moments = (await target.status('web'));
  await allRefused(t, target, [
    ...['', 'now', 'yesterday', 'lsn:', 'lsn:-1', 'lsn:1.5', 'tag:', '-', '-15', '-5 lightyears', '2026-13-01T00:00:00Z', '2026-01-01']
      .map((at): Expected => [view('web', at), 2, at === '' ? 'usage' : 'bad-when', at === '' ? /at/ : /is not a moment/]),
    [view('web', 'lsn:9999'), 4, 'outside-window', new RegExp(`lsn:9999 is outside the window, which reaches from lsn:\\d+ \\(20.*Z\\) to lsn:${moments.durableLsn} \\(20.*Z\\)`)],
    [view('web', '2001-01-01T00:00:00Z'), 4, 'outside-window', /2001-01-01T00:00:00.*Z is outside the window, which reaches from lsn:/],
    [view('web', '-52w'), 4, 'outside-window', /which reaches from lsn:/],
    [view('web', '2200-01-01T00:00:00Z'), 4, 'in-future', /2200-01-01T00:00:00.*Z has not come yet: it is 20/],
    [view('web', '2999-01-01T00:00:00Z'), 4, 'in-future', /2999-01-01T00:00:00Z has not come yet/],
    [view('web', 'tag:nothing'), 3, 'no-such-tag', /there is no tag "nothing"/],
    [view('web', 'latest-app'), 3, 'no-such-tag', /there is no application-consistent tag/],
    [view('nobody', 'latest'), 3, 'no-such-machine', /there is no machine "nobody"/],
    [view('copy', 'latest'), 4, 'no-points', /the first copy has not ended/],
    [view('copy', 'lsn:0'), 4, 'no-points', /the first copy has not ended/],
    [view('copy', '-1s'), 4, 'no-points', /the first copy has not ended/],
    [['tag', 'copy', '--name', 'early'], 4, 'no-points', /is being seeded/],
    [['tag', 'web', '--name', 'a/b'], 2, 'bad-tag-name', /is not a tag name/],
    [['tag', 'web', '--name', ''], 2, 'bad-tag-name', /is not a tag name/],
    [['tag', 'web', '--name', 'x'.repeat(121)], 2, 'bad-tag-name', /is not a tag name/],
    [['view', 'close', 'abcdef12'], 3, 'no-such-view', /there is no view abcdef12/],
    [['view', 'close', 'web', '--at', 'latest'], 3, 'no-such-view', /no view of web is at lsn:/],
    [['view', 'web', '--at', 'latest', '--listen', `unix:${target.inDirectory('w.sock')}`, '--writable'], 2, 'not-in-this-version', /writable/],
    [['view', 'web', '--at', 'latest', '--listen', `unix:${target.inDirectory('w.sock')}`, '--for', 'ever'], 2, 'bad-duration', /"ever" is not a duration/],
    [['recover', 'web', '--at', 'latest', '--to', 'floppy:a'], 2, 'bad-target', /"floppy:a" is not a target/],
    [['recover', 'web', '--at', 'latest', '--to', `raw:${target.inDirectory('drscout.conf')}`], 2, 'bad-target', /drscout\.conf is not a directory/],
    [['recover', 'web', '--at', 'latest', '--to', 'block:nodisk=/dev/null', '--yes'], 3, 'no-such-disk', /web has no disk nodisk/],
    [['recover', 'web', '--at', 'latest', '--to', 'block:root=/dev/null', '--yes'], 6, 'target-missing', /\/dev\/null is not a block device/],
    [['recover', 'web', '--at', 'latest', '--to', 'in-place'], 2, 'not-in-this-version', /recovery in place/],
  ]);
  fs.writeFileSync(target.inDirectory('root.raw'), 'precious');
  t.match(await target.refused('recover', 'web', '--at', 'latest', '--to', `raw:${target.directory}`), { status: 5, code: 'exists', message: /root\.raw exists/ });
  t.equal(fs.readFileSync(target.inDirectory('root.raw'), 'utf8'), 'precious');
  await leftTheWindow(t, target, view, first.time);
});

/** What has been applied is named as outside, with the window as it is now. */
async function leftTheWindow(t: Test, target: MasterTarget, view: (machine: string, at: string) => string[], time: string): Promise<void> {
  const client = connectControl(target.control);
  t.teardown(() => client.close());
  const socket = target.inDirectory('web.sock');
  for (let oldest = 0; oldest <= 1;) {
    await run('qemu-io', ['-f', 'raw', '-c', 'write -P 6 8m 128k', '-c', 'flush', nbdUri(socket, 'root')]);
    oldest = (await client.points('web')).window?.from.lsn ?? 0;
  }
  const outside = /is outside the window, which reaches from lsn:\d+ \(20.*\) to lsn:\d+ \(20/;
  t.match(await target.refused(...view('web', 'lsn:0')), { status: 4, code: 'outside-window', message: outside });
  t.match(await target.refused(...view('web', time)), { status: 4, code: 'outside-window', message: outside });
  t.match(await target.refused(...view('web', 'tag:first')), { code: /no-such-tag|outside-window/ });
}

t.test('configuration that cannot be, or that nobody knows', async (t) => {
  const directory = temporaryDirectory(t);
  const config = path.join(directory, 'drscout.conf');
  const data = path.join(directory, 'data');
  const start = (text: string) => {
    fs.writeFileSync(config, text);
    return startRefused(['--data', data, '--config', config]);
  };
  const cases: [text: string, message: RegExp][] = [
    ['[homeward]\nSegmentBytes = huge\n', /SegmentBytes cannot be "huge": it is bytes, .* from 64K to 1G \(set in .*drscout\.conf\)/],
    ['[homeward]\nSegmentBytes = 2G\n', /SegmentBytes cannot be "2G"/],
    ['[homeward]\nWindowHours = -1h\n', /WindowHours cannot be "-1h": it is a number with ms, s, m, h, d or w/],
    ['[vxagent]\nRole = Pilot\n', /Role cannot be "Pilot": it is Agent or MasterTarget/],
    ['[homeward]\nNbdTlsDirectory = here\n', /NbdTlsDirectory cannot be "here": it is an absolute path/],
  ];
  for (const [text, message] of cases) t.match(await start(text), { status: 2, code: 'bad-config', message });
  t.match(await startRefused(['--data', data, '--config', `${config}.none`]), { status: 3, code: 'no-such-file', message: /drscout\.conf\.none does not exist/ });
  t.match(await startRefused(['--data', data], { env: { HOMEWARD_UNSYNCED_BYTES: '1' } }), {
    status: 2, code: 'bad-config', message: /set in the environment, HOMEWARD_UNSYNCED_BYTES/,
  });
  t.notOk(fs.existsSync(data), 'nothing was made yet');
  t.match(await startRefused(['--data', data, '--control', path.join(directory, 'c'.repeat(108))]), { status: 2, code: 'usage', message: /it may have 1 to 107/ });
  t.match(await startRefused(['--data', data, '--control', path.join(directory, 'none', 'c.sock')]), { status: 2, code: 'bad-listen', message: /none is not a directory/ });
  t.match(await startRefused(['--data', data, '--control', config]), { status: 5, code: 'conflict', message: /exists and is not a socket/ });
  const target = await MasterTarget.start(t, { SegmentByte: '8M', RetentionReserveBytes: '0' });
  t.match(target.log, /level=warn event=config-unknown-key .*key=SegmentByte .*nearest=SegmentBytes/);
  await target.stop();
  target.configure({ NbdTlsDirectory: directory });
  await target.restart();
  const tls = ['ingest', 'open', 'web', '--disk', 'root=1M', '--listen', 'tcp:127.0.0.1:10999'];
  t.match(await target.refused(...tls), { status: 2, code: 'bad-config', message: /NbdTlsDirectory has no readable ca-cert\.pem/ });
});
