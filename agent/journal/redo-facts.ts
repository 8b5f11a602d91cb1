// What the table file of a redo segment says beside extents: all that a start wants to know of the segment.
import type { TableMeta } from '../../core/extents/table-file.ts';
import { knownOf, speaksOf, type KnownSegment } from '../../core/segment-log/known-segment.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { SegmentNote, SegmentReport } from './segment-notes.ts';

export interface RedoFacts extends KnownSegment, SegmentReport {}

export const factsOf = (segment: Segment, report: SegmentReport): RedoFacts => ({
  ...knownOf(segment),
  ...report,
});

/** The table is of the records (from, to] of one segment. */
export function metaOf(facts: RedoFacts): TableMeta {
  const { precededBy: from, lastLsn: to, identity } = facts;
  return { sources: [{ from, to, identity }], redo: facts };
}

/** What a table's meta says, or null when it is not one of a redo segment. */
export function tryParseFacts({ redo }: TableMeta): RedoFacts | null {
  if (typeof redo !== 'object' || redo === null) return null;
  const facts = redo as Partial<Record<keyof RedoFacts, unknown>>;
  if (!numbers.every((name) => isNumber(facts[name]))) return null;
  const { identity, recyclable, places, notes, lost } = facts;
  if (typeof identity !== 'string' || typeof recyclable !== 'boolean') return null;
  if (!isListOf(places, isPlace) || !isListOf(notes, isNote) || !isListOf(lost, isLost)) return null;
  return facts as RedoFacts;
}

/** Whether a table with these facts is that of the whole segment as it is now. */
export const areOf = (facts: RedoFacts, segment: Segment): boolean =>
  speaksOf(facts, segment) && facts.lastLsn === segment.lastLsn && facts.end === segment.end;

const numbers = [
  ...(['firstLsn', 'precededBy', 'lastLsn', 'bytes', 'end'] as const),
  ...(['firstTime', 'lastTime', 'lastArrival', 'generation'] as const),
];

const isNumber = (value: unknown): value is number => Number.isSafeInteger(value);

const isListOf = <T>(value: unknown, isOne: (one: unknown) => one is T): value is T[] =>
  Array.isArray(value) && value.every(isOne);

const isPlace = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every(isNumber);

function isNote(value: unknown): value is SegmentNote {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, lsn, time, before, text } = value as Partial<Record<keyof SegmentNote, unknown>>;
  return [kind, lsn, time, before].every(isNumber) && typeof text === 'string';
}

function isLost(value: unknown): value is SegmentReport['lost'][number] {
  if (typeof value !== 'object' || value === null) return false;
  const { from, to, start, end } = value as Partial<Record<'from' | 'to' | 'start' | 'end', unknown>>;
  return [from, to, start, end].every(isNumber);
}
