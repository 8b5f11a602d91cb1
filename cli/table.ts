// Tables for people: columns as wide as their widest cell, two spaces between them.
import { printable } from '../core/printable.ts';

export interface Column<Row> {
  title: string;
  /** Numbers stand at the right. */
  right?: boolean;
  cell(row: Row): string;
}

/** The rows under their titles, one line each, without trailing spaces. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => printable(column.cell(row)))),
  ];
  const widths = columns.map((_column, at) => Math.max(...cells.map((line) => line[at]?.length ?? 0)));
  const formatLine = (line: string[]): string =>
    line
      .map((cell, at) => (columns[at]?.right ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd();
  return cells.map((line) => formatLine(line) + '\n').join('');
}

/** Names and values below each other: `  listen   unix:/run/web.sock`. */
export function formatFields(fields: readonly (readonly [string, string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `  ${name.padEnd(width)}  ${printable(value)}\n`).join('');
}

/** Seconds for people, two units at the most: `0.4 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1).replace(/\.0$/, '')} s`;
  const whole = Math.round(seconds);
  for (const [unit, name, lesser, lesserName] of [
    [86400, 'd', 3600, 'h'],
    [3600, 'h', 60, 'm'],
    [60, 'm', 1, 's'],
  ] as const) {
    if (whole < unit) continue;
    const rest = Math.floor((whole % unit) / lesser);
    return `${Math.floor(whole / unit)} ${name}${rest === 0 ? '' : ` ${rest} ${lesserName}`}`;
  }
  return `${whole} s`;
}

/** The line below an answer that says how a time was understood; nothing where none was asked for. */
export const formatAsked = (shown: string | null): string => (shown === null ? '' : `Asked for ${shown}\n`);

/** A moment as it is shown everywhere: its LSN, and its time where there is one. */
export function formatMoment({ lsn, time }: { lsn: number; time: string | null }): string {
  return time === null ? `LSN ${lsn}` : `LSN ${lsn} at ${time}`;
}
