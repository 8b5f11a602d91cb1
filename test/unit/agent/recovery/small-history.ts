// A small machine as it lies on disk: three redo segments, two steps of undo, a replica, a ledger.
import fs from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { FileHash, hashFile } from '../../../../agent/journal/ledger-hash.ts';
import { Ledger } from '../../../../agent/journal/ledger.ts';
import { machinePaths, type MachinePaths } from '../../../../agent/machine-paths.ts';
import { writeCursor, type Cursor } from '../../../../agent/replica/cursor.ts';
import { writeMachineFile, type MachineFile } from '../../../../agent/replica/machine-file.ts';
import { openSums, Rest, sumOf, SumsPage, zeroSum } from '../../../../agent/replica/replica-sums.ts';
import { undoFileName } from '../../../../agent/replica/undo/undo-names.ts';
import type { UndoNote, UndoStep } from '../../../../agent/replica/undo/undo-step.ts';
import { UndoWriter } from '../../../../agent/replica/undo/undo-writer.ts';
import { ContentKind } from '../../../../core/extents/extent-columns.ts';
import { hostFiles } from '../../../../core/files/host-files.ts';
import { silentLog } from '../../../../core/log.ts';
import { encodeRecord, recordBytes } from '../../../../core/record/record-run.ts';
import { machineMark, recordHeaderBytes, RecordKind } from '../../../../core/record/record.ts';
import { encodeGroupHeader, groupHeaderBytes } from '../../../../core/segment-log/group.ts';
import { GroupPlaces } from '../../../../core/segment-log/group-places.ts';
import { segmentFileName, type Segment } from '../../../../core/segment-log/segment.ts';
import { microseconds } from '../../../../core/units.ts';

export const id = '6f1d2c3b-4a59-4877-86a5-b4c3d2e1f001';
export const machine = Buffer.from(id.replaceAll('-', ''), 'hex');
export const blockBytes = 4096;
export const blocks = 64;
export const diskBytes = blocks * blockBytes;
export const lastLsn = 30;
export const cursorLsn = 20;
/** When each record was written, in microseconds. */
export const timeAt = (lsn: number): number => 1_700_000_000_000_000 + lsn * 1_000_000;

const mark = machineMark(machine);
/** Write n goes to this block: old and new blocks in turn, so that steps overlap. */
const blockOf = (lsn: number): number => (lsn * 7) % 24;
const contentOf = (lsn: number): Buffer => Buffer.alloc(blockBytes, `write ${lsn} `);

/** What the disk holds after `lsn`. */
export function diskAt(lsn: number): Buffer {
  const disk = Buffer.alloc(diskBytes);
  for (let at = 1; at <= lsn; at++) contentOf(at).copy(disk, blockOf(at) * blockBytes);
  return disk;
}

export interface SmallHistory {
  retention: string;
  replicas: string;
  paths: MachinePaths;
  replica: string;
  file: MachineFile;
  cursor: Cursor;
  segments: Segment[];
  steps: UndoStep[];
  ledger: Ledger;
}

/** Made anew in `directory`; redo segments are open, as they are in a daemon. */
export async function makeHistory(directory: string): Promise<SmallHistory> {
  const retention = join(directory, 'retention');
  const replicas = join(directory, 'replicas');
  const paths = machinePaths(retention, id);
  for (const made of [paths.redo, paths.undo, paths.derived, join(replicas, id)])
    fs.mkdirSync(made, { recursive: true });
  const ledger = await openLedger(paths);
  const file: MachineFile = {
    ...{ id, name: 'web', created: '2026-01-01T00:00:00Z', seeding: false },
    disks: [{ name: 'root', size: diskBytes, replica: { kind: 'file' } }],
  };
  writeMachineFile(paths.machineFile, file);
  const cursor: Cursor = {
    ...{ lsn: cursorLsn, stepTo: null, pin: null, generation: 1, durable: lastLsn, firstPoint: 0 },
    ...{ time: timeAt(cursorLsn), tag: null, gap: null, unknown: [], pruned: 0 },
  };
  writeCursor(paths.cursorFile, cursor);
  const replica = join(replicas, id, 'root.raw');
  fs.writeFileSync(replica, diskAt(cursorLsn));
  await writeSums(join(paths.derived, 'sums-0'));
  const segments = [writeRedo(paths, 1, 8), writeRedo(paths, 9, 17), writeRedo(paths, 18, lastLsn)];
  const steps = [await writeUndo(paths, 0, 10), await writeUndo(paths, 10, cursorLsn)];
  await fillLedger(ledger, segments, steps);
  return { retention, replicas, paths, replica, file, cursor, segments, steps, ledger };
}

