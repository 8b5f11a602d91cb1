// Which records of a run a spool takes: LSN + 1, or a sync-begin that skips LSNs with a higher generation.
import { HomewardError } from '../../core/errors.ts';
import { splitRun, type RecordRun } from '../../core/record/record-run.ts';
import { RecordKind, type RecordHeader } from '../../core/record/record.ts';

/** Where a spool stands. */
export interface OrderPlace {
  /** The newest LSN that was appended. */
  last: number;
  /** The generation of the newest record; 0 before the first. */
  generation: number;
  /** The highest generation that anybody has shown: lower ones are refused. */
  fence: number;
}

/**
 * The pieces of `run` that are new, each with LSNs that follow one another; records that are there already
 * are left out. Throws 'fenced' for an older line of records, 'chain-broken' for what does not follow.
 */
export function takeInOrder(run: RecordRun, place: OrderPlace): RecordRun[] {
  const first = run.headers.findIndex(({ lsn }) => lsn > place.last);
  if (first < 0) return [];
  const fresh = from(run, first);
  let { last, generation } = place;
  let fence = Math.max(place.fence, generation);
  for (const header of fresh.headers) {
    check(header, { last, generation, fence });
    last = header.lsn;
    generation = header.generation;
    fence = Math.max(fence, generation);
  }
  return splitRun(fresh);
}

function check(header: RecordHeader, { last, generation, fence }: OrderPlace): void {
  const { lsn } = header;
  if (header.generation < fence) {
    const message = `record ${lsn} is of generation ${header.generation}, but ${fence} has been seen`;
    throw new HomewardError('fenced', message);
  }
  if (lsn === last + 1) return;
  if (lsn <= last) throw new HomewardError('chain-broken', `record ${lsn} came behind record ${last}`);
  if (header.kind !== RecordKind.syncBegin)
    throw new HomewardError('chain-broken', `record ${lsn} came behind record ${last} without a sync`);
  if (header.generation <= generation) {
    const message = `the sync at ${lsn} has the generation ${generation} of the records before`;
    throw new HomewardError('chain-broken', message);
  }
}

/** The run without the records before `index`. */
function from({ bytes, headers, positions }: RecordRun, index: number): RecordRun {
  if (index === 0) return { bytes, headers, positions };
  const start = positions[index] ?? bytes.length;
  return {
    bytes: bytes.subarray(start),
    headers: headers.slice(index),
    positions: positions.slice(index).map((position) => position - start),
  };
}
