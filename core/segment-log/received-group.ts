// A group made of records that somebody else encoded: their bytes go to the log as they are.
import { crc32 } from 'node:zlib';
import { assert } from '../errors.ts';
import type { RecordRun } from '../record/record-run.ts';
import { isNoteKind, recordHeaderBytes, RecordKind } from '../record/record.ts';
import { groupHeaderBytes } from './group.ts';
import type { Group, PayloadOwner } from './record-group.ts';

/**
 * The group of a checked run whose LSNs follow each other. With a first LSN above the log's next one, which
 * only a `sync-begin` may have, the log begins a new segment and notes that the LSNs between were skipped.
 */
export function receivedGroup(run: RecordRun, owner: PayloadOwner | null): Group {
  return new ReceivedGroup(run, owner);
}

class ReceivedGroup implements Group {
  readonly firstLsn: number;
  readonly lastLsn: number;
  readonly firstTime: number;
  readonly lastTime: number;
  readonly bodyBytes: number;
  readonly records: number;
  readonly beginsSync: boolean;
  readonly isNotes: boolean;
  readonly positions: readonly number[];
  readonly parts: readonly Buffer[];
  readonly frame = Buffer.allocUnsafe(groupHeaderBytes);
  #owner: PayloadOwner | null;

  constructor(run: RecordRun, owner: PayloadOwner | null) {
    const first = run.headers[0];
    const last = run.headers.at(-1);
    assert(first !== undefined && last !== undefined, 'a received group has records');
    for (const [index, { lsn }] of run.headers.entries())
      assert(lsn === first.lsn + index, 'the LSNs of a received group follow each other');
    this.firstLsn = first.lsn;
    this.lastLsn = last.lsn;
    this.firstTime = first.time;
    this.lastTime = last.time;
    this.records = run.headers.length;
    this.beginsSync = first.kind === RecordKind.syncBegin;
    this.isNotes = run.headers.every(({ kind }) => isNoteKind(kind));
    this.bodyBytes = run.bytes.length;
    this.positions = run.positions;
    this.parts = [this.frame, run.bytes];
    this.#owner = owner;
    owner?.retain();
  }

  headersCrc(): number {
    const body = this.parts[1]!;
    let crc = 0;
    for (const at of this.positions) crc = crc32(body.subarray(at, at + recordHeaderBytes), crc);
    return crc;
  }

  release(): void {
    this.#owner?.release();
    this.#owner = null;
  }
}
