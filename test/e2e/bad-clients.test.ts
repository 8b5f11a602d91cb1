// NBD clients that die, talk nonsense or are slow: they hurt nobody but themselves.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import t, { type Test } from 'tap';
import { encodeRequest } from '../../core/nbd/requests.ts';
import { Command, Option, OptionReply } from '../../core/nbd/protocol.ts';
import { MasterTarget, nbdUri, run, runOk, until } from '../support/homeward.ts';
import { encodeGo, encodeOption, encodeU32, NbdClient } from '../support/nbd-client.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const skip = skipUnless({ commands: ['qemu-io', 'nbdcopy'] });
const MiB = 1024 * 1024;
const diskBytes = 256 * MiB;

async function served(t: Test): Promise<{ target: MasterTarget; socket: string }> {
  const target = await MasterTarget.start(t, { SegmentBytes: '64M' });
  const socket = await target.ingest('web', [`root=${diskBytes}`]);
  return { target, socket };
}

/** Writes, flushes and reads back as any client would. */
async function othersAreServed(t: Test, socket: string, pattern: number): Promise<void> {
  const io = ['-c', `write -P ${pattern} 0 64k`, '-c', 'flush', '-c', `read -P ${pattern} 0 64k`];
  const begun = performance.now();
  const { status, out, err } = await run('qemu-io', ['-f', 'raw', ...io, nbdUri(socket, 'root')]);
  t.equal(status, 0, `others are served ${out}${err}`);
  t.ok(performance.now() - begun < 15_000, 'and do not wait');
}

/** Resident memory of the daemon in bytes. */
function memoryOf({ pid }: MasterTarget): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

async function rawSocket(t: Test, path: string): Promise<net.Socket> {
  const socket = net.connect(path);
  socket.on('error', () => undefined); // being thrown out is what these are for
  socket.resume();
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

t.test(
  'a client that is killed in the middle of writing leaves whole writes, or none',
  { skip },
  async (t) => {
    const { target, socket } = await served(t);
    const source = target.inDirectory('source.raw');
    fs.writeFileSync(source, Buffer.alloc(diskBytes, 7));
    const clients = [
      [
        'qemu-io',
        '-f',
        'raw',
        ...Array.from({ length: 200 }, (_, n) => ['-c', `aio_write -P 7 ${n}m 1m`]).flat(),
        nbdUri(socket, 'root'),
      ],
      ['nbdcopy', '--request-size=1048576', '--requests=8', source, nbdUri(socket, 'root')],
    ];
    for (const [program = '', ...args] of clients) {
      const { headLsn } = await target.status('web');
      const child = spawn(program, args, { stdio: 'ignore' });
      await until('it has begun', async () => (await target.status('web')).headLsn > headLsn + 3);
      child.kill('SIGKILL');
      await once(child, 'close');
      await othersAreServed(t, socket, 3);
    }
    const half = await NbdClient.open({ path: socket }, 'root');
    half.write(
      encodeRequest({
        flags: 0,
        command: Command.write,
        cookieHigh: 0,
        cookieLow: 1,
        offset: 8 * MiB,
        length: 8 * MiB,
      }),
    );
    half.write(Buffer.alloc(4 * MiB, 66));
    const before = (await target.status('web')).headLsn;
    half.socket.destroy();
    await othersAreServed(t, socket, 4);
    t.equal((await target.status('web')).headLsn, before + 1, 'half a write is none');
    const copy = target.inDirectory('copy.raw');
    await runOk('nbdcopy', [nbdUri(socket, 'root'), copy]);
    const content = fs.readFileSync(copy);
    t.same(new Set(content.subarray(0, 65536)), new Set([4]));
    let torn = 0;
    for (let at = MiB; at < diskBytes; at += MiB) {
      const piece = content.subarray(at, at + MiB);
      if (!piece.equals(Buffer.alloc(MiB, piece[0]))) torn += 1;
      if (piece[0] !== 0 && piece[0] !== 7) t.fail(`byte ${piece[0]} at ${at}`);
    }
    t.equal(torn, 0, 'each request is there as a whole or not at all');
    await target.ask('verify', 'web');
  },
);

t.test(
  'nonsense, oversize and endless options cost their sender the connection, and no memory',
  { skip },
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    const { target, socket } = await served(t);
    await othersAreServed(t, socket, 1);
    const slow = await slowClients(t, socket);
    const before = memoryOf(target);
    for (let n = 0; n < 40; n++) {
      const raw = await rawSocket(t, socket);
      raw.end(random.bytes(1 + random.below(4096)));
      await once(raw, 'close');
    }
    for (let n = 0; n < 20; n++) {
      const garbled = await NbdClient.open({ path: socket }, 'root');
      garbled.write(random.bytes(28 * 40));
      await garbled.closed();
    }
    t.comment(`after nonsense: ${Math.round((memoryOf(target) - before) / MiB)} MiB more`);
    await oversizeOptions(t, socket);
    await endlessOptions(t, socket);
    const after = memoryOf(target);
    t.ok(after < before + 64 * MiB, `memory went from ${before} to ${after}`);
    await othersAreServed(t, socket, 2);
    t.notMatch(target.log, /level=error/);
    await Promise.all(slow.map((client) => client.closed()));
    t.pass('whoever does not come to the point within 30 s is thrown out');
  },
);

