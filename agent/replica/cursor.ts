// The cursor of one machine: how far its replica is, in a file that is replaced atomically.
import { dirname } from 'node:path';
import { readSealedTwice, writeSealedTwice } from '../../core/atomic-file.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { parseTagNote, type TagNote } from '../../core/record/notes.ts';

export interface Cursor {
  /** The replica is the state after this LSN, unless a step is open. */
  lsn: number;
  /** A step to this LSN is open without undo: nothing below is shown. Null when none is. */
  stepTo: number | null;
  /** The boundary up to which redo may be gone. */
  pruned: number;
  /** Where the cursor is held, or null. */
  pin: number | null;
  generation: number;
  /** The highest LSN known durable when this was written. */
  durable: number;
  /** The least LSN that can ever be shown, or null while the first copy is under way. */
  firstPoint: number | null;
  /** Stamp of the record at `lsn` in microseconds; 0 before the first. */
  time: number;
  /** The tag at `lsn`, whose record may be pruned, or null. */
  tag: TagNote | null;
  /** The gap that `lsn` lies in, whose begin may not be in redo any more, or null. */
  gap: { from: number; time: number; reason: string } | null;
  /** Addresses [start, end) of the replica whose content at `lsn` nobody knows, in order. */
  unknown: [number, number][];
}

const format = 'homeward-cursor';

/**
 * The cursor in `file`, which holds it twice; damage to one copy does no harm, and is told to `onDamage`. No
 * older one can stand in: the replica may be further on. Throws 'damaged'.
 */
export function readCursor(file: string, onDamage: (why: HomewardError) => void = () => {}): Cursor {
  try {
    const read = readSealedTwice(file, format);
    const cursor = parseCursor(read?.body ?? null, file);
    if (read !== null && read.damage !== null) onDamage(read.damage);
    return cursor;
  } catch (error) {
    if (!(error instanceof HomewardError)) throw error;
    const directory = dirname(file);
    const hint =
      `The cursor says how far the replica is. Put back the whole directory ${directory} and the replica, ` +
      `both from copies of one moment, then start again. The other machines go on. ` +
      `Without copies: \`homeward rescue ${dirname(directory)}\` lists the points that redo and undo still ` +
      `give, and recovers them. Only then move ${directory} off the volume; the machine can be opened anew.`;
    throw new HomewardError('damaged', error.message, { cause: error, hint });
  }
}

/** The same, for whoever owns the file: a damaged copy is written anew. A full volume can do without. */
export function openCursor(file: string, log: Log): Cursor {
  const damages: HomewardError[] = [];
  const cursor = readCursor(file, (why) => damages.push(why));
  for (const error of damages) {
    log.warn('cursor-mended', { file, error });
    try {
      writeCursor(file, cursor);
    } catch (failed) {
      log.warn('cursor-not-written', { file, errno: errnoOf(failed) });
    }
  }
  return cursor;
}

function parseCursor(body: unknown, file: string): Cursor {
  if (body === null) throw new HomewardError('damaged', `${file} is missing`);
  const { lsn, stepTo, pin, generation, durable, firstPoint, time, tag, gap, unknown, pruned } =
    body as Partial<Record<keyof Cursor, unknown>>;
  const numbers = isLsn(lsn) && isLsn(generation) && isLsn(durable) && isLsn(time);
  if (!numbers || !isLsnOrNull(stepTo) || !isLsnOrNull(pin) || !isLsnOrNull(firstPoint)) {
    throw new HomewardError('damaged', `${file} is not a cursor`);
  }
  return {
    lsn,
    stepTo,
    pruned: isLsn(pruned) ? pruned : lsn, // files of the first version kept no redo below the cursor
    pin,
    generation,
    durable,
    firstPoint,
    time,
    tag: parseTagNote(tag), // files of earlier versions have none
    gap: parseGap(gap),
    unknown: parseUnknown(unknown),
  };
}

/** Files of the first version have none. */
function parseGap(gap: unknown): Cursor['gap'] {
  if (typeof gap !== 'object' || gap === null) return null;
  const { from, time, reason } = gap as Partial<Record<'from' | 'time' | 'reason', unknown>>;
  return isLsn(from) && isLsn(time) && typeof reason === 'string' ? { from, time, reason } : null;
}

export function writeCursor(file: string, cursor: Cursor): void {
  writeSealedTwice(file, format, cursor);
}

function parseUnknown(unknown: unknown): Cursor['unknown'] {
  if (unknown === undefined) return [];
  const isExtent = (one: unknown): one is [number, number] =>
    Array.isArray(one) && one.length === 2 && one.every((end) => typeof end === 'number');
  if (Array.isArray(unknown) && unknown.every(isExtent)) return unknown;
  throw new HomewardError('damaged', 'the cursor does not say what is unknown');
}

const isLsn = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isLsnOrNull = (value: unknown): value is number | null => value === null || isLsn(value);
