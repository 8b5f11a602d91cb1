// The cursor of one machine: how far its replica is, in a file that is replaced atomically.
import { readSealedJson, writeSealedJson } from '../../core/atomic-file.ts';
import { HomewardError } from '../../core/errors.ts';

export interface Cursor {
  /** The replica is the state after this LSN, unless a step is open. */
  lsn: number;
  /** A step to this LSN is open: the replica is a mix, and nothing below is shown. Null when none is. */
  stepTo: number | null;
  /** Where the cursor is held, or null. */
  pin: number | null;
  generation: number;
  /** The highest LSN known durable when this was written. */
  durable: number;
  /** The least LSN that can ever be shown, or null while the first copy is under way. */
  firstPoint: number | null;
  /** Stamp of the record at `lsn` in microseconds; 0 before the first. */
  time: number;
}

const format = 'homeward-cursor';

/** The cursor in `file`, or null when there is none. A damaged one is a 'damaged' error. */
export function readCursor(file: string): Cursor | null {
  const body = readSealedJson(file, format);
  if (body === null) return null;
  const { lsn, stepTo, pin, generation, durable, firstPoint, time } = body as Partial<
    Record<keyof Cursor, unknown>
  >;
  const numbers = isLsn(lsn) && isLsn(generation) && isLsn(durable) && isLsn(time);
  if (!numbers || !isLsnOrNull(stepTo) || !isLsnOrNull(pin) || !isLsnOrNull(firstPoint)) {
    throw new HomewardError('damaged', `${file} is not a cursor`);
  }
  return { lsn, stepTo, pin, generation, durable, firstPoint, time };
}

export function writeCursor(file: string, cursor: Cursor): void {
  writeSealedJson(file, format, cursor);
}

const isLsn = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isLsnOrNull = (value: unknown): value is number | null => value === null || isLsn(value);
