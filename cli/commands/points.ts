// `homeward points`: the moments that a machine can be brought back to.
import type { KeptReport, LockReport, PointsReport, RateReport } from '../../agent/control/client.ts';
import { HomewardError } from '../../core/errors.ts';
import { formatSize, parseDuration } from '../../core/units.ts';
import { parseTime } from '../../core/when-time.ts';
import { parseAt, required } from '../operands.ts';
import type { Verb } from '../session.ts';
import { formatAsked, formatFields, formatMoment, formatTable } from '../table.ts';

export interface PointsOptions {
  rates?: boolean;
}

export const points: Verb<PointsOptions> = async (session, [machine], { rates = false }) => {
  if (machine === undefined) throw new HomewardError('usage', 'the machine is missing');
  const report = await session.withClient((client) => client.points(machine, { rates }));
  session.result(report, () => formatPoints(report));
};

export interface LockOptions {
  at?: string;
  until?: string;
  name?: string;
}

export const pointsLock: Verb<LockOptions> = async (session, [machine = ''], options) => {
  const { at, shown } = parseAt(options.at);
  const until = untilOf(required(options.until, '--until'));
  const name = options.name ?? null;
  const report = await session.withClient((client) => client.lockPoint({ machine, at, until, name }));
  session.result(report, () => {
    const what = report.changed === false ? 'was locked so already' : 'is locked';
    const title = `${formatMoment(report)} of ${report.machine} ${what} until ${report.until}`;
    return `${title}\n${formatAsked(shown)}`;
  });
};

export const pointsUnlock: Verb<LockOptions> = async (session, [machine = ''], options) => {
  const { at } = parseAt(options.at);
  const report = await session.withClient((client) => client.unlockPoint(machine, at));
  session.result(report, () => `${formatMoment(report)} of ${report.machine} is not locked any more\n`);
};

