// Request headers there and back, and which requests are refused with which error.
import fc from 'fast-check';
import t from 'tap';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { NbdErrno } from '../../../../core/nbd/export.ts';
import { Command, CommandFlag } from '../../../../core/nbd/protocol.ts';
import {
  checkRequest,
  emptyHeader,
  encodeRequest,
  readHeader,
  type Agreed,
} from '../../../../core/nbd/requests.ts';
import { storeExport } from '../../../../core/nbd/store-export.ts';
import { MiB, TiB } from '../../../../core/units.ts';

const size = 64 * TiB;
const store = memoryStore(size);
const writable = storeExport({ name: 'disk0', store });
const readOnly = storeExport({ name: 'disk0', store, readOnly: true });
const all: Agreed = { structured: true, allocation: true };
const none: Agreed = { structured: false, allocation: false };
const { EINVAL, EPERM, ENOSPC, ok } = NbdErrno;
const { fua, noHole, df, reqOne, fastZero, payloadLength } = CommandFlag;

const check = (
  command: number,
  offset: number,
  length: number,
  options: { flags?: number; served?: typeof writable; agreed?: Agreed } = {},
): NbdErrno =>
  checkRequest(
    { ...emptyHeader(), command, offset, length, flags: options.flags ?? 0 },
    options.served ?? writable,
    options.agreed ?? all,
  );

t.test('a request header is read as it was written', async (t) => {
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const u32 = fc.integer({ min: 0, max: 0xffffffff });
  const headers = fc.record({
    flags: u16,
    command: u16,
    cookieHigh: u32,
    cookieLow: u32,
    offset: fc.maxSafeNat(),
    length: u32,
  });
  fc.assert(
    fc.property(headers, (header) => {
      const read = emptyHeader();
      if (!readHeader(Buffer.concat([Buffer.from('xyz'), encodeRequest(header)]), 3, read))
        throw new Error('magic');
      t.same(read, header);
    }),
    { numRuns: 200 },
  );
  t.equal(
    encodeRequest({ ...emptyHeader(), command: 1, offset: 2 ** 33, length: 512 }).toString('hex'),
    '25609513' + '0000' + '0001' + '0000000000000000' + '0000000200000000' + '00000200',
  );
  t.notOk(readHeader(Buffer.alloc(28), 0, emptyHeader()), 'without the magic it is none');
});

t.test('requests inside the disk are taken, up to its last byte and up to 32 MiB of data', async (t) => {
  for (const command of [
    Command.read,
    Command.write,
    Command.trim,
    Command.writeZeroes,
    Command.blockStatus,
  ]) {
    t.equal(check(command, size - 1, 1), ok);
    t.equal(check(command, 0, 32 * MiB), ok);
  }
  t.equal(check(Command.trim, 0, 0xffffffff), ok, 'what carries no data may be longer');
  t.equal(check(Command.writeZeroes, 0, 0xffffffff), ok);
  t.equal(check(Command.flush, 0, 0), ok);
});

t.test('beyond the end: no space for what writes, invalid for the rest', async (t) => {
  for (const offset of [size, size - 1, 2 ** 63, 2 ** 64 - 512]) {
    t.equal(check(Command.write, offset, 2), ENOSPC);
    t.equal(check(Command.writeZeroes, offset, 2), ENOSPC);
    t.equal(check(Command.read, offset, 2), EINVAL);
    t.equal(check(Command.trim, offset, 2), EINVAL);
    t.equal(check(Command.blockStatus, offset, 2), EINVAL);
  }
});

t.test('too long, of no length, or unknown is invalid', async (t) => {
  t.equal(check(Command.read, 0, 32 * MiB + 1), EINVAL);
  t.equal(check(Command.write, 0, 32 * MiB + 1), EINVAL);
  for (const command of [
    Command.read,
    Command.write,
    Command.trim,
    Command.writeZeroes,
    Command.blockStatus,
  ]) {
    t.equal(check(command, 0, 0), EINVAL);
  }
  for (const command of [Command.cache, Command.resize, 9, 0xffff]) t.equal(check(command, 0, 512), EINVAL);
});

t.test('a read-only disk permits no change', async (t) => {
  for (const command of [Command.write, Command.trim, Command.writeZeroes]) {
    t.equal(check(command, 0, 512, { served: readOnly }), EPERM);
  }
  for (const command of [Command.read, Command.blockStatus, Command.flush]) {
    t.equal(check(command, 0, 512, { served: readOnly }), ok);
  }
});

t.test('flags are taken only where they mean something', async (t) => {
  t.equal(check(Command.read, 0, 512, { flags: df }), ok);
  t.equal(check(Command.read, 0, 512, { flags: df, agreed: none }), EINVAL, 'DF needs structured replies');
  t.equal(check(Command.blockStatus, 0, 512, { flags: reqOne }), ok);
  t.equal(check(Command.blockStatus, 0, 512, { agreed: none }), EINVAL, 'no context was chosen');
  t.equal(check(Command.writeZeroes, 0, 512, { flags: noHole | fua }), ok);
  t.equal(check(Command.writeZeroes, 0, 512, { flags: fastZero }), EINVAL, 'not offered');
  t.equal(check(Command.write, 0, 512, { flags: fua }), ok);
  for (const flags of [noHole, df, reqOne, fastZero, payloadLength, 1 << 15]) {
    t.equal(check(Command.write, 0, 512, { flags }), EINVAL);
    t.equal(check(Command.flush, 0, 0, { flags }), EINVAL);
    t.equal(check(Command.trim, 0, 512, { flags }), EINVAL);
  }
});
