// An undo segment gives back what was put in: extents as they came, whatever their sizes.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { EntryContent } from '../../../../../agent/replica/undo/entry-content.ts';
import { splitPosition, undoPosition } from '../../../../../agent/replica/undo/undo-names.ts';
import { buildUndoTable, readUndoNote, scanUndo } from '../../../../../agent/replica/undo/undo-reader.ts';
import type { UndoNote } from '../../../../../agent/replica/undo/undo-step.ts';
import { UndoWriter } from '../../../../../agent/replica/undo/undo-writer.ts';
import { addressOffset, machineAddress, wholeMachine } from '../../../../../core/extents/address.ts';
import { ContentKind } from '../../../../../core/extents/extent-columns.ts';
import { PagedTable } from '../../../../../core/extents/paged-table.ts';
import { hostFiles } from '../../../../../core/files/host-files.ts';
import { limits } from '../../../../../core/limits.ts';
import { KiB } from '../../../../../core/units.ts';
import { chooseSeed, seededRandom, type Random } from '../../../../support/random.ts';
import { SimulatedFiles } from '../../../../support/simulated-files.ts';
import { temporaryDirectory } from '../../../../support/temporary.ts';
import { machine } from './undo-model.ts';

const note: UndoNote = {
  ...{ from: 100, to: 250, fromTime: 1_000, toTime: 2_000, firstTime: 1_200 },
  tag: { name: 'before upgrade', consistency: 'application' },
  fromTag: null,
  point: true,
};

interface Piece {
  start: number;
  end: number;
  kind: ContentKind;
}

/** Content that says where it belongs. */
function fillAt(address: number, target: Buffer): void {
  for (let at = 0; at < target.length; at++) target[at] = ((address + at) * 2_654_435_761) >>> 16;
}

function anyExtents(random: Random): Piece[] {
  const pieces: Piece[] = [];
  for (const disk of [0, 1, 127]) {
    let at = random.below(3) * 512;
    const count = random.below(40);
    for (let index = 0; index < count; index++) {
      const length = random.pick([1, 512, 4096, 4096, 8192, 65_536, 300 * KiB, 700 * KiB]);
      const kind = random.pick([ContentKind.data, ContentKind.data, ContentKind.zero, ContentKind.unknown]);
      const start = machineAddress(disk, at);
      pieces.push({ start, end: start + length, kind });
      at += length + random.pick([0, 0, 512, 100_000]);
    }
  }
  return pieces;
}

/** Neighbours of one kind are one, and what is of no kind at all is left out. */
function joined(pieces: readonly Piece[]): Piece[] {
  const result: Piece[] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    const isNewDisk = addressOffset(piece.start) === 0;
    if (last?.end === piece.start && last.kind === piece.kind && !isNewDisk) last.end = piece.end;
    else result.push({ ...piece });
  }
  return result;
}

const plain = ({ start, end, kind }: Piece): Piece => ({ start, end, kind });

t.test('random extents come back, joined, checked, and in the table as in the segment', async (t) => {
  const seed = chooseSeed(t);
  for (let round = 0; round < 12; round++) {
    const random = seededRandom(seed + round);
    const directory = temporaryDirectory(t);
    const path = join(directory, 'undo.seg.new');
    const tablePath = join(directory, 'derived', 'undo.table');
    const pieces = anyExtents(random);
    const target = { path, machine, generation: 3, note, tablePath };
    const writer = UndoWriter.begin(hostFiles, target);
    for (const { start, end, kind } of pieces) {
      const disk = start - addressOffset(start);
      writer.addExtent(start, end, kind, (bytes, offset) => fillAt(disk + offset, bytes));
      if (writer.unsynced > 4 * limits.undoGroupBytes) await writer.flush();
    }
    const made = await writer.finish();
    const bytes = fs.readFileSync(path);
    t.equal(made.bytes, bytes.length);
    t.equal(made.hash, createHash('blake2b512').update(bytes).digest('hex').slice(0, 64));
    const fd = hostFiles.open(path);
    const found = readUndoNote(hostFiles, fd, machine);
    t.strictSame(found, {
      kind: 'undo',
      head: { note, identity: made.identity, bytes: made.bytes, isWhole: true },
    });
    const undo = { fd, path, from: note.from, to: note.to, bytes: made.bytes };
    const entries: Piece[] = [];
    let wrong = 0;
    for (const entry of scanUndo(hostFiles, undo, machine)) {
      entries.push(plain(entry));
      if (entry.damage !== null) wrong++;
      if (entry.kind !== ContentKind.data) continue;
      if (entry.end - entry.start > limits.undoRecordBytes) wrong++;
      const content = new EntryContent(entry);
      const held = Buffer.alloc(entry.end - entry.start);
      const wanted = Buffer.alloc(held.length);
      fillAt(entry.start, wanted);
      if (content.copy(entry.start, held).length > 0 || !held.equals(wanted)) wrong++;
    }
    t.equal(wrong, 0, 'all content is sound and where it belongs');
    t.equal(entries.length, made.records);
    t.strictSame(joined(entries), joined(pieces));
    const scanned = buildUndoTable(hostFiles, undo, machine, 5);
    const tableFd = hostFiles.open(tablePath);
    const table = PagedTable.tryOpen(hostFiles, tableFd, [5]);
    t.strictSame(table?.meta.sources, [{ from: 100, to: 250, identity: made.identity }]);
    t.strictSame([...(table?.load().extents() ?? [])], [...scanned.extents()]);
    hostFiles.close(tableFd);
    hostFiles.close(fd);
  }
});

