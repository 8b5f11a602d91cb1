// The results for people: lines of the table in docs/benchmarks.md, and what they were measured on.
import fs from 'node:fs';
import os from 'node:os';
import { formatSize, MiB } from '../../core/units.ts';
import type { CaseResult, Side } from './compare.ts';
import { runCommand } from './processes.ts';

export interface Circumstances {
  machine: string;
  kernel: string;
  disk: string;
  versions: string;
  command: string;
  date: string;
  note: string | null;
}

export async function circumstances(
  directory: string,
  command: string,
  note: string | null,
): Promise<Circumstances> {
  const [cpu] = os.cpus();
  const memory = formatSize(Math.round(os.totalmem() / 2 ** 30) * 2 ** 30);
  return {
    machine: `${os.cpus().length} × ${cpu?.model.trim() ?? 'unknown processor'}, ${memory} memory`,
    kernel: `${os.type()} ${os.release().replace(/-.*/, '')} ${os.machine()}`,
    disk: await mountOf(directory),
    versions: await versions(),
    command,
    date: new Date().toISOString().slice(0, 16) + 'Z',
    note,
  };
}

const begin = '<!-- table: begin -->';
const end = '<!-- table: end -->';

/** What stands on the page, piece by piece, so that some rows can be replaced and the others kept. */
interface Pieces {
  /** Lines of the table, and what is said of a row, each with the row. */
  lines: RowText[];
  pairs: RowText[];
  remarks: RowText[];
  /** On what, when and how rows were measured. */
  circumstances: { rows: number[]; text: string }[];
}

interface RowText {
  row: number;
  text: string;
}

/** Replaces what the page says of the rows that were measured; the other rows stay as they are. */
export function writeDocs(file: string, results: readonly CaseResult[], at: Circumstances): void {
  const page = fs.readFileSync(file, 'utf8');
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${file} has lost the markers of its table`);
  const text = format(merge(parse(page.slice(from, to)), piecesOf(results, at)));
  fs.writeFileSync(file, `${page.slice(0, from)}${begin}\n${text}${page.slice(to)}`);
}

export function formatReport(results: readonly CaseResult[], at: Circumstances): string {
  return format(piecesOf(results, at));
}

function piecesOf(results: readonly CaseResult[], at: Circumstances): Pieces {
  const note = at.note === null ? '' : ` ${at.note}`;
  const place = `${at.machine}; ${at.kernel}; ${at.disk}. ${at.versions}`;
  const text = `${place}. \`${at.command}\`, ${at.date}.${note}`;
  const remarked = results.filter(({ remark }) => remark !== null);
  const each = (of: readonly CaseResult[], spell: (result: CaseResult) => string): RowText[] =>
    of.map((result) => ({ row: result.row, text: spell(result) }));
  return {
    lines: each(results, line),
    pairs: each(results, pairLine),
    remarks: each(remarked, remarkLine),
    circumstances: [{ rows: [...new Set(results.map(({ row }) => row))], text }],
  };
}

/** What was measured anew takes the place of what was known of the same rows. */
function merge(old: Pieces, news: Pieces): Pieces {
  const rows = new Set(news.lines.map(({ row }) => row));
  const both = (pick: (pieces: Pieces) => RowText[]): RowText[] =>
    [...pick(old).filter(({ row }) => !rows.has(row)), ...pick(news)].sort((a, b) => a.row - b.row);
  const kept = old.circumstances
    .map((one) => ({ ...one, rows: one.rows.filter((row) => !rows.has(row)) }))
    .filter((one) => one.rows.length > 0);
  return {
    lines: both(({ lines }) => lines),
    pairs: both(({ pairs }) => pairs),
    remarks: both(({ remarks }) => remarks),
    circumstances: [...kept, ...news.circumstances].sort((a, b) => (a.rows[0] ?? 0) - (b.rows[0] ?? 0)),
  };
}

const pairsBegin = 'Ratios of the pairs: ';
const remarksBegin =
  'From the last run of each case, the cursor where apply runs and what else is to be said:';
const circumstancesBegin = 'Measured on:';