/** They say a byte now and then, and never finish what they began. */
async function slowClients(t: Test, socket: string): Promise<NbdClient[]> {
  const clients: NbdClient[] = [];
  for (let n = 0; n < 20; n++) {
    const client = await NbdClient.connect({ path: socket });
    const bytes = Buffer.concat([encodeU32(3), encodeOption(Option.go, encodeGo('root'))]);
    let at = 0;
    const timer = setInterval(() => client.socket.write(bytes.subarray(at, ++at % 20)), 1000);
    client.socket.on('error', () => undefined);
    t.teardown(() => {
      clearInterval(timer);
      client.socket.destroy();
    });
    clients.push(client);
  }
  return clients;
}

/** An option of 256 MiB is refused, counted and dropped; what follows it is understood. */
async function oversizeOptions(t: Test, socket: string): Promise<void> {
  const client = await NbdClient.connect({ path: socket });
  client.write(encodeU32(3));
  const length = 256 * MiB;
  const header = encodeOption(Option.info);
  header.writeUInt32BE(length, 12);
  client.write(header);
  t.equal((await client.answers()).at(-1)?.reply, OptionReply.tooBig);
  const piece = Buffer.alloc(4 * MiB, 0x49);
  for (let sent = 0; sent < length; sent += piece.length) {
    if (!client.socket.write(piece)) await once(client.socket, 'drain');
  }
  const answers = await client.option(Option.go, encodeGo('root'));
  t.equal(answers.at(-1)?.reply, OptionReply.ack, 'it can go on');
  client.socket.destroy();
}

/** Options without end, whose answers nobody reads. */
async function endlessOptions(t: Test, socket: string): Promise<void> {
  const raw = net.connect(socket);
  raw.on('error', () => undefined);
  await once(raw, 'connect');
  const list = encodeOption(Option.list);
  const many = Buffer.concat([encodeU32(3), ...Array.from({ length: 5000 }, () => list)]);
  raw.write(many);
  raw.resume();
  await once(raw, 'close');
  t.pass('after enough options the connection is closed');
}

t.test(
  'half requests of many clients take no more memory than is set, and others go on',
  { skip },
  async (t) => {
    const { target, socket } = await served(t);
    await othersAreServed(t, socket, 1);
    const before = memoryOf(target);
    const request = encodeRequest({
      flags: 0,
      command: Command.write,
      cookieHigh: 0,
      cookieLow: 1,
      offset: 0,
      length: 32 * MiB,
    });
    for (let n = 0; n < 30; n++) {
      const client = await NbdClient.open({ path: socket }, 'root');
      client.socket.on('error', () => undefined);
      client.write(request);
      client.write(Buffer.alloc(16 * MiB, 5));
      t.teardown(() => client.socket.destroy());
    }
    await othersAreServed(t, socket, 2);
    const after = memoryOf(target);
    t.ok(after < before + 96 * MiB + 64 * MiB, `memory went from ${before} to ${after}`);
  },
);
