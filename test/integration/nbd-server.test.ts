// The NBD server on real sockets against clients that misbehave, and against its own limits.
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { spawn } from 'node:child_process';
import t, { type Test } from 'tap';
import { memoryStore } from '../../core/block/memory-store.ts';
import { limits } from '../../core/limits.ts';
import { createLog, type Log } from '../../core/log.ts';
import { NbdErrno, type NbdExport } from '../../core/nbd/export.ts';
import { Command, CommandFlag, Option, OptionReply } from '../../core/nbd/protocol.ts';
import { ReceivePool } from '../../core/nbd/receive-pool.ts';
import { NbdServer, type NbdAddress, type NbdServerOptions } from '../../core/nbd/server.ts';
import { exportList, storeExport } from '../../core/nbd/store-export.ts';
import { KiB, MiB } from '../../core/units.ts';
import { encodeGo, encodeOption, encodeU32, NbdClient } from '../support/nbd-client.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const turn = (): Promise<void> => new Promise(resolve => { setImmediate(resolve); });

interface Running { server: NbdServer; address: NbdAddress; lines: string[]; pool: ReceivePool }

const disk = (name = 'disk0', readOnly = false): NbdExport => storeExport({ name, store: memoryStore(64 * MiB), readOnly });

async function serve(t: Test, exports: NbdExport[], options: Partial<NbdServerOptions> = {}): Promise<Running> {
  const lines: string[] = [];
  const log: Log = createLog('debug', line => lines.push(line));
  const pool = options.receivePool ?? new ReceivePool();
  const server = new NbdServer({ exports: exportList(exports), log, ...options, receivePool: pool });
  t.teardown(() => server.close(0));
  const address = await server.listen({ path: path.join(temporaryDirectory(t), 'nbd.sock') });
  return { server, address, lines, pool };
}

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await turn();
};

