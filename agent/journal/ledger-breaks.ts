// Where the account of a machine's history was damaged or missing at a start, as lines `cut` tell of it.
import { join } from 'node:path';
import type { Files } from '../../core/files/files.ts';
import { parseSegmentFileName } from '../../core/segment-log/segment.ts';
import { parseUndoFileName } from '../replica/undo/undo-names.ts';
import { tornEnd, type LedgerLine } from './ledger-line.ts';

export interface LedgerBreak {
  /** The line that could not be read any more, or 1 of a ledger that was not there. */
  line: number;
  /** When it was found; microseconds. */
  time: number;
  why: string;
  /** What the sound lines told of ends at `from`, what was there at the start at `to`. */
  from: number;
  to: number;
  /** Where the rest was set aside, below the machine's directory; null when there was none. */
  aside: string | null;
}

/**
 * A fold over the lines. The torn end of the line that a crash broke off in is no break. A ledger that begins
 * anew forgets them: it says what was there then.
 */
export class LedgerBreaks {
  readonly list: LedgerBreak[] = [];
  /** The largest LSN that was told of. */
  told = 0;

  take({ n, time, event, to = 0, from = 0, why = '', file = null }: BreakLine): void {
    if (event === 'rotated') this.list.length = 0;
    if (event === 'cut' && why !== tornEnd) this.list.push({ line: n, time, why, from, to, aside: file });
    this.told = Math.max(this.told, to);
  }
}

type BreakLine = Pick<LedgerLine, 'n' | 'time' | 'event' | 'to' | 'from' | 'why'> & { file?: string | null };

/** What of the history is left, and for how long anything was kept at the most. */
export interface StillKept {
  /** Null while there is no point. */
  oldestLsn: number | null;
  longestMs: number;
  /** Microseconds. */
  now: number;
}

/** Those that may concern what can still be had: of all other history no file is missed any more. */
export function openBreaks(
  breaks: readonly LedgerBreak[],
  { oldestLsn, longestMs, now }: StillKept,
): LedgerBreak[] {
  return breaks.filter(({ time, to }) => to >= (oldestLsn ?? 0) || now < time + longestMs * 1000);
}

/** The largest LSN in the names of what lies there. */
export function namedUpTo(files: Files, directory: string): number {
  const rooms = new Set(files.list(directory));
  const namesOf = (room: string): string[] => (rooms.has(room) ? files.list(join(directory, room)) : []);
  const redo = namesOf('redo').map((name) => parseSegmentFileName(name) ?? 0);
  const undo = namesOf('undo').map((name) => parseUndoFileName(name)?.to ?? 0);
  return [...redo, ...undo].reduce((most, lsn) => Math.max(most, lsn), 0);
}