function format({ lines, pairs, remarks, circumstances: all }: Pieces): string {
  const texts = (of: readonly RowText[]): string[] => of.map(({ text }) => text);
  return [
    '| # | work | against | ratio | to reach | ours | peer | CPU s/GB | peak MiB |',
    '|---|---|---|---|---|---|---|---|---|',
    ...texts(lines),
    '',
    `${pairsBegin}${texts(pairs).join(' · ')}.`,
    '',
    ...(remarks.length === 0 ? [] : [remarksBegin, '', ...texts(remarks), '']),
    circumstancesBegin,
    '',
    ...all.map(({ rows, text }) => `- rows ${rows.join(', ')}: ${text}`),
    '',
  ].join('\n');
}

/** The other way round. */
function parse(text: string): Pieces {
  const pieces: Pieces = { lines: [], pairs: [], remarks: [], circumstances: [] };
  for (const found of text.split('\n')) {
    const row = Number(/^(?:\| |- row )(\d+)/.exec(found)?.[1]);
    const rows = /^- rows ([\d, ]+): (.*)$/.exec(found);
    if (rows !== null) {
      const [, numbers = '', said = ''] = rows;
      pieces.circumstances.push({ rows: numbers.split(', ').map(Number), text: said });
    } else if (found.startsWith('| ') && !Number.isNaN(row)) pieces.lines.push({ row, text: found });
    else if (found.startsWith('- row ')) pieces.remarks.push({ row, text: found });
    else if (found.startsWith(pairsBegin))
      for (const pair of found.slice(pairsBegin.length).replace(/\.$/, '').split(' · '))
        pieces.pairs.push({ row: parseInt(pair, 10), text: pair });
  }
  return pieces;
}

function line(result: CaseResult): string {
  const { row, unit, goal, reached, cpuSecondsPerGB, peakBytes, ratio, peerName } = result;
  const goalText = goal === null ? '(for comparison)' : `${goal}${reached ? '' : ': **not reached**'}`;
  const megabytes = (bytes: number): string => (bytes / MiB).toFixed(0);
  const cells = [
    row,
    result.case,
    peerName,
    `**${ratio.toFixed(2)}**`,
    goalText,
    `${figure(result.ours)} ${unit}`,
    `${figure(result.peer)} ${unit}`,
    sides(cpuSecondsPerGB, (value) => value.toFixed(2)),
    sides(peakBytes, megabytes),
  ];
  return `| ${cells.join(' | ')} |`;
}

const sides = ({ ours, peer }: Side, spell: (value: number) => string): string =>
  `${ours === 0 ? '-' : spell(ours)} / ${peer === 0 ? '-' : spell(peer)}`;
const pairLine = ({ row, peerName, pairRatios }: CaseResult): string =>
  `${row} ${peerName}: ${pairRatios.map((ratio) => ratio.toFixed(2)).join(', ')}`;
const remarkLine = ({ row, peerName, remark }: CaseResult): string =>
  `- row ${row}, beside ${peerName}: ${remark}`;

function figure(value: number): string {
  if (value < 1000) return value.toPrecision(3);
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');
}

async function mountOf(directory: string): Promise<string> {
  const { output } = await runCommand([
    'findmnt',
    '--noheadings',
    '--output',
    'SOURCE,FSTYPE',
    '--target',
    directory,
  ]);
  const [source, type] = output.trim().split(/\s+/);
  return `${type ?? 'unknown file system'} on ${source ?? 'an unknown device'}`;
}

async function versions(): Promise<string> {
  const commands = [
    ['fio', '--version'],
    ['nbdkit', '--version'],
    ['qemu-nbd', '--version'],
    ['nbdcopy', '--version'],
  ];
  const lines = await Promise.all(commands.map((command) => firstLine(command)));
  return [`Node ${process.versions.node}`, ...lines].join(', ');
}

async function firstLine(command: readonly string[]): Promise<string> {
  const { output } = await runCommand(command);
  return (output.split('\n')[0] ?? '').replace(/ \(.*\)/, '');
}
