// The record header: what is written is read, any flipped bit is found, and no unsafe number comes out.
import t from 'tap';
import fc from 'fast-check';
import { crc32 } from 'node:zlib';
import {
  decodeRecordHeader,
  encodeRecordHeader,
  findRecordMagic,
  machineMark,
  parseRecordHeader,
  readU64,
  recordHeaderBytes,
  writeU64,
  type RecordHeader,
  type RecordKind,
} from '../../../../core/record/record.ts';

const machine = machineMark(Buffer.from('00112233445566778899aabbccddeeff', 'hex'));
const other = machineMark(Buffer.from('10112233445566778899aabbccddeeff', 'hex'));
const safe = fc.maxSafeNat();
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

const anyHeader: fc.Arbitrary<RecordHeader> = fc.record({
  kind: fc.integer({ min: 1, max: 6 }) as fc.Arbitrary<RecordKind>,
  flags: fc.integer({ min: 0, max: 255 }),
  disk: fc.integer({ min: 0, max: 65_535 }),
  lsn: safe,
  offset: safe,
  length: safe,
  time: safe,
  generation: u32,
  payloadBytes: u32,
  payloadCrc: u32,
});

function encoded(header: RecordHeader, at = 0): Buffer {
  const bytes = Buffer.alloc(at + recordHeaderBytes, 0xee);
  encodeRecordHeader(bytes, at, header, machine);
  return bytes;
}

t.test('a header comes back as it went, wherever it stands', async (t) => {
  fc.assert(
    fc.property(anyHeader, fc.nat(200), (header, at) => {
      const bytes = encoded(header, at);
      t.same(bytes.subarray(0, at), Buffer.alloc(at, 0xee));
      return (
        JSON.stringify(decodeRecordHeader(bytes, at, machine)) === JSON.stringify(header) &&
        findRecordMagic(bytes, 0) === at
      );
    }),
  );
});

t.test('any flipped bit of a header is found', async (t) => {
  fc.assert(
    fc.property(anyHeader, (header) => {
      const bytes = encoded(header);
      for (let bit = 0; bit < recordHeaderBytes * 8; bit++) {
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        if (decodeRecordHeader(bytes, 0, machine) !== null) return false;
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      }
      return decodeRecordHeader(bytes, 0, machine) !== null;
    }),
    { numRuns: 20 },
  );
  t.pass();
});

const plain: RecordHeader = {
  kind: 1,
  flags: 0,
  disk: 0,
  lsn: 1,
  offset: 0,
  length: 0,
  time: 0,
  generation: 1,
  payloadBytes: 0,
  payloadCrc: 0,
};

t.test('a header that is sound but cannot be is none', async (t) => {
  const withChange = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = encoded(plain);
    change(bytes);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
    return bytes;
  };
  t.ok(
    decodeRecordHeader(
      withChange(() => undefined),
      0,
      machine,
    ),
  );
  for (const at of [8, 16, 24, 32]) {
    const unsafe = withChange((bytes) => bytes.writeBigUInt64LE(2n ** 53n, at));
    t.equal(decodeRecordHeader(unsafe, 0, machine), null, `an unsafe number at ${at}`);
  }
  for (const kind of [0, 7, 255])
    t.equal(
      decodeRecordHeader(
        withChange((bytes) => {
          bytes[4] = kind;
        }),
        0,
        machine,
      ),
      null,
    );
  t.equal(decodeRecordHeader(encoded(plain), 0, other), null, "another machine's");
  t.equal(parseRecordHeader(encoded(plain), 0, other), null);
  t.equal(decodeRecordHeader(encoded(plain).subarray(0, 63), 0, machine), null, 'cut short');
  t.equal(decodeRecordHeader(Buffer.alloc(64), 0, machine), null, 'zeros');
});

t.test('u64 holds every safe integer, and what is not safe is -1', async (t) => {
  const bytes = Buffer.alloc(8);
  fc.assert(
    fc.property(safe, (value) => {
      writeU64(bytes, 0, value);
      return readU64(bytes, 0) === value && bytes.readBigUInt64LE(0) === BigInt(value);
    }),
  );
  for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    bytes.writeBigUInt64LE(value);
    t.equal(readU64(bytes, 0), -1);
  }
  writeU64(bytes, 0, Number.MAX_SAFE_INTEGER);
  t.equal(readU64(bytes, 0), Number.MAX_SAFE_INTEGER);
});
