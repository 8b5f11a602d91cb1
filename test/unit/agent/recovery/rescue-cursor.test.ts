// What stands in for a lost cursor: where history begins and ends; and no moment of a gap becomes a point.
import fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { crc32 } from 'node:zlib';
import { Catalogue } from '../../../../agent/journal/catalogue.ts';
import { sourceOf } from '../../../../agent/journal/reindex.ts';
import { formatLine } from '../../../../agent/journal/ledger-line.ts';
import type { MachineFile } from '../../../../agent/replica/machine-file.ts';
import type { UndoFile } from '../../../../agent/replica/undo/undo-files.ts';
import type { UndoNote } from '../../../../agent/replica/undo/undo-step.ts';
import { LostCursor } from '../../../../agent/recovery/rescue/rescue-cursor.ts';
import { readRescuedLedger } from '../../../../agent/recovery/rescue/rescue-ledger.ts';
import { openRescuedRedo } from '../../../../agent/recovery/rescue/rescue-redo.ts';
import { readOnlyFiles } from '../../../../agent/recovery/rescue-files.ts';
import { encodeRecord, recordBytes } from '../../../../core/record/record-run.ts';
import { machineMark, recordHeaderBytes, RecordKind } from '../../../../core/record/record.ts';
import { encodeGroupHeader, groupHeaderBytes } from '../../../../core/segment-log/group.ts';
import { segmentFileName } from '../../../../core/segment-log/segment.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';
import { id, machine } from './small-history.ts';

const timeAt = (lsn: number): number => 1_700_000_000_000_000 + lsn;
const file: MachineFile = { id, name: 'web', created: '2023-11-14T00:00:00Z', disks: [], seeding: false };

/** An undo file that says what it is of. */
function undoOf(from: number, to: number, more: Partial<UndoNote> = {}): UndoFile {
  const note: UndoNote = { from, to, fromTime: timeAt(from), toTime: timeAt(to), tag: null, point: true };
  const path = `${from}-${to}.seg`;
  const step = { ...note, ...more, path, identity: '', bytes: 0, hash: '' };
  return { from, to, path, step, state: 'whole', why: '' };
}

/** A directory of redo with one segment, of records of these kinds. */
function redoOf(t: Test, firstLsn: number, kinds: readonly RecordKind[]): string {
  const directory = temporaryDirectory(t);
  const payload = (kind: RecordKind): Buffer =>
    Buffer.from(kind === RecordKind.write ? 'x'.repeat(512) : kind === RecordKind.tag ? tag : begin);
  const bytes = kinds.reduce((sum, kind) => sum + recordBytes(payload(kind).length), groupHeaderBytes);
  const group = Buffer.alloc(bytes);
  let at = groupHeaderBytes;
  let headersCrc = 0;
  for (const [index, kind] of kinds.entries()) {
    const lsn = firstLsn + index;
    const length = kind === RecordKind.write ? 512 : 0;
    const header = { kind, flags: 0, lsn, time: timeAt(lsn), generation: 1, disk: 0, offset: 0, length };
    const end = encodeRecord(group, at, header, payload(kind), machineMark(machine));
    headersCrc = crc32(group.subarray(at, at + recordHeaderBytes), headersCrc);
    at = end;
  }
  encodeGroupHeader(group, {
    ...{ machine, identity: Buffer.alloc(16, 7), firstLsn, previousDurable: firstLsn - 1, position: 0 },
    ...{ arrival: 0, records: kinds.length, bodyBytes: at - groupHeaderBytes, headersCrc, skippedFrom: 0 },
  });
  fs.writeFileSync(join(directory, segmentFileName(firstLsn)), group);
  return directory;
}

const tag = JSON.stringify({ name: 'before', consistency: 'user' });
const begin = JSON.stringify({ reason: 'resync', disks: [{ name: 'root', size: 512 }] });
const { write, syncBegin, syncEnd } = RecordKind;

