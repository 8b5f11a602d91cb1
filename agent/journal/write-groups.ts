// Writes records as groups of a segment, where a layout has placed them, and a whole segment of them: pure.
import { crc32 } from 'node:zlib';
import { recordHeaderBytes } from '../../core/record/record.ts';
import { encodeGroupHeader, groupHeaderBytes, syncedBlockBytes } from '../../core/segment-log/group.ts';
import { roundUp } from '../../core/units.ts';
import { bytesInGroups, layOutGroups, type PlacedGroup } from './lay-out-groups.ts';

/** What the frames of a segment say. */
export interface GroupsPlace {
  /** UUID, 16 bytes. */
  machine: Buffer;
  /** 16 bytes. */
  identity: Buffer;
  /** Of the segment. */
  firstLsn: number;
  precededBy: number;
  /** Microseconds. */
  arrival: number;
}

export interface LaidOut {
  /** Whole records, with LSNs one after another. */
  records: readonly Buffer[];
  /** LSN of the first of them. */
  from: number;
  groups: readonly PlacedGroup[];
}

export function writeGroups(content: Buffer, { records, from, groups }: LaidOut, place: GroupsPlace): void {
  let at = 0;
  for (const { position, records: count } of groups) {
    writeGroup(content, records.slice(at, at + count), from + at, position, place);
    at += count;
  }
}

/** A segment that holds just these records. */
export function segmentOf(records: readonly Buffer[], place: GroupsPlace): { content: Buffer; end: number } {
  const sizes = records.map(({ length }) => length);
  const groups = layOutGroups(sizes, 0, null) ?? [];
  const end = bytesInGroups(sizes, groups.length);
  const content = Buffer.alloc(roundUp(end, syncedBlockBytes));
  writeGroups(content, { records, from: place.firstLsn, groups }, place);
  return { content, end };
}

function writeGroup(
  content: Buffer,
  group: readonly Buffer[],
  firstLsn: number,
  position: number,
  { machine, identity, firstLsn: first, precededBy, arrival }: GroupsPlace,
): void {
  let at = position + groupHeaderBytes;
  let headersCrc = 0;
  for (const record of group) {
    headersCrc = crc32(record.subarray(0, recordHeaderBytes), headersCrc);
    at += record.copy(content, at);
  }
  encodeGroupHeader(content.subarray(position), {
    ...{ machine, identity, firstLsn, arrival, position, headersCrc },
    bodyBytes: at - position - groupHeaderBytes,
    previousDurable: firstLsn === first ? precededBy : firstLsn - 1,
    records: group.length,
    skippedFrom: precededBy < first - 1 ? precededBy + 1 : 0,
  });
}
