// The NBD server against the clients of others: libnbd's, QEMU's, and fio.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { GiB, KiB, MiB, TiB } from '../../core/units.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { run, startStoreServer, succeed } from '../support/store-server.ts';

const hash = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

/** A file with data, holes and zeros, of a size that is no multiple of anything. */
function makeImage(file: string, seed: number): void {
  const random = seededRandom(seed);
  writeFileSync(file, '');
  truncateSync(file, 48 * MiB + 1536);
  const fd = openSync(file, 'r+');
  for (let i = 0; i < 40; i++) {
    const bytes = Buffer.alloc(1 + random.below(600 * KiB), random.bytes(997));
    writeSync(fd, bytes, 0, bytes.length, random.below(47 * MiB));
  }
  closeSync(fd);
}

t.test('nbdinfo sees the export, what it can do, and its size', async (t) => {
  const { uri, socketPath } = await startStoreServer(t, '--memory', '64M');
  const info = JSON.parse(await succeed('nbdinfo', '--json', uri)) as {
    exports: Record<string, unknown>[];
    structured: boolean;
  };
  t.equal(info.structured, true);
  t.match(info.exports[0], {
    'export-name': 'disk0',
    'export-size': 64 * MiB,
    description: 'a disk for tests',
    contexts: ['base:allocation'],
    is_read_only: false,
    can_flush: true,
    can_fua: true,
    can_trim: true,
    can_zero: true,
    can_df: true,
    can_multi_conn: true,
    can_fast_zero: false,
    can_cache: false,
    block_size_minimum: 1,
    block_size_preferred: 4096,
    block_size_maximum: 32 * MiB,
  });
  t.match(await succeed('nbdinfo', '--list', `nbd+unix:///?socket=${socketPath}`), /export="disk0"/);
  t.equal(
    await succeed('nbdinfo', '--size', `nbd+unix:///?socket=${socketPath}`),
    `${64 * MiB}\n`,
    'the default export',
  );
  t.match(await run('nbdinfo', '--size', `nbd+unix:///nothing?socket=${socketPath}`), { status: 1 });
  const refused = await run('qemu-img', 'info', '-f', 'raw', `nbd+unix:///nothing?socket=${socketPath}`);
  t.match(refused.stderr, /there is no export of this name/);
  t.match(await succeed('qemu-nbd', '--list', '-k', socketPath), /export: 'disk0'/);
});

t.test('disks above 4 GiB and of 64 TiB are mapped, read and written to their last byte', async (t) => {
  for (const size of [6 * GiB, 64 * TiB]) {
    const memory =
      size > TiB ? ['--memory', '64T'] : ['--file', path.join(t.testdir(), 'disk.raw'), '--size', '6G'];
    const { uri } = await startStoreServer(t, ...memory);
    t.equal(await succeed('nbdinfo', '--size', uri), `${size}\n`);
    const last = size - 4096;
    const output = await succeed(
      'qemu-io',
      '-f',
      'raw',
      uri,
      '-c',
      `write -P 0x5a ${last} 4096`,
      '-c',
      `read -P 0x5a ${last} 4096`,
      '-c',
      `read -P 0 ${last - 65536} 4096`,
      '-c',
      `write -P 0x21 ${4 * GiB - 2048} 4096`,
      '-c',
      `read -P 0x21 ${4 * GiB - 2048} 4096`,
    );
    t.notMatch(output, /fail/i);
    if (size > TiB) continue;
    const map = JSON.parse(await succeed('nbdinfo', '--map', '--json', uri)) as {
      offset: number;
      length: number;
      type: number;
    }[];
    t.match(map[0], { offset: 0, length: 4 * GiB - 4096, type: 3 });
    t.match(map.at(-1), { offset: size - 4096, length: 4096, type: 0 });
    t.equal(
      map.reduce((sum, { length }) => sum + length, 0),
      size,
    );
  }
});