t.test('writes come back by reads, simple and structured, over a Unix socket and over TCP', async t => {
  const { address } = await serve(t, [disk()]);
  const tcp = new NbdServer({ exports: exportList([disk()]), log: createLog('error') });
  t.teardown(() => tcp.close(0));
  const tcpAddress = await tcp.listen({ host: '127.0.0.1', port: 0 });
  t.match(tcpAddress, { host: '127.0.0.1', port: Number });
  const random = seededRandom(chooseSeed(t));
  for (const [where, structured] of [[address, true], [address, false], [tcpAddress, true]] as const) {
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

t.test('errors are those of the specification, and the connection goes on after each', async t => {
  const { address } = await serve(t, [disk(), disk('archive', true)]);
  const client = await NbdClient.open(address);
  const payload = Buffer.alloc(8 * KiB, 1);
  const end = 64 * MiB;
  const errno = async (command: number, offset: number, length: number, data?: Buffer, flags = 0): Promise<number> =>
    (await client.ask(command, offset, length, data, flags)).errno;
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

t.test('errors of the store reach the client by their number', async t => {
  const failing = (code: string): NbdExport => storeExport({
    name: code,
    store: {
      ...memoryStore(1 * MiB), size: 1 * MiB,
      write: async () => { throw new Error('outer', { cause: Object.assign(new Error('inner'), { code }) }); },
    },
  });
  const codes = { ENOSPC: NbdErrno.ENOSPC, EDQUOT: NbdErrno.ENOSPC, EROFS: NbdErrno.EPERM, EIO: NbdErrno.EIO, EBADF: NbdErrno.EIO };
  const { address } = await serve(t, Object.keys(codes).map(failing));
  for (const [code, errno] of Object.entries(codes)) {
    const client = await NbdClient.open(address, code);
    t.equal((await client.ask(Command.write, 0, 3, Buffer.from('abc'))).errno, errno, code);
    client.socket.destroy();
  }
});

t.test('garbage in the transmission phase drops the connection and leaves a line in the log', async t => {
  const { address, lines, server } = await serve(t, [disk()]);
  const client = await NbdClient.open(address);
  client.write(Buffer.alloc(100, 'garbage'));
  await client.closed();
  t.ok(lines.some(line => line.includes('nbd.bad-request-magic')));
  await until(() => server.connections === 0);
});

t.test('garbage instead of negotiation is dropped', async t => {
  const { address, server } = await serve(t, [disk()]);
  for (const garbage of ['GET / HTTP/1.1\r\n\r\n', Buffer.alloc(100_000, 0xff), Buffer.alloc(0)]) {
    const client = await NbdClient.connect(address);
    client.socket.end(garbage);
    await client.closed();
  }
  await until(() => server.connections === 0);
});

t.test('option data without end takes no memory and runs into the time limit', async t => {
  const { address, pool, lines } = await serve(t, [disk()], { negotiationMs: 1500 });
  const client = await NbdClient.connect(address);
  client.write(encodeU32(3));
  const header = encodeOption(Option.go, Buffer.alloc(0));
  header.writeUInt32BE(0xffffffff, 12);
  client.write(header);
  t.match(await client.answers(), [{ reply: OptionReply.tooBig }]);
  const before = process.memoryUsage().arrayBuffers;
  const megabyte = Buffer.alloc(1 * MiB);
  let sent = 0;
  let most = 0;
  let over = false;
  void client.closed().then(() => { over = true; });
  while (!over) {
    if (client.socket.write(megabyte)) await turn();
    else await Promise.race([once(client.socket, 'drain').catch(() => undefined), client.closed()]);
    sent += 1;
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  }
  t.ok(sent > 10, `${sent} MiB were sent`);
  t.ok(most - before < 16 * MiB, `memory grew by ${Math.round((most - before) / MiB)} MiB`);
  await until(() => pool.heldBytes === 0);
  t.ok(lines.some(line => line.includes('negotiation took too long')));
});

t.test('a client that says nothing runs into the time limit', async t => {
  const { address } = await serve(t, [disk()], { negotiationMs: 50 });
  const client = await NbdClient.connect(address);
  await client.closed();
  t.pass('closed');
});

t.test('a client that dies in the middle of a request leaves nothing behind, and others go on', async t => {
  const { address, pool, server } = await serve(t, [disk()]);
  const other = await NbdClient.open(address);
  for (const cut of [1, 27, 28, 29, 100_000, 3 * MiB]) {
    const client = await NbdClient.open(address);
    client.send(Command.write, 1, 0, 4 * MiB, Buffer.alloc(4 * MiB).subarray(0, Math.max(0, cut - 28)));
    client.socket.destroy();
    t.equal((await other.ask(Command.write, 0, 4 * KiB, Buffer.alloc(4 * KiB, cut & 255))).errno, 0);
  }
  await until(() => server.connections === 1);
  other.socket.destroy();
  await until(() => server.connections === 0);
  t.equal(pool.heldBytes, 0);
});

t.test('a dead client\'s requests in flight end without it', async t => {
  const waiting: (() => void)[] = [];
  const slow: NbdExport = {
    ...disk(), write: (_payload, _offset, _fua, _buffer, done) => { waiting.push(() => done(NbdErrno.ok)); },
  };
  const { address, pool, server } = await serve(t, [slow]);
  const client = await NbdClient.open(address);
  for (let i = 0; i < 3; i++) client.send(Command.write, i, 0, 3 * MiB, Buffer.alloc(3 * MiB));
  await until(() => waiting.length === 3);
  client.socket.destroy();
  await once(client.socket, 'close');
  for (let i = 0; i < 10; i++) await turn();
  t.ok(pool.heldBytes >= 9 * MiB, 'the export still has the payloads');
  for (const answer of waiting) answer();
  await until(() => server.connections === 0);
  t.equal(pool.heldBytes, 0);
});

t.test('with all memory in use connections wait, and go on when some is free', async t => {
  const held: (() => void)[] = [];
  const journal: NbdExport = {
    ...disk(),
    write(_payload, _offset, _fua, buffer, done) {
      buffer.retain();
      held.push(() => buffer.release());
      done(NbdErrno.ok);
    },
  };
  const { address, pool } = await serve(t, [journal], { receivePool: new ReceivePool(24 * MiB) });
  const clients = await Promise.all(Array.from({ length: 8 }, () => NbdClient.open(address)));
  const payload = Buffer.alloc(1 * MiB, 1);
  const each = 20;
  let answered = 0;
  const work = clients.map(async client => {
    for (let i = 0; i < each; i++) client.send(Command.write, i, 0, payload.length, payload);
    for (let i = 0; i < each; i++, answered++) await client.reply();
  });
  await until(() => pool.waiting);
  t.ok(answered < 8 * each, 'memory is full before all is written');
  t.ok(pool.heldBytes <= 24 * MiB);
  let over = false;
  const all = Promise.all(work).then(() => { over = true; });
  while (!over) {
    await turn();
    if (pool.waiting) for (const release of held.splice(0)) release();
    t.ok(pool.heldBytes <= 24 * MiB) || t.bailout('over the bound');
  }
  await all;
  t.equal(answered, 8 * each);
  for (const client of clients) client.socket.destroy();
  for (const release of held) release();
  await until(() => pool.heldBytes === 0);
});

t.test('a client that asks and does not listen does not fill memory', async t => {
  const { address, server } = await serve(t, [disk()]);
  const client = await NbdClient.open(address);
  client.socket.pause();
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 200; i++) client.send(Command.read, i, 0, 8 * MiB);
  const other = await NbdClient.open(address);
  for (let i = 0; i < 100; i++) t.equal((await other.ask(Command.read, 0, 4 * KiB)).errno, 0) || t.bailout('starved');
  const grown = process.memoryUsage().arrayBuffers - before;
  t.ok(grown < limits.nbdReplyBytes + 48 * MiB, `grew by ${Math.round(grown / MiB)} MiB`);
  client.socket.resume();
  for (let i = 0; i < 200; i++) t.equal((await client.reply()).data?.length, 8 * MiB) || t.bailout('lost');
  for (const one of [client, other]) one.socket.destroy();
  await until(() => server.connections === 0);
});

t.test('connections over the limit are turned away, and there is room again later', async t => {
  const { address, lines, server } = await serve(t, [disk()], { connectionsMost: 2 });
  const clients = [await NbdClient.open(address), await NbdClient.open(address)];
  const third = new NbdClient(connect(address));
  await third.closed();
  t.ok(lines.some(line => line.includes('nbd.too-many-connections')));
  clients[0]?.socket.destroy();
  await until(() => server.connections === 1);
  clients[0] = await NbdClient.open(address);
  for (const client of clients) client.socket.destroy();
});

t.test('closing lets requests in flight be answered, takes no new ones, and removes the socket', async t => {
  let answer = (): void => undefined;
  const slow: NbdExport = { ...disk(), flush: done => { answer = () => done(NbdErrno.ok); } };
  const { address, server, pool } = await serve(t, [slow]);
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
});

t.test('closing does not wait for ever', async t => {
  const stuck: NbdExport = { ...disk(), flush: () => undefined };
  const { address, server } = await serve(t, [stuck]);
  const client = await NbdClient.open(address);
  client.send(Command.flush, 5, 0, 0);
  await client.option(Option.abort).catch(() => undefined);
  await server.close(20);
  await client.closed();
  t.equal(server.connections, 0);
});

t.test('DISCONNECT and a half-closed socket end the connection after the last reply', async t => {
  const { address, server } = await serve(t, [disk()]);
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

t.test('a socket left behind by a killed process is taken over, one in use is not, a file is not', async t => {
  const socketPath = path.join(temporaryDirectory(t), 'nbd.sock');
  const child = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(socketPath)}, () => console.log('up'))`]);
  await once(child.stdout, 'data');
  const server = new NbdServer({ exports: exportList([disk()]), log: createLog('error') });
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
});

t.test('a Unix socket path that is too long is refused in words, a port in use with its errno', async t => {
  const server = new NbdServer({ exports: exportList([disk()]), log: createLog('error') });
  await t.rejects(server.listen({ path: `/tmp/${'x'.repeat(120)}` }), { code: 'bad-listen' });
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const bound = other.address();
  await t.rejects(server.listen({ host: '127.0.0.1', port: typeof bound === 'object' ? bound?.port ?? 0 : 0 }), { code: 'EADDRINUSE' });
  other.close();
});

t.test('many requests at once are all answered, whatever their order', async t => {
  const { address } = await serve(t, [disk()]);
  const client = await NbdClient.open(address);
  const random = seededRandom(chooseSeed(t));
  const commands = [Command.read, Command.write, Command.flush, Command.trim, Command.writeZeroes, Command.blockStatus];
  const asked = new Set<number>();
  for (let i = 0; i < 3000; i++) {
    const command = random.pick(commands);
    const length = command === Command.flush ? 0 : 1 + random.below(20_000);
    client.send(command, i, random.below(1 * MiB), length, command === Command.write ? Buffer.alloc(length) : undefined);
    asked.add(i);
  }
  for (let i = 0; i < 3000; i++) {
    const { cookie, errno } = await client.reply();
    if (errno !== 0 || !asked.delete(cookie)) t.bailout(`request ${cookie}: ${errno}`);
  }
  t.equal(asked.size, 0);
  client.socket.destroy();
});

t.test('GO in the same packet as requests works', async t => {
  const { address } = await serve(t, [disk()]);
  const client = await NbdClient.connect(address);
  client.write(Buffer.concat([encodeU32(3), encodeOption(Option.go, encodeGo('disk0'))]));
  client.send(Command.flush, 9, 0, 0);
  t.match(await client.answers(), [{ reply: OptionReply.info }, { reply: OptionReply.ack }]);
  t.match(await client.reply(), { cookie: 9, errno: 0 });
  client.socket.destroy();
});
