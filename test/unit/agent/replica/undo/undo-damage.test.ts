// Damage of any kind to an undo segment is found and placed, and never gives other bytes.
import { createHash } from 'node:crypto';
import t from 'tap';
import { EntryContent } from '../../../../../agent/replica/undo/entry-content.ts';
import { buildUndoTable, readUndoNote, scanUndo } from '../../../../../agent/replica/undo/undo-reader.ts';
import type { LentUndo } from '../../../../../agent/replica/undo/undo-step.ts';
import { UndoWriter } from '../../../../../agent/replica/undo/undo-writer.ts';
import { wholeMachine } from '../../../../../core/extents/address.ts';
import { ContentKind } from '../../../../../core/extents/extent-columns.ts';
import type { Files } from '../../../../../core/files/files.ts';
import { recordHeaderBytes } from '../../../../../core/record/record.ts';
import { groupHeaderBytes } from '../../../../../core/segment-log/group.ts';
import { KiB } from '../../../../../core/units.ts';
import { seededRandom } from '../../../../support/random.ts';
import { SimulatedFiles } from '../../../../support/simulated-files.ts';
import {
  anyWorld,
  addressOf,
  bytesOf,
  cellBytes,
  lentOf,
  machine,
  noteOf,
  undoCells,
  undoDirectory,
  writeUndo,
  type Cell,
} from './undo-model.ts';

const newFiles = (): SimulatedFiles => new SimulatedFiles({ directories: [undoDirectory] });

function contentOf(files: Files, fd: number): Buffer {
  const bytes = Buffer.alloc(files.size(fd));
  files.readSync(fd, bytes, 0);
  return bytes;
}

/** The same segment with other bytes in its file. */
function withBytes(files: Files, undo: LentUndo, bytes: Buffer, path: string): LentUndo {
  const fd = files.create(path);
  files.write(fd, [bytes], 0);
  return { ...undo, fd, path };
}

const hashOf = (bytes: Buffer): string => createHash('blake2b512').update(bytes).digest('hex').slice(0, 64);

/** What is wrong with what was read of a damaged copy, or null. */
function faultIn(found: readonly (Cell | null)[], sound: readonly (Cell | null)[]): string | null {
  for (const [cell, value] of found.entries()) {
    if (value !== sound[cell] && value !== 'unknown') return `cell ${cell} is ${value}, not ${sound[cell]}`;
  }
  return null;
}

const lostIn = (found: readonly (Cell | null)[], sound: readonly (Cell | null)[]): number[] =>
  found.flatMap((value, cell) => (value === sound[cell] ? [] : [cell]));

/** The undo of a few random writes: some 3 KiB. */
async function smallUndo(files: SimulatedFiles, seed: number): Promise<{ undo: LentUndo; hash: string }> {
  const world = anyWorld(seededRandom(seed), 14);
  const step = await writeUndo(files, world, 11, 14);
  return { undo: lentOf(files, step), hash: step.hash };
}

t.test('each flipped bit is found, and loses what lies there and nothing else', async (t) => {
  const files = newFiles();
  const { undo, hash } = await smallUndo(files, 5);
  const bytes = contentOf(files, undo.fd);
  const sound = undoCells(files, undo);
  const entries = [...scanUndo(files, undo, machine)];
  const faults: string[] = [];
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 1 << (at % 8);
    const path = `${undoDirectory}/flipped`;
    const damaged = withBytes(files, undo, flipped, path);
    const found = undoCells(files, damaged);
    const fault = faultIn(found, sound);
    if (fault !== null) faults.push(`bit at ${at}: ${fault}`);
    if (hashOf(flipped) === hash) faults.push(`bit at ${at}: the hash is the same`);
    const hit = entries.find(
      ({ position, record }) =>
        at >= position && at < position + recordHeaderBytes + (record?.header.payloadBytes ?? 0),
    );
    // Of a record with its header damaged, the span between its neighbours is lost.
    const before = entries.filter(({ position }) => hit !== undefined && position < hit.position).at(-1);
    const behind = entries.find(({ position }) => hit !== undefined && position > hit.position);
    for (const cell of lostIn(found, sound)) {
      const isInHit = addressOf(cell) >= (before?.end ?? 0) && addressOf(cell) < (behind?.start ?? Infinity);
      const isNote = at < groupHeaderBytes + recordHeaderBytes + 200 && addressOf(cell) < entries[0]!.start;
      const isLast = hit === undefined && addressOf(cell) >= entries.at(-1)!.end;
      if (!isNote && !isLast && !(hit !== undefined && isInHit))
        faults.push(`bit at ${at}: cell ${cell} is lost`);
    }
    if (hit !== undefined) {
      const spans = [...scanUndo(files, damaged, machine)].filter(({ damage }) => damage !== null);
      const isLocated =
        spans.some(({ damage }) => at >= damage![0] && at < damage![1]) ||
        [...scanUndo(files, damaged, machine)].some(
          (entry) => entry.kind === ContentKind.data && new EntryContent(entry).lost.length > 0,
        );
      if (!isLocated) faults.push(`bit at ${at}: not found in record at ${hit.position}`);
    }
    files.close(damaged.fd);
    files.unlink(path);
  }
  t.strictSame(faults, []);
});

