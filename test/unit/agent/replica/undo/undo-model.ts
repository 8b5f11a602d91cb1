// A small machine as plain arrays: what each LSN wrote, its redo and undo as files, and what a view reads.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { EntryContent } from '../../../../../agent/replica/undo/entry-content.ts';
import type { UndoLayers } from '../../../../../agent/replica/undo/undo-log.ts';
import { undoFileName, undoPosition, undoTablePath } from '../../../../../agent/replica/undo/undo-names.ts';
import { buildUndoTable, scanUndo } from '../../../../../agent/replica/undo/undo-reader.ts';
import type { LentRedo, LentUndo, UndoNote, UndoStep } from '../../../../../agent/replica/undo/undo-step.ts';
import { UndoWriter } from '../../../../../agent/replica/undo/undo-writer.ts';
import { RecordReader } from '../../../../../agent/replica/record-reader.ts';
import { addressDisk, addressOffset, machineAddress } from '../../../../../core/extents/address.ts';
import { ContentKind } from '../../../../../core/extents/extent-columns.ts';
import type { ExtentPages } from '../../../../../core/extents/extent-pages.ts';
import { ExtentTable } from '../../../../../core/extents/extent-table.ts';
import { PagedTable } from '../../../../../core/extents/paged-table.ts';
import { Pieces } from '../../../../../core/extents/pieces.ts';
import { resolveLayers } from '../../../../../core/extents/resolve.ts';
import { HomewardError } from '../../../../../core/errors.ts';
import type { Files } from '../../../../../core/files/files.ts';
import { encodeRecord, recordBytes } from '../../../../../core/record/record-run.ts';
import { machineMark, recordHeaderBytes, RecordKind } from '../../../../../core/record/record.ts';
import { encodeGroupHeader, groupHeaderBytes } from '../../../../../core/segment-log/group.ts';
import type { Random } from '../../../../support/random.ts';

export const machine = Buffer.from('6f1d2c3b4a59487786a5b4c3d2e1f001', 'hex');
export const mark = machineMark(machine);
export const undoDirectory = '/machine/undo';
export const derived = '/machine/derived';

/** Two disks, in cells of one sector. */
export const cellBytes = 512;
const cellsPerDisk = 24;
const disks = 2;
export const cells = cellsPerDisk * disks;

/** What a cell holds: a number that fills it, 0 for zeros, or unknown. */
export type Cell = number | 'unknown';
export type State = Cell[];

export const addressOf = (cell: number): number =>
  machineAddress(Math.floor(cell / cellsPerDisk), (cell % cellsPerDisk) * cellBytes);

export function bytesOf(value: number): Buffer {
  const bytes = Buffer.alloc(cellBytes);
  for (let at = 0; at < cellBytes; at += 4) bytes.writeUInt32LE(value, at);
  return bytes;
}

/** The value of a cell's bytes; anything that no cell was ever filled with is an error. */
function valueOf(bytes: Buffer): number {
  const value = bytes.readUInt32LE(0);
  assert.ok(bytes.equals(bytesOf(value)), 'a cell is filled with one value');
  return value;
}

/** One record: cells [from, to) of one disk. */
export interface Write {
  from: number;
  to: number;
  kind: ContentKind;
  value: number;
}

export function anyWrite(random: Random, value: number): Write {
  const disk = random.below(disks);
  const first = random.below(cellsPerDisk);
  const count = 1 + random.below(Math.min(6, cellsPerDisk - first));
  const from = disk * cellsPerDisk + first;
  const kind = random.pick([ContentKind.data, ContentKind.data, ContentKind.data, ContentKind.zero]);
  return { from, to: from + count, kind, value };
}

export const blank = (): State => Array.from({ length: cells }, () => 0);

export function after(state: State, write: Write): State {
  const value =
    write.kind === ContentKind.data ? write.value : write.kind === ContentKind.zero ? 0 : 'unknown';
  return [...state].fill(value, write.from, write.to);
}

/** A machine whose record n is `writes[n - 1]`; `states[n]` is the state after it. */
export interface World {
  writes: Write[];
  states: State[];
}

export function anyWorld(random: Random, count: number): World {
  const world: World = { writes: [], states: [blank()] };
  for (let lsn = 1; lsn <= count; lsn++) {
    const write = anyWrite(random, lsn);
    world.writes.push(write);
    world.states.push(after(world.states.at(-1)!, write));
  }
  return world;
}

/** One redo segment with all records of the world, a few in each group. */
export function writeRedo(files: Files, path: string, { writes }: World): LentRedo {
  const parts: Buffer[] = [];
  let position = 0;
  for (let at = 0; at < writes.length; at += 3) {
    const records = writes.slice(at, at + 3).map((write, index) => redoRecord(write, at + index + 1));
    const body = Buffer.concat(records);
    const header = Buffer.alloc(groupHeaderBytes);
    const headersCrc = records.reduce((crc, one) => crc32(one.subarray(0, recordHeaderBytes), crc), 0);
    encodeGroupHeader(header, {
      ...{ machine, identity: Buffer.alloc(16, 7), firstLsn: at + 1, previousDurable: at, arrival: 1 },
      ...{ position, records: records.length, bodyBytes: body.length, headersCrc, skippedFrom: 0 },
    });
    parts.push(header, body);
    position += header.length + body.length;
  }
  const fd = files.create(path);
  files.write(fd, parts, 0);
  const lsns = { firstLsn: 1, precededBy: 0, lastLsn: writes.length };
  return { ordinal: 0, fd, path, ...lsns, end: position };
}

