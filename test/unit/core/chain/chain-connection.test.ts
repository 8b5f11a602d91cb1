// A stream of the chain over real sockets: what is said arrives, in order, and nothing hostile gets through.
import t, { type Test } from 'tap';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { zstdCompressSync } from 'node:zlib';
import { ChainConnection, type ChainListener } from '../../../../core/chain/chain-connection.ts';
import { encodeFrameHeader, FrameType } from '../../../../core/chain/frame.ts';
import type { Head, Hello, Note, Relay, Welcome } from '../../../../core/chain/messages.ts';
import { HomewardError } from '../../../../core/errors.ts';
import { limits } from '../../../../core/limits.ts';
import { silentLog } from '../../../../core/log.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

t.setTimeout(60_000);

async function socketPair(t: Test): Promise<[Socket, Socket]> {
  const server = net.createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const near = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [far] = (await once(server, 'connection')) as [Socket];
  t.teardown(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  return [near, far];
}

/** Notes what arrives in words, and lets a test wait for it. */
class Heard implements ChainListener {
  readonly words: unknown[] = [];
  readonly bodies: Buffer[] = [];
  #changed: () => void = () => undefined;
  error: HomewardError | null | undefined;

  hello(hello: Hello): void {
    this.#note(['hello', hello]);
  }
  welcome(welcome: Welcome): void {
    this.#note(['welcome', welcome]);
  }
  records(body: Buffer): void {
    this.bodies.push(body);
    this.#note(['records', body.length]);
  }
  ack(ack: unknown): void {
    this.#note(['ack', ack]);
  }
  head(head: Head): void {
    this.#note(['head', head]);
  }
  relay(relay: Relay): void {
    this.#note(['relay', relay]);
  }
  note(note: Note): void {
    this.#note(['note', note]);
  }
  drained(): void {
    this.#note('drained');
  }
  closed(error: HomewardError | null): void {
    if (this.error !== undefined) throw new Error('closed twice');
    this.error = error;
    this.#changed();
  }

  #note(what: unknown): void {
    if (this.error !== undefined) throw new Error('heard after the end');
    this.words.push(what);
    this.#changed();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#changed = resolve));
  }
  async end(): Promise<HomewardError | null> {
    await this.until(() => this.error !== undefined);
    return this.error ?? null;
  }
}

interface Side {
  connection: ChainConnection;
  heard: Heard;
  socket: Socket;
}

function sideOf(socket: Socket, options: { silenceMs?: number; listener?: ChainListener } = {}): Side {
  const heard = new Heard();
  const { listener = heard, ...rest } = options;
  const first = Buffer.alloc(0);
  return {
    connection: new ChainConnection({ socket, first, listener, log: silentLog, ...rest }),
    heard,
    socket,
  };
}

async function sides(t: Test): Promise<[Side, Side]> {
  const [near, far] = await socketPair(t);
  return [sideOf(near), sideOf(far)];
}

const hello: Hello = {
  role: 'source',
  version: '0.2.0',
  assignment: { text: '{}', signature: 'abc' },
  compress: true,
  generation: 3,
  head: 100,
  heldFrom: 7,
};
const head: Head = {
  lsn: 5,
  time: 1_700_000_000_000_000,
  state: 'resync',
  backlogBytes: 12,
  dirtyBytes: 0,
  sync: {
    reason: 'overflow',
    phase: 'copying',
    doneBytes: 1,
    totalBytes: 2,
    differentBytes: null,
    secondsLeft: 1.5,
    ahead: null,
  },
};

t.test('everything that can be said arrives as it was said, in order, then the end', async (t) => {
  const [near, far] = await sides(t);
  const welcome = { compress: true, generation: 3, spooled: 2 ** 40, target: 1, applied: 0, oldest: 1 };
  const ack = { spooled: Number.MAX_SAFE_INTEGER, target: 2, applied: 1 };
  const relay: Relay = {
    kind: 'hashes',
    sync: 9,
    disk: 0,
    start: 0,
    end: 65536,
    hashes: 'AAAAAAAAAAAAAAAAAAAAAA==',
  };
  near.connection.sendHello(hello);
  near.connection.sendWelcome(welcome);
  near.connection.sendRecords([Buffer.from('abc'), Buffer.from('de')]);
  near.connection.sendAck(ack);
  near.connection.sendHead(head);
  near.connection.sendHead({ ...head, sync: null, processServerBytes: 4, scan: { lastTime: null } });
  near.connection.sendRelay(relay);
  near.connection.sendNote({ kind: 'room', state: 'full' });
  near.connection.close();
  t.equal((await far.heard.end())?.code, 'chain-broken');
  t.equal(await near.heard.end(), null);
  t.same(far.heard.words, [
    ['hello', hello],
    ['welcome', welcome],
    ['records', 5],
    ['ack', ack],
    ['head', head],
    ['head', { ...head, sync: null, processServerBytes: 4, scan: { lastTime: null } }],
    ['relay', relay],
    ['note', { kind: 'room', state: 'full' }],
  ]);
  t.equal(far.heard.bodies[0]?.toString(), 'abcde');
});

