// Reads an undo segment from its beginning to its end, also behind damage: what cannot be read is unknown.
import { machineAddress, wholeMachine } from '../../../core/extents/address.ts';
import { ContentKind } from '../../../core/extents/extent-columns.ts';
import { ExtentList } from '../../../core/extents/extent-list.ts';
import { ExtentTable } from '../../../core/extents/extent-table.ts';
import type { Files } from '../../../core/files/files.ts';
import { machineMark, RecordKind, type RecordHeader } from '../../../core/record/record.ts';
import { groupHeaderBytes } from '../../../core/segment-log/group.ts';
import { GroupReader, type Found } from './undo-groups.ts';
import { splitPosition } from './undo-names.ts';
import type { LentUndo } from './undo-step.ts';

export { readUndoNote, type UndoFound, type UndoHead } from './undo-head.ts';

/**
 * One record of content in address order, or a span of addresses that nothing sound is known about: from the
 * last sound record before damage to the first one after it.
 */
export interface UndoEntry {
  /** Machine addresses. */
  start: number;
  end: number;
  kind: ContentKind;
  /** Of the record's header in the file; 0 for a span. */
  position: number;
  /** The payload is not checked, see `contentOf`; it is there until the next entry is taken. */
  record: { header: RecordHeader; payload: Buffer } | null;
  /** For a span: bytes [from, to) of the file that are damaged or missing. */
  damage: [number, number] | null;
}

/** All entries of an undo segment; of the file one group is in memory at a time. */
export function* scanUndo(files: Files, undo: LentUndo, machine: Uint8Array): Generator<UndoEntry> {
  const own = Buffer.from(machine);
  const reader = new GroupReader(files, undo, own, machineMark(own));
  const entries = new Entries();
  let position = 0;
  for (;;) {
    const frame = reader.find(position);
    if (frame === null) {
      entries.miss(Math.min(position, reader.size), reader.size);
      break;
    }
    if (frame.position > position) yield* entries.of(reader.stretch(position, frame.position));
    if (frame.records === 0) break;
    yield* entries.of(reader.group(frame));
    position = frame.position + groupHeaderBytes + frame.bodyBytes;
  }
  yield* entries.end();
}

/** The same as a table; `ordinal` is the segment's. Damage comes out as unknown extents. */
export function buildUndoTable(
  files: Files,
  undo: LentUndo,
  machine: Uint8Array,
  ordinal: number,
): ExtentTable {
  const list = new ExtentList();
  for (const { start, end, kind, position } of scanUndo(files, undo, machine)) {
    const { low, high } = splitPosition(position);
    list.push(start, end, ordinal, low, high, kind);
  }
  return ExtentTable.copyOf(list.columns, list.count);
}

/** Turns what is found in the file into entries: damage waits for the next sound record to have an end. */
class Entries {
  /** The address behind the last entry. */
  #low: number = wholeMachine.start;
  #damage: [number, number] | null = null;

  *of(found: readonly Found[]): Generator<UndoEntry> {
    for (const one of found) {
      if ('damage' in one) {
        this.miss(...one.damage);
        continue;
      }
      const { header, payload, position } = one;
      if (header.kind === RecordKind.tag) continue;
      const start = machineAddress(header.disk, header.offset);
      if (start < this.#low) {
        this.miss(position, position + header.payloadBytes);
        continue;
      }
      yield* this.#span(start);
      const end = start + header.length;
      this.#low = end;
      const kind = contentKinds[header.kind] ?? ContentKind.unknown;
      yield { start, end, kind, position, record: { header, payload }, damage: null };
    }
  }

  /** Bytes [from, to) of the file say nothing. */
  miss(from: number, to: number): void {
    this.#damage = [this.#damage?.[0] ?? from, to];
  }

  *end(): Generator<UndoEntry> {
    yield* this.#span(wholeMachine.end);
  }

  *#span(end: number): Generator<UndoEntry> {
    const start = this.#low;
    const damage = this.#damage;
    this.#damage = null;
    if (damage === null || start >= end) return;
    this.#low = end;
    yield { start, end, kind: ContentKind.unknown, position: 0, record: null, damage };
  }
}

const contentKinds: Partial<Record<RecordKind, ContentKind>> = {
  [RecordKind.write]: ContentKind.data,
  [RecordKind.zero]: ContentKind.zero,
  [RecordKind.unknown]: ContentKind.unknown,
};
