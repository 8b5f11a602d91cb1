// NBD requests that cannot be: each is refused with the errno that the protocol has for it, and the largest
// that can be are carried out.
import t from 'tap';
import { Command, CommandFlag } from '../../core/nbd/protocol.ts';
import { MasterTarget, nbdUri, run, runOk } from '../support/homeward.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { skipUnless } from '../support/needs.ts';

const skip = skipUnless({ commands: ['qemu-io', 'nbdcopy'] });
const MiB = 1024 * 1024;
const EPERM = 1;
const EINVAL = 22;
const ENOSPC = 28;

const GiB = 1024 * MiB;
const size = 10 * GiB;
/** The longest that the protocol can say. */
const longest = 2 ** 32 - 1;
const sector = Buffer.alloc(512, 9);
const forGood = CommandFlag.fua | CommandFlag.noHole;

interface Case {
  what: string;
  errno: number;
  command: number;
  offset: number;
  length: number;
  payload?: Buffer;
  flags?: number;
}

const { read, write, trim, writeZeroes, resize } = Command;
const refusedCases: Case[] = [
  {
    what: 'a write beyond the end',
    errno: ENOSPC,
    command: write,
    offset: size,
    length: 512,
    payload: sector,
  },
  {
    what: 'a write over the end',
    errno: ENOSPC,
    command: write,
    offset: size - 256,
    length: 512,
    payload: sector,
  },
  {
    what: 'a write far beyond',
    errno: ENOSPC,
    command: write,
    offset: 2 ** 52,
    length: 512,
    payload: sector,
  },
  { what: 'zeroes over the end', errno: ENOSPC, command: writeZeroes, offset: size - 256, length: 512 },
  { what: 'a read over the end', errno: EINVAL, command: read, offset: size - 256, length: 512 },
  { what: 'a read of 32 MiB and a byte', errno: EINVAL, command: read, offset: 0, length: 32 * MiB + 1 },
  { what: 'a trim over the end', errno: EINVAL, command: trim, offset: size - 256, length: 512 },
  {
    what: 'the longest trim over the end',
    errno: EINVAL,
    command: trim,
    offset: size - 1024,
    length: longest,
  },
  { what: 'a read of nothing', errno: EINVAL, command: read, offset: 0, length: 0 },
  { what: 'a command that nobody knows', errno: EINVAL, command: 99, offset: 0, length: 512 },
  { what: 'a resize', errno: EINVAL, command: resize, offset: 0, length: 512 },
  { what: 'a flag that nobody knows', errno: EINVAL, command: trim, offset: 0, length: 512, flags: 1 << 15 },
];
const large = Buffer.alloc(32 * MiB, 8);
const largestCases: Case[] = [
  { what: 'the longest trim', errno: 0, command: trim, offset: 0, length: longest },
  { what: 'the longest zeroes', errno: 0, command: writeZeroes, offset: 1, length: longest },
  {
    what: 'at the end',
    errno: 0,
    command: writeZeroes,
    offset: size - longest,
    length: longest,
    flags: forGood,
  },
  { what: 'the last byte', errno: 0, command: write, offset: size - 1, length: 1, payload: Buffer.from([7]) },
  { what: 'the largest write', errno: 0, command: write, offset: 4095, length: 32 * MiB, payload: large },
];

t.test(
  'what cannot be is refused one by one, the largest that can be is carried out',
  { skip },
  async (t) => {
    const target = await MasterTarget.start(t, { SegmentBytes: '64K' });
    const socket = await target.ingest('web', [`root=${size}`]);
    const nbd = await NbdClient.open({ path: socket }, 'root');
    for (const at of [1, 5, 7]) t.equal((await nbd.ask(write, at * GiB, 512, sector)).errno, 0);
    for (const { what, errno, command, offset, length, payload, flags } of [
      ...refusedCases,
      ...largestCases,
    ]) {
      t.equal((await nbd.ask(command, offset, length, payload, flags)).errno, errno, what);
    }
    t.equal((await nbd.ask(Command.flush, 0, 0)).errno, 0);
    t.equal((await target.status('web')).headLsn, 3 + largestCases.length, 'what was refused has no number');
    await target.kill();
    await target.restart();
    const reads = ['0 0 4095', '8 4095 32M', '0 1G 512', '9 5G 512', '0 7G 512', `7 ${size - 1} 1`];
    const commands = reads.flatMap((what) => ['-c', `read -P ${what}`]);
    const { out, err, status } = await run('qemu-io', [
      '-f',
      'raw',
      '-r',
      ...commands,
      nbdUri(socket, 'root'),
    ]);
    t.equal(status, 0, out + err);
  },
);

t.test('a view takes no writes, whoever asks', { skip }, async (t) => {
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('web', ['root=16M']);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 6 0 64k', nbdUri(socket, 'root')]);
  const view = await target.view('web', 'latest');
  const uri = nbdUri(view.socket, 'root');
  const qemu = await run('qemu-io', ['-f', 'raw', '-c', 'write -P 1 0 64k', uri]);
  t.not(qemu.status, 0);
  t.match(qemu.out + qemu.err, /read-only|Permission denied/);
  const copy = await run('nbdcopy', ['--', 'null:', uri]);
  t.not(copy.status, 0);
  const nbd = await NbdClient.open({ path: view.socket }, 'root');
  t.equal((await nbd.ask(Command.write, 0, 512, Buffer.alloc(512))).errno, EPERM);
  t.equal((await nbd.ask(Command.trim, 0, 512)).errno, EPERM);
  t.equal((await nbd.ask(Command.writeZeroes, 0, 512)).errno, EPERM);
  t.equal((await nbd.ask(Command.flush, 0, 0)).errno, 0);
  await runOk('qemu-io', ['-f', 'raw', '-r', '-c', 'read -P 6 0 64k', uri]);
});