t.test(
  'records of all sizes arrive whole, compressed where that is worth it, and never overtaken',
  async (t) => {
    const seed = chooseSeed(t);
    const random = seededRandom(seed);
    const [near, far] = await sides(t);
    near.connection.compress = true;
    const sent: Buffer[] = [];
    let most = 0;
    for (let index = 0; index < 24; index++) {
      const bytes = random.pick([0, 1, 63, 5000, 70_000, 400_000, 3_000_000]) + random.below(100);
      const isNoise = random.chance(0.5);
      const body = isNoise ? randomBytes(bytes) : Buffer.alloc(bytes, `text ${index} `);
      most += 100 + (isNoise || bytes < 1024 ? bytes : bytes / 2);
      const cut = random.below(bytes + 1);
      near.connection.sendRecords([body.subarray(0, cut), body.subarray(cut)]);
      near.connection.sendAck({ spooled: index, target: 0, applied: 0 });
      sent.push(body);
    }
    await far.heard.until(() => far.heard.words.length === 48);
    t.ok(
      far.heard.bodies.every((body, index) => body.equals(sent[index] ?? Buffer.alloc(0))),
      'the same bytes',
    );
    for (const [index, word] of far.heard.words.entries())
      if (index % 2 === 1) t.same(word, ['ack', { spooled: (index - 1) / 2, target: 0, applied: 0 }]);
    t.ok(near.socket.bytesWritten < most, 'what can be compressed went over the line as less');
    t.equal(near.connection.unsentBytes, 0);
  },
);

t.test('who sends more than is taken is told to wait, and when to go on', async (t) => {
  const [near, far] = await sides(t);
  far.connection.pause();
  const body = randomBytes(1 << 20);
  let sent = 0;
  do sent += 1;
  while (near.connection.sendRecords([body]));
  t.ok(near.connection.unsentBytes > limits.chainUnsentBytes);
  t.same(far.heard.words, []);
  far.connection.resume();
  await near.heard.until(() => near.heard.words.includes('drained'));
  await far.heard.until(() => far.heard.words.length === sent);
  t.same(near.heard.words, ['drained'], 'told once');
});

t.test('a listener that pauses gets nothing more, also of what is there already', async (t) => {
  const [nearSocket, farSocket] = await socketPair(t);
  const near = sideOf(nearSocket);
  const heard = new Heard();
  const got: number[] = [];
  const listener: ChainListener = {
    ack({ spooled }) {
      got.push(spooled);
      far.connection.pause();
      setImmediate(() => {
        t.equal(got.at(-1), spooled, 'nothing came meanwhile');
        far.connection.resume();
      });
    },
    closed: (error) => heard.closed(error),
  };
  const far = sideOf(farSocket, { listener });
  for (let index = 0; index < 20; index++) near.connection.sendAck({ spooled: index, target: 0, applied: 0 });
  near.connection.close();
  await heard.end();
  t.same(got, [...Array(20).keys()], 'all of it came before the end');
});

t.test('a frame that is decompressed while its listener pauses comes when that goes on', async (t) => {
  const [near, far] = await sides(t);
  const { connection, heard } = far;
  near.connection.compress = true;
  let isPaused = false;
  const pauseForATurn = (): void => {
    isPaused = true;
    connection.pause();
    setImmediate(() => {
      isPaused = false;
      connection.resume();
    });
  };
  heard.records = (body) => {
    t.notOk(isPaused);
    heard.bodies.push(body);
    pauseForATurn();
  };
  const turns = setInterval(pauseForATurn, 1);
  for (let index = 1; index <= 20; index++) near.connection.sendRecords([Buffer.alloc(index << 18)]);
  near.connection.close();
  await heard.end();
  clearInterval(turns);
  t.same(
    heard.bodies.map(({ length }) => length >> 18),
    [...Array(21).keys()].slice(1),
  );
});

t.test('an error goes over as what it is; one that nobody knows is a broken chain', async (t) => {
  const [near, far] = await sides(t);
  near.connection.fail(new HomewardError('not-assigned', 'somebody else is', { hint: 'look' }));
  t.match(await far.heard.end(), { code: 'not-assigned', message: 'somebody else is', hint: 'look' });
  t.equal(await near.heard.end(), null);
  const [socket, other] = await socketPair(t);
  const side = sideOf(other);
  socket.write(frame(FrameType.error, Buffer.from('{"code":"of-the-future","message":"m","hint":"h"}')));
  t.match(await side.heard.end(), { code: 'chain-broken', message: /of-the-future/ });
});