function openLedger({ ledger: path }: MachinePaths): Promise<Ledger> {
  const clock = { now: () => microseconds(timeAt(lastLsn)), monotonicMs: () => 0 };
  return Ledger.open({ files: hostFiles, clock, log: silentLog, path });
}

/** The last segment is being written: the ledger does not know it. */
async function fillLedger(
  ledger: Ledger,
  segments: readonly Segment[],
  steps: readonly UndoStep[],
): Promise<void> {
  for (const { path, fd, firstLsn, lastLsn: to, end } of segments.slice(0, -1))
    ledger.append({ event: 'sealed', file: path, from: firstLsn, to, bytes: end, hash: hashFile(fd, end) });
  for (const { path, from, to, bytes, hash } of steps)
    ledger.append({ event: 'stepped', file: path, from, to, bytes, hash });
  await ledger.settle();
}

async function writeSums(path: string): Promise<void> {
  const sums = openSums(hostFiles, path, { machine, disk: 0 }, true);
  if (sums === null) throw new Error('there are sums now');
  const disk = diskAt(cursorLsn);
  const page = new SumsPage();
  for (let block = 0; block < blocks; block++)
    page.words[block] = sumOf(disk.subarray(block * blockBytes, (block + 1) * blockBytes));
  if (page.words[blocks - 1] !== zeroSum) throw new Error('the last block is zeros');
  sums.writePage(0, page);
  sums.writeState({ low: cursorLsn, high: cursorLsn, open: false, rest: Rest.unknown });
  await sums.sync();
  hostFiles.close(sums.fd);
}

/** Two records a group; behind the content the file is zeros, as an allocated one is. */
function writeRedo({ redo }: MachinePaths, firstLsn: number, last: number): Segment {
  const path = join(redo, segmentFileName(firstLsn));
  const identity = new FileHash().add(Buffer.from(path)).hex().slice(0, 32);
  const groups: Buffer[] = [];
  let end = 0;
  for (let lsn = firstLsn; lsn <= last; lsn += 2) {
    const group = encodeGroup(Buffer.from(identity, 'hex'), lsn, Math.min(lsn + 1, last), end);
    groups.push(group);
    end += group.length;
  }
  const bytes = end + 8192;
  fs.writeFileSync(path, Buffer.concat([...groups, Buffer.alloc(8192)]));
  return {
    ...{ ordinal: firstLsn, path, fd: fs.openSync(path, 'r+'), identity, firstLsn, precededBy: firstLsn - 1 },
    ...{ places: new GroupPlaces(), lastLsn: last, firstTime: timeAt(firstLsn), lastTime: timeAt(last) },
    ...{ lastArrival: timeAt(last), bytes, end, recyclable: true, users: 0, retired: false },
  };
}

function encodeGroup(identity: Buffer, from: number, to: number, position: number): Buffer {
  const records = to - from + 1;
  const group = Buffer.alloc(groupHeaderBytes + records * recordBytes(blockBytes));
  let at = groupHeaderBytes;
  let headersCrc = 0;
  for (let lsn = from; lsn <= to; lsn++) {
    const place = { disk: 0, offset: blockOf(lsn) * blockBytes, length: blockBytes };
    const header = { kind: RecordKind.write, flags: 0, lsn, time: timeAt(lsn), generation: 1, ...place };
    const end = encodeRecord(group, at, header, contentOf(lsn), mark);
    headersCrc = crc32(group.subarray(at, at + recordHeaderBytes), headersCrc);
    at = end;
  }
  encodeGroupHeader(group, {
    ...{ machine, identity, firstLsn: from, previousDurable: from - 1, arrival: timeAt(from), position },
    ...{ records, bodyBytes: at - groupHeaderBytes, headersCrc, skippedFrom: 0 },
  });
  return group;
}

async function writeUndo({ undo }: MachinePaths, from: number, to: number): Promise<UndoStep> {
  const path = join(undo, undoFileName(from, to));
  const note: UndoNote = { from, to, fromTime: timeAt(from), toTime: timeAt(to), tag: null, point: true };
  const writer = UndoWriter.begin(hostFiles, { path, tablePath: null, machine, generation: 1, note });
  const before = diskAt(from);
  const changed = new Set(Array.from({ length: to - from }, (_, at) => blockOf(from + 1 + at)));
  for (const block of [...changed].sort((a, b) => a - b))
    writer.add(0, block * blockBytes, blockBytes, ContentKind.data, (target, offset) => {
      before.copy(target, 0, offset, offset + target.length);
    });
  const { identity, bytes, hash } = await writer.finish();
  return { ...note, path, identity, bytes, hash };
}