/** A time without an offset is in the zone of whoever types it; how long is reckoned by the master target. */
function untilOf(text: string): string {
  // Of a day alone, its beginning: the answer says when that is.
  const typed = parseTime(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00` : text);
  if (typed !== null) return typed.text;
  try {
    parseDuration(text);
  } catch (cause) {
    throw new HomewardError('usage', `--until "${text}" is neither a time nor a duration`, {
      cause,
      hint: 'Give a time such as 2027-01-31T00:00:00Z, or how long, for example 90d.',
    });
  }
  return text;
}

/** What a point of the window is. */
function formatKind({ scan }: PointsReport): string {
  if (scan === undefined) return 'every write in this window is a point';
  const last = scan.lastTime === null ? '' : `; the last one began to read at ${scan.lastTime}`;
  if (scan.only) return `it is scanned: the points of this window are the ends of scans${last}`;
  return `every write in this window is a point, scanned disks as the last scan found them${last}`;
}

export function formatPoints(report: PointsReport): string {
  const { machine, window, gaps, tags, kept } = report;
  if (window === null) return `Machine ${machine} has no point yet\n`;
  let text =
    `Machine ${machine}: ${formatKind(report)}\n` +
    formatFields([
      ['from', formatMoment(window.from)],
      ['to', formatMoment(window.to)],
    ]) +
    formatSignal(report);
  if (gaps.length > 0) {
    text +=
      '\nGaps, without points inside\n' +
      formatTable(
        [
          { title: 'FROM', right: true, cell: (gap) => String(gap.from) },
          { title: 'TO', right: true, cell: (gap) => (gap.to === null ? 'now' : String(gap.to)) },
          { title: 'FROM TIME', cell: (gap) => gap.fromTime },
          { title: 'TO TIME', cell: (gap) => gap.toTime ?? 'now' },
          { title: 'REASON', cell: (gap) => gap.reason },
        ],
        gaps,
      );
  }
  if (tags.length > 0) {
    text +=
      '\nTags\n' +
      formatTable(
        [
          { title: 'LSN', right: true, cell: (tag) => String(tag.lsn) },
          { title: 'TIME', cell: (tag) => tag.time },
          { title: 'CONSISTENCY', cell: (tag) => tag.consistency },
          { title: 'NAME', cell: (tag) => tag.name },
        ],
        tags,
      );
  }
  return (
    text +
    formatMarks(report.marks ?? []) +
    formatKept(kept) +
    formatLocks(report.locks ?? []) +
    formatRates(report.rate)
  );
}

/** Nothing, when nothing was found that is still kept. */
function formatSignal({ signal }: PointsReport): string {
  if (signal === undefined || (signal.state !== 'suspected' && signal.state !== 'ended')) return '';
  const { since, ended, share, lastClean } = signal;
  const when = ended === null ? `since ${since}` : `from ${since} to ${ended}`;
  const percent = Math.round((share ?? 0) * 100);
  const what = `Encryption suspected ${when}: ${percent} % of what was rewritten turned random\n`;
  return what + formatFields([['last clean moment', lastClean === null ? '-' : formatMoment(lastClean)]]);
}

type Mark = NonNullable<PointsReport['marks']>[number];

function formatMarks(marks: readonly Mark[]): string {
  if (marks.length === 0) return '';
  const columns = [
    { title: 'LSN', right: true, cell: ({ lsn }: Mark) => String(lsn) },
    { title: 'TIME', cell: ({ time }: Mark) => time },
    { title: 'NAME', cell: ({ name }: Mark) => name },
  ];
  return '\nLast moments before encryptions, each also tag:NAME\n' + formatTable(columns, marks);
}

function formatKept(kept: readonly KeptReport[]): string {
  if (kept.length === 0) return '';
  const columns = [
    { title: 'LSN', right: true, cell: ({ lsn }: KeptReport) => String(lsn) },
    { title: 'TIME', cell: ({ time }: KeptReport) => time ?? '-' },
    { title: 'WHY', cell: ({ reasons = [] }: KeptReport) => reasons.join(', ') || 'not merged yet' },
    { title: 'UNTIL', cell: ({ until }: KeptReport) => until ?? '-' },
    { title: 'TAG', cell: ({ tag }: KeptReport) => tag ?? '' },
  ];
  return '\nKept points\n' + formatTable(columns, kept);
}

function formatLocks(locks: readonly Omit<LockReport, 'machine'>[]): string {
  if (locks.length === 0) return '';
  type Lock = (typeof locks)[number];
  const columns = [
    { title: 'LSN', right: true, cell: ({ lsn }: Lock) => String(lsn) },
    { title: 'TIME', cell: ({ time }: Lock) => time ?? '-' },
    { title: 'LOCKED UNTIL', cell: ({ until }: Lock) => until },
    { title: 'NAME', cell: ({ name }: Lock) => name ?? '' },
  ];
  return '\nLocks, which nobody shortens through Homeward\n' + formatTable(columns, locks);
}

/** What was written over, about: known when the replica has followed. */
const signalColumns = [
  { title: 'REWRITTEN', right: true, cell: ({ signal }: RateReport) => formatSize(signal?.rewritten ?? 0) },
  { title: 'ZEROED', right: true, cell: ({ signal }: RateReport) => formatSize(signal?.zeroed ?? 0) },
  {
    title: 'TURNED RANDOM',
    right: true,
    cell: ({ signal }: RateReport) => formatSize(signal?.encrypted ?? 0),
  },
];

function formatRates(rate: readonly RateReport[] | undefined): string {
  if (rate === undefined) return '';
  if (rate.length === 0) return '\nNo writes are remembered\n';
  const columns = [
    { title: 'MINUTE', cell: ({ time }: RateReport) => time },
    { title: 'WRITTEN', right: true, cell: ({ bytes }: RateReport) => formatSize(bytes) },
    { title: 'WRITES', right: true, cell: ({ records }: RateReport) => String(records) },
    { title: 'FLUSHES', right: true, cell: ({ flushes }: RateReport) => String(flushes) },
    ...(rate.some(({ signal }) => signal !== undefined) ? signalColumns : []),
  ];
  return '\nWrites per minute\n' + formatTable(columns, rate);
}
