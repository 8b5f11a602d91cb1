// The order of records that others numbered: what follows, what was had before, and what is refused.
import t from 'tap';
import { followingRuns } from '../../../../agent/journal/received.ts';
import {
  encodeRecord,
  parseRecordRun,
  recordBytes,
  type RecordRun,
} from '../../../../core/record/record-run.ts';
import { RecordKind } from '../../../../core/record/record.ts';

const mark = { low: 1, high: 2 };

/** `[lsn, generation, kind]` of each record; 10 bytes of data in a write. */
function run(...records: [number, number, RecordKind?][]): RecordRun {
  const parts = records.map(([lsn, generation, kind = RecordKind.write]) => {
    const data = kind === RecordKind.write ? Buffer.alloc(10, lsn) : null;
    const bytes = Buffer.alloc(recordBytes(data?.length ?? 0));
    const length = data?.length ?? 0;
    encodeRecord(
      bytes,
      0,
      { kind, flags: 0, disk: 0, lsn, offset: 0, length, time: 1, generation },
      data,
      mark,
    );
    return bytes;
  });
  return parseRecordRun(Buffer.concat(parts), mark, { payloads: true });
}

const lsns = (runs: readonly RecordRun[]): number[][] =>
  runs.map(({ headers }) => headers.map(({ lsn }) => lsn));

t.test('records follow each other; those that were had before are left out', async (t) => {
  t.same(lsns(followingRuns(run([5, 1], [6, 1]), { lsn: 4, generation: 1 })), [[5, 6]]);
  const rest = followingRuns(run([3, 1], [4, 1], [5, 1], [6, 2]), { lsn: 4, generation: 1 });
  t.same(lsns(rest), [[5, 6]]);
  t.same(parseRecordRun(rest[0]?.bytes ?? Buffer.alloc(0), mark, { payloads: true }).headers.length, 2);
  t.same(
    followingRuns(run([3, 1], [4, 1]), { lsn: 4, generation: 9 }),
    [],
    'whatever generation they are of',
  );
});

t.test('a sync-begin of a higher generation may skip, and begins a piece of its own', async (t) => {
  const skipping = run([5, 1], [90, 2, RecordKind.syncBegin], [91, 2]);
  t.same(lsns(followingRuns(skipping, { lsn: 4, generation: 1 })), [[5], [90, 91]]);
  const reached = { lsn: 4, generation: 2 };
  t.throws(() => followingRuns(run([90, 2, RecordKind.syncBegin]), reached), { code: 'chain-broken' });
  t.throws(() => followingRuns(run([90, 3]), reached), { code: 'chain-broken' }, 'nothing else may');
});

t.test('a lower generation is fenced off', async (t) => {
  t.throws(() => followingRuns(run([5, 1]), { lsn: 4, generation: 2 }), {
    code: 'fenced',
    message: /record 5 is of generation 1, below 2/,
  });
  t.throws(() => followingRuns(run([5, 2], [6, 1]), { lsn: 4, generation: 1 }), { code: 'fenced' });
});

t.test('long runs are cut into groups of a bounded number of records', async (t) => {
  const many = run(...Array.from({ length: 2100 }, (_, at): [number, number] => [at + 1, 1]));
  const runs = followingRuns(many, { lsn: 0, generation: 0 });
  t.same(
    runs.map(({ headers }) => headers.length),
    [1024, 1024, 52],
  );
  t.ok(Buffer.concat(runs.map(({ bytes }) => bytes)).equals(many.bytes));
});
