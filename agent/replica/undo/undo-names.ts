// What undo segments and their derived tables are called, and how table entries name places in them.
import { join } from 'node:path';
import type { ExtentColumns } from '../../../core/extents/extent-columns.ts';

export { firstUndoOrdinal } from '../view-content.ts';

const namePattern = /^([0-9a-f]{16})-([0-9a-f]{16})\.seg$/;
const hex = (lsn: number): string => lsn.toString(16).padStart(16, '0');

/** The file name of the undo of step (from, to]. */
export function undoFileName(from: number, to: number): string {
  return `${hex(from)}-${hex(to)}.seg`;
}

/** The step that a file name speaks of, or null. */
export function parseUndoFileName(name: string): { from: number; to: number } | null {
  const [, first = '', last = ''] = namePattern.exec(name) ?? [];
  const from = Number.parseInt(first, 16);
  const to = Number.parseInt(last, 16);
  return Number.isSafeInteger(from) && Number.isSafeInteger(to) && from < to ? { from, to } : null;
}

/** Where the derived table of an undo segment, or of a run of neighbours that is (from, to], lies. */
export function undoTablePath(derived: string, from: number, to: number): string {
  return join(derived, `undo-${hex(from)}-${hex(to)}.table`);
}

/** Whether a file in `derived` is a table of undo. */
export function isUndoTableName(name: string): boolean {
  return /^undo-[0-9a-f]{16}-[0-9a-f]{16}\.table/.test(name);
}

/**
 * Byte position of an extent's record in its undo segment. All records have the LSN `from`, so the column of
 * LSN deltas is free for what a file of more than 4 GiB has in the upper half of a position.
 */
export function undoPosition(columns: Pick<ExtentColumns, 'positions' | 'lsnDeltas'>, index: number): number {
  return columns.positions[index]! + columns.lsnDeltas[index]! * 2 ** 32;
}

/** A byte position as a table entry has it: `low` among the positions, `high` among the LSN deltas. */
export function splitPosition(position: number): { low: number; high: number } {
  return { low: position % 2 ** 32, high: Math.floor(position / 2 ** 32) };
}

/** The run of steps that a table's file name speaks of, or null. */
export function parseUndoTableName(name: string): { from: number; to: number } | null {
  const [, run] = /^undo-([0-9a-f]{16}-[0-9a-f]{16})\.table$/.exec(name) ?? [];
  return run === undefined ? null : parseUndoFileName(`${run}.seg`);
}
