// Makes files anew of records whose file is gone, from what of them can be had.
import { randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { decodeRecordHeader } from '../../core/record/record.ts';
import { GroupPlaces } from '../../core/segment-log/group-places.ts';
import { segmentFileName, type Segment } from '../../core/segment-log/segment.ts';
import type { Journal } from './journal.ts';
import { enterFound } from './late-notes.ts';
import { FileHash } from './ledger-hash.ts';
import { spellRanges, type LsnRange } from './mend-segment.ts';
import { isThere, placeSegment, type PlacingParts } from './place-segment.ts';
import { isInOrder, rowsOf, type RecordRow, type RedoHole } from './redo-holes.ts';
import { readContent } from './reindex.ts';
import { segmentOf } from './write-groups.ts';

export interface FillWith {
  /** Of the records of a range, oldest first, as many as can be had in one go. */
  haveAgain(range: LsnRange): Promise<ReadonlyMap<number, Buffer>>;
  /** A file with these records is there. */
  placed(path: string, range: LsnRange): void;
}

/** One file for each row of records, oldest first, both neighbours held; gives back what could not be had. */
export async function fillHole(parts: PlacingParts, hole: RedoHole, fillWith: FillWith): Promise<LsnRange[]> {
  const neighbours = [hole.before, hole.next].filter((segment) => segment !== null);
  for (const segment of neighbours) segment.users += 1;
  try {
    const left = await fill(parts, hole, fillWith);
    if (hole.before !== null) await sealAgain(parts, hole.before, left);
    return left;
  } finally {
    for (const segment of neighbours) segment.users -= 1;
  }
}

async function fill(
  parts: PlacingParts,
  hole: RedoHole,
  { haveAgain, placed }: FillWith,
): Promise<LsnRange[]> {
  const left: LsnRange[] = [];
  let next = hole.from;
  while (next <= hole.to) {
    const rows = rowsOf(await haveAgain([next, hole.to]));
    await nextTurn();
    for (const row of rows) {
      if (row.from > next) left.push([next, row.from - 1]);
      const path = await placeRow(parts, hole, row);
      if (path === null) left.push([row.from, row.to]);
      else placed(path, [row.from, row.to]);
      next = row.to + 1;
    }
    if (rows.length > 0) continue;
    left.push([next, hole.to]);
    break;
  }
  return left;
}

/**
 * The path of the file that has the records now; null where nobody needs them any more, they may not stand,
 * or a file lies already.
 */
async function placeRow(parts: PlacingParts, hole: RedoHole, row: RecordRow): Promise<string | null> {
  const { journal, log, name } = parts;
  const path = join(parts.directory, segmentFileName(row.from));
  if (row.to <= journal.flooredLsn || !fitsIn(journal, hole, row)) return null;
  if (isThere(journal.source.files, path)) return null;
  const { segment, content } = segmentFor(journal, hole, row, path);
  const range: LsnRange = [row.from, row.to];
  await placeSegment(parts, {
    ...{ segment, content, healed: [range], why: `healed: records ${spellRanges([range])}` },
    take: (next) => {
      journal.replace(null, next, true);
      enterFound(journal.catalogue, next);
    },
  });
  log.info('redo-found-again', { machine: name, file: path, from: row.from, to: row.to });
  return path;
}

/** The file before the hole may have lost its end, which lies in another now: no more is expected of it. */
async function sealAgain(
  { ledger, journal }: PlacingParts,
  before: Segment,
  left: readonly LsnRange[],
): Promise<void> {
  const { path: file, firstLsn: from, lastLsn: to, end: bytes } = before;
  const known = ledger.expected().redo.get(`redo/${basename(file)}`);
  if (known === undefined || known.to <= to || left.some(([first]) => first <= known.to)) return;
  const hash = new FileHash().add(readContent(journal.source.files, before)).hex();
  const why = `healed: records ${spellRanges([[to + 1, known.to]])} lie in another file`;
  ledger.append({ event: 'sealed', file, from, to, bytes, hash, why });
  await ledger.settle();
}

/** Whether the records may stand between those around: see `isInOrder`. */
function fitsIn(journal: Journal, { before, next }: RedoHole, row: RecordRow): boolean {
  const least = before === null ? 0 : generationsOf(journal, before).last;
  const most = next === null ? journal.generation : generationsOf(journal, next).first;
  return isInOrder(row, journal.source.mark, least, most);
}

function generationsOf(journal: Journal, segment: Segment): { first: number; last: number } {
  const found: number[] = [];
  journal.visit(segment, {
    record: ({ generation }) => {
      if (generation !== found.at(-1)) found.push(generation);
    },
    lost: () => undefined,
  });
  return { first: found.at(0) ?? Infinity, last: found.at(-1) ?? 0 };
}

function segmentFor(
  { source }: Pick<Journal, 'source'>,
  { before, next }: RedoHole,
  { from: firstLsn, to: lastLsn, records }: RecordRow,
  path: string,
): { segment: Segment; content: Buffer } {
  const { machine, mark } = source;
  const identity = randomBytes(16);
  const precededBy = firstLsn - 1;
  const lastArrival = before?.lastArrival ?? next?.lastArrival ?? 0;
  const frames = { machine, identity, firstLsn, precededBy, arrival: lastArrival };
  const { content, end } = segmentOf(records, frames);
  const [firstTime = 0, lastTime = 0] = [records[0], records.at(-1)].map(
    (record) => (record && decodeRecordHeader(record, 0, mark)?.time) ?? 0,
  );
  const segment: Segment = {
    ...{ ordinal: -1, path, fd: -1, identity: identity.toString('hex') },
    ...{ firstLsn, precededBy, lastLsn, firstTime, lastTime, lastArrival },
    ...{ places: new GroupPlaces(), bytes: content.length, end },
    ...{ recyclable: true, users: 0, retired: false },
  };
  return { segment, content };
}
