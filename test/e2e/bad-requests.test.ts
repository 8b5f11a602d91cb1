// Machines, disks and addresses that cannot be: each is refused with its own code, in words that say what and
// what to do, and changes nothing.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import t from 'tap';
import type { IngestReport, StatusReport } from '../../agent/control/client.ts';
import { MasterTarget, nbdUri, runOk } from '../support/homeward.ts';
import { allRefused, type Expected } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { snapshot } from '../support/volumes.ts';

t.test('names, sizes and disks that cannot be', async (t) => {
  const target = await MasterTarget.start(t);
  const listen = `unix:${target.inDirectory('x.sock')}`;
  const open = (machine: string, ...disks: string[]): string[] => {
    return ['ingest', 'open', machine, ...disks.flatMap((disk) => ['--disk', disk]), '--listen', listen];
  };
  const before = snapshot(target.data);
  const machines = ['../web', 'a/b', '..', '.', '.web', 'web/', 'wéb', 'web web', 'w'.repeat(64), ' web'];
  const disks = ['../etc', '..', 'd/e', 'disk\u202e', 'd'.repeat(64)];
  await allRefused(t, target, [
    ...machines.map((name): Expected => [open(name, 'root=1M'), 2, 'bad-name', /is not a machine name/]),
    ...disks.map((name): Expected => [open('web', `${name}=1M`), 2, 'bad-name', /is not a disk name/]),
    ...['-1M', 'big'].map((size): Expected => {
      return [open('web', `root=${size}`), 2, 'bad-size', new RegExp(`"${size}" is not a size`)];
    }),
    ...['1000', '511'].map((size): Expected => {
      const message = new RegExp(`${size} bytes is not a multiple of 512`);
      return [open('web', `root=${size}`), 2, 'bad-disk-size', message];
    }),
    [open('web', 'root=0'), 2, 'bad-disk-size', /"root=0" has no bytes/],
    [open('web', 'root=65T'), 2, 'bad-disk-size', /65 TiB is more than 64 TiB/],
    [open('', 'root=1M'), 2, 'usage', /machine/],
    [open('web', '=1M'), 2, 'usage', /"=1M" is not a disk/],
    [open('web', 'root'), 2, 'usage', /"root" is not a disk/],
    [open('web'), 2, 'usage', /--disk is missing/],
    [open('web', 'root=1M', 'root=2M'), 2, 'usage', /the disk "root" is there twice/],
    [open('web', 'root=1M@none'), 6, 'target-missing', /by-id\/none is not a block device/],
    [['ingest', 'open', 'web', '--disk', 'root=1M'], 2, 'usage', /--listen is missing/],
  ]);
  t.same(snapshot(target.data), before, 'nothing was made');
});

t.test('the longest names and the largest disks go, as far as the file system takes them', async (t) => {
  const target = await MasterTarget.start(t);
  const disk = 'd'.repeat(63);
  for (const [name, size, bytes] of [
    ['w'.repeat(63), '512', 512],
    ['0', '15T', 15 * 2 ** 40],
  ] as const) {
    const socket = await target.ingest(name, [`${disk}=${size}`]);
    const info = JSON.parse(await runOk('nbdinfo', ['--json', nbdUri(socket, disk)])) as {
      exports: { 'export-size': number }[];
    };
    t.equal(info.exports[0]?.['export-size'], bytes);
  }
  // Sparse files of 64 TiB are more than ext4 takes, and fine on XFS.
  const listen = ['--listen', `unix:${target.inDirectory('largest.sock')}`];
  const largest = await target.command([
    'ingest',
    'open',
    'largest',
    '--disk',
    'root=64T',
    ...listen,
    '--json',
  ]);
  if (largest.status === 0) return;
  t.match(largest.err, /"target-too-small".*takes no file as large as disk root, 64 TiB/);
  t.equal(
    (await target.ask<StatusReport>('status')).machines.length,
    2,
    'what could not be made is not there',
  );
});

t.test('the same ingest again changes nothing; another one is a conflict that says why', async (t) => {
  const target = await MasterTarget.start(t);
  const socket = target.inDirectory('web.sock');
  const open = (listen: string, ...disks: string[]): string[] => [
    'ingest',
    'open',
    'web',
    ...disks.flatMap((disk) => ['--disk', disk]),
    '--listen',
    listen,
  ];
  const first = await target.ask<IngestReport>(...open(`unix:${socket}`, 'root=1M', 'data=2M'));
  t.equal(first.changed, true);
  const before = snapshot(target.data);
  t.same(await target.ask(...open(`unix:${socket}`, 'root=1M', 'data=2M')), { ...first, changed: false });
  await allRefused(t, target, [
    [
      open(`unix:${socket}`, 'root=1M'),
      5,
      'machine-differs',
      /web has the disks root=1048576 data=2097152, not root=1048576$/,
    ],
    [open(`unix:${socket}`, 'root=1M', 'data=3M'), 5, 'machine-differs', /not root=1048576 data=3145728$/],
    [open(`unix:${socket}`, 'data=2M', 'root=1M'), 5, 'machine-differs', /not data=2097152 root=1048576$/],
    [
      open(`unix:${socket}x`, 'root=1M', 'data=2M'),
      5,
      'conflict',
      new RegExp(`already listens on unix:${socket}$`),
    ],
    [
      ['ingest', 'open', 'two', '--disk', 'root=1M', '--listen', `unix:${socket}`],
      5,
      'conflict',
      /another machine listens on/,
    ],
    [[...open(`unix:${socket}`, 'root=1M', 'data=2M'), '--seeding'], 5, 'conflict', /has points already/],
    [['ingest', 'seeded', 'web'], 5, 'conflict', /is not being seeded/],
  ]);
  t.same(snapshot(target.data), before, 'a refused machine leaves nothing behind');
  await target.ask('tag', 'web', '--name', 'once');
  t.match(await target.refused('tag', 'web', '--name', 'once'), {
    status: 5,
    code: 'tag-exists',
    message: 'web has a tag "once"',
  });
});

t.test('addresses that nobody can listen on', async (t) => {
  const target = await MasterTarget.start(t);
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, '');
  const taken = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => {
    taken.once('listening', resolve);
  });
  t.teardown(() => taken.close());
  const { port } = taken.address() as net.AddressInfo;
  const busy = path.join(directory, 'busy.sock');
  const other = net.createServer().listen(busy);
  await new Promise((resolve) => {
    other.once('listening', resolve);
  });
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
  await allRefused(
    t,
    target,
    bad.flatMap(([listen, ...rest]): Expected[] => [
      [['ingest', 'open', 'new', '--disk', 'root=1M', '--listen', listen], ...rest],
      [['view', 'web', '--at', 'latest', '--listen', listen], ...rest],
    ]),
  );
  t.same(snapshot(target.inData('retention')), before, 'no machine was made');
  t.same(await target.ask('views'), { views: [] });
  t.equal(fs.readFileSync(file, 'utf8'), '', 'what was there is there still');
  await target.ask('ingest', 'open', 'new', '--disk', 'root=9M', '--listen', `unix:${directory}/new.sock`);
});
