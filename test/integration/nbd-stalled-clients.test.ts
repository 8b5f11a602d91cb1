// Clients that stop in the middle of a request and hold receive memory that others wait for.
import t from 'tap';
import { limits } from '../../core/limits.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { ReceivePool } from '../../core/nbd/receive-pool.ts';
import type { NbdAddress } from '../../core/nbd/server.ts';
import { MiB } from '../../core/units.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { memoryDisk, serveExports, until } from '../support/nbd-server.ts';

const dropped = (lines: readonly string[]): number =>
  lines.filter((line) => line.includes('nbd.stalled-client-dropped')).length;

/** Announces a write of `length` bytes and sends the first thousand of them. */
async function openStaller(address: NbdAddress, length: number): Promise<NbdClient> {
  const client = await NbdClient.open(address);
  client.send(Command.write, 1, 0, length, Buffer.alloc(1000));
  return client;
}

t.test('a client that waits longest of all is served; those that hold memory are dropped', async (t) => {
  const most = 12;
  const homes = (most + 1) * limits.nbdHomeBytes;
  const receivePool = new ReceivePool(homes + 2 * limits.nbdBlockBytes);
  const { address, lines, server, pool } = await serveExports(t, [memoryDisk()], {
    receivePool,
    stallMs: 150,
  });
  const good = await NbdClient.open(address);
  const stallers = await Promise.all(Array.from({ length: most }, () => openStaller(address, 4 * MiB)));
  await until(() => pool.waiters === most - 2);

  const payload = Buffer.alloc(1 * MiB, 7);
  const started = performance.now();
  good.send(Command.write, 5, 0, payload.length, payload);
  t.match(await good.reply(), { cookie: 5, errno: 0 });
  t.ok(performance.now() - started > 2 * 150, 'it waited for longer than anybody may stall');
  t.ok((await good.ask(Command.read, 0, payload.length)).data?.subarray(-payload.length).equals(payload));

  t.ok(dropped(lines) >= most - 2, `${dropped(lines)} were dropped`);
  t.notOk(good.socket.destroyed);
  for (const client of [good, ...stallers]) client.socket.destroy();
  await until(() => server.connections === 0);
  t.equal(pool.heldBytes, 0);
});

t.test('nobody is dropped for stopping as long as nobody else waits', async (t) => {
  const { address, lines, server, pool } = await serveExports(t, [memoryDisk()], { stallMs: 20 });
  const slow = await openStaller(address, 4 * MiB);
  const other = await NbdClient.open(address);
  const started = performance.now();
  while (performance.now() - started < 200) {
    t.equal((await other.ask(Command.write, 0, 4096, Buffer.alloc(4096))).errno, 0);
  }
  slow.write(Buffer.alloc(4 * MiB - 1000));
  t.match(await slow.reply(), { cookie: 1, errno: 0 });
  t.equal(dropped(lines), 0);
  for (const client of [slow, other]) client.socket.destroy();
  await until(() => server.connections === 0);
  t.equal(pool.heldBytes, 0);
});

t.test('where many wait, a stalled client is dropped sooner', async (t) => {
  const receivePool = new ReceivePool(20 * limits.nbdHomeBytes + limits.nbdBlockBytes);
  const { address, lines, pool } = await serveExports(t, [memoryDisk()], { receivePool, stallMs: 40_000 });
  const holder = await openStaller(address, 4 * MiB);
  await until(() => pool.heldBytes > limits.nbdBlockBytes);
  const started = performance.now();
  const others = await Promise.all(Array.from({ length: 19 }, () => openStaller(address, 4 * MiB)));
  await holder.closed();
  t.ok(performance.now() - started < 20_000, 'in less than half the time');
  t.equal(dropped(lines), 1);
  for (const client of others) client.socket.destroy();
});
