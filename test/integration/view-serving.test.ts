// Open views of a daemon: what is written to them, and what comes back after a restart.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Views, type OpenViewRequest } from '../../agent/recovery/views.ts';
import type { HeldContent } from '../../agent/replica/view-content.ts';
import { hostClock, type Clock } from '../../core/clock.ts';
import { HomewardError } from '../../core/errors.ts';
import { createLog, type Log } from '../../core/log.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { machineMark } from '../../core/record/record.ts';
import { KiB, microseconds } from '../../core/units.ts';
import { until } from '../support/homeward.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const size = 256 * KiB;
const machine = { id: '00112233-4455-6677-8899-aabbccddeeff', name: 'web' };
const uuid = Buffer.from(machine.id.replaceAll('-', ''), 'hex');
const ESHUTDOWN = 108;
const ENOSPC = 28;

interface Site {
  directory: string;
  data: string;
  views: Views;
  logged: string[];
  held: number;
  hold(): HeldContent;
  request(name: string, more?: Partial<OpenViewRequest>): OpenViewRequest;
  /** Another daemon over the same data directory, or a copy of it. */
  next(data?: string): Site;
}

/** What a view of the disks in `fds` is made of. */
function contentOf(fds: readonly number[]): HeldContent['content'] {
  return {
    mark: machineMark(uuid),
    machine: uuid,
    lsn: 7,
    disks: fds.map((fd, index) => ({ name: ['root', 'home'][index]!, size, fd, sparse: true, sums: null })),
    plan: {
      counter: 0,
      redo: [],
      floor: { segment: 0, lsnDelta: -1 },
      undo: [],
      segments: [],
      unknown: [],
    },
    live: null,
  };
}

/** A machine of two disks: the first half of each is data, the second a hole. */
function makeSite(t: Test, clock: Clock = hostClock()): Site {
  const directory = temporaryDirectory(t);
  const files = ['root', 'home'].map((name) => path.join(directory, name));
  for (const [index, file] of files.entries()) {
    fs.writeFileSync(file, Buffer.alloc(size / 2, index + 1));
    fs.truncateSync(file, size);
  }
  const fds = files.map((file) => fs.openSync(file, 'r'));
  t.teardown(() => {
    for (const fd of fds) fs.closeSync(fd);
  });
  const hold = (site: Site): HeldContent => {
    site.held += 1;
    return {
      content: contentOf(fds),
      transfer: [],
      release: () => {
        site.held -= 1;
      },
    };
  };
  const daemon = (data: string): Site => {
    fs.mkdirSync(data, { recursive: true });
    const logged: string[] = [];
    const log: Log = createLog('info', (line) => logged.push(line));
    const views = new Views({ data, clock, log, logLevel: 'error' });
    t.teardown(() => views.stop());
    const site: Site = {
      directory,
      data,
      views,
      logged,
      held: 0,
      hold: () => hold(site),
      request: (name, more = {}) => ({
        machine,
        held: site.hold(),
        time: null,
        listen: { kind: 'unix', path: path.join(directory, `${name}.sock`) },
        tls: null,
        leaseMs: null,
        scratchBytes: null,
        lasting: { tls: false },
        ...more,
      }),
      next: (other = data) => daemon(other),
    };
    return site;
  };
  return daemon(path.join(directory, 'data'));
}

function connect(site: Site, name: string, disk = 'root', structured = true): Promise<NbdClient> {
  return NbdClient.open({ path: path.join(site.directory, `${name}.sock`) }, disk, { structured });
}

/** Reads over a connection of its own. */
async function readAt(
  site: Site,
  name: string,
  offset: number,
  length: number,
  disk = 'root',
): Promise<Buffer | number> {
  const client = await connect(site, name, disk, false);
  const { errno, data } = await client.ask(Command.read, offset, length);
  client.socket.destroy();
  return data ?? errno;
}

