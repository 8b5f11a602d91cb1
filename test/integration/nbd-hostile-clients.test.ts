// The NBD server against clients that die, talk nonsense, do not listen, or want all its memory.
import { once } from 'node:events';
import t from 'tap';
import { limits } from '../../core/limits.ts';
import { NbdErrno, type NbdExport, type ReceiveBuffer } from '../../core/nbd/export.ts';
import { Command, Option, OptionReply } from '../../core/nbd/protocol.ts';
import { ReceivePool } from '../../core/nbd/receive-pool.ts';
import { KiB, MiB } from '../../core/units.ts';
import { encodeOption, encodeU32, NbdClient } from '../support/nbd-client.ts';
import { memoryDisk, serveExports, turn, until } from '../support/nbd-server.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.test('garbage in the transmission phase drops the connection and leaves a line in the log', async (t) => {
  const { address, lines, server } = await serveExports(t, [memoryDisk()]);
  const client = await NbdClient.open(address);
  client.write(Buffer.alloc(100, 'garbage'));
  await client.closed();
  t.ok(lines.some((line) => line.includes('nbd.bad-request-magic')));
  await until(() => server.connections === 0);
});

t.test('garbage instead of negotiation is dropped', async (t) => {
  const { address, server } = await serveExports(t, [memoryDisk()]);
  for (const garbage of ['GET / HTTP/1.1\r\n\r\n', Buffer.alloc(100_000, 0xff), Buffer.alloc(0)]) {
    const client = await NbdClient.connect(address);
    client.socket.end(garbage);
    await client.closed();
  }
  await until(() => server.connections === 0);
});

t.test('option data without end takes no memory and runs into the time limit', async (t) => {
  const { address, pool, lines } = await serveExports(t, [memoryDisk()], { negotiationMs: 300 });
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
  void client.closed().then(() => {
    over = true;
  });
  while (!over) {
    if (client.socket.write(megabyte)) await turn();
    else await Promise.race([once(client.socket, 'drain').catch(() => undefined), client.closed()]);
    sent += 1;
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  }
  t.ok(sent > 10, `${sent} MiB were sent`);
  t.ok(most - before < 16 * MiB, `memory grew by ${Math.round((most - before) / MiB)} MiB`);
  await until(() => pool.heldBytes === 0);
  t.ok(lines.some((line) => line.includes('negotiation took too long')));
});

t.test('a client that says nothing runs into the time limit', async (t) => {
  const { address } = await serveExports(t, [memoryDisk()], { negotiationMs: 50 });
  const client = await NbdClient.connect(address);
  await client.closed();
  t.pass('closed');
});

t.test('a client that dies in the middle of a request leaves nothing behind, and others go on', async (t) => {
  const { address, pool, server } = await serveExports(t, [memoryDisk()]);
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

t.test("a dead client's requests in flight end without it", async (t) => {
  const waiting: (() => void)[] = [];
  const slow: NbdExport = {
    ...memoryDisk(),
    write: (_payload, _offset, _fua, _buffer, done) => {
      waiting.push(() => done(NbdErrno.ok));
    },
  };
  const { address, pool, server } = await serveExports(t, [slow]);
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

t.test('with all memory in use connections wait, and go on when some is free', async (t) => {
  const held: (() => void)[] = [];
  const journal: NbdExport = {
    ...memoryDisk(),
    write(_payload, _offset, _fua, buffer, done) {
      buffer.retain();
      held.push(() => buffer.release());
      done(NbdErrno.ok);
    },
  };
  const { address, pool } = await serveExports(t, [journal], { receivePool: new ReceivePool(24 * MiB) });
  const clients = await Promise.all(Array.from({ length: 8 }, () => NbdClient.open(address)));
  const payload = Buffer.alloc(1 * MiB, 1);
  const each = 20;
  let answered = 0;
  const work = clients.map(async (client) => {
    for (let i = 0; i < each; i++) client.send(Command.write, i, 0, payload.length, payload);
    for (let i = 0; i < each; i++, answered++) await client.reply();
  });
  await until(() => pool.waiting);
  t.ok(answered < 8 * each, 'memory is full before all is written');
  t.ok(pool.heldBytes <= 24 * MiB);
  let over = false;
  const all = Promise.all(work).then(() => {
    over = true;
  });
  while (!over) {
    await turn();
    if (pool.waiting) for (const release of held.splice(0)) release();
    if (pool.heldBytes > 24 * MiB) throw new Error('over the bound');
  }
  await all;
  t.equal(answered, 8 * each);
  for (const client of clients) client.socket.destroy();
  for (const release of held) release();
  await until(() => pool.heldBytes === 0);
});

t.test(
  "clients in turn take over each other's receive memory, and every byte arrives where it should",
  async (t) => {
    const kept: { payload: Buffer; expected: number; buffer: ReceiveBuffer }[] = [];
    let wrong = 0;
    const letGo = (): void => {
      for (const { payload, expected, buffer } of kept.splice(0)) {
        if (payload[0] !== expected || payload.at(-1) !== expected) wrong += 1;
        if (!payload.equals(Buffer.alloc(payload.length, expected))) wrong += 1;
        buffer.release();
      }
    };
    const journal: NbdExport = {
      ...memoryDisk(),
      write(payload, offset, _fua, buffer, done) {
        buffer.retain();
        kept.push({ payload, expected: offset & 255, buffer });
        done(NbdErrno.ok);
      },
    };
    // Room for one block only: whoever was busy last has to make way for the next.
    const { address, pool } = await serveExports(t, [journal], { receivePool: new ReceivePool(7 * MiB) });
    const random = seededRandom(chooseSeed(t));
    const clients = await Promise.all(Array.from({ length: 4 }, () => NbdClient.open(address)));
    const durable = setInterval(letGo, 1);
    for (let round = 0; round < 150; round++) {
      const asked = clients.filter(() => random.chance(0.6));
      const replies = asked.flatMap((client) =>
        Array.from({ length: 1 + random.below(4) }, (_, i) => {
          const length = random.pick([1, 4 * KiB, 60 * KiB, 300 * KiB, 1 * MiB, 3 * MiB]);
          const fill = random.below(256);
          client.send(Command.write, i, fill, length, Buffer.alloc(length, fill));
          return client;
        }),
      );
      for (const client of replies) t.equal((await client.reply()).errno, 0);
    }
    clearInterval(durable);
    letGo();
    t.equal(wrong, 0);
    for (const client of clients) client.socket.destroy();
    await until(() => pool.heldBytes === 0);
  },
);

t.test('a client that asks and does not listen does not fill memory', async (t) => {
  const { address, server } = await serveExports(t, [memoryDisk()]);
  const client = await NbdClient.open(address);
  client.socket.pause();
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 200; i++) client.send(Command.read, i, 0, 8 * MiB);
  const other = await NbdClient.open(address);
  for (let i = 0; i < 100; i++) t.equal((await other.ask(Command.read, 0, 4 * KiB)).errno, 0);
  const grown = process.memoryUsage().arrayBuffers - before;
  t.ok(grown < limits.nbdReplyBytes + 48 * MiB, `grew by ${Math.round(grown / MiB)} MiB`);
  client.socket.resume();
  for (let i = 0; i < 200; i++) t.equal((await client.reply()).data?.length, 8 * MiB);
  for (const one of [client, other]) one.socket.destroy();
  await until(() => server.connections === 0);
});
