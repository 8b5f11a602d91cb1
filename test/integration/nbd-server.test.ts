// The NBD server on real sockets: data there and back, errors by the book, listening and closing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import t from 'tap';
import { memoryStore } from '../../core/block/memory-store.ts';
import { createLog } from '../../core/log.ts';
import { NbdErrno, type NbdExport } from '../../core/nbd/export.ts';
import { exportList } from '../../core/nbd/export-list.ts';
import { Command, CommandFlag, Option, OptionReply } from '../../core/nbd/protocol.ts';
import { NbdServer } from '../../core/nbd/server.ts';
import { storeExport } from '../../core/nbd/store-export.ts';
import { KiB, MiB } from '../../core/units.ts';
import { encodeGo, encodeOption, encodeU32, NbdClient } from '../support/nbd-client.ts';
import { memoryDisk, serveExports, until } from '../support/nbd-server.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.test('writes come back by reads, simple and structured, over a Unix socket and over TCP', async (t) => {
  const { address } = await serveExports(t, [memoryDisk()]);
  const tcp = new NbdServer({ exports: exportList([memoryDisk()]), log: createLog('error') });
  t.teardown(() => tcp.close(0));
  const tcpAddress = await tcp.listen({ host: '127.0.0.1', port: 0 });
  t.match(tcpAddress, { host: '127.0.0.1', port: Number });
  const random = seededRandom(chooseSeed(t));
  for (const [where, structured] of [
    [address, true],
    [address, false],
    [tcpAddress, true],
  ] as const) {
    const client = await NbdClient.open(where, '', { structured });
    for (const length of [1, 511, 4 * KiB, 64 * KiB, 1 * MiB, 3 * MiB + 1, 32 * MiB]) {
      const payload = Buffer.alloc(length, random.bytes(1009));
      const offset = random.below(1 * MiB);
      t.match(await client.ask(Command.write, offset, length, payload), { errno: 0, cookie: 77 });
      const { errno, data } = await client.ask(Command.read, offset, length);
      t.equal(errno, 0);
      t.ok(data?.equals(payload), `${length} bytes at ${offset}`);
    }
    client.socket.destroy();
  }
});

t.test('errors are those of the specification, and the connection goes on after each', async (t) => {
  const { address } = await serveExports(t, [memoryDisk(), memoryDisk('archive', true)]);
  const client = await NbdClient.open(address, 'disk0');
  const payload = Buffer.alloc(8 * KiB, 1);
  const end = 64 * MiB;
  const errno = async (
    command: number,
    offset: number,
    length: number,
    data?: Buffer,
    flags = 0,
  ): Promise<number> => (await client.ask(command, offset, length, data, flags)).errno;
  t.equal(await errno(Command.write, end - 4 * KiB, 8 * KiB, payload), NbdErrno.ENOSPC);
  t.equal(await errno(Command.writeZeroes, end - 4 * KiB, 8 * KiB), NbdErrno.ENOSPC);
  t.equal(await errno(Command.read, end - 4 * KiB, 8 * KiB), NbdErrno.EINVAL);
  t.equal(await errno(Command.trim, end - 4 * KiB, 8 * KiB), NbdErrno.EINVAL);
  t.equal(await errno(Command.blockStatus, end, 1), NbdErrno.EINVAL);
  t.equal(await errno(Command.write, 0, 8 * KiB, payload, CommandFlag.payloadLength), NbdErrno.EINVAL);
  t.equal(await errno(Command.writeZeroes, 0, 4 * KiB, undefined, CommandFlag.fastZero), NbdErrno.EINVAL);
  t.equal(await errno(Command.cache, 0, 4 * KiB), NbdErrno.EINVAL);
  t.equal(await errno(99, 0, 4 * KiB), NbdErrno.EINVAL);
  t.equal(await errno(Command.flush, 0, 0), NbdErrno.ok);
  const { data } = await client.ask(Command.blockStatus, 0, 64 * MiB);
  t.equal(data?.toString('hex'), '0400000000000003', 'nothing was written: one hole');
  client.socket.destroy();
  const reader = await NbdClient.open(address, 'archive');
  t.equal((await reader.ask(Command.write, 0, 8 * KiB, payload)).errno, NbdErrno.EPERM);
  t.equal((await reader.ask(Command.trim, 0, 8 * KiB)).errno, NbdErrno.EPERM);
  t.equal((await reader.ask(Command.read, 0, 8 * KiB)).errno, NbdErrno.ok);
  reader.socket.destroy();
});

t.test('errors of the store reach the client by their number', async (t) => {
  const failing = (code: string): NbdExport =>
    storeExport({
      name: code,
      store: {
        ...memoryStore(1 * MiB),
        size: 1 * MiB,
        write: async () => {
          throw new Error('outer', { cause: Object.assign(new Error('inner'), { code }) });
        },
      },
    });
  const codes = {
    ENOSPC: NbdErrno.ENOSPC,
    EDQUOT: NbdErrno.ENOSPC,
    EROFS: NbdErrno.EPERM,
    EIO: NbdErrno.EIO,
    EBADF: NbdErrno.EIO,
  };
  const { address } = await serveExports(t, Object.keys(codes).map(failing));
  for (const [code, errno] of Object.entries(codes)) {
    const client = await NbdClient.open(address, code);
    t.equal((await client.ask(Command.write, 0, 3, Buffer.from('abc'))).errno, errno, code);
    client.socket.destroy();
  }
});

