// Requests through an inbox without sockets: answered once each, in any pieces, with little memory, whatever comes.
import fc from 'fast-check';
import t from 'tap';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { limits } from '../../../../core/limits.ts';
import { silentLog } from '../../../../core/log.ts';
import { NbdErrno, type NbdExport, type ReceiveBuffer } from '../../../../core/nbd/export.ts';
import { Command, CommandFlag } from '../../../../core/nbd/protocol.ts';
import { Inbox } from '../../../../core/nbd/receive.ts';
import { ReceivePool } from '../../../../core/nbd/receive-pool.ts';
import { emptyHeader, encodeRequest } from '../../../../core/nbd/requests.ts';
import { storeExport } from '../../../../core/nbd/store-export.ts';
import { Transmission } from '../../../../core/nbd/transmission.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

const turn = (): Promise<void> => new Promise(resolve => { setImmediate(resolve); });

/** A connection whose socket is the test: `deliver` is the client sending, `sent` what it gets. */
class Harness {
  readonly sent: Buffer[] = [];
  finished = false;
  unsentBytes = 0;
  takesReplies = true;
  readonly inbox: Inbox;
  readonly transmission: Transmission;
  #place: Buffer | null = null;

  constructor(served: NbdExport, pool = new ReceivePool(), structured = true) {
    this.inbox = new Inbox(pool, { room: () => this.ready(), moved: place => { this.#place = place; } });
    const wire = {
      send: (buffers: Buffer[]) => {
        this.sent.push(...buffers);
        if (!this.takesReplies) this.unsentBytes += Buffer.concat(buffers).length;
      },
      ready: () => this.ready(),
      finished: () => { this.finished = true; },
      unsentBytes: 0,
    };
    Object.defineProperty(wire, 'unsentBytes', { get: () => this.unsentBytes });
    this.transmission = new Transmission({
      export: served, structured, allocation: structured, inbox: this.inbox, wire, log: silentLog,
    });
    this.#place = this.transmission.advance();
  }

  get reading(): boolean { return this.#place !== null; }

  ready(): void {
    if (this.#place === null && !this.finished) this.#place = this.transmission.advance();
  }

  /** Fills places as they are given, at most `piece` bytes at a time; waits for places. */
  async deliver(bytes: Uint8Array, piece = Infinity): Promise<void> {
    for (let at = 0, waited = 0; at < bytes.length && !this.finished;) {
      if (this.#place === null) {
        if (++waited > 10_000) throw new Error('never goes on');
        await turn();
        continue;
      }
      const part = bytes.subarray(at, at + Math.min(piece, this.#place.length));
      this.#place.set(part);
      at += part.length;
      waited = 0;
      this.inbox.landed(part.length);
      this.#place = this.transmission.advance();
    }
  }

  /** Errno by cookie of all simple replies, when nothing else was sent. */
  errnos(): Map<number, number> {
    const all = Buffer.concat(this.sent);
    const errnos = new Map<number, number>();
    for (let at = 0; at < all.length; at += 16) {
      if (all.readUInt32BE(at) !== 0x67446698) throw new Error('not a simple reply');
      const cookie = all.readUInt32BE(at + 12);
      if (errnos.has(cookie)) throw new Error(`request ${cookie} was answered twice`);
      errnos.set(cookie, all.readUInt32BE(at + 4));
    }
    return errnos;
  }
}

const request = (command: number, cookieLow: number, offset: number, length: number, flags = 0): Buffer =>
  encodeRequest({ ...emptyHeader(), command, cookieLow, offset, length, flags });

/** Keeps payloads until told, as the journal does until they are durable; then checks that they are still what came. */
class Keeper implements NbdExport {
  readonly name = 'disk0';
  readonly description = '';
  readonly size = 64 * MiB;
  readonly readOnly = false;
  readonly multiConnection = true;
  readonly writes: { payload: Buffer; copy: Buffer; offset: number; buffer: ReceiveBuffer }[] = [];

  write(payload: Buffer, offset: number, _fua: boolean, buffer: ReceiveBuffer, done: (errno: NbdErrno) => void): void {
    buffer.retain();
    this.writes.push({ payload, copy: Buffer.from(payload), offset, buffer });
    done(NbdErrno.ok);
  }

  /** How many payloads were changed while they were kept. */
  letGo(count = Infinity): number {
    const gone = this.writes.splice(0, count);
    for (const { buffer } of gone) buffer.release();
    return gone.filter(({ payload, copy }) => !payload.equals(copy)).length;
  }

  read(_target: Buffer, _offset: number, done: (errno: NbdErrno) => void): void { done(NbdErrno.EIO); }
  zero(_offset: number, _length: number, _options: object, done: (errno: NbdErrno) => void): void { done(NbdErrno.ok); }
  flush(done: (errno: NbdErrno) => void): void { done(NbdErrno.ok); }
  async extents(): Promise<never> { throw Object.assign(new Error('no'), { code: 'EIO' }); }
}

t.test('requests in any pieces arrive whole, once and in order, and their payloads stay as they came', async t => {
  const seed = chooseSeed(t);
  const lengths = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 9000 }) },
    { weight: 2, arbitrary: fc.integer({ min: 60 * KiB, max: 70 * KiB }) },
    { weight: 2, arbitrary: fc.integer({ min: 200 * KiB, max: 5 * MiB }) },
  );
  await fc.assert(fc.asyncProperty(
    fc.array(lengths, { minLength: 1, maxLength: 60 }), fc.constantFrom(1 * KiB + 7, 64 * KiB, 200 * KiB, Infinity), fc.nat(),
    async (sizes, piece, fill) => {
      const random = seededRandom(fill);
      const keeper = new Keeper();
      const pool = new ReceivePool(32 * MiB);
      const harness = new Harness(keeper, pool);
      let damaged = 0;
      let seen = 0;
      for (const [i, size] of sizes.entries()) {
        const payload = Buffer.alloc(size, random.below(256));
        payload.writeUInt8(i & 255, size - 1);
        const delivered = harness.deliver(Buffer.concat([request(Command.write, i, i * 512, size), payload]), piece);
        if (random.chance(0.2) || pool.waiting) {
          seen += keeper.writes.length;
          damaged += keeper.letGo();
        }
        let done = false;
        void delivered.then(() => { done = true; });
        while (!done) {
          await turn();
          if (!harness.reading) {
            seen += keeper.writes.length;
            damaged += keeper.letGo();
          }
        }
        const last = keeper.writes.at(-1);
        if (last !== undefined && (last.offset !== i * 512 || !last.payload.equals(payload))) throw new Error('wrong bytes');
        if (pool.heldBytes > 32 * MiB) throw new Error('more than the bound');
      }
      seen += keeper.writes.length;
      damaged += keeper.letGo();
      if (damaged > 0) throw new Error(`${damaged} payloads changed while they were kept`);
      if (seen !== sizes.length) throw new Error(`${seen} of ${sizes.length} arrived`);
      if (harness.errnos().size !== sizes.length) throw new Error('not all were answered');
      harness.inbox.close();
      if (pool.heldBytes !== 0) throw new Error(`${pool.heldBytes} bytes were not given back`);
    },
  ), { numRuns: 40, seed });
});

t.test('many connections on little memory all go on, large and small requests alike', async t => {
  const random = seededRandom(chooseSeed(t));
  const pool = new ReceivePool(48 * MiB);
  const keeper = new Keeper();
  const harnesses = Array.from({ length: 24 }, () => new Harness(keeper, pool));
  let written = 0;
  const work = harnesses.map(async (harness, i) => {
    for (let n = 0; n < 12; n++) {
      const size = random.chance(0.2) ? 20 * MiB + n : random.chance(0.5) ? 1 * MiB : 4 * KiB;
      await harness.deliver(Buffer.concat([request(Command.write, n, 0, size), Buffer.alloc(size, i)]), 208 * KiB);
      written += 1;
    }
  });
  let over = false;
  const all = Promise.all(work).then(() => { over = true; });
  let damaged = 0;
  for (let turns = 0; !over; turns++) {
    await turn();
    // As a journal: everything so far is durable, now and then.
    if (turns % 3 === 0) damaged += keeper.letGo();
    if (pool.heldBytes > 48 * MiB) throw new Error('more than the bound');
  }
  await all;
  t.equal(written, 24 * 12);
  t.equal(damaged + keeper.letGo(), 0);
  for (const harness of harnesses) harness.inbox.close();
  t.equal(pool.heldBytes, 0);
});

t.test('a connection that became idle gives its block to one that needs it', async t => {
  const pool = new ReceivePool(6 * MiB, 4 * MiB);
  const keeper = new Keeper();
  const [idle, busy] = [new Harness(keeper, pool), new Harness(keeper, pool)];
  const megabyte = Buffer.concat([request(Command.write, 1, 0, 1 * MiB), Buffer.alloc(1 * MiB, 1)]);
  await idle.deliver(megabyte);
  keeper.letGo();
  t.equal(pool.heldBytes, 4 * MiB + 2 * limits.nbdHomeBytes, 'it keeps the block it was busy with');
  await busy.deliver(megabyte);
  t.same([...busy.errnos().keys()], [1]);
  await idle.deliver(request(Command.flush, 2, 0, 0));
  t.same([...idle.errnos().keys()], [1, 2], 'and goes on at home');
  keeper.letGo();
});

t.test('refused writes are drained without being kept, whatever their length', async t => {
  const pool = new ReceivePool();
  const harness = new Harness(storeExport({ name: 'x', store: memoryStore(1 * MiB), readOnly: true }), pool);
  await harness.deliver(request(Command.write, 1, 0, 200 * MiB));
  const megabyte = Buffer.alloc(1 * MiB);
  for (let i = 0; i < 200; i++) await harness.deliver(megabyte);
  await harness.deliver(request(Command.flush, 2, 0, 0));
  await turn();
  t.same([...harness.errnos()], [[1, NbdErrno.EPERM], [2, NbdErrno.ok]]);
  t.equal(pool.heldBytes, limits.nbdHomeBytes, 'its home was all it took');
});

t.test('a client that does not take its replies is not read any further', async t => {
  const harness = new Harness(storeExport({ name: 'x', store: memoryStore(64 * MiB) }));
  harness.takesReplies = false;
  const reads = Array.from({ length: 8 }, (_, i) => request(Command.read, i, 0, 32 * MiB));
  await harness.deliver(Buffer.concat(reads));
  do await turn(); while (harness.transmission.inFlight > 0);
  t.notOk(harness.reading);
  t.ok(harness.unsentBytes > limits.nbdReplyBytes && harness.unsentBytes < limits.nbdReplyBytes + 33 * MiB, 'at the bound');
  while (harness.sent.length < 8) {
    harness.unsentBytes = 0;
    harness.ready();
    await turn();
  }
  t.pass('it goes on when they are taken');
});

t.test('requests that are not answered yet are bounded in number', async t => {
  const done: ((errno: NbdErrno) => void)[] = [];
  const served: NbdExport = {
    ...storeExport({ name: 'x', store: memoryStore(1 * MiB) }), flush: answered => { done.push(answered); },
  };
  const harness = new Harness(served);
  const flushes = Array.from({ length: limits.nbdRequests + 10 }, (_, i) => request(Command.flush, i, 0, 0));
  await harness.deliver(Buffer.concat(flushes));
  t.equal(done.length, limits.nbdRequests);
  t.notOk(harness.reading);
  for (const answer of done.splice(0)) answer(NbdErrno.ok);
  await turn();
  t.equal(done.length, 10);
  for (const answer of done.splice(0)) answer(NbdErrno.ok);
  await turn();
  t.equal(harness.errnos().size, limits.nbdRequests + 10);
});

t.test('DISCONNECT waits for what is in flight', async t => {
  let answer = (_errno: NbdErrno): void => undefined;
  const served: NbdExport = {
    ...storeExport({ name: 'x', store: memoryStore(1 * MiB) }), flush: done => { answer = done; },
  };
  const harness = new Harness(served);
  await harness.deliver(Buffer.concat([request(Command.flush, 1, 0, 0), request(Command.disconnect, 2, 0, 0)]));
  t.notOk(harness.finished);
  answer(NbdErrno.ok);
  await turn();
  t.ok(harness.finished);
  t.same([...harness.errnos()], [[1, NbdErrno.ok]]);
});

t.test('a wrong magic ends the connection', async t => {
  const harness = new Harness(storeExport({ name: 'x', store: memoryStore(1 * MiB) }));
  await harness.deliver(Buffer.alloc(28, 'x'));
  t.ok(harness.finished);
});

t.test('errors of READ and BLOCK_STATUS are chunks, all others simple', async t => {
  const harness = new Harness(new Keeper());
  await harness.deliver(request(Command.read, 1, 0, 512));
  await harness.deliver(request(Command.blockStatus, 2, 0, 512));
  await turn();
  await harness.deliver(request(Command.cache, 3, 0, 512));
  const magics = harness.sent.map(buffer => buffer.readUInt32BE(0).toString(16));
  t.same(magics, ['668e33ef', '668e33ef', '67446698']);
  const plain = new Harness(new Keeper(), new ReceivePool(), false);
  await plain.deliver(request(Command.read, 1, 0, 512));
  t.same([...plain.errnos()], [[1, NbdErrno.EIO]]);
});

t.test('zero, trim and FUA reach the export as they were asked for', async t => {
  const heard: unknown[] = [];
  const served: NbdExport = {
    ...storeExport({ name: 'x', store: memoryStore(1 * MiB) }),
    zero: (offset, length, options, done) => { heard.push([offset, length, options]); done(NbdErrno.ok); },
    write: (_payload, offset, fua, _buffer, done) => { heard.push([offset, fua]); done(NbdErrno.ok); },
  };
  const harness = new Harness(served);
  const { fua, noHole } = CommandFlag;
  await harness.deliver(Buffer.concat([
    request(Command.trim, 1, 512, 1024), request(Command.writeZeroes, 2, 0, 512, noHole | fua),
    request(Command.writeZeroes, 3, 0, 512), request(Command.write, 4, 7, 1, fua), Buffer.from('x'),
  ]));
  t.same(heard, [
    [512, 1024, { discard: true, punch: true, fua: false }], [0, 512, { discard: false, punch: false, fua: true }],
    [0, 512, { discard: false, punch: true, fua: false }], [7, true],
  ]);
});

t.test('any bytes at all are answered or refused, never thrown at', async t => {
  const header = fc.tuple(
    fc.integer({ min: 0, max: 70 }), fc.integer({ min: 0, max: 10 }),
    fc.oneof(fc.integer({ min: 0, max: 2 * MiB }), fc.maxSafeNat()), fc.integer({ min: 0, max: 5000 }),
  ).map(([flags, command, offset, length]) => {
    const payload = command === Command.write ? Buffer.alloc(length, 0xaa) : Buffer.alloc(0);
    return Buffer.concat([request(command, 1, offset, length, flags), payload]);
  });
  const talk = fc.array(fc.oneof({ weight: 9, arbitrary: header }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }) }));
  await fc.assert(fc.asyncProperty(talk, fc.integer({ min: 1, max: 5000 }), fc.boolean(), async (items, piece, structured) => {
    const pool = new ReceivePool();
    const harness = new Harness(storeExport({ name: 'x', store: memoryStore(1 * MiB) }), pool, structured);
    await harness.deliver(Buffer.concat(items), piece);
    while (harness.transmission.inFlight > 0) await turn();
    harness.inbox.close();
    if (pool.heldBytes !== 0) throw new Error('memory was not given back');
  }), { numRuns: 300, seed: chooseSeed(t) });
});
