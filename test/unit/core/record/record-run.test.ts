// Runs of records: what was built is read back, and whatever else comes is 'damaged-record', never a crash.
import t from 'tap';
import fc from 'fast-check';
import { HomewardError } from '../../../../core/errors.ts';
import { limits } from '../../../../core/limits.ts';
import { payloadFits } from '../../../../core/record/payload.ts';
import {
  dataBytesOf,
  encodeRecordHeader,
  machineMark,
  recordHeaderBytes,
  RecordKind,
  type RecordHeader,
} from '../../../../core/record/record.ts';
import { encodeRecord, parseRecordRun, recordBytes, splitRun } from '../../../../core/record/record-run.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

const mark = machineMark(Buffer.from('00112233445566778899aabbccddeeff', 'hex'));
const block = limits.checkBlockBytes;
type Bare = Omit<RecordHeader, 'payloadBytes' | 'payloadCrc'>;

const bare = (lsn: number, change: Partial<Bare> = {}): Bare => ({
  kind: RecordKind.write,
  flags: 0,
  disk: 1,
  lsn,
  offset: 4096,
  length: 0,
  time: 1_000_000 + lsn,
  generation: 3,
  ...change,
});

/** Writes with these lengths of data, from `firstLsn` on. */
function runOf(firstLsn: number, data: readonly Buffer[]): Buffer {
  const target = Buffer.alloc(data.reduce((sum, { length }) => sum + recordBytes(length), 0));
  let at = 0;
  for (const [index, bytes] of data.entries())
    at = encodeRecord(target, at, bare(firstLsn + index, { length: bytes.length }), bytes, mark);
  if (at !== target.length) throw new Error('recordBytes says otherwise than encodeRecord');
  return target;
}

t.test(
  'records of all lengths come back as they went, with a table where it is due, and no copies',
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    const data = [0, 1, 512, block - 1, block, block + 1, 3 * block + 5].map((length) =>
      random.bytes(length),
    );
    const bytes = runOf(10, data);
    const run = parseRecordRun(bytes, mark, { payloads: true });
    t.equal(run.bytes, bytes);
    for (const [index, header] of run.headers.entries()) {
      const body = data[index] ?? Buffer.alloc(0);
      t.match(header, bare(10 + index, { length: body.length }));
      t.equal(header.payloadBytes, recordBytes(body.length) - recordHeaderBytes);
      const start = (run.positions[index] ?? 0) + recordHeaderBytes;
      const payload = bytes.subarray(start, start + header.payloadBytes);
      t.ok(payloadFits(payload, header.payloadCrc, dataBytesOf(header)));
      t.ok(payload.subarray(payload.length - body.length).equals(body));
    }
    t.equal(run.headers.length, data.length);
  },
);

t.test('records without data, and notes of up to 64 KiB, are read', async (t) => {
  const note = Buffer.alloc(limits.recordNoteBytes, ' ');
  const bytes = Buffer.alloc(3 * recordHeaderBytes + note.length);
  let at = encodeRecord(
    bytes,
    0,
    bare(1, { kind: RecordKind.zero, length: limits.recordZeroBytes }),
    null,
    mark,
  );
  at = encodeRecord(bytes, at, bare(2, { kind: RecordKind.unknown }), null, mark);
  encodeRecord(bytes, at, bare(3, { kind: RecordKind.syncBegin }), note, mark);
  t.same(
    parseRecordRun(bytes, mark, { payloads: true }).headers.map(({ payloadBytes }) => payloadBytes),
    [0, 0, note.length],
  );
  t.same(parseRecordRun(Buffer.alloc(0), mark, { payloads: true }).headers, []);
});