t.test('connections over the limit are turned away, and there is room again later', async (t) => {
  const { address, lines, server } = await serveExports(t, [memoryDisk()], { connectionsMost: 2 });
  const clients = [await NbdClient.open(address), await NbdClient.open(address)];
  const third = new NbdClient(connect(address));
  await third.closed();
  t.ok(lines.some((line) => line.includes('nbd.too-many-connections')));
  clients[0]?.socket.destroy();
  await until(() => server.connections === 1);
  clients[0] = await NbdClient.open(address);
  for (const client of clients) client.socket.destroy();
});

t.test(
  'closing lets requests in flight be answered, takes no new ones, and removes the socket',
  async (t) => {
    let answer = (): void => undefined;
    const slow: NbdExport = {
      ...memoryDisk(),
      flush: (done) => {
        answer = () => done(NbdErrno.ok);
      },
    };
    const { address, server, pool } = await serveExports(t, [slow]);
    const client = await NbdClient.open(address);
    const idle = await NbdClient.open(address);
    client.send(Command.flush, 5, 0, 0);
    const nothing = answer;
    await until(() => answer !== nothing);
    const closed = server.close();
    await idle.closed();
    answer();
    t.match(await client.reply(), { cookie: 5, errno: 0 });
    await client.closed();
    await closed;
    t.equal(pool.heldBytes, 0);
    t.notOk('path' in address && existsSync(address.path));
  },
);

t.test('closing does not wait for ever', async (t) => {
  let asked = false;
  const stuck: NbdExport = {
    ...memoryDisk(),
    flush: () => {
      asked = true;
    },
  };
  const { address, server } = await serveExports(t, [stuck]);
  const client = await NbdClient.open(address);
  client.send(Command.flush, 5, 0, 0);
  await until(() => asked);
  await server.close(20);
  await client.closed();
  t.equal(server.connections, 0);
});

t.test('DISCONNECT and a half-closed socket end the connection after the last reply', async (t) => {
  const { address, server } = await serveExports(t, [memoryDisk()]);
  for (const way of ['disconnect', 'end'] as const) {
    const client = await NbdClient.open(address);
    client.send(Command.write, 1, 0, 1 * MiB, Buffer.alloc(1 * MiB, 1));
    if (way === 'disconnect') client.send(Command.disconnect, 2, 0, 0);
    else client.socket.end();
    t.match(await client.reply(), { cookie: 1, errno: 0 });
    await client.closed();
  }
  await until(() => server.connections === 0);
});

t.test(
  'a socket left behind by a killed process is taken over, one in use is not, a file is not',
  async (t) => {
    const socketPath = path.join(temporaryDirectory(t), 'nbd.sock');
    const child = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(socketPath)}, () => console.log('up'))`,
    ]);
    await once(child.stdout, 'data');
    const server = new NbdServer({ exports: exportList([memoryDisk()]), log: createLog('error') });
    await t.rejects(server.listen({ path: socketPath }), { code: 'EADDRINUSE' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    t.ok(existsSync(socketPath));
    await server.listen({ path: socketPath });
    t.equal(statSync(socketPath).mode & 0o777, 0o600);
    (await NbdClient.open({ path: socketPath })).socket.destroy();
    await server.close();
    writeFileSync(socketPath, 'precious');
    await t.rejects(server.listen({ path: socketPath }), { code: 'EADDRINUSE' });
    t.equal(statSync(socketPath).size, 8);
  },
);

t.test('a Unix socket path that is too long is refused in words, a port in use with its errno', async (t) => {
  const server = new NbdServer({ exports: exportList([memoryDisk()]), log: createLog('error') });
  await t.rejects(server.listen({ path: `/tmp/${'x'.repeat(120)}` }), { code: 'bad-listen' });
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const bound = other.address();
  await t.rejects(
    server.listen({ host: '127.0.0.1', port: typeof bound === 'object' ? (bound?.port ?? 0) : 0 }),
    { code: 'EADDRINUSE' },
  );
  other.close();
});

t.test('many requests at once are all answered, whatever their order', async (t) => {
  const { address } = await serveExports(t, [memoryDisk()]);
  const client = await NbdClient.open(address);
  const random = seededRandom(chooseSeed(t));
  const commands = [
    Command.read,
    Command.write,
    Command.flush,
    Command.trim,
    Command.writeZeroes,
    Command.blockStatus,
  ];
  const asked = new Set<number>();
  for (let i = 0; i < 3000; i++) {
    const command = random.pick(commands);
    const length = command === Command.flush ? 0 : 1 + random.below(20_000);
    client.send(
      command,
      i,
      random.below(1 * MiB),
      length,
      command === Command.write ? Buffer.alloc(length) : undefined,
    );
    asked.add(i);
  }
  for (let i = 0; i < 3000; i++) {
    const { cookie, errno } = await client.reply();
    if (errno !== 0 || !asked.delete(cookie)) t.bailout(`request ${cookie}: ${errno}`);
  }
  t.equal(asked.size, 0);
  client.socket.destroy();
});

t.test('GO in the same packet as requests works', async (t) => {
  const { address } = await serveExports(t, [memoryDisk()]);
  const client = await NbdClient.connect(address);
  client.write(Buffer.concat([encodeU32(3), encodeOption(Option.go, encodeGo('disk0'))]));
  client.send(Command.flush, 9, 0, 0);
  t.match(await client.answers(), [{ reply: OptionReply.info }, { reply: OptionReply.ack }]);
  t.match(await client.reply(), { cookie: 9, errno: 0 });
  client.socket.destroy();
});
