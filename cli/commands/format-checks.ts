// The report of the checks for people: one row for each, and below the table what it comes to.
import type { CheckedItem, CheckReport, Inventory } from '../../agent/prerequisites/client.ts';
import { printable } from '../../core/printable.ts';
import { formatSize } from '../../core/units.ts';

const words = { pass: 'OK', fail: 'FAILED', warn: 'WARNING', skipped: '-' } as const;

type Row = readonly [check: string, result: string, action: string];

/** `columns` of the terminal; without one each row is one line, for whoever searches it. */
export function formatChecks(report: CheckReport, isRoot: boolean, columns: number | null): string {
  const fixed = report.checks.flatMap(({ id, fixed: what }) => (what === null ? [] : [`${id}: ${what}\n`]));
  const rows: Row[] = [['Check', 'Result', 'Corrective action'], ...report.checks.map(rowOf)];
  return `${fixed.join('')}${formatRows(rows, columns)}${formatEnd(report, isRoot)}`;
}

/** `VMware, Inc. VMware7,1; Rocky Linux 9.4, kernel 5.14.0; 4 processors, 8 GiB of memory` */
export function formatInventory(inventory: Inventory | null): string {
  if (inventory === null) return '';
  const { manufacturer, model, virtual, system, kernel, processors, memoryBytes } = inventory;
  const machine = [manufacturer, model].filter((word) => word !== '').join(' ');
  const kind = virtual === null || machine.includes(virtual) ? machine : `${machine} (virtual, ${virtual})`;
  const room = `${processors} processors, ${formatSize(memoryBytes)} of memory`;
  const parts = [kind, `${system}, kernel ${kernel}`, room].filter((part) => part !== '');
  return `${printable(parts.join('; '))}\n`;
}

function rowOf({ id, result, found, accepted, action }: CheckedItem): Row {
  const word = accepted === null ? words[result] : 'accepted';
  const because = accepted === null ? null : `accepted since ${accepted.since}: ${accepted.because}`;
  const third = because ?? (result === 'pass' ? '' : (action ?? ''));
  return [id, printable(`${word}: ${found}`), printable(third)];
}

const leastText = 24;

/** What does not fit goes on below, in its own column; on a narrow terminal the action stands below, too. */
function formatRows(rows: readonly Row[], columns: number | null): string {
  const first = Math.max(...rows.map(([check]) => check.length));
  const rest = columns === null ? Infinity : columns - first - 4;
  if (rest < 2 * leastText)
    return rows
      .slice(1)
      .map((row) => formatNarrow(row, columns ?? 0))
      .join('');
  const longest = Math.max(...rows.map(([, result]) => result.length));
  const second = columns === null ? longest : Math.min(longest, Math.floor(rest / 2));
  return rows.map((row) => formatWide(row, first, second, rest - second)).join('');
}

function formatWide([check, result, action]: Row, first: number, second: number, third: number): string {
  const results = wrap(result, second);
  const actions = wrap(action, third);
  const lines = Array.from({ length: Math.max(results.length, actions.length) }, (_none, at) => {
    const name = at === 0 ? check : '';
    return `${name.padEnd(first)}  ${(results[at] ?? '').padEnd(second)}  ${actions[at] ?? ''}`;
  });
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}

function formatNarrow([check, result, action]: Row, columns: number): string {
  const width = Math.max(leastText, columns - 2);
  const below = [...wrap(result, width), ...(action === '' ? [] : wrap(action, width))];
  return [check, ...below.map((line) => `  ${line}`)].map((line) => `${line}\n`).join('');
}

/** At blanks; a path that is longer than a line stays whole. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

function formatEnd({ checks, ok }: CheckReport, isRoot: boolean): string {
  const blocking = checks.filter(({ blocks }) => blocks);
  const lines: string[] = [];
  if (blocking.length > 0) {
    lines.push(`The service does not start with: ${blocking.map(({ id }) => id).join(', ')}`);
    const acceptable = blocking.find(({ severity }) => severity === 'hard-unless-accepted');
    if (acceptable !== undefined)
      lines.push(`What may stay so: homeward check --accept ${acceptable.id} --because TEXT`);
  }
  if (!isRoot) lines.push('Some of this only root can see: run it with sudo for all of it');
  if (ok) lines.push('Nothing has failed');
  return lines.map((line) => `${line}\n`).join('');
}