/** The cursor that is taken, and the catalogue of the redo. */
function settled(
  t: Test,
  { undo, redo, ledger, ...more }: { undo: UndoFile[]; redo: string; ledger?: string } & Partial<MachineFile>,
): { cursor: ReturnType<LostCursor['settle']>; catalogue: Catalogue } {
  const lost = new LostCursor('it is missing', undo, readRescuedLedger(ledger ?? join(redo, 'none')));
  const catalogue = new Catalogue();
  const source = sourceOf({ files: readOnlyFiles, machine });
  const beginsAt = (lsn: number): ReturnType<LostCursor['beginsAt']> => lost.beginsAt(lsn);
  const { segments } = openRescuedRedo({ source, directory: redo, catalogue, cursor: lost, beginsAt });
  const firstLsn = segments[0]?.firstLsn ?? null;
  for (const { fd } of segments) fs.closeSync(fd);
  const cursor = lost.settle(
    { ...file, ...more },
    { firstLsn, timeOf: (lsn) => (lsn === 0 ? null : timeAt(lsn)), catalogue },
  );
  return { cursor, catalogue };
}

t.test('where redo begins with the first record every LSN is a point', async (t) => {
  const { cursor, catalogue } = settled(t, { undo: [], redo: redoOf(t, 1, [write, write]) });
  t.match(cursor, { lsn: 0, pruned: 0, firstPoint: 0, time: Date.parse(file.created) * 1000 });
  t.same([catalogue.gaps, catalogue.lost], [[], []]);
});

t.test('the first point is the end of a first copy, and none before that', async (t) => {
  const redo = redoOf(t, 1, [syncBegin, write, syncEnd, write]);
  t.match(settled(t, { undo: [], redo }).cursor, { firstPoint: 3 });
  const open = redoOf(t, 1, [syncBegin, write]);
  t.match(settled(t, { undo: [], redo: open }).cursor, { firstPoint: null });
  const later = redoOf(t, 7, [write, write]);
  t.match(settled(t, { undo: [], redo: later, seeding: true }).cursor, { firstPoint: null, pruned: 6 });
});

t.test('the step that ends last says where the cursor stood', async (t) => {
  const redo = redoOf(t, 3, [write, write, write, write]);
  const at = { name: 'before', consistency: 'user' } as const;
  const undo = [undoOf(2, 4), undoOf(4, 5, { tag: at })];
  const { cursor } = settled(t, { undo, redo });
  t.match(cursor, { lsn: 5, pruned: 2, firstPoint: 2, time: timeAt(5), tag: at, durable: 5 });
});

t.test('a gap whose begin is pruned stays one', async (t) => {
  const undo = [undoOf(2, 4), undoOf(4, 6, { point: false })];
  const open = settled(t, { undo, redo: redoOf(t, 7, [write, write]) });
  t.match(open.catalogue.gapAt(6), { from: 6, to: null });
  t.match(open.catalogue.gapAt(8), { from: 6, to: null });
  const ended = settled(t, { undo, redo: redoOf(t, 7, [write, syncEnd, write]) });
  t.match(ended.catalogue.gaps, [{ from: 6, to: 8 }]);
  const untold = settled(t, { undo: [], redo: redoOf(t, 7, [write, syncEnd, write, syncBegin, write]) });
  t.match(untold.catalogue.gaps, [
    { from: 6, to: 8 },
    { from: 10, to: null },
  ]);
  t.match(untold.cursor, { firstPoint: 6 });
  const behind = settled(t, {
    undo: [undoOf(6, 8, { fromPoint: false })],
    redo: redoOf(t, 7, [write, write]),
  });
  t.match(behind.catalogue.gapAt(6), { from: 6, to: null });
});

t.test('where no redo is left, undo and ledger tell how far it went', (t) => {
  const redo = temporaryDirectory(t);
  const undo = [undoOf(2, 4), undoOf(4, 6, { point: false })];
  const missing = settled(t, { undo, redo });
  t.match(missing.cursor, { lsn: 6, pruned: 0, firstPoint: 2 });
  t.match(missing.catalogue.lost, [{ from: 1, to: 6 }], 'there were records');
  const ledger = join(temporaryDirectory(t), 'ledger');
  fs.writeFileSync(ledger, formatLine({ n: 1, time: 0, event: 'pruned', from: 0, to: 6, prev: '' }));
  const pruned = settled(t, { undo, redo, ledger });
  t.match(pruned.cursor, { lsn: 6, pruned: 6, firstPoint: 2 });
  t.match(pruned.catalogue.gapAt(6), { from: 6, to: null });
  t.same(pruned.catalogue.lost, []);
  t.end();
});
