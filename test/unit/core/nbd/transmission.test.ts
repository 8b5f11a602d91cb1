// Requests through an inbox without sockets: each is answered once, whatever comes, with little memory.
import fc from 'fast-check';
import t from 'tap';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { limits } from '../../../../core/limits.ts';
import { NbdErrno, type NbdExport } from '../../../../core/nbd/export.ts';
import { Command, CommandFlag } from '../../../../core/nbd/protocol.ts';
import { ReceivePool } from '../../../../core/nbd/receive-pool.ts';
import { storeExport } from '../../../../core/nbd/store-export.ts';
import { MiB } from '../../../../core/units.ts';
import { Harness, Keeper, request, turn } from '../../../support/nbd-harness.ts';
import { chooseSeed } from '../../../support/random.ts';

t.test('refused writes are drained without being kept, whatever their length', async (t) => {
  const pool = new ReceivePool();
  const harness = new Harness(storeExport({ name: 'x', store: memoryStore(1 * MiB), readOnly: true }), pool);
  await harness.deliver(request(Command.write, 1, 0, 200 * MiB));
  const megabyte = Buffer.alloc(1 * MiB);
  for (let i = 0; i < 200; i++) await harness.deliver(megabyte);
  await harness.deliver(request(Command.flush, 2, 0, 0));
  await turn();
  t.same(
    [...harness.errnos()],
    [
      [1, NbdErrno.EPERM],
      [2, NbdErrno.ok],
    ],
  );
  t.equal(pool.heldBytes, limits.nbdHomeBytes, 'its home was all it took');
});

t.test('a client that does not take its replies is not read any further', async (t) => {
  const harness = new Harness(storeExport({ name: 'x', store: memoryStore(64 * MiB) }));
  harness.takesReplies = false;
  const reads = Array.from({ length: 8 }, (_, i) => request(Command.read, i, 0, 32 * MiB));
  await harness.deliver(Buffer.concat(reads));
  do await turn();
  while (harness.transmission.inFlight > 0);
  t.notOk(harness.reading);
  t.ok(
    harness.unsentBytes > limits.nbdReplyBytes && harness.unsentBytes < limits.nbdReplyBytes + 33 * MiB,
    'at the bound',
  );
  while (harness.sent.length < 8) {
    harness.unsentBytes = 0;
    harness.ready();
    await turn();
  }
  t.pass('it goes on when they are taken');
});

t.test('requests that are not answered yet are bounded in number', async (t) => {
  const done: ((errno: NbdErrno) => void)[] = [];
  const served: NbdExport = {
    ...storeExport({ name: 'x', store: memoryStore(1 * MiB) }),
    flush: (answered) => {
      done.push(answered);
    },
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

t.test('DISCONNECT waits for what is in flight', async (t) => {
  let answer = (_errno: NbdErrno): void => undefined;
  const served: NbdExport = {
    ...storeExport({ name: 'x', store: memoryStore(1 * MiB) }),
    flush: (done) => {
      answer = done;
    },
  };
  const harness = new Harness(served);
  await harness.deliver(
    Buffer.concat([request(Command.flush, 1, 0, 0), request(Command.disconnect, 2, 0, 0)]),
  );
  t.notOk(harness.finished);
  answer(NbdErrno.ok);
  await turn();
  t.ok(harness.finished);
  t.same([...harness.errnos()], [[1, NbdErrno.ok]]);
});

t.test('a wrong magic ends the connection', async (t) => {
  const harness = new Harness(storeExport({ name: 'x', store: memoryStore(1 * MiB) }));
  await harness.deliver(Buffer.alloc(28, 'x'));
  t.ok(harness.finished);
});

t.test('errors of READ and BLOCK_STATUS are chunks, all others simple', async (t) => {
  const harness = new Harness(new Keeper());
  await harness.deliver(request(Command.read, 1, 0, 512));
  await harness.deliver(request(Command.blockStatus, 2, 0, 512));
  await turn();
  await harness.deliver(request(Command.cache, 3, 0, 512));
  const magics = harness.sent.map((buffer) => buffer.readUInt32BE(0).toString(16));
  t.same(magics, ['668e33ef', '668e33ef', '67446698']);
  const plain = new Harness(new Keeper(), new ReceivePool(), false);
  await plain.deliver(request(Command.read, 1, 0, 512));
  t.same([...plain.errnos()], [[1, NbdErrno.EIO]]);
});

t.test('zero, trim and FUA reach the export as they were asked for', async (t) => {
  const heard: unknown[] = [];
  const served: NbdExport = {
    ...storeExport({ name: 'x', store: memoryStore(1 * MiB) }),
    zero: (offset, length, options, done) => {
      heard.push([offset, length, options]);
      done(NbdErrno.ok);
    },
    write: (_payload, offset, fua, _buffer, done) => {
      heard.push([offset, fua]);
      done(NbdErrno.ok);
    },
  };
  const harness = new Harness(served);
  const { fua, noHole } = CommandFlag;
  await harness.deliver(
    Buffer.concat([
      request(Command.trim, 1, 512, 1024),
      request(Command.writeZeroes, 2, 0, 512, noHole | fua),
      request(Command.writeZeroes, 3, 0, 512),
      request(Command.write, 4, 7, 1, fua),
      Buffer.from('x'),
    ]),
  );
  t.same(heard, [
    [512, 1024, { discard: true, punch: true, fua: false }],
    [0, 512, { discard: false, punch: false, fua: true }],
    [0, 512, { discard: false, punch: true, fua: false }],
    [7, true],
  ]);
});

t.test('any bytes at all are answered or refused, never thrown at', async (t) => {
  const header = fc
    .tuple(
      fc.integer({ min: 0, max: 70 }),
      fc.integer({ min: 0, max: 10 }),
      fc.oneof(fc.integer({ min: 0, max: 2 * MiB }), fc.maxSafeNat()),
      fc.integer({ min: 0, max: 5000 }),
    )
    .map(([flags, command, offset, length]) => {
      const payload = command === Command.write ? Buffer.alloc(length, 0xaa) : Buffer.alloc(0);
      return Buffer.concat([request(command, 1, offset, length, flags), payload]);
    });
  const talk = fc.array(
    fc.oneof({ weight: 9, arbitrary: header }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }) }),
  );
  await fc.assert(
    fc.asyncProperty(
      talk,
      fc.integer({ min: 1, max: 5000 }),
      fc.boolean(),
      async (items, piece, structured) => {
        const pool = new ReceivePool();
        const harness = new Harness(
          storeExport({ name: 'x', store: memoryStore(1 * MiB) }),
          pool,
          structured,
        );
        await harness.deliver(Buffer.concat(items), piece);
        while (harness.transmission.inFlight > 0) await turn();
        harness.inbox.close();
        if (pool.heldBytes !== 0) throw new Error('memory was not given back');
      },
    ),
    { numRuns: 300, seed: chooseSeed(t) },
  );
});