t.test('views come back after a restart, with what was written to them, and go when closed', async (t) => {
  const site = makeSite(t);
  const plain = await site.views.open(site.request('plain'));
  const written = await site.views.open(site.request('written', { scratchBytes: size }));
  const passing = await site.views.open(site.request('passing', { lasting: null }));
  t.match([plain.writable, written.writable], [false, true]);
  const client = await connect(site, 'written');
  t.equal((await client.ask(Command.write, 1000, 5000, Buffer.alloc(5000, 9))).errno, 0);
  t.equal((await client.ask(Command.flush, 0, 0)).errno, 0);
  const other = await connect(site, 'written', 'home');
  t.equal((await other.ask(Command.trim, 0, 8 * KiB)).errno, 0);
  client.socket.destroy();
  other.socket.destroy();
  // What a killed daemon leaves: the files as they are in the page cache.
  const killed = path.join(site.directory, 'killed');
  fs.cpSync(site.data, killed, { recursive: true });
  await site.views.stop();
  t.equal(site.held, 0);

  for (const data of [site.data, killed]) {
    const again = site.next(data);
    await again.views.restore(async ({ lsn, machine: { id } }) => {
      t.match({ lsn, id }, { lsn: 7, id: machine.id });
      return { held: again.hold(), tls: null };
    });
    t.same(again.views.list(), [plain, written], 'under the same ids and addresses');
    const expected = Buffer.alloc(8 * KiB, 1).fill(9, 1000, 6000);
    t.same(await readAt(site, 'written', 0, 8 * KiB), expected);
    t.same(await readAt(site, 'plain', 0, 8 * KiB), Buffer.alloc(8 * KiB, 1));
    if (data === site.data)
      t.same(await readAt(site, 'written', 0, 4 * KiB, 'home'), Buffer.alloc(4 * KiB), 'stopping flushes');
    t.equal(again.held, 2);
    await again.views.close(written.id);
    t.same(fs.readdirSync(path.join(data, 'scratch')), []);
    await t.rejects(again.views.close(passing.id), { code: 'no-such-view' });
    await again.views.stop();
    const last = site.next(data);
    await last.views.restore(async () => ({ held: last.hold(), tls: null }));
    t.same(
      last.views.list().map(({ id }) => id),
      [plain.id],
    );
    await last.views.stop();
  }
});

t.test('a view that does not last lives for as long as its lease is renewed', async (t) => {
  const site = makeSite(t);
  const mounted = await site.views.open(site.request('mounted', { leaseMs: 60_000, lasting: null }));
  const longer = site.views.renew(mounted.id, 120_000);
  t.ok(Date.parse(longer.expiresAt ?? '') > Date.parse(mounted.expiresAt ?? ''));
  t.same(site.views.list(), [longer]);
  site.views.renew(mounted.id, 1);
  await until('its lease to end', () => site.views.list().length === 0);
  t.throws(() => site.views.renew(mounted.id, 1), { code: 'no-such-view' });
  const lasting = await site.views.open(site.request('lasting', { leaseMs: 60_000 }));
  t.throws(() => site.views.renew(lasting.id, 1), { code: 'conflict' }, 'its end is on record');
  await site.views.stop();
});

t.test('what cannot be opened again is kept or dropped, as it may come back or not', async (t) => {
  let now = 1_000_000_000_000_000;
  const site = makeSite(t, { now: () => microseconds(now), monotonicMs: () => now / 1000 });
  const gone = await site.views.open(site.request('gone', { scratchBytes: size }));
  const away = await site.views.open(site.request('away', { scratchBytes: size }));
  const ended = await site.views.open(site.request('ended', { leaseMs: 60_000, scratchBytes: size }));
  const fails = await site.views.open(site.request('fails'));
  const lease = await site.views.open(site.request('lease', { leaseMs: 40 * 86_400_000 }));
  await site.views.stop();
  fs.mkdirSync(path.join(site.data, 'scratch', '0badcafe'));
  now += 120_000_000;

  const again = site.next();
  await again.views.restore(async ({ id }) => {
    if (id === away.id) return null;
    if (id === gone.id) throw new HomewardError('outside-window', 'lsn:7 is gone');
    if (id === fails.id) throw new HomewardError('bug', 'something else');
    t.equal(id, lease.id, 'not the one that has ended');
    return { held: again.hold(), tls: null };
  });
  t.same(again.views.list(), [lease]);
  t.same(fs.readdirSync(path.join(site.data, 'scratch')), [away.id]);
  for (const [event, id] of [
    ['view-lost', gone.id],
    ['view-expired', ended.id],
    ['view-not-opened', away.id],
    ['view-not-opened', fails.id],
    ['scratch-removed', '0badcafe'],
  ] as const)
    t.ok(
      again.logged.some((line) => line.includes(`event=${event}`) && line.includes(id)),
      `${event} ${id}`,
    );
  await again.views.stop();

  const last = site.next();
  const asked: string[] = [];
  await last.views.restore(async ({ id }) => {
    asked.push(id);
    return null;
  });
  t.same(asked.sort(), [away.id, fails.id, lease.id].sort());
  t.match(
    await last.views.close(away.id),
    { id: away.id, machine: 'web' },
    'one that is not open can be closed',
  );
  t.same(fs.readdirSync(path.join(site.data, 'scratch')), []);
});

t.test('a damaged record of views is set aside, and scratches are left alone', async (t) => {
  const site = makeSite(t);
  const written = await site.views.open(site.request('written', { scratchBytes: size }));
  await site.views.stop();
  const file = path.join(site.data, 'views.json');
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"lsn": 7', '"lsn": 8'));
  const again = site.next();
  await again.views.restore(() => Promise.reject(new Error('nothing is to be opened')));
  t.same(again.views.list(), []);
  t.ok(fs.existsSync(`${file}.damaged`));
  t.same(fs.readdirSync(path.join(site.data, 'scratch')), [written.id]);
});

