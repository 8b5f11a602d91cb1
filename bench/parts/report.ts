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

/** Replaces what stands between the markers of the page. */
export function writeDocs(file: string, text: string): void {
  const page = fs.readFileSync(file, 'utf8');
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${file} has lost the markers of its table`);
  fs.writeFileSync(file, `${page.slice(0, from)}${begin}\n${text}${page.slice(to)}`);
}

export function formatReport(results: readonly CaseResult[], at: Circumstances): string {
  const remarks = results.filter(({ remark }) => remark !== null);
  return [
    '| # | work | against | ratio | to reach | ours | peer | CPU s/GB | peak MiB |',
    '|---|---|---|---|---|---|---|---|---|',
    ...results.map(line),
    '',
    `Ratios of the pairs: ${results.map(pairLine).join(' · ')}.`,
    '',
    ...(remarks.length === 0
      ? []
      : ['The cursor in the last run of each case where apply runs:', '', ...remarks.map(remarkLine), '']),
    `Machine: ${at.machine}; ${at.kernel}; ${at.disk}. ${at.versions}. \`${at.command}\`, ${at.date}.` +
      (at.note === null ? '' : ` ${at.note}`),
    '',
  ].join('\n');
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
  `${spell(ours)} / ${spell(peer)}`;
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
