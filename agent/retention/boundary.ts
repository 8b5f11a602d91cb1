// What is known of a boundary while its redo is there, for the notes of undo segments.
import { assert } from '../../core/errors.ts';
import type { Journal } from '../journal/journal.ts';
import type { Cursor } from '../replica/cursor.ts';
import type { Middle } from '../replica/timeline.ts';
import type { UndoNote } from '../replica/undo/undo-step.ts';

export interface Noted {
  readonly journal: Journal;
  readonly cursor: Readonly<Cursor>;
  timeOf(lsn: number): number | null;
}

/** The note of the step from the cursor to `to`. */
export function noteOfStep(machine: Noted, to: number): UndoNote {
  const { cursor } = machine;
  const { catalogue } = machine.journal;
  const next = firstAfter(machine, cursor.lsn);
  assert(next !== null && next <= to, 'a step has records');
  return {
    from: cursor.lsn,
    to,
    fromTime: cursor.time,
    toTime: timeOf(machine, to),
    firstTime: timeOf(machine, next),
    tag: catalogue.tagAt(to),
    fromTag: catalogue.tagAt(cursor.lsn),
    fromPoint: isPoint(machine, cursor.lsn),
    point: isPoint(machine, to),
  };
}

/** A boundary to be made inside a step. */
export function middleAt(machine: Noted, lsn: number): Middle {
  const next = firstAfter(machine, lsn);
  const toTime = timeOf(machine, lsn);
  const nextTime = next === null ? toTime + 1 : timeOf(machine, next);
  return { toTime, nextTime, tag: machine.journal.catalogue.tagAt(lsn), point: isPoint(machine, lsn) };
}

/** The record behind `lsn`: not always the next number, since a sync may skip some. */
function firstAfter({ journal }: Noted, lsn: number): number | null {
  const segment = journal.segments.find(({ lastLsn }) => lastLsn > lsn);
  return segment === undefined ? null : Math.max(segment.firstLsn, lsn + 1);
}

const timeOf = (machine: Noted, lsn: number): number => machine.timeOf(lsn) ?? machine.cursor.time;

function isPoint({ journal, cursor }: Noted, lsn: number): boolean {
  return journal.catalogue.gapAt(lsn) === null && lsn >= (cursor.firstPoint ?? Infinity);
}
