// Which record was stamped when: from what is known of segments, and a few headers where that is not enough.
import { lsnNear, stampNear } from '../../core/segment-log/segment-times.ts';
import { isEmpty, type Segment } from '../../core/segment-log/segment.ts';
import { visitSegment, type RecordSource } from './reindex.ts';

/** The newest LSN after `from` that is stamped at or before `time` (microseconds), or `from`. */
export function lsnAtTime(
  source: RecordSource,
  segments: readonly Segment[],
  time: number,
  from: number,
): number {
  const segment = segments.findLast(
    (candidate) => !isEmpty(candidate) && candidate.lastLsn > from && candidate.firstTime <= time,
  );
  if (segment === undefined || segment.lastTime <= time) return Math.max(segment?.lastLsn ?? from, from);
  return Math.max(lsnNear(source, segment, time) ?? lsnByReading(source, segment, time) ?? from, from);
}

/** The stamp of a record in microseconds, or null when its redo is gone. */
export function timeOf(source: RecordSource, segments: readonly Segment[], lsn: number): number | null {
  const segment = segments.find((candidate) => candidate.firstLsn <= lsn && lsn <= candidate.lastLsn);
  if (segment === undefined) return null;
  if (lsn === segment.lastLsn) return segment.lastTime;
  return stampNear(source, segment, lsn) ?? stampByReading(source, segment, lsn);
}

function lsnByReading(source: RecordSource, segment: Segment, time: number): number | null {
  let found: number | null = null;
  visitSegment(source, segment, segment.lastLsn, {
    record: (header) => {
      if (header.time <= time) found = header.lsn;
    },
    lost: () => undefined,
  });
  return found;
}

function stampByReading(source: RecordSource, segment: Segment, lsn: number): number | null {
  let time: number | null = null;
  visitSegment(source, segment, segment.lastLsn, {
    record: (header) => {
      if (header.lsn === lsn) ({ time } = header);
    },
    lost: () => undefined,
  });
  return time;
}
