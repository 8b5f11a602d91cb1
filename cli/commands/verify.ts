// `homeward verify`: reads a machine's history and says what of it is damaged.
import type { VerifyReport } from '../../agent/control/client.ts';
import { ExitStatus, HomewardError } from '../../core/errors.ts';
import { formatSize } from '../../core/units.ts';
import { parseFor, parsePart } from '../operands.ts';
import { withProgress } from '../progress.ts';
import type { Verb } from '../session.ts';
import { formatTable } from '../table.ts';

export interface VerifyOptions {
  part?: string;
  for?: string;
}

export const verify: Verb<VerifyOptions> = async (session, [machine = ''], options) => {
  const request = {
    machine,
    part: options.part === undefined ? null : parsePart(options.part),
    forMs: parseFor(options.for),
  };
  const signal = session.io.interrupts();
  const report = await session
    .withClient((client) => withProgress(session, (progress) => client.verify(request, progress, signal)))
    .catch((error: unknown) => {
      if (!signal.aborted) throw error;
      throw new HomewardError('interrupted', 'the verification was interrupted; it changes nothing', {
        cause: error,
        hint: 'Run the same command again, or in parts with --part n/t or --for 1h.',
      });
    });
  if (session.json) session.jsonLine({ result: report });
  else session.result(report, () => formatVerified(report, request.part));
  return report.ok ? ExitStatus.done : ExitStatus.found;
};

type Covered = VerifyReport['covered'];
type Damage = VerifyReport['damaged'][number];

/** Nothing is said of what was not read: `part` is the part that was asked for, null for all. */
export function formatVerified(report: VerifyReport, part: { n: number; of: number } | null): string {
  const { machine, ok, covered, damaged } = report;
  const some = covered.complete ? 'The' : 'What was read of the';
  const what = part === null ? some : `Part ${part.n} of ${part.of} of the`;
  const title = `${what} history of machine ${machine} is ${ok ? 'sound' : 'damaged'}`;
  const read = formatCovered(covered).join('');
  const lines = `${title}: ${read}${formatHealed(report)}`;
  return `${lines}${ok ? '' : formatDamages(damaged)}${formatLacking(report)}`;
}

function formatHealed({ healed = [] }: VerifyReport): string {
  return healed
    .map(({ file, fromLsn, toLsn, putBack }) => {
      const records = fromLsn === toLsn ? `record ${fromLsn}` : `records ${fromLsn} to ${toLsn}`;
      if (putBack === true)
        return `Put back ${file} (${records}): its name was gone, and it was still open.\n`;
      return `Healed ${records} of ${file}: the process server still had that.\n`;
    })
    .join('');
}

/** What the newest moment lacks, and what to do about it. */
function formatLacking({ offer, resync, unknown = [] }: VerifyReport): string {
  const lost = unknown.map(({ disk, start, end }) => `${disk} [${start}, ${end})`).slice(0, shownExtents);
  const more = unknown.length > lost.length ? ` and ${unknown.length - lost.length} more` : '';
  const isLost = lost.length > 0 ? `Lost, until it is written again: ${lost.join(', ')}${more}.\n` : '';
  const words = resync ?? null;
  if ((offer ?? null) !== null)
    return `${isLost}To send just that again from the source: ${offer}\n(${words}.)\n`;
  return `${isLost}${words === null ? '' : `${words.slice(0, 1).toUpperCase()}${words.slice(1)}.\n`}`;
}

const shownExtents = 8;

function formatCovered(covered: Covered): string[] {
  const { records, bytes, fromLsn, toLsn, complete, redo, undo, replica, ledger, sweep } = covered;
  const rest = complete ? '' : ', not all there is';
  const parts = [
    redo && `redo ${formatSize(redo.bytes)} in ${redo.files} files`,
    undo && `undo ${formatSize(undo.bytes)} in ${undo.files} files`,
    replica && `replicas ${formatSize(replica.bytes)}`,
    ledger && `${ledger.lines} lines of the ledger`,
  ].filter((part) => part !== undefined);
  return [
    `${records} records, ${formatSize(bytes)}, LSN ${fromLsn} to ${toLsn}${rest}\n`,
    parts.length > 0 ? `Read: ${parts.join(', ')}.\n` : '',
    sweep?.resumed ? 'It went on where the run before had stopped.\n' : '',
    sweep && sweep.remainingPieces > 0
      ? `The next run with --for goes on; ${formatSize(sweep.remainingBytes)} are left.\n`
      : '',
    replica && replica.uncheckedBytes > 0
      ? `${formatSize(replica.uncheckedBytes)} of the replicas have no checksums yet, or changed meanwhile.\n`
      : '',
    ledger && ledger.cut !== null
      ? `Not all of the ledger counted at the last start (${ledger.cut}): what only that knew is unknown.\n`
      : '',
  ];
}

function formatDamages(damaged: readonly Damage[]): string {
  return formatTable(
    [
      { title: 'FILE', cell: (damage) => damage.file },
      { title: 'DISK', cell: (damage) => damage.disk ?? '-' },
      {
        title: 'BYTES',
        cell: ({ start, end }) => (start === null || end === null ? '-' : `[${start}, ${end})`),
      },
      {
        title: 'LSN',
        cell: ({ fromLsn: from, toLsn: to }) => (from === to ? String(from) : `${from} to ${to}`),
      },
      { title: 'WHAT', cell: (damage) => damage.what },
      { title: 'TIME', cell: formatSpan },
      { title: 'RECOVERABLE', cell: ({ recoverable }) => recoverable ?? '-' },
    ],
    damaged,
  );
}

function formatSpan({ fromTime, toTime }: Damage): string {
  const from = fromTime ?? '';
  const to = toTime ?? '';
  if (from === '' && to === '') return '-';
  return from === to ? from : `${from} to ${to}`.trim();
}