t.test('what is found to be unknown while it is read is in no record of data', async (t) => {
  const files = new SimulatedFiles({ directories: ['/u'] });
  const target = { path: '/u/a.seg.new', machine, generation: 1, note, tablePath: null };
  const writer = UndoWriter.begin(files, target);
  writer.add(0, 0, 8192, ContentKind.data, (bytes, offset) => fillAt(offset, bytes));
  writer.add(0, 8192, 500 * KiB, ContentKind.data, (bytes, offset) => {
    fillAt(offset, bytes);
    const at = 300 * KiB - offset;
    if (at < 0 || at >= bytes.length) return;
    bytes.fill(0xee, at, at + 4096);
    return [[at, at + 4096]];
  });
  writer.add(1, 0, 4096, ContentKind.data, (bytes) => {
    bytes.fill(0xee);
    return [[0, 4096]];
  });
  const made = await writer.finish();
  const undo = { fd: files.open(made.path), path: made.path, from: 100, to: 250, bytes: made.bytes };
  const entries: Piece[] = [];
  for (const entry of scanUndo(files, undo, machine)) {
    entries.push(plain(entry));
    if (entry.kind !== ContentKind.data) continue;
    const bytes = Buffer.alloc(entry.end - entry.start);
    t.strictSame(new EntryContent(entry).copy(entry.start, bytes), []);
    const wanted = Buffer.alloc(bytes.length);
    fillAt(entry.start, wanted);
    t.ok(bytes.equals(wanted));
  }
  const other = machineAddress(1, 0);
  t.strictSame(joined(entries), [
    { start: 0, end: 300 * KiB, kind: ContentKind.data },
    { start: 300 * KiB, end: 304 * KiB, kind: ContentKind.unknown },
    { start: 304 * KiB, end: 508 * KiB, kind: ContentKind.data },
    { start: other, end: other + 4096, kind: ContentKind.unknown },
  ]);
});

t.test('unknown content of a whole machine is a record for each disk', async (t) => {
  const files = new SimulatedFiles({ directories: ['/u'] });
  const writer = UndoWriter.begin(files, {
    ...{ path: '/u/a.seg.new', machine, generation: 1, note },
    tablePath: null,
  });
  writer.addExtent(wholeMachine.start, wholeMachine.end, ContentKind.unknown, null);
  const made = await writer.finish();
  t.equal(made.records, limits.disksPerMachine);
  const undo = { fd: files.open(made.path), path: made.path, from: 100, to: 250, bytes: made.bytes };
  const entries = [...scanUndo(files, undo, machine)];
  t.equal(entries.at(0)?.start, wholeMachine.start);
  t.equal(entries.at(-1)?.end, wholeMachine.end);
});

t.test('a full volume fails the segment, and what was written of it goes', async (t) => {
  const files = new SimulatedFiles({ directories: ['/u'], capacityBytes: 256 * KiB });
  const writer = UndoWriter.begin(files, {
    ...{ path: '/u/a.seg.new', machine, generation: 1, note },
    tablePath: '/u/derived/a.table',
  });
  t.throws(
    () => {
      for (let at = 0; at < 2_000_000; at += 8192)
        writer.add(0, at, 4096, ContentKind.data, (bytes, offset) => fillAt(offset, bytes));
    },
    { code: 'ENOSPC' },
  );
  writer.abandon();
  t.strictSame(files.list('/u'), ['derived']);
  t.strictSame(files.list('/u/derived'), []);
});

t.test('a table that cannot be written does not fail the segment', async (t) => {
  const files = new SimulatedFiles({ directories: ['/u'] });
  files.faults.failAt(2, 'EIO', ['create']);
  const target = { path: '/u/a.seg.new', machine, generation: 1, note, tablePath: '/u/a.table' };
  const writer = UndoWriter.begin(files, target);
  writer.add(0, 0, 4096, ContentKind.zero, null);
  await writer.finish();
  t.strictSame(files.list('/u'), ['a.seg.new']);
});

t.test('extents that do not come in order are refused', async (t) => {
  const files = new SimulatedFiles({ directories: ['/u'] });
  const target = { path: '/u/a.seg.new', machine, generation: 1, note, tablePath: null };
  const writer = UndoWriter.begin(files, target);
  writer.add(1, 4096, 4096, ContentKind.zero, null);
  t.throws(() => writer.add(1, 6144, 512, ContentKind.zero, null), { code: 'bug' });
  t.throws(() => writer.add(0, 0, 512, ContentKind.zero, null), { code: 'bug' });
});

t.test('positions beyond 4 GiB fit a table entry', async (t) => {
  const position = 5 * 2 ** 32 + 77;
  const { low, high } = splitPosition(position);
  const columns = { positions: Uint32Array.of(low), lsnDeltas: Uint32Array.of(high) };
  t.equal(undoPosition(columns, 0), position);
});
