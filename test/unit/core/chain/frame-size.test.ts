// Frames begin small and grow with what has arrived; a run is cut only between records.
import t from 'tap';
import { FrameSize } from '../../../../core/chain/frame-size.ts';
import { limits } from '../../../../core/limits.ts';
import { encodeRecord, recordBytes } from '../../../../core/record/record-run.ts';
import { machineMark, RecordKind } from '../../../../core/record/record.ts';
import { KiB } from '../../../../core/units.ts';

const mark = machineMark(Buffer.alloc(16, 7));

function runOf(...lengths: number[]): Buffer {
  const target = Buffer.alloc(lengths.reduce((sum, length) => sum + recordBytes(length), 0));
  let at = 0;
  for (const [index, length] of lengths.entries()) {
    const header = { kind: RecordKind.write, flags: 0, disk: 0, lsn: index + 1, offset: 0, length };
    at = encodeRecord(target, at, { ...header, time: 1, generation: 1 }, Buffer.alloc(length), mark);
  }
  return target;
}

const bytesOf = (pieces: readonly Buffer[]): number[] => pieces.map(({ length }) => length);

t.test('a run is cut between records, and a large record goes alone', async (t) => {
  const frames = new FrameSize();
  const run = runOf(20 * KiB, 20 * KiB, 30 * KiB, 200 * KiB, 4 * KiB);
  const pieces = frames.pieces(run, mark);
  t.same(bytesOf(pieces), [
    2 * recordBytes(20 * KiB),
    ...[30, 200, 4].map((size) => recordBytes(size * KiB)),
  ]);
  t.ok(Buffer.concat(pieces).equals(run));
});

t.test('a small run is one piece, and every acknowledgement doubles what is small', async (t) => {
  const frames = new FrameSize();
  const run = runOf(...Array.from({ length: 40 }, () => 10 * KiB));
  const count = (): number => frames.pieces(run, mark).length;
  const before = count();
  t.ok(before >= run.length / limits.chainFirstFrameBytes);
  frames.arrived();
  t.ok(count() <= Math.ceil(before / 2) + 1);
  for (let times = 0; times < 12; times += 1) frames.arrived();
  t.equal(count(), 1);
  t.equal(new FrameSize().pieces(runOf(KiB), mark).length, 1);
});

t.test('what is no record goes on as it is, for the receiver to find', async (t) => {
  const run = runOf(60 * KiB, 60 * KiB, 60 * KiB);
  run[recordBytes(60 * KiB) + 3] = 0xff;
  const pieces = new FrameSize().pieces(run, mark);
  t.ok(Buffer.concat(pieces).equals(run));
  t.ok(
    Buffer.concat(new FrameSize().pieces(run.subarray(0, run.length - 10), mark)).length === run.length - 10,
  );
});
