// What records that were had again say besides content: entered behind others that are newer.
import { dirname } from 'node:path';
import { decodeSyncBegin, decodeTagNote } from '../../core/record/notes.ts';
import { RecordKind } from '../../core/record/record.ts';
import type { Lost } from '../../core/segment-log/scan.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { Catalogue, DamagedPlace } from './catalogue.ts';
import type { Journal } from './journal.ts';
import type { LsnRange } from './mend-segment.ts';
import type { SegmentNote } from './segment-notes.ts';

/** A note, and for the begin of a sync where the next one ends, if it has. */
export interface LateNote {
  note: SegmentNote;
  end: { lsn: number; time: number } | null;
}

/** All notes of the segment, as they are now. */
export interface OwnNotes {
  notes: readonly SegmentNote[];
  lastLsn: number;
}

/** Those of a segment's notes that lie in `ranges`. Other segments may be read for it; what that throws. */
export function lateNotes(
  journal: Pick<Journal, 'notesAfter'>,
  segment: OwnNotes,
  ranges: readonly LsnRange[],
): LateNote[] {
  return segment.notes
    .filter(({ lsn }) => isIn(ranges, lsn, lsn))
    .map((note) => ({
      note,
      end: note.kind === RecordKind.syncBegin ? endOf(journal, segment, note) : null,
    }));
}

function endOf(
  journal: Pick<Journal, 'notesAfter'>,
  { notes, lastLsn }: OwnNotes,
  { lsn: begin }: SegmentNote,
): LateNote['end'] {
  const isEnd = ({ kind, lsn }: SegmentNote): boolean => kind === RecordKind.syncEnd && lsn > begin;
  const own = notes.find(isEnd);
  if (own !== undefined) return own;
  for (const note of journal.notesAfter(lastLsn)) if (isEnd(note)) return note;
  return null;
}

/** What was remembered as damaged or lost of a segment is so no more, as far as `healed` says. */
export function enterHealed(
  catalogue: Catalogue,
  { path: file, firstLsn }: Segment,
  healed: readonly LsnRange[],
  lost: readonly Lost[],
): void {
  catalogue.lost = catalogue.lost.filter((one) => one.file !== file || one.from < firstLsn);
  catalogue.lost.push(...lost.map((one) => ({ ...one, file })));
  catalogue.damaged = catalogue.damaged.filter(
    (place) => place.file !== file || !isIn(healed, place.fromLsn, place.toLsn),
  );
}

/** Records [from, to], which no file had, are in one again. */
export function enterFound(catalogue: Catalogue, { path, firstLsn: from, lastLsn: to }: Segment): void {
  catalogue.lost = catalogue.lost.flatMap((one) => {
    const before = { ...one, to: Math.min(one.to, from - 1) };
    const behind = { ...one, from: Math.max(one.from, to + 1) };
    return [before, behind].filter((part) => part.from <= part.to);
  });
  const isThere = ({ file, fromLsn, toLsn }: DamagedPlace): boolean =>
    dirname(file) === dirname(path) && fromLsn >= from && toLsn <= to;
  catalogue.damaged = catalogue.damaged.filter((place) => !isThere(place));
}

export function enterLate(catalogue: Catalogue, { note, end }: LateNote): void {
  const { kind, lsn, before, time, text } = note;
  const payload = Buffer.from(text);
  if (kind === RecordKind.syncBegin)
    catalogue.syncWas({ ...decodeSyncBegin(payload), lsn, before, time }, end);
  if (kind === RecordKind.syncEnd && (catalogue.openGap?.from ?? Infinity) <= lsn) {
    if (catalogue.sync === null || catalogue.sync.lsn < lsn) catalogue.syncEnds(lsn, time);
  }
  const tag = kind === RecordKind.tag ? decodeTagNote(payload) : null;
  if (tag !== null) catalogue.enterTag({ lsn, time, ...tag });
}

const isIn = (ranges: readonly LsnRange[], from: number, to: number): boolean =>
  ranges.some(([start, end]) => start <= to && from <= end);
