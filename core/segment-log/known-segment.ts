// What is known of a complete segment from elsewhere, in place of reading it.
import { GroupPlaces } from './group-places.ts';
import type { Segment } from './segment.ts';

export interface KnownSegment {
  /** 32 hex digits: that of the frames. */
  identity: string;
  firstLsn: number;
  precededBy: number;
  lastLsn: number;
  /** Size of the file; how far content reaches. */
  bytes: number;
  end: number;
  firstTime: number;
  lastTime: number;
  lastArrival: number;
  recyclable: boolean;
  /** Where some of its groups begin. */
  places: [firstLsn: number, position: number][];
}

/** What is to be known of a segment, once it is complete. */
export function knownOf(segment: Segment): KnownSegment {
  const { identity, firstLsn, precededBy, lastLsn, bytes, end } = segment;
  const { firstTime, lastTime, lastArrival, recyclable } = segment;
  const places = segment.places.list();
  return {
    ...{ identity, firstLsn, precededBy, lastLsn, bytes, end },
    ...{ firstTime, lastTime, lastArrival, recyclable, places },
  };
}

/** Whether it speaks of this use of this file; how far the segment reaches is for the caller to compare. */
export function speaksOf(known: KnownSegment, segment: Segment): boolean {
  return (
    segment.identity !== '' &&
    known.identity === segment.identity &&
    known.firstLsn === segment.firstLsn &&
    known.precededBy === segment.precededBy &&
    known.bytes === segment.bytes &&
    known.lastLsn >= known.firstLsn &&
    known.end <= known.bytes
  );
}

/** The segment as if it had been read. */
export function takeKnown(segment: Segment, known: KnownSegment): void {
  segment.lastLsn = known.lastLsn;
  segment.end = known.end;
  segment.firstTime = known.firstTime;
  segment.lastTime = known.lastTime;
  segment.lastArrival = known.lastArrival;
  segment.recyclable = known.recyclable;
  segment.places = GroupPlaces.of(known.places);
}