t.test('what a listener throws ends the connection, and the peer hears why', async (t) => {
  const [nearSocket, farSocket] = await socketPair(t);
  const near = sideOf(nearSocket);
  const heard = new Heard();
  sideOf(farSocket, {
    listener: {
      records() {
        throw new HomewardError('damaged-record', 'record 7 does not fit');
      },
      closed: (error) => heard.closed(error),
    },
  });
  near.connection.sendRecords([Buffer.alloc(10)]);
  t.match(await near.heard.end(), { code: 'damaged-record' });
  t.match(await heard.end(), { code: 'damaged-record' });
});

t.test('a connection on which nothing arrives is dead, unless this side has stopped reading', async (t) => {
  const [near, far] = await socketPair(t);
  const side = sideOf(near, { silenceMs: 30 });
  t.match(await side.heard.end(), { code: 'chain-broken', message: /heard/ });
  const [other] = await socketPair(t);
  const paused = sideOf(other, { silenceMs: 10 });
  paused.connection.pause();
  const waited = sideOf(far, { silenceMs: 60 });
  await waited.heard.end();
  t.equal(paused.heard.error, undefined);
  paused.connection.destroy();
  t.equal(await paused.heard.end(), null);
});

t.test('a peer that vanishes is a broken chain', async (t) => {
  const [near, far] = await sides(t);
  far.socket.resetAndDestroy();
  t.match(await near.heard.end(), { code: 'chain-broken' });
});

t.test('what came with the upgrade comes first', async (t) => {
  const [near, far] = await socketPair(t);
  const heard = new Heard();
  const first = frame(FrameType.note, Buffer.from('{"kind":"sync-wanted"}'));
  new ChainConnection({ socket: near, first, listener: heard, log: silentLog });
  far.write(frame(FrameType.note, Buffer.from('{"kind":"sync-done"}')));
  await heard.until(() => heard.words.length === 2);
  t.same(heard.words, [
    ['note', { kind: 'sync-wanted' }],
    ['note', { kind: 'sync-done' }],
  ]);
});

function frame(type: number, body: Buffer, change: { rawBytes?: number; compressed?: boolean } = {}): Buffer {
  const header = Buffer.alloc(16);
  const { rawBytes = body.length, compressed = false } = change;
  encodeFrameHeader(header, { type: type as FrameType, compressed, bodyBytes: body.length, rawBytes });
  return Buffer.concat([header, body]);
}

const bombBytes = 4 << 20;
const bomb = zstdCompressSync(Buffer.alloc(bombBytes));

t.test('what is no frame ends the connection, and nothing else', async (t) => {
  const zeros = Buffer.alloc(100);
  const hostile: [string, Buffer][] = [
    ['a torn header', Buffer.alloc(16, 1)],
    ['type 0', frame(0, zeros)],
    ['type 9', frame(9, zeros)],
    ['a body that is too long', frame(FrameType.head, Buffer.alloc(limits.chainJsonBytes + 1, ' '))],
    ['two lengths', frame(FrameType.records, zeros, { rawBytes: 99 })],
    ['an ack of another length', frame(FrameType.ack, zeros)],
    ['an ack with unsafe numbers', frame(FrameType.ack, Buffer.alloc(24, 0xff))],
    ['no JSON', frame(FrameType.hello, Buffer.from('{'))],
    ['JSON of another form', frame(FrameType.note, Buffer.from('{"kind":"room","state":"so-so"}'))],
    ['no zstd', frame(FrameType.records, zeros, { compressed: true })],
    ['no zstd, large', frame(FrameType.records, Buffer.alloc(300_000), { compressed: true })],
    ['zstd that grows', frame(FrameType.records, bomb, { compressed: true, rawBytes: 1000 })],
    ['zstd that is short', frame(FrameType.records, bomb, { compressed: true, rawBytes: bombBytes + 1 })],
  ];
  for (const [name, bytes] of hostile) {
    const [near, far] = await socketPair(t);
    const side = sideOf(far);
    const peer = sideOf(near);
    near.write(bytes);
    t.match(await side.heard.end(), { code: 'chain-broken' }, name);
    t.match(await peer.heard.end(), { code: 'chain-broken' }, `${name}: the peer hears it`);
    t.same(side.heard.words, []);
  }
});

t.test('any bytes at all end in words or in a broken chain', async (t) => {
  const seed = chooseSeed(t);
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc
      .tuple(fc.integer({ min: 0, max: 9 }), fc.uint8Array({ maxLength: 60 }), fc.boolean())
      .map(([type, body, compressed]) => frame(type, Buffer.from(body), { compressed })),
    fc.json().map((json) => frame(FrameType.note, Buffer.from(json))),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 6 }), async (pieces) => {
      const [near, far] = await socketPair(t);
      const side = sideOf(far);
      for (const bytes of pieces) near.write(bytes);
      near.end();
      near.resume();
      return (await side.heard.end())?.code !== 'bug';
    }),
    { seed, numRuns: 100 },
  );
  t.pass('none of them was a bug');
});
