// What of one segment's records is remembered besides content: notes, generation and what is lost, so that it
// can be told again without reading the segment.
import { decodeSyncBegin, decodeTagNote } from '../../core/record/notes.ts';
import { recordHeaderBytes, RecordKind, type RecordHeader } from '../../core/record/record.ts';
import type { Lost } from '../../core/segment-log/scan.ts';
import type { Catalogue } from './catalogue.ts';

/** A record that the catalogue has something of. */
export interface SegmentNote {
  kind: RecordKind;
  lsn: number;
  time: number;
  /** The LSN of the record before, which is not always the next lower one. */
  before: number;
  /** The JSON that it carries; empty without. */
  text: string;
}

/** What was found in, or written to, one segment. */
export interface SegmentReport {
  generation: number;
  notes: SegmentNote[];
  lost: Lost[];
}

export const emptyReport = (): SegmentReport => ({ generation: 0, notes: [], lost: [] });

/** Within a segment LSNs follow each other. */
interface Place {
  firstLsn: number;
  precededBy: number;
}

/** The note that a record is, or null; its payload is asked for when there is one to remember. */
export function noteOf(
  header: RecordHeader,
  { firstLsn, precededBy }: Place,
  payload: () => Buffer,
): SegmentNote | null {
  const { kind, lsn, time } = header;
  if (kind < RecordKind.tag) return null;
  const before = lsn === firstLsn ? precededBy : lsn - 1;
  const text = kind === RecordKind.tag || kind === RecordKind.syncBegin ? payload().toString('utf8') : '';
  return { kind, lsn, time, before, text };
}

/** The payload of the record whose header is at `position` of `content`. */
export const payloadAt =
  (content: Buffer, position: number, { payloadBytes }: RecordHeader) =>
  (): Buffer =>
    content.subarray(position + recordHeaderBytes, position + recordHeaderBytes + payloadBytes);

/** Enters tags, the begin and end of syncs, and records that came as lost. */
export function enterNote(catalogue: Catalogue, { kind, lsn, time, before, text }: SegmentNote): void {
  const payload = Buffer.from(text);
  if (kind === RecordKind.unknown) catalogue.unknown.push(lsn);
  if (kind === RecordKind.syncBegin) catalogue.syncBegins({ ...decodeSyncBegin(payload), lsn, before, time });
  if (kind === RecordKind.syncEnd) catalogue.syncEnds(lsn, time);
  const tag = kind === RecordKind.tag ? decodeTagNote(payload) : null;
  if (tag !== null) catalogue.tags.push({ lsn, time, ...tag });
}