t.test('the first record that is damaged is named', async (t) => {
  const bytes = runOf(5, [Buffer.alloc(100, 'a'), Buffer.alloc(2 * block, 'b'), Buffer.alloc(3, 'c')]);
  const second = recordBytes(100);
  const read = (change: Buffer, payloads = true, of = mark): unknown =>
    parseRecordRun(change, of, { payloads });
  const flipped = (at: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
  t.throws(() => read(flipped(second + 64 + 8 + 70_000)), { code: 'damaged-record', message: /record 6 / });
  t.doesNotThrow(() => read(flipped(second + 64 + 8 + 70_000), false));
  t.throws(() => read(flipped(second + 64 + 1)), { code: 'damaged-record', message: /record 6 / });
  t.throws(() => read(flipped(second + 10), false), { code: 'damaged-record', message: /byte 164 / });
  t.throws(() => read(bytes.subarray(0, -1), false), { code: 'damaged-record', message: /record 7 is cut/ });
  t.throws(() => read(bytes.subarray(0, 30), false), { code: 'damaged-record' });
  const other = machineMark(Buffer.alloc(16, 9));
  t.throws(() => read(bytes, false, other), { code: 'damaged-record', message: /byte 0 / });
});

t.test('a sound header that says what no record may is refused', async (t) => {
  const sound: RecordHeader = { ...bare(9), payloadBytes: 0, payloadCrc: 0 };
  const impossible: Partial<RecordHeader>[] = [
    { disk: limits.disksPerMachine },
    { offset: limits.diskBytes, length: 1, payloadBytes: 1 },
    { length: limits.recordDataBytes + 1, payloadBytes: limits.recordDataBytes + 1 },
    { length: 10, payloadBytes: 11 },
    { length: block + 1, payloadBytes: block + 1 },
    { kind: RecordKind.zero, length: limits.recordZeroBytes + 1 },
    { kind: RecordKind.zero, length: 1, payloadBytes: 1 },
    { kind: RecordKind.unknown, payloadBytes: 1 },
    { kind: RecordKind.tag, payloadBytes: limits.recordNoteBytes + 1 },
  ];
  for (const change of impossible) {
    const bytes = Buffer.alloc(200);
    encodeRecordHeader(bytes, 0, { ...sound, ...change }, mark);
    t.throws(
      () => parseRecordRun(bytes, mark, { payloads: false }),
      { code: 'damaged-record', message: /record 9 / },
      JSON.stringify(change),
    );
  }
  const many = runOf(
    1,
    Array.from({ length: limits.runRecords + 1 }, () => Buffer.alloc(0)),
  );
  t.throws(() => parseRecordRun(many, mark, { payloads: false }), { code: 'damaged-record' });
});

t.test('any bytes are records or damage', async (t) => {
  const seed = chooseSeed(t);
  const whole = runOf(1, [Buffer.alloc(10), Buffer.alloc(70_000), Buffer.alloc(0)]);
  const change = fc.record({
    at: fc.nat(whole.length - 1),
    value: fc.nat(255),
    length: fc.nat(whole.length),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4 }), fc.uint8Array({ maxLength: 200 }), (changes, behind) => {
      let bytes = Buffer.from(whole);
      for (const { at, value, length } of changes) {
        bytes[at] = value;
        bytes = bytes.subarray(0, Math.max(length, 1));
      }
      try {
        parseRecordRun(Buffer.concat([bytes, behind]), mark, { payloads: true });
      } catch (error) {
        return error instanceof HomewardError && error.code === 'damaged-record';
      }
      return true;
    }),
    { seed, numRuns: 500 },
  );
  t.pass('never anything else');
});

t.test('a run is cut where LSNs were skipped', async (t) => {
  const parts = [
    runOf(1, [Buffer.alloc(5), Buffer.alloc(6)]),
    runOf(9, [Buffer.alloc(7)]),
    runOf(20, [Buffer.alloc(8)]),
  ];
  const run = parseRecordRun(Buffer.concat(parts), mark, { payloads: true });
  const pieces = splitRun(run);
  t.same(
    pieces.map(({ headers }) => headers.map(({ lsn }) => lsn)),
    [[1, 2], [9], [20]],
  );
  for (const [index, piece] of pieces.entries()) {
    t.ok(piece.bytes.equals(parts[index] ?? Buffer.alloc(0)));
    t.same(piece.positions, parseRecordRun(piece.bytes, mark, { payloads: false }).positions);
  }
  const whole = parseRecordRun(parts[0] ?? Buffer.alloc(0), mark, { payloads: true });
  t.equal(splitRun(whole)[0], whole, 'most have no skip');
  t.same(splitRun(parseRecordRun(Buffer.alloc(0), mark, { payloads: true })), []);
});