t.test('a broken view answers nothing but errors, lets go of its content, and stays away', async (t) => {
  const site = makeSite(t);
  const plain = await site.views.open(site.request('plain'));
  const written = await site.views.open(site.request('written', { scratchBytes: size }));
  const clients = await Promise.all(['plain', 'written'].map((name) => connect(site, name)));
  for (const client of clients) t.equal((await client.ask(Command.read, 0, 512)).errno, 0);
  t.equal((await clients[1]!.ask(Command.write, 0, 4096, Buffer.alloc(4096, 5))).errno, 0);
  for (const { id } of [plain, written]) await site.views.break(id, 'its point had to go');
  t.equal(site.held, 0);
  for (const client of clients) {
    t.equal((await client.ask(Command.read, 0, 512)).errno, ESHUTDOWN);
    t.equal((await client.ask(Command.blockStatus, 0, 4096)).errno, ESHUTDOWN);
  }
  const [, writer] = clients;
  t.equal((await writer!.ask(Command.read, 0, 4096)).errno, ESHUTDOWN, 'not even what lies in its scratch');
  t.equal((await writer!.ask(Command.write, 0, 512, Buffer.alloc(512))).errno, ESHUTDOWN);
  t.equal((await writer!.ask(Command.flush, 0, 0)).errno, ESHUTDOWN);
  const told = site.logged.filter((line) => line.includes('event=view-broken'));
  t.equal(told.length, 2);
  t.match(told[0], /its point had to go/);
  t.equal(site.views.list().length, 2, 'listed until it is closed');
  for (const client of clients) client.socket.destroy();
  await site.views.close(written.id);
  await site.views.stop();
  const again = site.next();
  await again.views.restore(() => Promise.reject(new Error('nothing is to be opened')));
  t.equal(site.held, 0, 'and it is let go of once');
});

t.test('a scratch has its bound, over all disks, and block status tells of what was written', async (t) => {
  const site = makeSite(t);
  await site.views.open(site.request('written', { scratchBytes: 16 * KiB }));
  const root = await connect(site, 'written');
  const home = await connect(site, 'written', 'home');
  t.equal((await root.ask(Command.write, 192 * KiB, 8 * KiB, Buffer.alloc(8 * KiB, 7))).errno, 0);
  t.equal((await home.ask(Command.write, 0, 8 * KiB, Buffer.alloc(8 * KiB, 8))).errno, 0);
  t.equal((await root.ask(Command.write, 0, 512, Buffer.alloc(512, 7))).errno, ENOSPC);
  t.equal((await home.ask(Command.writeZeroes, 20 * KiB + 100, 100)).errno, ENOSPC);
  t.equal((await root.ask(Command.trim, 0, 64 * KiB)).errno, 0, 'holes take no room');
  t.equal((await home.ask(Command.trim, 0, 4 * KiB)).errno, 0);
  t.equal((await root.ask(Command.write, 4 * KiB, 4 * KiB, Buffer.alloc(4 * KiB, 6))).errno, 0);
  const { data } = await root.ask(Command.blockStatus, 0, size);
  const [length, flags] = [data!.readUInt32BE(0), data!.readUInt32BE(4)];
  t.match({ length, flags }, { length: 4 * KiB, flags: 3 }, 'first the hole that was punched');
  const second = await root.ask(Command.blockStatus, 4 * KiB, size - 4 * KiB);
  t.match([second.data!.readUInt32BE(0), second.data!.readUInt32BE(4)], [4 * KiB, 0]);
  const third = await root.ask(Command.blockStatus, 128 * KiB, 128 * KiB);
  t.match([third.data!.readUInt32BE(0), third.data!.readUInt32BE(4)], [64 * KiB, 3], 'the hole of the base');
  const fourth = await root.ask(Command.blockStatus, 192 * KiB, 64 * KiB);
  t.match([fourth.data!.readUInt32BE(0), fourth.data!.readUInt32BE(4)], [8 * KiB, 0]);
  root.socket.destroy();
  home.socket.destroy();
});

t.test('an address that another has is a conflict, and leaves neither scratch nor record', async (t) => {
  const site = makeSite(t);
  await site.views.open(site.request('taken'));
  await t.rejects(site.views.open(site.request('taken', { scratchBytes: size })), { code: 'conflict' });
  t.equal(site.held, 1);
  t.same(fs.readdirSync(path.join(site.data, 'scratch')), []);
  await site.views.stop();
  const again = site.next();
  await again.views.restore(async () => ({ held: again.hold(), tls: null }));
  t.equal(again.views.list().length, 1);
});