t.test('each truncation is found: what was cut off is unknown, what is there can be read', async (t) => {
  const files = newFiles();
  const { undo } = await smallUndo(files, 6);
  const bytes = contentOf(files, undo.fd);
  const sound = undoCells(files, undo);
  const faults: string[] = [];
  for (let length = 0; length < bytes.length; length++) {
    const path = `${undoDirectory}/cut`;
    const damaged = withBytes(files, undo, bytes.subarray(0, length), path);
    const head = readUndoNote(files, damaged.fd, machine);
    if (head.kind === 'undo' && head.head.isWhole) faults.push(`cut at ${length}: counts as whole`);
    if (head.kind === 'foreign') faults.push(`cut at ${length}: counts as foreign`);
    const fault = faultIn(undoCells(files, damaged), sound);
    if (fault !== null) faults.push(`cut at ${length}: ${fault}`);
    const last = [...scanUndo(files, damaged, machine)].at(-1);
    if (last?.end !== wholeMachine.end || last.damage === null)
      faults.push(`cut at ${length}: what follows is not unknown`);
    files.close(damaged.fd);
    files.unlink(path);
  }
  t.strictSame(faults, []);
});

t.test('a whole block of other bytes anywhere gives unknown content, never other content', async (t) => {
  const files = newFiles();
  const writer = UndoWriter.begin(files, {
    ...{ path: `${undoDirectory}/large`, machine, generation: 1, note: noteOf(3, 9), tablePath: null },
  });
  const pieces = 600;
  for (let at = 0; at < pieces; at++)
    writer.add(0, at * 8192, 4096, ContentKind.data, (target, offset) => fillSectors(target, offset));
  const { bytes: size, path } = await writer.finish();
  const undo = { fd: files.open(path), path, from: 3, to: 9, bytes: size };
  const bytes = contentOf(files, undo.fd);
  t.ok(size > 4 * 512 * KiB, 'there are several groups');
  const random = seededRandom(7);
  for (let round = 0; round < 40; round++) {
    const damagedBytes = Buffer.from(bytes);
    const at = random.below(size);
    random.bytes(1 + random.below(12_000)).copy(damagedBytes, at);
    const copy = withBytes(files, undo, damagedBytes, `${undoDirectory}/copy`);
    let wrong = 0;
    let known = 0;
    for (const entry of scanUndo(files, copy, machine)) {
      if (entry.kind !== ContentKind.data) continue;
      const content = new EntryContent(entry);
      if (content.lost.length > 0) continue;
      const held = Buffer.alloc(entry.end - entry.start);
      const wanted = Buffer.alloc(held.length);
      content.copy(entry.start, held);
      fillSectors(wanted, entry.start);
      if (held.equals(wanted)) known++;
      else wrong++;
    }
    t.equal(wrong, 0);
    t.ok(known >= pieces - 8, `${known} of ${pieces} pieces are still known`);
    files.close(copy.fd);
    files.unlink(copy.path);
  }
});

t.test('old content that looks like records of this very segment is not taken for them', async (t) => {
  const files = newFiles();
  const { undo } = await smallUndo(files, 8);
  const inner = contentOf(files, undo.fd);
  // A disk that holds a copy of the segment, whose own undo it becomes.
  const writer = UndoWriter.begin(files, {
    ...{ path: `${undoDirectory}/outer`, machine, generation: 1, note: noteOf(11, 14), tablePath: null },
  });
  writer.add(0, 1024 * KiB, 16 * KiB, ContentKind.data, (target) => {
    target.fill(0);
    inner.copy(target, 512);
  });
  writer.add(1, 0, 4096, ContentKind.data, (target) => {
    target.fill(3);
  });
  const { path, bytes: size } = await writer.finish();
  const outer = { ...undo, fd: files.open(path), path, bytes: size };
  const entries = [...scanUndo(files, outer, machine)];
  t.equal(entries.length, 2);
  const broken = contentOf(files, outer.fd);
  broken[entries[0]!.position + 20]! ^= 1;
  const found = [...scanUndo(files, withBytes(files, outer, broken, `${undoDirectory}/broken`), machine)];
  t.strictSame(
    found.map(({ start, end, kind }) => ({ start, end, kind })),
    [
      { start: 0, end: entries[1]!.start, kind: ContentKind.unknown },
      { start: entries[1]!.start, end: entries[1]!.end, kind: ContentKind.data },
    ],
  );
});

t.test('the note is read from its second place when the first is damaged', async (t) => {
  const files = newFiles();
  const { undo } = await smallUndo(files, 9);
  const bytes = contentOf(files, undo.fd);
  const head = readUndoNote(files, undo.fd, machine);
  bytes.fill(0xaa, 0, 400);
  const damaged = withBytes(files, undo, bytes, `${undoDirectory}/damaged`);
  t.strictSame(readUndoNote(files, damaged.fd, machine), head);
  const other = Buffer.from(machine).fill(9, 15);
  t.equal(readUndoNote(files, undo.fd, other).kind, 'foreign');
  bytes.fill(0xaa);
  t.equal(
    readUndoNote(files, withBytes(files, undo, bytes, `${undoDirectory}/x`).fd, machine).kind,
    'damaged',
  );
});

t.test('a table made of a damaged segment has the damage as unknown extents', async (t) => {
  const files = newFiles();
  const { undo } = await smallUndo(files, 5);
  const [first, second] = [...scanUndo(files, undo, machine)];
  const bytes = contentOf(files, undo.fd);
  bytes[first!.position]! ^= 1;
  const table = buildUndoTable(files, withBytes(files, undo, bytes, `${undoDirectory}/d`), machine, 2 ** 31);
  const [lost, next] = [...table.extents()];
  t.strictSame(lost, {
    ...{ start: 0, end: second!.start, segment: 2 ** 31, position: 0, lsnDelta: 0 },
    kind: ContentKind.unknown,
  });
  t.equal(next?.start, second!.start);
});

/** Each sector says where it belongs. */
function fillSectors(target: Buffer, offset: number): void {
  for (let at = 0; at < target.length; at += cellBytes) bytesOf((offset + at) / cellBytes).copy(target, at);
}