function redoRecord({ from, to, kind, value }: Write, lsn: number): Buffer {
  const data = kind === ContentKind.data ? Buffer.concat(Array(to - from).fill(bytesOf(value))) : null;
  const record = Buffer.alloc(recordBytes(data?.length ?? 0));
  const start = addressOf(from);
  const place = { disk: addressDisk(start), offset: addressOffset(start), length: (to - from) * cellBytes };
  const recordKind = data === null ? RecordKind.zero : RecordKind.write;
  encodeRecord(
    record,
    0,
    { kind: recordKind, flags: 0, lsn, time: lsn, generation: 1, ...place },
    data,
    mark,
  );
  return record;
}

export function noteOf(from: number, to: number): UndoNote {
  return { from, to, fromTime: from * 10, toTime: to * 10, tag: null, point: true };
}

export const pathOf = (from: number, to: number): string => join(undoDirectory, undoFileName(from, to));

export function outputOf(from: number, to: number): { undoPath: string; tablePath: string; note: UndoNote } {
  const tablePath = undoTablePath(derived, from, to);
  return { undoPath: `${pathOf(from, to)}.new`, tablePath, note: noteOf(from, to) };
}

/** The undo of (from, to]: of each cell that is written in it, what it held at `from`. */
export async function writeUndo(
  files: Files,
  world: World,
  from: number,
  to: number,
  tablePath: string | null = null,
): Promise<UndoStep> {
  const touched = new Set<number>();
  for (const write of world.writes.slice(from, to))
    for (let cell = write.from; cell < write.to; cell++) touched.add(cell);
  const path = pathOf(from, to);
  const note = noteOf(from, to);
  const writer = UndoWriter.begin(files, { path: `${path}.new`, machine, generation: 1, note, tablePath });
  for (const cell of [...touched].toSorted((a, b) => a - b)) {
    const value = world.states[from]![cell]!;
    const start = addressOf(cell);
    const kind = kindOf(value);
    writer.addExtent(start, start + cellBytes, kind, (target) => {
      bytesOf(Number(value)).copy(target);
    });
  }
  const made = await writer.finish();
  files.rename(made.path, path);
  const { identity, bytes, hash } = made;
  return { ...note, path, identity, bytes, hash };
}

const kindOf = (value: Cell): ContentKind =>
  value === 'unknown' ? ContentKind.unknown : value === 0 ? ContentKind.zero : ContentKind.data;

export function lentOf(files: Files, { path, from, to, bytes }: UndoStep): LentUndo {
  return { fd: files.open(path), path, from, to, bytes };
}

/** What an undo segment has of each cell: a value, unknown, or null for nothing. */
export function undoCells(files: Files, undo: LentUndo): (Cell | null)[] {
  const found: (Cell | null)[] = Array.from({ length: cells }, () => null);
  for (const entry of scanUndo(files, undo, machine)) {
    const content = entry.kind === ContentKind.data ? new EntryContent(entry) : null;
    for (let cell = 0; cell < cells; cell++) {
      const start = addressOf(cell);
      if (start + cellBytes <= entry.start || start >= entry.end) continue;
      assert.ok(start >= entry.start && start + cellBytes <= entry.end, 'entries end where cells do');
      const bytes = Buffer.alloc(cellBytes);
      if (content === null) found[cell] = entry.kind === ContentKind.zero ? 0 : 'unknown';
      else found[cell] = content.copy(start, bytes).length > 0 ? 'unknown' : valueOf(bytes);
    }
  }
  return found;
}

/** The state of the machine through layers of undo over a replica, read as a view reads it. */
export function stateThrough(files: Files, layers: UndoLayers, replica: State): State {
  const segments = new Map(layers.segments.map((segment) => [segment.ordinal, segment]));
  const undo = layers.undo.map((source): ExtentPages => {
    if (source.kind === 'memory') return ExtentTable.from(source.table);
    if (source.kind === 'file') {
      const table = PagedTable.tryOpen(files, source.fd, source.ordinals);
      assert.ok(table, `${source.path} is a table`);
      return table;
    }
    const { fd, path, firstLsn: from, lastLsn: to, end: bytes } = segments.get(source.ordinal)!;
    return buildUndoTable(files, { fd, path, from, to, bytes }, machine, source.ordinal);
  });
  const reader = new RecordReader(mark, files);
  const pieces = new Pieces();
  return replica.map((value, cell): Cell => {
    const start = addressOf(cell);
    const end = start + cellBytes;
    resolveLayers({ redo: [], floor: { segment: 0, lsnDelta: 0 }, undo }, start, end, pieces);
    assert.equal(pieces.count, 1, 'a cell is one piece');
    const columns = pieces.columns[0] ?? null;
    const index = pieces.indexes[0]!;
    if (columns === null) return value;
    const kind = columns.kinds[index];
    if (kind !== ContentKind.data) return kind === ContentKind.zero ? 0 : 'unknown';
    const segment = segments.get(columns.segments[index]!);
    assert.ok(segment, 'the segment of an extent is lent');
    const bytes = Buffer.alloc(cellBytes);
    const disk = addressDisk(start);
    const offset = addressOffset(start);
    const place = { position: undoPosition(columns, index), lsn: segment.firstLsn };
    try {
      reader.read(segment, bytes, { ...place, disk, start: offset, end: offset + cellBytes });
    } catch (error) {
      if (error instanceof HomewardError && error.code === 'damaged') return 'unknown';
      throw error;
    }
    return valueOf(bytes);
  });
}