t.test('nbdcopy brings an image there and back, on one connection and on four', async (t) => {
  const seed = chooseSeed(t);
  const { uri, directory } = await startStoreServer(t, '--memory', String(48 * MiB + 1536));
  const image = path.join(directory, 'image.raw');
  for (const [i, connections] of ['1', '4'].entries()) {
    makeImage(image, seed + i);
    await succeed('nbdcopy', '--flush', `--connections=${connections}`, image, uri);
    const back = path.join(directory, `back-${connections}.raw`);
    await succeed('nbdcopy', `--connections=${connections}`, uri, back);
    t.equal(hash(back), hash(image), `${connections} connections`);
    await succeed('nbdcopy', '--synchronous', uri, back);
    t.equal(hash(back), hash(image), 'one request at a time');
  }
  await succeed('nbdcopy', '--request-size=33554432', '--destination-is-zero', image, uri);
  t.match(await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', image, uri), { status: 0 });
});

t.test('qemu-io patterns are read back as written, discarded and zeroed', async (t) => {
  const { uri } = await startStoreServer(t, '--memory', '128M');
  const commands = [
    'write -P 1 0 1M',
    'write -P 2 1000001 4999',
    'read -P 2 1000001 4999',
    'read -P 1 0 1000001',
    'write -f -P 3 2M 64k',
    'discard 2M 32k',
    'read -P 0 2M 32k',
    'read -P 3 2129920 32k',
    'write -P 4 3M 1M',
    'write -z 3M 512k',
    'read -P 0 3M 512k',
    'read -P 4 3670016 512k',
    'write -P 5 4M 64k',
    'write -z -u 4M 64k',
    'read -P 0 4M 64k',
    'flush',
    'write -P 6 16M 32M',
    'read -P 6 16M 32M',
    'aio_write -P 7 64M 1M',
    'aio_write -P 8 65M 1M',
    'aio_flush',
    'read -P 7 64M 1M',
    'read -P 8 65M 1M',
    'writev -P 9 70M 4k 8k 512',
    'read -P 9 70M 12800',
  ];
  const { status, stdout, stderr } = await run(
    'qemu-io',
    '-f',
    'raw',
    uri,
    ...commands.flatMap((command) => ['-c', command]),
  );
  t.equal(status, 0);
  t.notMatch(stdout + stderr, /fail|error|verif/i);
  const outside = await run('qemu-io', '-f', 'raw', uri, '-c', 'read 128M 512');
  t.not(outside.status, 0, 'beyond the end is refused');
});

t.test('qemu-img converts to and from the server, and compares equal', async (t) => {
  const { uri, directory } = await startStoreServer(t, '--memory', '64M');
  const image = path.join(directory, 'image.raw');
  makeImage(image, chooseSeed(t));
  truncateSync(image, 64 * MiB);
  await succeed('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', image, uri);
  t.match(await succeed('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', image, uri), /identical/);
  const qcow2 = path.join(directory, 'image.qcow2');
  await succeed('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', uri, qcow2);
  t.match(await succeed('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', image, qcow2), /identical/);
  t.ok(statSync(qcow2).size < 40 * MiB, 'holes were seen as holes');
  const map = JSON.parse(await succeed('qemu-img', 'map', '--output=json', '-f', 'raw', uri)) as {
    zero: boolean;
  }[];
  t.ok(map.some(({ zero }) => zero) && map.some(({ zero }) => !zero));
});

t.test('a read-only export refuses writers and serves readers', async (t) => {
  const { uri } = await startStoreServer(t, '--memory', '64M', '--read-only');
  t.not((await run('qemu-io', '-f', 'raw', uri, '-c', 'write 0 512')).status, 0);
  t.match(await succeed('qemu-io', '-r', '-f', 'raw', uri, '-c', 'read -P 0 0 1M'), /read 1048576/);
});

t.test('fio writes at random and verifies every block', async (t) => {
  const { uri } = await startStoreServer(t, '--memory', '256M');
  for (const [rw, bs, depth] of [
    ['randwrite', '4k', '32'],
    ['write', '1m', '8'],
    ['randwrite', '512-96k', '16'],
  ] as const) {
    const { status, stdout, stderr } = await run(
      'fio',
      '--name=verified',
      '--ioengine=nbd',
      `--uri=${uri}`,
      `--rw=${rw}`,
      rw === 'write' || bs === '4k' ? `--bs=${bs}` : `--bsrange=${bs}`,
      `--iodepth=${depth}`,
      '--size=256M',
      '--io_size=96M',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--do_verify=1',
      // Else one that is interrupted leaves a file where it runs.
      '--verify_state_save=0',
      '--fsync=64',
      `--randseed=${chooseSeed(t)}`,
    );
    t.equal(status, 0, `${rw} ${bs}: ${stderr}`);
    t.match(stdout, /err= 0/);
  }
});

t.test('a client killed in the middle of its writes leaves the others served', async (t) => {
  const { uri, socketPath } = await startStoreServer(t, '--memory', '256M');
  for (let round = 0; round < 5; round++) {
    const writer = spawn(
      'fio',
      [
        '--name=victim',
        '--ioengine=nbd',
        `--uri=${uri}`,
        '--rw=randwrite',
        '--bs=1m',
        '--iodepth=16',
        '--size=256M',
        '--time_based=1',
        '--runtime=60',
        '--thread',
        '--eta=always',
        '--eta-interval=1',
        '--status-interval=200ms',
      ],
      { stdio: ['ignore', 'pipe', 'ignore'], detached: true },
    );
    const exited = once(writer, 'exit');
    await once(writer.stdout, 'data');
    if (writer.pid === undefined) throw new Error('fio did not start');
    process.kill(-writer.pid, 'SIGKILL');
    await exited;
    t.match(
      await succeed('qemu-io', '-f', 'raw', uri, '-c', 'write -P 7 0 1M', '-c', 'read -P 7 0 1M'),
      /read 1048576/,
    );
  }
  t.equal(await succeed('nbdinfo', '--size', `nbd+unix:///?socket=${socketPath}`), `${256 * MiB}\n`);
});
