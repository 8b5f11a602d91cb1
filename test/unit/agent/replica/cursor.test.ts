// The cursor file: what is written is what is read, and nothing else passes for it.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readCursor, writeCursor, type Cursor } from '../../../../agent/replica/cursor.ts';
import { writeSealedJson } from '../../../../core/atomic-file.ts';

const cursor: Cursor = {
  lsn: 7,
  stepTo: 9,
  pruned: 6,
  pin: null,
  generation: 2,
  durable: 11,
  firstPoint: 3,
  time: 1_700_000_000_000_000,
  gap: { from: 5, time: 1_600_000_000_000_000, reason: 'resync' },
  unknown: [[0, 512]],
};

t.test('a cursor comes back as it was written', async (t) => {
  const file = join(t.testdir(), 'cursor');
  t.throws(() => readCursor(file), {
    code: 'damaged',
    message: /is missing/,
    hint: /The other machines go on/,
  });
  writeCursor(file, cursor);
  t.same(readCursor(file), cursor);
});

t.test('a cursor that is damaged, or is none, is refused', async (t) => {
  const file = join(t.testdir(), 'cursor');
  writeCursor(file, cursor);
  const bytes = readFileSync(file, 'utf8');
  writeFileSync(file, bytes.replace('"lsn": 7', '"lsn": 8'));
  t.throws(() => readCursor(file), { code: 'damaged', hint: /both from copies of one moment/ });
  for (const body of [
    {},
    { ...cursor, lsn: -1 },
    { ...cursor, firstPoint: 'x' },
    { ...cursor, durable: 0.5 },
  ]) {
    writeSealedJson(file, 'homeward-cursor', body);
    t.throws(() => readCursor(file), { code: 'damaged' });
  }
});
